# SPDX-License-Identifier: Apache-2.0
"""Choose who holds the default route of each family, and where: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cc_multihome.model import (
    Eni,
    Plan,
    PlannedInterface,
    Route,
    RoutingPolicyRule,
)
from cc_multihome.numbers import (
    MAIN_TABLE,
    POLICY_TABLE,
    PRIORITY_DEFAULT,
    PRIORITY_MAIN_BUT_DEFAULT,
    PRIORITY_POLICY,
)
from cc_multihome.plan.bound import Bound, BoundInterface
from cc_multihome.plan.policy import EVERYTHING


def default_holder(
    bound: Bound, enis: Sequence[Eni], version: int
) -> BoundInterface | None:
    """Choose the holder for one family.

    The holder of the default route, if it has the family, else the primary
    ENI, else the first that has. None where the primary ENI is left alone and
    has the family, and none that has it was named: then it keeps its default
    route.

    Args:
        enis: all of the instance, also those that are left alone.
        version: 4 or 6.
    """
    named = bound.default
    if named and _has(named.eni, version):
        return named
    primary = next((eni for eni in enis if eni.is_primary), None)
    managed = [item.eni for item in bound.interfaces]
    if primary and primary not in managed and _has(primary, version):
        return None
    ordered = sorted(
        bound.interfaces,
        key=lambda item: (not item.eni.is_primary, item.eni.sort_key()),
    )
    return next((it for it in ordered if _has(it.eni, version)), None)


def _has(eni: Eni, version: int) -> bool:
    return bool(eni.local_ipv4s if version == 4 else eni.ipv6s)


def default_is_in_main(plan: Plan, version: int) -> bool:
    """Has the plan a default route in main for that family?"""
    return any(
        _is_in_main(route, version)
        for item in plan.interfaces
        for route in item.routes
    )


def default_by_rule(plan: Plan, version: int) -> Plan:
    """Have one family's default by the holder's own table, and not in main.

    Main has one default route for all, so where an ENI that is left alone
    needs main's for what comes from its own addresses, the plan must not put
    another one before it. Rules send all else by the holder's table; main's
    other routes come first, as they do without these rules.

    The policy has to come before them, and so before the rules of ENIs left
    alone, which must be repeated before it.
    """
    interfaces = tuple(_by_rule(it, version) for it in plan.interfaces)
    return replace(plan, interfaces=interfaces)


def _by_rule(item: PlannedInterface, version: int) -> PlannedInterface:
    routes = tuple(it for it in item.routes if not _is_in_main(it, version))
    rules = tuple(
        replace(rule, priority=PRIORITY_POLICY)
        if rule.table == POLICY_TABLE and rule.src.version == version
        else rule
        for rule in item.rules
    )
    if routes != item.routes:
        rules += _default_rules(item.table, version)
    return replace(item, routes=routes, rules=rules)


def _default_rules(table: int, version: int) -> tuple[RoutingPolicyRule, ...]:
    everything = EVERYTHING[version]
    return (
        RoutingPolicyRule(
            PRIORITY_MAIN_BUT_DEFAULT,
            MAIN_TABLE,
            everything,
            suppress_prefixlength=0,
        ),
        RoutingPolicyRule(PRIORITY_DEFAULT, table, everything),
    )


def _is_in_main(route: Route, version: int) -> bool:
    is_default = route.to == EVERYTHING[version]
    return is_default and route.table == MAIN_TABLE
