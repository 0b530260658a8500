# SPDX-License-Identifier: Apache-2.0
"""Names become ENIs, and every mistake that only shows on the instance.

The instance of most tests: ENI 0 (primary, ens5), ENI 1 (ens6), and ENI 2
(ens7), which has IPv6 alone.
"""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from ipaddress import ip_network as network
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cc_multihome.config.parse import Config, parse
from cc_multihome.errors import ConfigError, LinkError, Problem
from cc_multihome.model import Eni, Instance, Link
from cc_multihome.plan.bind import (
    Bound,
    BoundDestination,
    BoundInterface,
    bind,
    bind_or_raise,
)


def eni(number: int, *, card: int = 0, primary: bool = False) -> Eni:
    """Make an ENI with one IPv4 address."""
    return Eni(
        mac=f"0a:00:00:00:{card:02x}:{number:02x}",
        eni_id=f"eni-{card}{number}",
        device_number=number,
        network_card=card,
        subnet_id=f"subnet-{card}{number}",
        is_primary=primary,
        local_ipv4s=(IPv4Address(f"10.{card}.{number}.10"),),
        subnet_ipv4s=(IPv4Network(f"10.{card}.{number}.0/24"),),
    )


def link(owner: Eni, ifname: str, netdef_id: str | None = None) -> Link:
    """Make the device of an ENI."""
    return Link(ifname, int(ifname[-1], 36) + 1, owner.mac, 9001, netdef_id)


PRIMARY = eni(0, primary=True)
SECOND = eni(1)
IPV6 = replace(
    eni(2),
    local_ipv4s=(),
    subnet_ipv4s=(),
    ipv6s=(IPv6Address("2001:db8:2::10"),),
    subnet_ipv6s=(IPv6Network("2001:db8:2::/64"),),
)
EFA = replace(eni(3), local_ipv4s=(), subnet_ipv4s=())
ENS5, ENS6, ENS7 = (
    link(PRIMARY, "ens5"),
    link(SECOND, "ens6"),
    link(IPV6, "ens7"),
)
LINKS = (ENS5, ENS6, ENS7)

DESCRIBED = "; ".join(
    f"eni-0{n} (device_number {n}, network_card 0,"
    f" mac 0a:00:00:00:00:0{n}, subnet-0{n})"
    for n in range(3)
)
FIRST_DESCRIBED, SECOND_DESCRIBED, IPV6_DESCRIBED = DESCRIBED.split("; ")


def instance(*enis: Eni) -> Instance:
    """Make an instance; without arguments the usual one."""
    return Instance("i-1", (), enis or (PRIMARY, SECOND, IPV6))


def config(text: str) -> Config:
    """Read a configuration that has no mistake of its own."""
    parsed = parse(yaml.safe_load(text))
    assert parsed.problems == ()
    assert parsed.config is not None
    return parsed.config


def bound(text: str, *enis: Eni, links: tuple[Link, ...] = LINKS) -> Bound:
    """Bind what must have no problem."""
    result = bind(config(text), instance(*enis), links)
    assert result.problems == ()
    return result


def problem(text: str, *enis: Eni, links: tuple[Link, ...] = LINKS) -> Problem:
    """Bind what must have one problem alone, and return that."""
    problems = bind(config(text), instance(*enis), links).problems
    assert len(problems) == 1, problems
    return problems[0]


TWO = "interfaces: {a: {device_number: 0}, b: {device_number: 1}}"


def test_names_tables_and_destinations_are_bound() -> None:
    """What the seed's host asks, and an ENI that it does not list."""
    result = bound(
        """
        interfaces:
          private: {device_number: 0, table: 10}
          public: {device_number: 1, table: 20, rename: false}
        default: public
        policy:
          - {to: [192.0.2.14, 198.51.100.0/24], via: private}
          - {to: 2001:db8:9::/48, via: ens7}
        """
    )
    private = BoundInterface(
        name="private",
        table=10,
        rename=True,
        eni=PRIMARY,
        link=ENS5,
        path="multihome.interfaces.private",
    )
    public = BoundInterface(
        name="public",
        table=20,
        rename=False,
        eni=SECOND,
        link=ENS6,
        path="multihome.interfaces.public",
    )
    unlisted = BoundInterface(
        name="ens7", table=31002, rename=False, eni=IPV6, link=ENS7, path=""
    )
    assert result.interfaces == (private, public, unlisted)
    assert [each.ifname for each in result.interfaces] == [
        "private",
        "ens6",
        "ens7",
    ]
    assert result.default == public
    path = "multihome.policy"
    assert result.policy == (
        BoundDestination(network("192.0.2.14"), "private", f"{path}[0].to[0]"),
        BoundDestination(
            network("198.51.100.0/24"), "private", f"{path}[0].to[1]"
        ),
        BoundDestination(network("2001:db8:9::/48"), "ens7", f"{path}[1].to"),
    )


def test_nothing_asked_manages_all_with_derived_tables() -> None:
    """Kernel names, and the primary ENI holds the default."""
    card = eni(1, card=2)
    result = bound("{}", PRIMARY, card, links=(ENS5, link(card, "ens6")))
    assert [(each.name, each.table) for each in result.interfaces] == [
        ("ens5", 31000),
        ("ens6", 31201),
    ]
    assert not any(each.rename for each in result.interfaces)
    assert result.default == result.interfaces[0]
    assert result.policy == ()


@given(order=st.permutations([PRIMARY, SECOND, IPV6]))
def test_the_order_of_the_listing_does_not_matter(order: list[Eni]) -> None:
    """IMDS lists by MAC."""
    names = [each.name for each in bound(TWO, *order).interfaces]
    assert names == ["a", "b", "ens7"]


@pytest.mark.parametrize(
    "selector",
    [
        "device_number: 1",
        "mac: 0A-00-00-00-00-01",
        "eni_id: eni-01",
        "subnet_id: subnet-01",
        "subnet: 10.0.1.0/24",
        "network_card: 0, device_number: 1, eni_id: eni-01",
    ],
)
def test_each_selector_finds_its_eni(selector: str) -> None:
    """One alone, or several that all match."""
    result = bound(f"interfaces: {{x: {{{selector}}}}}")
    assert [each.eni for each in result.interfaces if each.path] == [SECOND]


def test_an_ipv6_subnet_selects_too() -> None:
    """Any CIDR block of the ENI's subnet."""
    result = bound("interfaces: {x: {subnet: '2001:db8:2::/64'}}")
    assert result.interfaces[2].name == "x"


def test_a_selector_that_matches_none_lists_what_there_is() -> None:
    """With all that one may select by."""
    assert problem("interfaces: {x: {device_number: 7}}") == Problem(
        "multihome.interfaces.x",
        "{device_number: 7}",
        f"selectors that match one of this instance's ENIs: {DESCRIBED}",
    )


def test_a_selector_by_subnet_lists_the_subnets() -> None:
    """The CIDR blocks are what one would compare with."""
    text = "interfaces: {x: {subnet: 10.0.0.0/16}}"
    assert problem(text, PRIMARY) == Problem(
        "multihome.interfaces.x",
        "{subnet: 10.0.0.0/16}",
        (
            "selectors that match one of this instance's ENIs:"
            f" {FIRST_DESCRIBED} in 10.0.0.0/24"
        ),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("interfaces: {x: {device_number: 7}}", True, id="no ENI"),
        pytest.param("users: {nobody-yet: ens6}", True, id="no user"),
        pytest.param("default: ens9", True, id="no device of that name"),
        pytest.param("default: pubic", False, id="no such name"),
        pytest.param(
            "interfaces: {x: {device_number: 1}}\ndefault: ens6",
            False,
            id="the kernel's name of one that has another",
        ),
        pytest.param(
            "interfaces: {x: {device_number: 0}, y: {device_number: 0}}",
            False,
            id="two names of one ENI",
        ),
    ],
)
def test_a_mistake_that_may_pass_is_known_by_it(
    text: str, expected: bool
) -> None:
    """An ENI may be attached later, and a user may be made."""
    assert expected == problem(text).may_pass


def test_all_selectors_must_match() -> None:
    """Two that match an ENI each match none together."""
    found = problem("interfaces: {x: {device_number: 0, eni_id: eni-01}}")
    assert found.found == "{device_number: 0, eni_id: eni-01}"
    assert found.expected.startswith("selectors that match one of")


def test_a_selector_that_matches_two_lists_these() -> None:
    """And not the others."""
    other = eni(1, card=1)
    links = (ENS5, ENS6, link(other, "ens7"))
    text = "interfaces: {x: {device_number: 1}}"
    assert problem(text, PRIMARY, SECOND, other, links=links) == Problem(
        "multihome.interfaces.x",
        "{device_number: 1}",
        (
            f"selectors that match one ENI, not 2: {SECOND_DESCRIBED};"
            f" {other.describe()}"
        ),
    )


def test_all_enis_are_left_alone_but_those_with_a_name() -> None:
    """A network plugin attaches them into the primary ENI's own subnet."""
    subnet = {"subnet_id": PRIMARY.subnet_id}
    pods = [replace(eni(it), **subnet) for it in (2, 3)]  # type: ignore[arg-type]
    found = bound(
        f"interfaces: {{pods: {{subnet_id: {PRIMARY.subnet_id},"
        " manage: false}, own: {device_number: 0}}",
        *(PRIMARY, SECOND, *pods),
    )
    assert ["own", "ens6"] == [it.name for it in found.interfaces]


def test_an_eni_to_be_left_alone_may_come_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A name that was mistyped looks the same: it is told."""
    found = bound("interfaces: {pods: {device_number: 7, manage: false}}")
    assert 3 == len(found.interfaces)
    assert "multihome.interfaces.pods: no ENI matches" in caplog.text


def test_an_eni_has_one_entry_also_where_it_is_left_alone() -> None:
    """Which of the two is meant nobody can say."""
    text = (
        "interfaces: {a: {device_number: 1},"
        " b: {eni_id: eni-01, manage: false}}"
    )
    assert problem(text).path == "multihome.interfaces.b"


def test_two_names_of_one_eni() -> None:
    """The second is told about the first, and nothing follows from it."""
    text = (
        "{interfaces: {a: {device_number: 1}, b: {eni_id: eni-01}},"
        " default: b}"
    )
    assert problem(text) == Problem(
        "multihome.interfaces.b",
        "{eni_id: eni-01}",
        (
            "an ENI of its own: multihome.interfaces.a is"
            f" {SECOND_DESCRIBED} too"
        ),
    )


def test_a_configured_table_that_is_derived_for_another() -> None:
    """The other is named."""
    text = "interfaces: {a: {device_number: 0, table: 31001}}"
    assert problem(text) == Problem(
        "multihome.interfaces.a.table",
        "31001",
        (
            "another table: this is the derived table of ens6,"
            f" {SECOND_DESCRIBED}"
        ),
    )


def test_a_configured_table_may_be_the_own_derived_one() -> None:
    """Somebody wrote down what was there."""
    bound("interfaces: {a: {device_number: 1, table: 31001}}")


def test_an_unmanaged_eni_has_no_derived_table() -> None:
    """Nothing collides with what is not made."""
    bound(
        "interfaces: {a: {device_number: 0, table: 31001},"
        " b: {device_number: 1, manage: false}}"
    )


def test_a_new_name_that_another_link_has() -> None:
    """The kernel would refuse it."""
    assert problem("interfaces: {ens6: {device_number: 0}}") == Problem(
        "multihome.interfaces.ens6",
        "'ens6'",
        f"a name that is free: the link with MAC {ENS6.mac} has this one",
    )


@pytest.mark.parametrize(
    ("text", "is_fine"),
    [
        pytest.param(
            "{ens6: {device_number: 0}, ens5: {device_number: 1}}",
            True,
            id="swapped",
        ),
        pytest.param(
            "{ens6: {device_number: 0}, b: {device_number: 1}}",
            True,
            id="renamed away",
        ),
        pytest.param(
            "{ens6: {device_number: 0}, b: {device_number: 1, rename: false}}",
            False,
            id="not renamed",
        ),
        pytest.param(
            "{ens6: {device_number: 0}, b: {device_number: 1, manage: false}}",
            False,
            id="left alone",
        ),
        pytest.param(
            "{ens6: {device_number: 0, rename: false}}",
            False,
            id="name of another's table",
        ),
        pytest.param("{ens5: {device_number: 0}}", True, id="own name"),
    ],
)
def test_a_name_is_free_once_all_have_their_new_ones(
    text: str, is_fine: bool
) -> None:
    """What counts is how it will be."""
    result = bind(config(f"interfaces: {text}"), instance(), LINKS)
    assert (result.problems == ()) is is_fine


def test_a_name_of_another_device_of_the_host() -> None:
    """Docker's bridge is no ENI, but its name is taken."""
    asked = config("interfaces: {docker0: {device_number: 0}}")
    taken = frozenset({"docker0", "lo"})
    result = bind(asked, instance(), LINKS, taken_names=taken)
    assert result.problems == (
        Problem(
            "multihome.interfaces.docker0",
            "'docker0'",
            "a name that is free: another device of this host has this one",
        ),
    )
    kept = config("interfaces: {docker0: {device_number: 0, rename: false}}")
    assert not bind(kept, instance(), LINKS, taken_names=taken).problems


def test_a_second_run_finds_its_own_names() -> None:
    """Renamed links keep their kernel names as netplan's ids."""
    links = (link(PRIMARY, "a", "ens5"), link(SECOND, "b", "ens6"), ENS7)
    taken = frozenset({"a", "b", "ens7", "lo"})
    again = bind(config(TWO), instance(), links, taken_names=taken)
    assert again.problems == ()
    # Now unlisted, b is ens6 again, and its name is free for another ENI.
    freed = bound("interfaces: {b: {device_number: 0}}", links=links)
    assert [each.name for each in freed.interfaces] == ["b", "ens6", "ens7"]


def test_an_unknown_name_lists_those_that_there_are() -> None:
    """With the closest one, where one is close."""
    text = f"{{{TWO}, default: nowhere}}"
    assert problem(text) == Problem(
        "multihome.default", "'nowhere'", "one of a, b, ens7"
    )
    text = "policy: [{to: 192.0.2.1, via: ens55}]"
    assert problem(text) == Problem(
        "multihome.policy[0].via",
        "'ens55'",
        "one of ens5, ens6, ens7; did you mean ens5?",
    )


def test_the_kernel_name_of_a_listed_eni_is_no_name() -> None:
    """It says what the ENI is called."""
    assert problem(f"{{{TWO}, default: ens5}}") == Problem(
        "multihome.default",
        "'ens5'",
        "one of a, b, ens7; ens5 is called a here",
    )


@pytest.mark.parametrize("number", [1, 7])
def test_an_unmanaged_interface_is_no_choice(number: int) -> None:
    """Whether its ENI is attached or not."""
    text = (
        f"{{interfaces: {{b: {{device_number: {number}, manage: false}}}},"
        " default: b}"
    )
    problems = bind(config(text), instance(), LINKS).problems
    assert problems[0].path == "multihome.default"
    assert problems[0].found == "'b'"
    assert problems[0].expected.endswith("; b has manage: false")


def test_nothing_can_be_named_when_nothing_is_managed() -> None:
    """The choices are said to be none."""
    text = "{interfaces: {a: {device_number: 0, manage: false}}, default: x}"
    found = problem(text, PRIMARY)
    assert found.expected == "none: no ENI is managed"


def test_a_name_whose_entry_is_wrong_is_not_called_unknown() -> None:
    """One mistake is one problem."""
    text = "{interfaces: {x: {device_number: 7}}, default: x}"
    assert problem(text).path == "multihome.interfaces.x"
    for wrong in (
        "interfaces: {x: {mac: y}}",
        "interfaces: 5",
        "interface: 5",
    ):
        parsed = parse(yaml.safe_load(f"{{{wrong}, default: x}}"))
        assert len(parsed.problems) == 1
        assert parsed.config is not None
        assert bind(parsed.config, instance(), LINKS).problems == ()


@pytest.mark.parametrize(
    ("to", "via", "expected"),
    [
        (
            "192.0.2.14",
            "ens7",
            "an IPv6 destination: ens7 has no IPv4 address",
        ),
        (
            "2001:db8:9::/48",
            "ens5",
            "an IPv4 destination: ens5 has no IPv6 address",
        ),
    ],
)
def test_a_family_that_the_eni_does_not_have(
    to: str, via: str, expected: str
) -> None:
    """Nothing could leave there."""
    found = problem(f"policy: [{{to: ['{to}'], via: {via}}}]")
    assert found == Problem("multihome.policy[0].to[0]", f"'{to}'", expected)


def test_a_default_without_ipv4_while_others_have_it() -> None:
    """The host would lose IPv4."""
    assert problem("default: ens7") == Problem(
        "multihome.default",
        "'ens7'",
        "an interface with an IPv4 address: ens5, ens6",
    )


def test_a_default_without_ipv4_where_none_has_it() -> None:
    """An instance in IPv6-only subnets."""
    only = replace(IPV6, is_primary=True)
    assert bound("default: ens7", only).default is not None


def test_an_unmanaged_eni_is_left_out() -> None:
    """With the primary left alone nobody holds our default."""
    result = bound("interfaces: {x: {device_number: 0, manage: false}}")
    assert [each.name for each in result.interfaces] == ["ens6", "ens7"]
    assert result.default is None


def test_an_unmanaged_eni_needs_no_device() -> None:
    """It may have been moved into a container."""
    result = bound(
        "interfaces: {x: {device_number: 0, manage: false}}",
        links=(ENS6, ENS7),
    )
    assert len(result.interfaces) == 2


def test_an_efa_only_interface_is_left_out() -> None:
    """It has neither an address nor a device."""
    result = bound("{}", PRIMARY, EFA)
    assert [each.eni for each in result.interfaces] == [PRIMARY]


def test_an_efa_only_interface_does_not_make_a_selector_ambiguous() -> None:
    """On its card, the ENI with an address is the one that is meant."""
    ena, efa = eni(0, card=1), replace(EFA, network_card=1)
    result = bound(
        "interfaces: {x: {network_card: 1}}",
        *(PRIMARY, efa, ena),
        links=(ENS5, link(ena, "ens6")),
    )
    assert result.interfaces[1].eni == ena


def test_an_efa_only_interface_cannot_be_named() -> None:
    """Except to leave it alone."""
    text = "interfaces: {x: {device_number: 3}}"
    assert problem(text, PRIMARY, EFA) == Problem(
        "multihome.interfaces.x",
        "{device_number: 3}",
        f"an ENI with an address: {EFA.describe()} has none",
    )
    bound("interfaces: {x: {device_number: 3, manage: false}}", PRIMARY, EFA)


def test_an_eni_without_a_device_is_no_mistake_of_the_configuration() -> None:
    """It has not appeared yet: nothing is decided without it."""
    with pytest.raises(LinkError) as caught:
        bind(config("default: ens6"), instance(PRIMARY, SECOND), (ENS5,))
    assert str(caught.value) == (
        "no single network device of this host has the MAC of"
        f" {SECOND_DESCRIBED}; devices here: ens5 (0a:00:00:00:00:00); an ENI"
        " that was just attached may need a moment to appear"
    )


def test_two_devices_with_one_mac_are_not_guessed_between() -> None:
    """Neither is taken."""
    twins = (ENS5, replace(ENS6, mac=ENS5.mac))
    with pytest.raises(LinkError, match="no single network device"):
        bind(config("{}"), instance(PRIMARY), twins)


def test_mistakes_go_before_a_missing_device() -> None:
    """Waiting for the device would not mend them."""
    text = f"{{{TWO}, default: nowhere}}"
    found = problem(text, PRIMARY, SECOND, links=(ENS5,))
    assert found.path == "multihome.default"


def test_links_that_are_no_enis_are_left_alone() -> None:
    """IMDS does not list them."""
    other = Link("eth9", 99, "02:00:00:00:00:01", 1500)
    assert len(bound("{}", links=(*LINKS, other)).interfaces) == 3


def test_all_problems_come_in_order() -> None:
    """Of selectors, tables, names, references and families."""
    text = """
        interfaces:
          ens7: {device_number: 0, table: 31001}
          x: {device_number: 9}
        default: nowhere
        policy:
          - {to: '2001:db8:9::/48', via: ens7}
          - {to: 192.0.2.1, via: there}
    """
    problems = bind(config(text), instance(), LINKS).problems
    assert [each.path for each in problems] == [
        "multihome.default",
        "multihome.interfaces.ens7",
        "multihome.interfaces.ens7.table",
        "multihome.interfaces.x",
        "multihome.policy[0].to",
        "multihome.policy[1].via",
    ]


def test_static_problems_and_those_of_the_instance_come_together() -> None:
    """One boot shows them all."""
    parsed = parse(yaml.safe_load("{resolver: vcp, default: nowhere}"))
    with pytest.raises(ConfigError) as caught:
        bind_or_raise(parsed, instance(), LINKS)
    paths = [each.path for each in caught.value.problems]
    assert paths == ["multihome.default", "multihome.resolver"]


def test_static_problems_go_before_a_missing_device() -> None:
    """And when nothing could be read, or all is well, that is said."""
    wrong, right = parse({"resolver": "vcp"}), parse({})
    with pytest.raises(ConfigError):
        bind_or_raise(wrong, instance(), ())
    with pytest.raises(ConfigError):
        bind_or_raise(parse("text"), instance(), LINKS)
    with pytest.raises(LinkError):
        bind_or_raise(right, instance(), ())
    assert len(bind_or_raise(right, instance(), LINKS).interfaces) == 3


VPC = (IPv4Network("10.0.0.0/16"), IPv4Network("10.1.0.0/16"))
IN_VPC = (replace(PRIMARY, vpc_ipv4s=VPC), replace(SECOND, vpc_ipv4s=VPC))


@pytest.mark.parametrize(
    ("first", "second", "path", "where"),
    [
        pytest.param(
            "10.1.0.0/16", "vpc", "policy[1]", "policy[0]", id="after"
        ),
        pytest.param(
            "vpc", "10.1.0.0/16", "policy[0]", "policy[1]", id="before"
        ),
    ],
)
def test_vpc_and_one_of_its_blocks_by_two_interfaces_is_a_mistake(
    first: str, second: str, path: str, where: str
) -> None:
    """It is the word that is called wrong: the block was written out."""
    text = f"policy: [{{to: {first}, via: ens5}}, {{to: {second}, via: ens6}}]"
    name = "ens5" if where == "policy[0]" else "ens6"
    assert problem(text, *IN_VPC) == Problem(
        f"multihome.{path}.to",
        "'vpc'",
        f"each destination via one interface: multihome.{where}.to sends"
        f" 10.1.0.0/16 via {name}",
    )


def test_vpc_by_an_interface_without_ipv4_is_a_mistake() -> None:
    """And so is one of which the metadata service lists no blocks."""
    text = "policy: [{to: [vpc], via: ens7}]"
    found = problem(text, *IN_VPC, replace(IPV6, vpc_ipv4s=VPC))
    assert found.path == "multihome.policy[0].to[0]"
    assert "lists none" in found.expected
    assert "for ens5" in problem("policy: [{to: vpc, via: ens5}]").expected


HUGE = "x" * 200_000
ODD = "\x1b[31mred"


@pytest.mark.parametrize(
    "key",
    [
        pytest.param({"default": HUGE}, id="default"),
        pytest.param({"policy": [{"to": "192.0.2.1", "via": HUGE}]}, id="via"),
        pytest.param({"services": {"a.service": HUGE}}, id="service"),
        pytest.param({"services": {HUGE: "ens5"}}, id="name of a service"),
        pytest.param({"users": {HUGE: "ens5"}}, id="user"),
        pytest.param({"interfaces": {"a": {"eni_id": HUGE}}}, id="selector"),
        pytest.param(
            {"interfaces": {HUGE: {"device_number": 0}}, "default": "b"},
            id="a choice",
        ),
        pytest.param(
            {
                "interfaces": {HUGE: {"device_number": 0}},
                "default": f"{HUGE}x",
            },
            id="a hint",
        ),
        pytest.param(
            {
                "interfaces": {HUGE: {"device_number": 0, "manage": False}},
                "default": HUGE,
            },
            id="not managed",
        ),
        pytest.param(
            {
                "interfaces": {HUGE: {"device_number": 0}},
                "default": "ens5",
            },
            id="the kernel's name",
        ),
        pytest.param(
            {
                "interfaces": {HUGE: {"device_number": 0}},
                "policy": [
                    {"to": "2001:db8::1", "via": HUGE},
                    {"to": ["vpc", "192.0.2.1"], "via": HUGE},
                    {"to": "192.0.2.1", "via": "ens6"},
                ],
            },
            id="two ways",
        ),
        pytest.param(
            {
                "interfaces": {
                    HUGE: {"device_number": 0},
                    "b": {"device_number": 1, "table": 31000},
                }
            },
            id="a table",
        ),
    ],
)
@pytest.mark.parametrize("text", [HUGE, ODD], ids=["long", "escape"])
def test_no_text_of_the_configuration_is_told_as_it_is(
    key: dict[str, Any], text: str
) -> None:
    """A console must not be flooded, nor do what a name tells it.

    Also a name that was refused is one of those that there are.
    """
    key = json.loads(json.dumps(key).replace(HUGE, json.dumps(text)[1:-1]))
    parsed = parse(key)
    assert parsed.config is not None
    found = bind(parsed.config, instance(), LINKS)
    said = [str(each) for each in (*parsed.problems, *found.problems)]
    assert said
    for line in said:
        assert line.isprintable()
        assert len(line) < 700
