# SPDX-License-Identifier: Apache-2.0
"""IPv6 in the plan: addresses as IMDS has them, the router as it says."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv6Network
from typing import Any

import pytest

from cc_multihome.model import LEARNED, Eni, Plan
from cc_multihome.numbers import POLICY_TABLE
from cc_multihome.plan.as_dict import plan_as_dict
from cc_multihome.plan.from_dict import plan_from_dict
from tests.unit.builders import (
    SEED_KEY,
    eni,
    instance,
    network,
    plan_for,
    seed_enis,
    with_ipv6,
)

TO = "2001:db8:ffff::/48"


def dual(number: int, *addresses: str, **fields: Any) -> Eni:
    """Make an ENI with IPv4, and IPv6 in 2001:db8:0:<number>::/64."""
    subnet = f"2001:db8:0:{number}::/64"
    found = addresses or (f"2001:db8:0:{number}::10",)
    return with_ipv6(eni(number), *found, subnet=subnet, **fields)


def only(number: int, *addresses: str, **fields: Any) -> Eni:
    """Make an ENI without IPv4."""
    made = dual(number, *addresses, **fields)
    return replace(made, local_ipv4s=(), subnet_ipv4s=())


def plan_of(*enis: Eni, **key: Any) -> Plan:
    """Plan for an instance of these ENIs."""
    return plan_for(key, instance(*enis))


def routes(plan: Plan, index: int) -> list[str]:
    """Write the IPv6 routes of an interface."""
    return [
        f"{each.to} {each.via or 'link'} {each.table}"
        + (f" metric {each.metric}" if each.metric is not None else "")
        for each in plan.interfaces[index].routes
        if each.to.version == 6
    ]


def rules(plan: Plan) -> list[str]:
    """Write the IPv6 rules in order."""
    return [
        f"{each.priority} {each.src} {each.table}"
        + (f" iif {each.iif}" if each.iif else "")
        for each in plan.rules()
        if each.src.version == 6
    ]


def holders(plan: Plan) -> list[str]:
    """Name the interfaces that have main's default route for IPv6."""
    return [
        item.name
        for index, item in enumerate(plan.interfaces)
        if "::/0 _ipv6ra 254" in routes(plan, index)
    ]


def test_two_dual_stack_enis_are_routed_alike_in_both_families() -> None:
    """Own table, main for one of them, rules with the numbers of IPv4."""
    plan = plan_of(dual(0), dual(1), default="ens6", policy=[
        {"to": ["192.0.2.14", TO, "2001:db8:0:1::7"], "via": "ens6"},
    ])  # fmt: skip
    assert routes(plan, 0) == [
        "::/0 _ipv6ra 31000",
        "2001:db8::/64 link 31000",
        "fe80::/64 link 31000",
        "2001:db8::/64 link 254 metric 1025",
    ]
    assert routes(plan, 1) == [
        "::/0 _ipv6ra 254",
        "::/0 _ipv6ra 31001",
        "2001:db8:0:1::/64 link 31001",
        "fe80::/64 link 31001",
        "2001:db8:0:1::/64 link 254 metric 1024",
        f"2001:db8:0:1::7/128 link {POLICY_TABLE}",
        f"{TO} _ipv6ra {POLICY_TABLE}",
    ]
    assert rules(plan) == [
        "31000 ::/0 254",
        "31100 2001:db8::10/128 31000",
        "31101 2001:db8:0:1::10/128 31001",
        f"32700 ::/0 {POLICY_TABLE}",
    ]
    specific = next(it for it in plan.rules() if it.src == network("::/0"))
    assert specific.suppress_prefixlength == 0
    assert specific.suppress_ifgroup == plan.ifgroup
    assert [item.accept_ra for item in plan.interfaces] == [True, True]


def test_ipv4_is_the_same_with_ipv6_and_without() -> None:
    """All of it: addresses, routes and rules, and their order."""
    plain = plan_of(eni(0), eni(1), default="ens6")
    both = plan_of(dual(0), dual(1), default="ens6")
    stripped = tuple(
        replace(
            item,
            addresses=tuple(it for it in item.addresses if it.version == 4),
            routes=tuple(it for it in item.routes if it.to.version == 4),
            rules=tuple(it for it in item.rules if it.src.version == 4),
            accept_ra=None,
        )
        for item in both.interfaces
    )
    assert plain == replace(both, interfaces=stripped)


def test_every_ipv6_address_has_its_own_length() -> None:
    """As DHCPv6 in a VPC: the routes to the subnet are the plan's."""
    plan = plan_of(dual(0, "2001:db8::9", "2001:db8::2"), eni(1))
    assert [*map(str, plan.interfaces[0].addresses)] == [
        "10.0.0.10/24",
        "2001:db8::9/128",
        "2001:db8::2/128",
    ]


@pytest.mark.parametrize(
    ("enis", "default", "expected"),
    [
        pytest.param((dual(0), dual(1)), "ens6", ["ens6"], id="the default"),
        pytest.param((dual(0), dual(1)), None, ["ens5"], id="the primary"),
        pytest.param(
            (dual(0), eni(1), dual(2)),
            "ens6",
            ["ens5"],
            id="the primary where the default has no IPv6",
        ),
        pytest.param(
            (eni(0), dual(1), dual(2)),
            None,
            ["ens6"],
            id="the first where neither has",
        ),
        pytest.param((eni(0), eni(1)), None, [], id="none has IPv6"),
        pytest.param((only(0), only(1)), "ens6", ["ens6"], id="IPv6 alone"),
    ],
)
def test_one_interface_holds_the_default_route_of_ipv6(
    enis: tuple[Eni, ...], default: str | None, expected: list[str]
) -> None:
    """Two of them would share the traffic, and lose half of it."""
    key = {} if default is None else {"default": default}
    assert holders(plan_of(*enis, **key)) == expected


LEFT = {"interfaces": {"left": {"device_number": 0, "manage": False}}}


@pytest.mark.parametrize(
    ("enis", "key", "expected"),
    [
        pytest.param((only(0), eni(1)), {}, ["ens6"], id="the first that has"),
        pytest.param(
            (only(0), dual(2), eni(1)), {}, ["ens6"], id="by attachment"
        ),
        pytest.param((eni(0), only(1)), {}, ["ens5"], id="the primary"),
        pytest.param(
            (only(0), dual(1), eni(2)),
            {"default": "ens7"},
            ["ens7"],
            id="the default",
        ),
        pytest.param((only(0), only(1)), {}, [], id="none has IPv4"),
        pytest.param(
            (only(0), eni(1)), LEFT, ["ens6"], id="the one left alone has none"
        ),
        pytest.param(
            (eni(0), eni(1)), LEFT, [], id="the one left alone keeps it"
        ),
    ],
)
def test_one_interface_holds_the_default_route_of_ipv4(
    enis: tuple[Eni, ...], key: dict[str, Any], expected: list[str]
) -> None:
    """Also where the primary ENI has IPv6 alone: IMDS is asked by it."""
    found = plan_of(*enis, **key)
    to_all = network("0.0.0.0/0")
    assert expected == [
        item.name
        for item in found.interfaces
        for each in item.routes
        if (each.to, each.table) == (to_all, 254)
    ]


def test_a_kept_resolver_is_asked_by_an_eni_of_its_family() -> None:
    """An IPv6-only primary cannot reach 169.254.169.253."""
    found = plan_of(only(0), eni(1), resolver="keep")
    assert [
        (item.name, list(map(str, item.nameservers)))
        for item in found.interfaces
    ] == [("ens5", []), ("ens6", ["169.254.169.253"])]


@pytest.mark.parametrize(
    ("primary", "expected"),
    [
        pytest.param(dual(0), [], id="it keeps its default route"),
        pytest.param(eni(0), ["ens6"], id="it has none"),
    ],
)
def test_a_primary_that_is_left_alone(
    primary: Eni, expected: list[str]
) -> None:
    """It is not for this package to put a route beside its own."""
    assert holders(plan_of(primary, dual(1), **LEFT)) == expected


def test_an_eni_without_ipv6_hears_no_router_beside_one_with() -> None:
    """Its subnet's router would become a default route of main."""
    found = [it.accept_ra for it in plan_of(eni(0), dual(1)).interfaces]
    assert found == [False, True]
    none = [it.accept_ra for it in plan_of(eni(0), eni(1)).interfaces]
    assert none == [None, None]


def test_enis_in_one_subnet_have_routes_of_different_metrics() -> None:
    """The kernel would choose by chance; the default's comes first."""
    shared = (IPv6Network("2001:db8:0:7::/64"),)
    enis = [
        dual(number, f"2001:db8:0:7::{number + 1}", subnet_ipv6s=shared)
        for number in range(3)
    ]
    found = plan_of(*enis, default="ens6")
    metrics = [routes(found, index)[-1] for index in range(3)]
    assert metrics == [
        f"2001:db8:0:7::/64 link 254 metric {metric}"
        for metric in (1025, 1024, 1027)
    ]


def test_many_addresses_in_a_subnet_of_ones_own_have_one_rule() -> None:
    """As with IPv4, and so have /80 prefixes their own, without iif."""
    many = tuple(f"2001:db8::{it:x}" for it in range(16, 66))
    delegated = (IPv6Network("2001:db8:0:0:aa::/80"),)
    found = plan_of(dual(0, *many, ipv6_prefixes=delegated), dual(1))
    assert rules(found) == [
        "31000 ::/0 254",
        "31100 2001:db8::/64 31000 iif lo",
        "31100 2001:db8:0:0:aa::/80 31000",
        "31101 2001:db8:0:1::10/128 31001",
    ]
    assert "aa::" not in str(found.interfaces[0].addresses)


def test_addresses_in_a_shared_subnet_are_joined_exactly() -> None:
    """A rule for the subnet would take the other ENI's, too."""
    shared = (IPv6Network("2001:db8::/64"),)
    four = tuple(f"2001:db8::{it:x}" for it in range(16, 20))
    other = dual(1, "2001:db8::14", subnet_ipv6s=shared)
    assert rules(plan_of(dual(0, *four), other)) == [
        "31000 ::/0 254",
        "31100 2001:db8::10/126 31000",
        "31101 2001:db8::14/128 31001",
    ]


def test_vpc_means_the_blocks_of_both_families() -> None:
    """Those of IPv6 where the interface has an address to send from."""
    blocks: dict[str, Any] = {
        "vpc_ipv4s": (network("10.0.0.0/16"),),
        "vpc_ipv6s": (network("2001:db8::/56"),),
    }
    policy = [{"to": "vpc", "via": "ens6"}]

    def of_policy(second: Eni) -> list[str]:
        found = plan_of(dual(0), second, policy=policy).interfaces[1]
        return [str(r.to) for r in found.routes if r.table == POLICY_TABLE]

    assert "2001:db8::/56" in of_policy(dual(1, **blocks))
    assert of_policy(eni(1, **blocks)) == ["10.0.0.0/16", "10.0.1.0/24"]
    assert of_policy(only(1, **blocks)) == [
        "2001:db8::/56",
        "2001:db8:0:1::/64",
    ]


def test_a_policy_of_ipv6_alone_has_no_rule_for_ipv4() -> None:
    """A rule is looked at for every packet."""
    policy = [{"to": TO, "via": "ens6"}]
    found = plan_of(dual(0), dual(1), policy=policy).rules()
    assert [it.src.version for it in found if it.priority == 32700] == [6]
    seed = plan_for(SEED_KEY, instance(*seed_enis())).rules()
    assert [it.src.version for it in seed if it.priority == 32700] == [4]


def test_an_old_systemd_gets_no_rule_on_specific_routes() -> None:
    """It cannot suppress by device group, in either family."""
    found = plan_for({}, instance(dual(0), dual(1)), systemd=249)
    assert rules(found)[0].startswith("31100")


def test_a_learned_gateway_survives_json() -> None:
    """So the kept plan and the one for `status` have it."""
    plan = plan_of(dual(0), dual(1))
    text = json.dumps(plan_as_dict(plan))
    assert plan_from_dict(json.loads(text)) == plan
    assert f'"via": "{LEARNED}"' in text


def test_one_dual_stack_eni_that_asks_nothing_is_left_alone() -> None:
    """Only the resolver is changed."""
    plan = plan_of(dual(0))
    assert plan.interfaces == ()
    assert [*map(str, plan.resolver.nameservers)] == ["169.254.169.253"]
