# SPDX-License-Identifier: Apache-2.0
"""Compare the plan with what the kernel holds: pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_network

from cc_multihome.model import (
    LEARNED,
    Interface,
    Network,
    Observed,
    Plan,
    PlannedInterface,
    Route,
    RoutingPolicyRule,
)
from cc_multihome.numbers import DEFAULT_TABLE, LOCAL_TABLE, MAIN_TABLE

Destination = tuple[str, int, Network]

# ip-rule(8): the kernel's own rules, without which nothing is routed; seen
# to vanish at a restart of networkd (systemd issue 41350).
BUILT_IN_RULES = tuple(
    RoutingPolicyRule(
        priority=priority, table=table, src=ip_network("0.0.0.0/0")
    )
    for priority, table in (
        (0, LOCAL_TABLE),
        (32766, MAIN_TABLE),
        (32767, DEFAULT_TABLE),
    )
)
# IPv6 has no table `default`.
BUILT_IN_RULES_IPV6 = tuple(
    replace(rule, src=ip_network("::/0"))
    for rule in BUILT_IN_RULES
    if rule.table != DEFAULT_TABLE
)


def built_in_rules(plan: Plan) -> tuple[RoutingPolicyRule, ...]:
    """Return the kernel's own rules for the families that a plan routes."""
    if not plan.interfaces:
        return ()
    return BUILT_IN_RULES + (BUILT_IN_RULES_IPV6 if plan.has_ipv6() else ())


def mismatches(plan: Plan, observed: Observed) -> tuple[str, ...]:
    """Say what is planned and not there, one line each; () when all is.

    What others added (rules, routes, addresses) is accepted: the comparison
    is of the plan with the kernel and not the other way round.
    """
    if not plan.interfaces:
        return ()
    return (
        *_missing_addresses(plan, observed),
        *_missing_routes(plan, observed),
        *_missing_rules(plan, observed),
    )


def unheard(plan: Plan, observed: Observed) -> tuple[str, ...]:
    """Name the interfaces that have no route by a router that they learned."""
    return tuple(
        item.name
        for item in plan.interfaces
        if (learned := [it for it in item.routes if it.via == LEARNED])
        and not any(
            dev == item.name and is_same_route(route, have)
            for route in learned
            for dev, have in observed.routes
        )
    )


def lost_interfaces(plan: Plan, observed: Observed) -> tuple[str, ...]:
    """Return the names of the interfaces whose own part is not all there."""
    return tuple(
        item.name
        for item in plan.interfaces
        if not set(item.rules) <= observed.rules
        or _missing_addresses(replace(plan, interfaces=(item,)), observed)
        or _missing_routes(replace(plan, interfaces=(item,)), observed)
    )


def lost_built_in(
    plan: Plan, observed: Observed
) -> tuple[RoutingPolicyRule, ...]:
    """Return those of the kernel's own rules that are gone."""
    return tuple(
        rule for rule in built_in_rules(plan) if rule not in observed.rules
    )


def planned_addresses(plan: Plan) -> frozenset[tuple[str, Interface]]:
    """Return every address of a plan, with its interface's name."""
    return frozenset(
        (item.name, address)
        for item in plan.interfaces
        for address in item.addresses
    )


def _missing_addresses(plan: Plan, observed: Observed) -> tuple[str, ...]:
    return tuple(
        f"address {address} on {_lack(item, address, observed)}"
        for item in plan.interfaces
        for address in item.addresses
        if (item.name, address) not in observed.addresses
    )


def _lack(
    item: PlannedInterface, address: Interface, observed: Observed
) -> str:
    """Say what became of an address, after the name of its interface."""
    if (item.name, address) in observed.duplicates:
        # Whoever looks for the other host looks among EC2's records.
        return (
            f"{item.name} ({item.eni_id}) is a duplicate: another host in its"
            " subnet has it"
        )
    if (item.name, address) in observed.tentative:
        return (
            f"{item.name} is tentative: the kernel still asks whether another"
            " host has it"
        )
    return f"{item.name} is missing"


def _missing_routes(plan: Plan, observed: Observed) -> tuple[str, ...]:
    seen = by_destination(observed.routes)
    return tuple(
        f"route {describe_route(route, item.name)} is missing"
        for item in plan.interfaces
        for route in item.routes
        if not any(
            is_same_route(route, have)
            for have in seen.get(destination_of(item.name, route), ())
        )
    )


def by_destination(
    routes: Iterable[tuple[str, Route]],
) -> dict[Destination, list[Route]]:
    """Sort routes, each with its device, by what the same ones agree in.

    There are as many as a policy has destinations, and each is looked for:
    one by one, 10,000 of them took longer than a run may.
    """
    found: dict[Destination, list[Route]] = {}
    for device, route in routes:
        found.setdefault(destination_of(device, route), []).append(route)
    return found


def destination_of(device: str, route: Route) -> Destination:
    """Return what the same route (`is_same_route`) has the same."""
    return device, route.table, route.to


def _missing_rules(plan: Plan, observed: Observed) -> tuple[str, ...]:
    return tuple(
        f"rule {describe_rule(rule)} is missing"
        for rule in (*built_in_rules(plan), *plan.rules())
        if rule not in observed.rules
    )


def is_same_route(want: Route, have: Route) -> bool:
    """None in the plan is a wildcard for what the kernel fills in.

    So is LEARNED, for any gateway.
    """
    via_fits = have.via if want.via == LEARNED else have.via == want.via
    return (
        bool(via_fits)
        and (want.to, want.table) == (have.to, have.table)
        and want.prefsrc in (None, have.prefsrc)
        and want.metric in (None, have.metric)
    )


def describe_route(route: Route, device: str) -> str:
    """Write a route as iproute2 does, but one to `default` of IPv6."""
    via = f" via {route.via}" if route.via else ""
    src = f" src {route.prefsrc}" if route.prefsrc else ""
    to = str(route.to) if _is_any_ipv6(route.to) else prefix_text(route.to)
    return f"{to}{via} dev {device}{src} table {route.table}"


def describe_rule(rule: RoutingPolicyRule) -> str:
    """Write a rule as iproute2 does, but one from `all` of IPv6."""
    source = f"from {rule.src}"
    if not _is_any_ipv6(rule.src):
        source = source_text(rule)
    words = (f"{rule.priority}: {source}", *selectors(rule))
    lookup = f"lookup {rule.table}"
    return " ".join((*words, lookup, *suppressors(rule)))


def _is_any_ipv6(prefix: Network) -> bool:
    """Would iproute2's word for it be the same as that for IPv4?"""
    return prefix.version == 6 and prefix.prefixlen == 0


def prefix_text(prefix: Network) -> str:
    """Write the destination of a route as iproute2 does."""
    if prefix.prefixlen == 0:
        return "default"
    is_host = prefix.prefixlen == prefix.max_prefixlen
    return str(prefix.network_address) if is_host else str(prefix)


def source_text(rule: RoutingPolicyRule) -> str:
    """Write the source that a rule matches as iproute2 does."""
    return f"from {prefix_text(rule.src) if rule.src.prefixlen else 'all'}"


def selectors(rule: RoutingPolicyRule) -> tuple[str, ...]:
    """Write what a rule matches beside the source, as iproute2 does."""
    words = []
    if rule.fwmark is not None:
        mask = f"/{rule.fwmask:#x}" if rule.fwmask is not None else ""
        words.append(f"fwmark {rule.fwmark:#x}{mask}")
    if rule.iif is not None:
        words.append(f"iif {rule.iif}")
    if rule.uid is not None:
        words.append(f"uidrange {rule.uid}-{rule.uid}")
    return tuple(words)


def suppressors(rule: RoutingPolicyRule) -> tuple[str, ...]:
    """Write what of a rule's table does not count, as iproute2 does."""
    found = (
        ("suppress_prefixlength", rule.suppress_prefixlength),
        ("suppress_ifgroup", rule.suppress_ifgroup),
    )
    return tuple(
        f"{word} {value}" for word, value in found if value is not None
    )
