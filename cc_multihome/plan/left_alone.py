# SPDX-License-Identifier: Apache-2.0
"""Let what comes from an ENI that is left alone go as its owner says: pure.

cloud-init gives its rules no priority, and networkd takes the highest that
is free, from 32765 down: behind the rules on users and marks. So these would
take a pinned user's socket that is bound to such an ENI's address, and the
answers of a pinned service there, to another ENI, whose source check drops
them. Nor has the ENI always rules: cloud-init makes none for the primary,
whose traffic goes by main, behind the policy.

The owner's rules are repeated before those on users and marks, with main
behind them, which is all that the owner relies on. A repeated one says
`iif lo`, what the host itself sends, as the pins do: with the very selectors
of the owner's, networkd would take the two for one where the owner's has no
priority, and remove one of them by chance (systemd 257,
networkd-routing-policy-rule.c, routing_policy_rule_get; seen).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from cc_multihome.discover.netplan_rules import SourceRule
from cc_multihome.errors import ConfigError, Problem
from cc_multihome.model import Eni, Plan, RoutingPolicyRule
from cc_multihome.numbers import (
    MAIN_TABLE,
    PRIORITY_LEFT_ALONE,
    PRIORITY_LEFT_ALONE_MAIN,
    PRIORITY_POLICY_LAST,
)
from cc_multihome.plan.choose import has_address
from cc_multihome.plan.default import (
    default_by_rule,
    default_is_in_main,
    has_family,
)
from cc_multihome.plan.sources import LOCAL_OUTPUT, source_rules


def with_left_alone(
    plan: Plan,
    enis: Sequence[Eni],
    owners: Mapping[str, tuple[SourceRule, ...]],
) -> Plan:
    """Add the rules, where something of the plan's would come first.

    They are the first interface's, as all that belongs to no ENI.

    Args:
        enis: all of the instance, also those that are left alone.
        owners: the rules that others have for each ENI, by MAC.

    Raises:
        ConfigError: a configured table is that of an ENI left alone; two
            default routes would be in it.
    """
    if not plan.interfaces:
        return plan
    managed = {item.mac for item in plan.interfaces}
    alone = [eni for eni in enis if eni.mac not in managed]
    _require_other_tables(plan, alone, owners)
    by_rule = _short_of_main(plan, alone, owners)
    for version in by_rule:
        plan = default_by_rule(plan, version)
    rules = tuple(
        rule
        for eni in alone
        if has_address(eni)
        for rule in _rules(plan, eni, enis, owners.get(eni.mac, ()), by_rule)
    )
    first, *others = plan.interfaces
    first = replace(first, rules=(*first.rules, *rules))
    return replace(plan, interfaces=(first, *others))


def _require_other_tables(
    plan: Plan,
    alone: Sequence[Eni],
    owners: Mapping[str, tuple[SourceRule, ...]],
) -> None:
    theirs = {
        owner.table: eni
        for eni in alone
        for owner in owners.get(eni.mac, ())
        # cloud-init may send it by main, which is everybody's.
        if owner.table != MAIN_TABLE
    }
    problems = tuple(
        Problem(
            f"multihome.interfaces.{item.table_name}.table",
            str(item.table),
            f"another table: {theirs[item.table].describe()} has this one, by"
            " netplan's files, and is left alone",
        )
        for item in plan.interfaces
        if item.table in theirs
    )
    if problems:
        raise ConfigError(problems)


def _short_of_main(
    plan: Plan,
    alone: Sequence[Eni],
    owners: Mapping[str, tuple[SourceRule, ...]],
) -> frozenset[int]:
    """Return the families whose default route in main somebody else needs.

    An ENI of netplan's relies on main where no rule sends it elsewhere. What
    a network plugin attaches netplan does not know, nor does main.
    """
    return frozenset(
        version
        for version in (4, 6)
        if default_is_in_main(plan, version)
        and any(
            has_family(eni, version)
            and version not in _own_tables(owners[eni.mac])
            for eni in alone
            if eni.mac in owners
        )
    )


def _own_tables(owners: tuple[SourceRule, ...]) -> set[int]:
    """Return the families that go by a table of their owner's."""
    return {it.src.version for it in owners if it.table != MAIN_TABLE}


def _rules(
    plan: Plan,
    eni: Eni,
    enis: Sequence[Eni],
    owners: tuple[SourceRule, ...],
    by_rule: frozenset[int],
) -> Iterator[RoutingPolicyRule]:
    """Make the rules of one ENI, of the families that need them.

    The policy has its place behind rules without a priority as it is, but
    where the default goes by rule.
    """
    versions = _pinned(plan) | by_rule
    # A rule of IPv4 says nothing of IPv6.
    versions |= _routed(plan) - {owner.src.version for owner in owners}
    for owner in owners:
        if owner.src.version in versions and _comes_late(owner):
            yield RoutingPolicyRule(
                PRIORITY_LEFT_ALONE,
                owner.table,
                owner.src,
                iif=LOCAL_OUTPUT,
            )
    by_main = {owner.src for owner in owners if owner.table == MAIN_TABLE}
    for rule in source_rules(eni, enis, MAIN_TABLE):
        if rule.src.version in versions:
            iif = LOCAL_OUTPUT if rule.src in by_main else rule.iif
            yield replace(rule, priority=PRIORITY_LEFT_ALONE_MAIN, iif=iif)


def _comes_late(owner: SourceRule) -> bool:
    """Is its place behind the pins, and before main?"""
    priority = owner.priority
    return (
        priority is None
        or PRIORITY_LEFT_ALONE < priority <= PRIORITY_POLICY_LAST
    )


def _pinned(plan: Plan) -> set[int]:
    return {
        rule.src.version
        for rule in plan.rules()
        if rule.uid is not None or rule.fwmark is not None
    }


def _routed(plan: Plan) -> set[int]:
    return {
        rule.src.version
        for rule in plan.rules()
        if rule.table == plan.policy_table
    }
