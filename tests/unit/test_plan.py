# SPDX-License-Identifier: Apache-2.0
"""What the host shall be, from what was asked and what is there."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cc_multihome.errors import LinkError
from cc_multihome.model import Eni, Plan, Resolver, Route
from cc_multihome.numbers import (
    ENI_IFGROUP,
    POLICY_TABLE,
    PRIORITY_FROM,
    PRIORITY_MAIN_SPECIFIC,
    PRIORITY_POLICY,
    PRIORITY_POLICY_LAST,
    PRIORITY_USER,
    derived_table,
    from_priority,
)
from cc_multihome.plan.build import gateway_of
from cc_multihome.render import render
from tests.unit.builders import (
    DESTINATIONS,
    SEED_KEY,
    address,
    eni,
    instance,
    link,
    links_of,
    netplan_file,
    network,
    plan_for,
    rule,
    seed_enis,
    texts,
)

# With one ENI nothing is planned unless something is asked.
ASKED = {"honor_main_routes": True}
VPC_RESOLVER = Resolver((address("169.254.169.253"),), ("ec2.internal",))


def attachments(limit: int = 6) -> st.SearchStrategy[list[Eni]]:
    """Make ENIs of an instance, the primary among them."""
    slots = st.tuples(st.integers(0, 31), st.integers(0, 23))
    lists = st.lists(slots, unique=True, max_size=limit)
    return lists.map(lambda found: enis_at({(0, 0), *found}))


def enis_at(slots: set[tuple[int, int]]) -> list[Eni]:
    """Make an ENI, each with a subnet of its own, in each slot."""
    return [
        eni(
            number,
            f"10.{card}.{number}.10",
            subnet=f"10.{card}.{number}.0/24",
            card=card,
        )
        for card, number in sorted(slots)
    ]


def by_mac(plan: Plan) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Map each ENI to its table and the priorities of its from-rules."""
    return {
        item.mac: (
            item.table,
            tuple(
                each.priority
                for each in item.rules
                if each.table == item.table
            ),
        )
        for item in plan.interfaces
    }


def routes_of(plan: Plan, name: str) -> list[str]:
    """Write an interface's routes as 'to via table'."""
    found = next(item for item in plan.interfaces if item.name == name)
    return [
        f"{route.to} {route.via or 'link'} {route.table}"
        for route in found.routes
    ]


def test_the_plan_for_the_seeds_host_is_the_seeds_setup() -> None:
    """Golden: all of it, as data."""
    plan = plan_for()
    private, public = plan.interfaces
    assert (private.netdef_id, private.ifname) == ("ens5", "ens5")
    assert (private.name, private.table_name, private.table) == (
        "private",
        "private",
        10,
    )
    assert (public.name, public.table_name, public.table) == (
        "public",
        "public",
        20,
    )
    assert list(map(str, private.addresses)) == ["10.224.184.51/26"]
    assert list(map(str, public.addresses)) == ["10.224.186.43/26"]
    assert routes_of(plan, "private") == [
        "0.0.0.0/0 10.224.184.1 10",
        "10.224.184.0/26 link 10",
        *(f"{to}/32 10.224.184.1 {POLICY_TABLE}" for to in DESTINATIONS),
    ]
    assert routes_of(plan, "public") == [
        "0.0.0.0/0 10.224.186.1 254",
        "0.0.0.0/0 10.224.186.1 20",
        "10.224.186.0/26 link 20",
    ]
    assert plan.resolver == VPC_RESOLVER
    assert (plan.policy_table, plan.ifgroup) == (POLICY_TABLE, ENI_IFGROUP)
    assert (private.optional, public.optional) == (False, True)
    assert private.accept_ra is None


def test_the_rules_of_the_seeds_host_stand_in_the_order_that_works() -> None:
    """Specific routes of main, own sources, the policy, then main."""
    specific = replace(
        rule(31000, 254),
        suppress_prefixlength=0,
        suppress_ifgroup=ENI_IFGROUP,
    )
    assert plan_for().rules() == (
        specific,
        rule(31100, 10, "10.224.184.51"),
        rule(31101, 20, "10.224.186.43"),
        rule(32700, POLICY_TABLE),
    )


def test_bands_of_priorities_do_not_meet() -> None:
    """The kernel's own look-up of main comes after all of ours."""
    highest = from_priority(network_card=31, device_number=31)
    order = [PRIORITY_MAIN_SPECIFIC, PRIORITY_FROM, highest]
    order += [PRIORITY_USER, PRIORITY_POLICY]
    assert order == sorted(set(order))
    assert PRIORITY_POLICY < 32764  # wg-quick has 32764 and 32765


@given(attachments(), st.randoms(use_true_random=False))
def test_the_order_of_the_enis_does_not_matter(
    enis: list[Eni], shuffler: random.Random
) -> None:
    """IMDS lists ENIs by MAC, which says nothing."""
    key = {"policy": [{"to": "192.0.2.1", "via": "ens5"}]}
    links = links_of(instance(*enis))
    mixed = list(enis)
    shuffler.shuffle(mixed)
    expected = plan_for(key, instance(*enis), links)
    assert plan_for(key, instance(*mixed), links[::-1]) == expected


@given(attachments(limit=30))
def test_tables_and_priorities_belong_to_one_eni_each(
    enis: list[Eni],
) -> None:
    """On any card, with any number of neighbours."""
    plan = plan_for(ASKED, instance(*enis))
    tables = [item.table for item in plan.interfaces]
    priorities = [each.priority for each in plan.rules()]
    assert len(set(tables)) == len(enis)
    assert len(set(priorities)) == len(enis) + 1
    assert POLICY_TABLE not in tables


@given(attachments(), st.integers(0, 31), st.integers(0, 23))
def test_an_eni_put_in_between_moves_no_other(
    enis: list[Eni], card: int, number: int
) -> None:
    """Tables and priorities come from the attachment, not from the order."""
    slots = {(each.network_card, each.device_number) for each in enis}
    more = enis_at({*slots, (card, number)})
    key = ASKED
    before = by_mac(plan_for(key, instance(*enis)))
    after = by_mac(plan_for(key, instance(*more)))
    assert {mac: after[mac] for mac in before} == before


@given(attachments())
def test_every_eni_can_be_left_by_its_own_gateway(enis: list[Eni]) -> None:
    """Its table has the default and its subnet, and no route of another."""
    plan = plan_for(ASKED, instance(*enis))
    for item, each in zip(plan.interfaces, enis, strict=True):
        subnet = each.subnet_ipv4s[0]
        own = [route for route in item.routes if route.table == item.table]
        assert own == [
            Route(network("0.0.0.0/0"), gateway_of(subnet), item.table),
            Route(subnet, None, item.table),
        ]


@given(attachments())
def test_one_default_route_is_in_the_main_table(enis: list[Eni]) -> None:
    """The primary's, where nobody chose another."""
    plan = plan_for(ASKED, instance(*enis))
    holders = [
        item.mac
        for item in plan.interfaces
        for route in item.routes
        if route.table == 254
    ]
    assert holders == [enis[0].mac]


def test_planning_twice_gives_the_same_plan() -> None:
    """Or every boot would change the host."""
    assert plan_for() == plan_for()


def test_several_addresses_have_a_rule_each_and_one_priority() -> None:
    """Traffic that is bound to none keeps the first as its source."""
    host = instance(
        eni(0), eni(1, "10.0.1.10", "10.0.1.11", subnet="10.0.1.0/24")
    )
    second = plan_for({}, host).interfaces[1]
    assert list(map(str, second.addresses)) == [
        "10.0.1.10/24",
        "10.0.1.11/32",
    ]
    assert second.rules == (
        rule(31101, 31001, "10.0.1.10"),
        rule(31101, 31001, "10.0.1.11"),
    )
    assert {route.prefsrc for route in second.routes} == {address("10.0.1.10")}


def test_another_address_moves_no_rule_of_another_eni() -> None:
    """A priority that counted addresses would."""
    one = plan_for({}, instance(eni(0), eni(1)))
    wider = eni(0, "10.0.0.10", "10.0.0.11", subnet="10.0.0.0/24")
    two = plan_for({}, instance(wider, eni(1)))
    assert by_mac(one)[eni(1).mac] == by_mac(two)[eni(1).mac]


def test_a_delegated_prefix_is_a_source_of_its_eni_too() -> None:
    """Or a reply from it leaves by the default, and the VPC drops it."""
    prefix = network("10.0.1.64/28")
    host = instance(eni(0), eni(1, ipv4_prefixes=(prefix,)))
    rules = plan_for({}, host).interfaces[1].rules
    assert [str(each.src) for each in rules] == ["10.0.1.10/32", str(prefix)]


def test_the_policy_uses_the_first_address_as_its_source() -> None:
    """As the ENI's own table does."""
    many = eni(1, "10.0.1.10", "10.0.1.11", subnet="10.0.1.0/24")
    key = {"policy": [{"to": ["192.0.2.1"], "via": "ens6"}]}
    found = plan_for(key, instance(eni(0), many)).interfaces[1].routes[-1]
    assert (found.table, found.prefsrc) == (
        POLICY_TABLE,
        address("10.0.1.10"),
    )


def test_an_efa_only_interface_does_not_make_one_eni_two() -> None:
    """As on a host for computing: IP runs over one."""
    found = plan_for({}, instance(eni(0), eni(1, local_ipv4s=())))
    assert () == found.interfaces


@pytest.mark.parametrize("key", [{}, True], ids=["braces", "true"])
def test_a_single_eni_gets_the_resolver_alone_when_nothing_is_asked(
    key: object,
) -> None:
    """One ENI routes right as it is."""
    found = plan_for(key, instance(eni(0)))
    assert found == Plan((), VPC_RESOLVER, policy_table=None, ifgroup=None)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param("keep", Resolver((), ()), id="keep"),
        pytest.param(
            {"nameservers": ["10.9.9.9"]},
            Resolver((address("10.9.9.9"),), ()),
            id="custom",
        ),
    ],
)
def test_a_resolver_is_no_reason_to_manage_a_single_eni(
    asked: Any, expected: Resolver
) -> None:
    """Who keeps it asks for less than who says nothing."""
    found = plan_for({"resolver": asked}, instance(eni(0)))
    assert found == Plan((), expected, policy_table=None, ifgroup=None)


def test_a_single_eni_is_managed_when_something_is_asked() -> None:
    """A name, for example."""
    key = {"interfaces": {"only": {"device_number": 0}}}
    assert plan_for(key, instance(eni(0))).interfaces[0].name == "only"


def test_an_empty_key_manages_all_enis_by_their_kernel_names() -> None:
    """Derived tables, the primary as default, the VPC's resolver."""
    found = plan_for({}, instance(eni(0), eni(1)))
    assert [
        (item.name, item.table_name, item.table) for item in found.interfaces
    ] == [
        ("ens5", "ens5", derived_table(0, 0)),
        ("ens6", "ens6", derived_table(0, 1)),
    ]
    assert found.interfaces[0].routes[0].table == 254
    assert found.policy_table is None
    assert found.resolver == VPC_RESOLVER


def test_an_old_systemd_gets_no_rule_that_it_cannot_say() -> None:
    """SuppressInterfaceGroup= came with systemd 250."""
    old, new = plan_for(systemd=249), plan_for(systemd=250)
    assert old.ifgroup is None
    assert old.rules() == new.rules()[1:]
    assert [item.routes for item in old.interfaces] == [
        item.routes for item in new.interfaces
    ]


def test_the_shared_rules_belong_to_the_first_eni() -> None:
    """It cannot be detached, so they stay when others go."""
    found = plan_for({}, instance(eni(3), eni(1), eni(0)))
    first = [each.priority for each in found.interfaces[0].rules]
    assert first == [PRIORITY_MAIN_SPECIFIC, PRIORITY_FROM]


def test_an_eni_that_is_left_alone_is_not_in_the_plan() -> None:
    """The VPC CNI, Cilium and others own theirs."""
    key = {"interfaces": {"pods": {"device_number": 1, "manage": False}}}
    found = plan_for(key, instance(eni(0), eni(1)))
    assert [item.mac for item in found.interfaces] == [eni(0).mac]


@pytest.mark.parametrize(
    "selector",
    [
        pytest.param({"device_number": 1}, id="device_number"),
        pytest.param({"network_card": 1}, id="network_card"),
        pytest.param({"mac": "0A-00-00-00-01-01"}, id="mac"),
        pytest.param({"eni_id": "eni-00010001"}, id="eni_id"),
        pytest.param({"subnet_id": "subnet-0001"}, id="subnet_id"),
        pytest.param({"subnet": "10.0.1.0/24"}, id="subnet"),
    ],
)
def test_an_eni_that_is_left_alone_is_in_no_file_and_no_rule(
    selector: dict[str, Any],
) -> None:
    """By whatever it was selected; what cloud-init says of it stays."""
    theirs, ours = eni(1, card=1), eni(0)
    netdefs = {
        name: {"match": {"macaddress": each.mac}, "dhcp4": True}
        for name, each in (("ens5", ours), ("ens6", theirs))
    }
    key = {"interfaces": {"theirs": {**selector, "manage": False}}}
    found = plan_for(key, instance(ours, theirs))
    files = render(found, [netplan_file("50-cloud-init.yaml", netdefs)])
    by_name = texts(files)
    kept = yaml.safe_load(by_name.pop("run/netplan/50-cloud-init.yaml") or "")
    assert kept["network"]["ethernets"] == {"ens6": netdefs["ens6"]}
    assert len(by_name) >= 2
    for text in by_name.values():
        for mark in (theirs.mac, "ens6", "10.0.1.", "theirs", "31101"):
            assert mark not in (text or "")
    assert not any(each.src == network("10.0.1.10") for each in found.rules())


def test_the_policy_comes_after_the_rules_of_an_eni_that_is_left_alone() -> (
    None
):
    """They have the numbers that networkd takes, from 32765 down."""
    key = {
        "interfaces": {"pods": {"device_number": 1, "manage": False}},
        "policy": [{"to": "192.0.2.1", "via": "ens5"}],
    }
    alone = plan_for(key, instance(eni(0), eni(1)))
    without = plan_for({"policy": key["policy"]}, instance(eni(0), eni(1)))
    efa = plan_for(
        {"policy": key["policy"]},
        instance(eni(0), replace(eni(1), local_ipv4s=())),
    )
    assert alone.rules()[-1].priority == PRIORITY_POLICY_LAST == 32765
    assert without.rules()[-1].priority == PRIORITY_POLICY
    assert efa.rules()[-1].priority == PRIORITY_POLICY


def test_vpc_stands_for_the_vpcs_blocks() -> None:
    """Of the interface's own VPC: an ENI may be in another one."""
    blocks = (IPv4Network("10.0.0.0/16"), IPv4Network("100.64.0.0/20"))
    first = eni(0, vpc_ipv4s=blocks)
    second = eni(1, vpc_ipv4s=(IPv4Network("10.77.0.0/16"),))
    key = {"policy": [{"to": ["vpc", "192.0.2.1"], "via": "ens5"}]}
    assert destinations(key, first, second) == {
        "10.0.0.0/16": "ens5",
        "100.64.0.0/20": "ens5",
        "192.0.2.1/32": "ens5",
        # Its own subnet stays on the link.
        "10.0.0.0/24": "ens5",
    }


def test_vpc_follows_a_block_that_is_added() -> None:
    """At the next refresh; nothing of the former reading is kept."""
    key = {"policy": [{"to": "vpc", "via": "ens6"}]}
    before = eni(1, vpc_ipv4s=(IPv4Network("10.9.0.0/16"),))
    more = (*before.vpc_ipv4s, IPv4Network("10.10.0.0/16"))
    after = replace(before, vpc_ipv4s=more)
    assert "10.10.0.0/16" not in destinations(key, eni(0), before)
    assert destinations(key, eni(0), after)["10.10.0.0/16"] == "ens6"


def test_rfc1918_stands_for_the_private_ranges() -> None:
    """And a longer prefix still wins, as everywhere."""
    key = {
        "policy": [
            {"to": "rfc1918", "via": "ens6"},
            {"to": "10.9.0.0/16", "via": "ens5"},
        ]
    }
    found = destinations(key, eni(0), eni(1))
    assert found == {
        "10.0.0.0/8": "ens6",
        "172.16.0.0/12": "ens6",
        "192.168.0.0/16": "ens6",
        "10.9.0.0/16": "ens5",
        "10.0.1.0/24": "ens6",
    }


def test_equal_prefixes_by_one_interface_are_one() -> None:
    """However they are written."""
    host = eni(0, vpc_ipv4s=(IPv4Network("10.0.0.0/8"),))
    key = {"policy": [{"to": ["rfc1918", "vpc", "10.0.0.0/8"], "via": "ens5"}]}
    once = {"policy": [{"to": "rfc1918", "via": "ens5"}]}
    assert plan_for(key, instance(host)) == plan_for(once, instance(host))


def destinations(key: object, *enis: Eni) -> dict[str, str]:
    """Return the policy's routes: destination to the interface."""
    found = plan_for(key, instance(*enis))
    pairs = [
        (str(each.to), item.name)
        for item in found.interfaces
        for each in item.routes
        if each.table == POLICY_TABLE
    ]
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def test_without_the_primary_nobody_holds_the_default() -> None:
    """Its owner has it."""
    key = {"interfaces": {"theirs": {"device_number": 0, "manage": False}}}
    found = plan_for(key, instance(eni(0), eni(1)))
    tables = [route.table for route in found.interfaces[0].routes]
    assert 254 not in tables


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param("vpc", VPC_RESOLVER, id="vpc"),
        pytest.param("keep", Resolver((), ()), id="keep"),
        pytest.param(
            {"nameservers": ["10.9.9.9"], "search": ["corp.example"]},
            Resolver((address("10.9.9.9"),), ("corp.example",)),
            id="custom",
        ),
    ],
)
def test_the_resolver_is_the_one_that_was_asked_for(
    asked: Any, expected: Resolver
) -> None:
    """The VPC's, the host's own, or a list."""
    assert plan_for({**SEED_KEY, "resolver": asked}).resolver == expected


def test_a_kept_resolver_goes_on_with_what_dhcp_said() -> None:
    """DHCP is off: each link has its name servers from the plan."""
    host = instance()
    private, public = links_of(host)
    own = replace(
        private, nameservers=(address("10.9.0.2"),), search=("a.example",)
    )
    found = plan_for({**SEED_KEY, "resolver": "keep"}, host, (own, public))
    dns = [(item.nameservers, item.search) for item in found.interfaces]

    assert dns == [((address("10.9.0.2"),), ("a.example",)), ((), ())]
    replaced = plan_for(SEED_KEY, host, (own, public))
    assert not any(item.nameservers for item in replaced.interfaces)


def test_a_kept_resolver_that_was_told_nothing_asks_the_vpcs() -> None:
    """By the ENI that holds the default route; it would have none at all."""
    found = plan_for({**SEED_KEY, "resolver": "keep"})
    dns = {item.name: item.nameservers for item in found.interfaces}

    assert dns == {"private": (), "public": (address("169.254.169.253"),)}


def test_an_instance_without_ipv4_asks_the_resolver_over_ipv6() -> None:
    """169.254.169.253 is out of reach there."""
    only_ipv6 = eni(
        0,
        local_ipv4s=(),
        subnet_ipv4s=(),
        ipv6s=(address("2001:db8::10"),),
        subnet_ipv6s=(network("2001:db8::/64"),),
    )
    found = plan_for({}, instance(only_ipv6))
    assert list(map(str, found.resolver.nameservers)) == ["fd00:ec2::253"]


def test_an_ipv6_only_eni_has_no_ipv4_routing() -> None:
    """Beside one that has IPv4 alone."""
    only_ipv6 = eni(
        1,
        local_ipv4s=(),
        subnet_ipv4s=(),
        ipv6s=(address("2001:db8::10"),),
        subnet_ipv6s=(network("2001:db8::/64"),),
    )
    found = plan_for({}, instance(eni(0), only_ipv6)).interfaces[1]
    versions = {
        *(each.version for each in found.addresses),
        *(each.to.version for each in found.routes),
        *(each.src.version for each in found.rules),
    }
    assert versions == {6}


def test_an_address_outside_of_its_subnet_is_refused() -> None:
    """There is no gateway for it; the message says which ENI."""
    stray = eni(1, "10.9.9.9", subnet="10.0.1.0/24")
    with pytest.raises(LinkError) as caught:
        plan_for({}, instance(eni(0), stray))
    for part in (stray.eni_id, "10.9.9.9", "10.0.1.0/24"):
        assert part in str(caught.value)


def test_a_renamed_host_is_planned_under_its_first_names() -> None:
    """The second run finds private and public, and netplan's old ids."""
    first, second = seed_enis()
    links = (
        link("private", first.mac, ifindex=2, netdef_id="ens5"),
        link("public", second.mac, ifindex=3, netdef_id="ens6"),
    )
    found = plan_for(links=links)
    assert [
        (item.ifname, item.netdef_id, item.name) for item in found.interfaces
    ] == [("private", "ens5", "private"), ("public", "ens6", "public")]


def test_without_rename_a_renamed_host_gets_the_kernels_names_back() -> None:
    """The table keeps the name that was given."""
    first, second = seed_enis()
    links = (
        link("private", first.mac, ifindex=2, netdef_id="ens5"),
        link("public", second.mac, ifindex=3, netdef_id="ens6"),
    )
    found = plan_for({**SEED_KEY, "rename": False}, links=links)
    assert [(item.name, item.table_name) for item in found.interfaces] == [
        ("ens5", "private"),
        ("ens6", "public"),
    ]


def test_two_enis_under_one_netdef_id_are_refused() -> None:
    """eth0 was renamed, and the next device to come is called eth0 again."""
    first, second = seed_enis()
    links = (
        link("private", first.mac, ifindex=2, netdef_id="eth0"),
        link("eth0", second.mac, ifindex=3),
    )
    with pytest.raises(LinkError, match="under which netplan knows"):
        plan_for(links=links)


def test_the_gateway_is_the_subnets_first_host() -> None:
    """In either family."""
    assert gateway_of(network("10.0.0.64/26")) == address("10.0.0.65")
    assert gateway_of(network("2001:db8::/64")) == address("2001:db8::1")


def test_a_device_without_a_priority_is_refused() -> None:
    """It would share its neighbour's."""
    with pytest.raises(LinkError, match="device_number 32 on"):
        from_priority(network_card=0, device_number=32)
