# SPDX-License-Identifier: Apache-2.0
"""The plan is compared with the kernel, not the kernel with the plan."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface
from typing import Any

import pytest

from cc_multihome.apply import diff
from cc_multihome.apply.diff import (
    BUILT_IN_RULES,
    BUILT_IN_RULES_IPV6,
    describe_rule,
    is_same_route,
    lost_built_in,
    mismatches,
)
from cc_multihome.model import (
    LEARNED,
    Observed,
    Plan,
    Route,
    RoutingPolicyRule,
)
from tests.unit.builders import (
    SEED_KEY,
    address,
    eni,
    instance,
    network,
    observed_of,
    plan,
    plan_for,
    planned,
    route,
    rule,
    with_ipv6,
)


def without_rule(observed: Observed, gone: RoutingPolicyRule) -> Observed:
    """Take one rule away."""
    assert gone in observed.rules
    return replace(observed, rules=observed.rules - {gone})


def test_a_kernel_that_holds_the_plan_has_no_mismatch() -> None:
    """The seed's host."""
    found = plan_for()
    assert mismatches(found, observed_of(found)) == ()


def test_many_destinations_are_not_compared_each_with_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """10,000 of them took 107 s, and a run may take 240."""
    many = [f"198.18.{n >> 8}.{n & 255}" for n in range(500)]
    key = {**SEED_KEY, "policy": [{"to": many, "via": "private"}]}
    found, compared = plan_for(key), 0

    def count(want: Route, have: Route) -> bool:
        nonlocal compared
        compared += 1
        return is_same_route(want, have)

    monkeypatch.setattr(diff, "is_same_route", count)
    assert mismatches(found, observed_of(found)) == ()
    assert compared < 2 * len(many)


def test_what_others_added_is_accepted() -> None:
    """Rules, routes and addresses that no plan names."""
    found = plan_for()
    observed = observed_of(found)
    more = Observed(
        addresses=observed.addresses
        | {("docker0", ip_interface("172.17.0.1/16"))},
        routes=observed.routes
        | {
            ("docker0", route("172.17.0.0/16")),
            ("private", route("192.0.2.0/24", "10.224.184.9")),
        },
        rules=observed.rules
        | {
            rule(500, 77),
            replace(rule(32000, 254, "::/0"), suppress_prefixlength=0),
        },
    )
    assert mismatches(found, more) == ()


def test_a_missing_address_is_named() -> None:
    """With its prefix length and its interface."""
    found = plan_for()
    observed = replace(observed_of(found), addresses=frozenset())
    assert mismatches(found, observed) == (
        "address 10.224.184.51/26 on private is missing",
        "address 10.224.186.43/26 on public is missing",
    )


def test_an_address_that_is_not_usable_yet_or_not_at_all_is_told() -> None:
    """Which ENI has it has to be known to whoever looks for the other."""
    found = plan_for({}, instance(with_ipv6(eni(0)), with_ipv6(eni(1))))
    observed = observed_of(found)
    (one,), (other,) = (
        [it for it in item.addresses if it.version == 6]
        for item in found.interfaces
    )
    left = frozenset(it for it in observed.addresses if it[1].version == 4)
    doubtful = replace(
        observed,
        addresses=left,
        tentative=frozenset({("ens5", one)}),
        duplicates=frozenset({("ens6", other)}),
    )
    waits = "is tentative: the kernel still asks whether another host has it"
    fails = "is a duplicate: another host in its subnet has it"
    assert mismatches(found, doubtful) == (
        f"address {one} on ens5 {waits}",
        f"address {other} on ens6 (eni-00000001) {fails}",
    )


def test_an_address_of_another_prefix_length_is_another() -> None:
    """/32 gives no connected route."""
    found = plan(planned())
    observed = replace(
        observed_of(found),
        addresses=frozenset({("private", ip_interface("10.224.184.51/32"))}),
    )
    assert len(mismatches(found, observed)) == 1


def test_an_address_on_another_interface_does_not_count() -> None:
    """The rename did not happen, for example."""
    found = plan(planned())
    observed = replace(
        observed_of(found),
        addresses=frozenset({("ens5", ip_interface("10.224.184.51/26"))}),
    )
    assert mismatches(found, observed) == (
        "address 10.224.184.51/26 on private is missing",
    )


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(route("0.0.0.0/0", "10.224.184.9", 10), id="gateway"),
        pytest.param(route("0.0.0.0/0", "10.224.184.1", 20), id="table"),
        pytest.param(route("0.0.0.0/1", "10.224.184.1", 10), id="prefix"),
        pytest.param(route("0.0.0.0/0", None, 10), id="no gateway"),
    ],
)
def test_a_route_that_is_not_quite_the_one_is_missing(wrong: object) -> None:
    """Each part of it counts."""
    found = plan(planned())
    observed = replace(
        observed_of(found),
        routes=frozenset({("private", wrong)}),  # type: ignore[arg-type]
    )
    assert mismatches(found, observed) == (
        "route default via 10.224.184.1 dev private table 10 is missing",
    )


def test_a_route_through_another_interface_does_not_count() -> None:
    """It would leave by the wrong ENI."""
    found = plan(planned())
    moved = frozenset(("public", item) for item in found.interfaces[0].routes)
    observed = replace(observed_of(found), routes=moved)
    assert len(mismatches(found, observed)) == 1


def test_what_the_kernel_fills_in_is_no_mismatch() -> None:
    """A source and a metric where the plan leaves both open."""
    found = plan(planned())
    filled = replace(
        found.interfaces[0].routes[0],
        prefsrc=address("10.224.184.51"),
        metric=100,
    )
    observed = replace(
        observed_of(found), routes=frozenset({("private", filled)})
    )
    assert mismatches(found, observed) == ()


@pytest.mark.parametrize("field", ["prefsrc", "metric"])
def test_a_planned_source_or_metric_must_be_there(field: str) -> None:
    """Where the plan does name one."""
    plain = route("0.0.0.0/0", "10.224.184.1", 10)
    named = replace(plain, prefsrc=address("10.224.184.51"), metric=7)
    kept: dict[str, Any] = {field: getattr(named, field)}
    want = replace(plain, **kept)
    found = plan(planned(routes=(want,)))
    nothing: dict[str, Any] = {field: None}
    bare = replace(want, **nothing)
    observed = replace(
        observed_of(found), routes=frozenset({("private", bare)})
    )
    assert len(mismatches(found, observed)) == 1


@pytest.mark.parametrize(
    "gone", plan_for().rules(), ids=lambda item: str(item.priority)
)
def test_each_missing_rule_is_named(gone: RoutingPolicyRule) -> None:
    """All of its selectors, as iproute2 writes them."""
    found = plan_for()
    observed = without_rule(observed_of(found), gone)
    assert mismatches(found, observed) == (
        f"rule {describe_rule(gone)} is missing",
    )


@pytest.mark.parametrize(
    "gone", BUILT_IN_RULES, ids=lambda item: str(item.priority)
)
def test_the_kernels_own_rules_are_expected_too(
    gone: RoutingPolicyRule,
) -> None:
    """They were seen to vanish at a restart of networkd."""
    found = plan_for()
    (line,) = mismatches(found, without_rule(observed_of(found), gone))
    assert line.startswith(f"rule {gone.priority}: from all lookup ")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"priority": 31099}, id="priority"),
        pytest.param({"table": 20}, id="table"),
        pytest.param({"src": network("10.224.184.0/26")}, id="source"),
        pytest.param({"suppress_prefixlength": 0}, id="suppressor"),
        pytest.param({"iif": "lo"}, id="iif"),
    ],
)
def test_a_rule_that_is_not_quite_the_one_is_missing(
    changes: dict[str, object],
) -> None:
    """Each part of it counts."""
    found = plan(planned())
    (own,) = found.rules()
    observed = without_rule(observed_of(found), own)
    changed = replace(own, **changes)  # type: ignore[arg-type]
    observed = replace(observed, rules=observed.rules | {changed})
    assert mismatches(found, observed) == (
        f"rule {describe_rule(own)} is missing",
    )


def test_a_rule_is_written_with_its_suppressors() -> None:
    """Two rules may differ in nothing else."""
    assert describe_rule(plan_for().rules()[0]) == (
        "31000: from all lookup 254 suppress_prefixlength 0"
        " suppress_ifgroup 31000"
    )


def test_a_rule_is_written_with_its_device() -> None:
    """As in `ip rule`."""
    own = replace(rule(31101, 20, "10.0.1.0/24"), iif="lo")
    assert describe_rule(own) == "31101: from 10.0.1.0/24 iif lo lookup 20"


def test_a_plan_without_interfaces_asks_nothing_of_the_kernel() -> None:
    """Only the resolver is managed then."""
    empty = Observed(frozenset(), frozenset(), frozenset())
    nothing: Plan = plan()
    assert mismatches(nothing, empty) == ()


def dual_plan() -> Plan:
    """Plan for an instance whose second ENI has IPv6."""
    dual = with_ipv6(eni(1))
    return plan_for({}, instance(eni(0), dual))


def test_any_gateway_is_the_learned_one() -> None:
    """A plan cannot know it; a route without one is another route."""
    want = Route(network("::/0"), LEARNED, 10)
    assert is_same_route(want, route("::/0", "fe80::1", 10))
    assert not is_same_route(want, route("::/0", None, 10))
    assert not is_same_route(want, route("::/0", "fe80::1", 11))
    assert not is_same_route(want, route("2001:db8::/32", "fe80::1", 10))


def test_a_default_route_that_no_router_has_told_of_is_missing() -> None:
    """It is named as the plan has it."""
    found = dual_plan()
    observed = observed_of(found)
    assert mismatches(found, observed) == ()
    kept = {
        (name, it)
        for name, it in observed.routes
        if (it.to, it.table) != (network("::/0"), 31001)
    }
    assert mismatches(found, replace(observed, routes=frozenset(kept))) == (
        "route ::/0 via _ipv6ra dev ens6 table 31001 is missing",
    )


@pytest.mark.parametrize("gone", BUILT_IN_RULES_IPV6, ids=describe_rule)
def test_the_kernels_own_rules_of_ipv6_are_needed_for_ipv6(
    gone: RoutingPolicyRule,
) -> None:
    """And are not asked for where the plan has none."""
    for found, lost in ((dual_plan(), (gone,)), (plan_for(), ())):
        observed = observed_of(found)
        rest = replace(observed, rules=observed.rules - {gone})
        assert lost_built_in(found, rest) == lost
        assert len(mismatches(found, rest)) == len(lost)
