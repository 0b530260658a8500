# SPDX-License-Identifier: Apache-2.0
"""Let what comes from an ENI that is left alone go as its owner says: pure.

cloud-init gives its rules no priority, and networkd takes the highest that
is free, from 32765 down: behind the rules on users and marks. So these would
take a pinned user's socket that is bound to such an ENI's address, and the
answers of a pinned service there, to another ENI, whose source check drops
them. Nor has the ENI always rules: cloud-init makes none for the primary,
whose traffic goes by main, behind the policy.

The owner's rules are repeated before those on users and marks, with main
behind them, which is all that the owner relies on. A repeated one has other
selectors: with the very ones of the owner's, networkd would take the two for
one where the owner's has no priority, and remove one of them by chance
(systemd 257, networkd-routing-policy-rule.c, routing_policy_rule_get; seen).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
        for rule in _rules(plan, eni, enis, owners.get(eni.mac), by_rule)
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

    What a network plugin attaches netplan does not know, nor does main.
    """
    return frozenset(
        version
        for eni in alone
        if eni.mac in owners
        for version in _by_main(eni, owners[eni.mac])
        if default_is_in_main(plan, version)
    )


def _by_main(eni: Eni, owners: Sequence[SourceRule]) -> set[int]:
    """Return the families of which an address has no way but main's."""
    out = [it for it in owners if it.has_default and _comes_before_main(it)]
    return {
        address.version
        for address in (*eni.local_ipv4s, *eni.ipv6s)
        if not any(address in owner.src for owner in out)
    }


def _comes_before_main(owner: SourceRule) -> bool:
    is_early = owner.priority is None or owner.priority <= PRIORITY_POLICY_LAST
    return is_early and owner.table != MAIN_TABLE


def _rules(
    plan: Plan,
    eni: Eni,
    enis: Sequence[Eni],
    owners: tuple[SourceRule, ...] | None,
    by_rule: frozenset[int],
) -> Iterator[RoutingPolicyRule]:
    """Make the rules of one ENI, of the families that need them.

    The policy has its place behind rules without a priority as it is, but
    where the default goes by rule.

    Args:
        owners: None where netplan does not know the ENI.
    """
    versions = _pinned(plan)
    if owners is not None:
        versions |= by_rule
    owners = owners or ()
    versions |= _routed(plan) & _by_main(eni, owners)
    yield from _repeated(it for it in owners if it.src.version in versions)
    told = {owner.src for owner in owners if owner.table == MAIN_TABLE}
    for rule in source_rules(eni, enis, MAIN_TABLE):
        last = replace(rule, priority=PRIORITY_LEFT_ALONE_MAIN)
        if rule.src.version in versions:
            yield from _unlike(last) if rule.src in told else (last,)


def _repeated(owners: Iterable[SourceRule]) -> Iterator[RoutingPolicyRule]:
    """Repeat those of an ENI that come late, in their order.

    Where there are more places than numbers, the last have one.
    """
    late = [owner for owner in owners if _comes_late(owner)]
    places = sorted({_place(owner) for owner in late})
    for owner in late:
        priority = min(
            PRIORITY_LEFT_ALONE + places.index(_place(owner)),
            PRIORITY_LEFT_ALONE_MAIN - 1,
        )
        yield from _unlike(RoutingPolicyRule(priority, owner.table, owner.src))


def _unlike(rule: RoutingPolicyRule) -> Iterator[RoutingPolicyRule]:
    """Say the same of an owner's rule by other selectors.

    An address is what the host itself sends from; what comes from a prefix
    may be a container's, which the host forwards.
    """
    if rule.iif is None and rule.src.prefixlen < rule.src.max_prefixlen:
        for half in rule.src.subnets():
            yield replace(rule, src=half)
    else:
        yield replace(rule, iif=LOCAL_OUTPUT)


def _comes_late(owner: SourceRule) -> bool:
    """Is its place behind the pins, and before main?"""
    return PRIORITY_LEFT_ALONE < _place(owner) <= PRIORITY_POLICY_LAST


def _place(owner: SourceRule) -> int:
    """Return the priority, or the last that networkd may choose."""
    return PRIORITY_POLICY_LAST if owner.priority is None else owner.priority


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
