# SPDX-License-Identifier: Apache-2.0
"""Let what comes from an ENI that is left alone go as its owner says: pure.

cloud-init gives its rules no priority, and networkd takes the highest that
is free, from 32765 down: behind the rules on users and marks. So these would
take a pinned user's socket that is bound to such an ENI's address, and the
answers of a pinned service there, to another ENI, whose source check drops
them. Nor has the ENI always rules: cloud-init makes none for the primary,
whose traffic goes by main, behind the policy.

The owner's rules are repeated before those on users and marks, with main
behind them. Rules that say more than the source are not repeated, such as
`from A to B`: they need a priority before these. A repeated one has other
selectors: with the very ones of the owner's, networkd would take the two for
one where the owner's has no priority, and remove one of them by chance
(systemd 257, networkd-routing-policy-rule.c, routing_policy_rule_get; seen).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network

from cc_multihome.discover.netplan_rules import NetplanRouting, SourceRule
from cc_multihome.errors import ConfigError, Problem
from cc_multihome.model import Address, Eni, Network, Plan, RoutingPolicyRule
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
    plan: Plan, enis: Sequence[Eni], netplan: NetplanRouting
) -> Plan:
    """Add the rules, where something of the plan's would come first.

    They are the first interface's, as all that belongs to no ENI.

    Args:
        enis: all of the instance, also those that are left alone.

    Raises:
        ConfigError: a configured table is that of an ENI left alone; two
            default routes would be in it.
    """
    if not plan.interfaces:
        return plan
    managed = {item.mac for item in plan.interfaces}
    alone = [_Alone.of(it, netplan) for it in enis if it.mac not in managed]
    alone = [it for it in alone if has_address(it.eni)]
    _require_other_tables(plan, alone)
    by_rule = frozenset(
        version
        for each in alone
        for version in each.by_main() & each.main
        if default_is_in_main(plan, version)
    )
    for version in by_rule:
        plan = default_by_rule(plan, version)
    first, *others = plan.interfaces
    rules = (*first.rules, *_rules(plan, alone, enis, by_rule))
    first = replace(first, rules=rules)
    return replace(plan, interfaces=(first, *others))


@dataclass(frozen=True)
class _Alone:
    """An ENI that is left alone.

    Attributes:
        sources: its addresses and prefixes.
        owners: the rules on some of them.
        main: the families for which main has a default route by it.
        is_known: a netdef of netplan's is for it. What a network plugin
            attaches has none.
    """

    eni: Eni
    sources: tuple[Network, ...]
    owners: tuple[SourceRule, ...]
    main: frozenset[int]
    is_known: bool

    @classmethod
    def of(cls, eni: Eni, netplan: NetplanRouting) -> _Alone:
        """Find what is its."""
        addresses: tuple[Address, ...] = (*eni.local_ipv4s, *eni.ipv6s)
        sources: tuple[Network, ...] = (
            *(ip_network(it) for it in addresses),
            *eni.ipv4_prefixes,
            *eni.ipv6_prefixes,
        )
        owners = tuple(
            rule
            for rule in netplan.rules
            if any(rule.src.overlaps(each) for each in sources)
        )
        main = netplan.main.get(eni.mac)
        return cls(eni, sources, owners, main or frozenset(), main is not None)

    def by_main(self) -> set[int]:
        """Return the families of which an address has no way but main's."""
        out = [
            owner
            for owner in self.owners
            if owner.has_default and _comes_before_main(owner)
        ]
        return {
            address.version
            for address in (*self.eni.local_ipv4s, *self.eni.ipv6s)
            if not any(address in owner.src for owner in out)
        }

    def versions(self, plan: Plan, by_rule: frozenset[int]) -> set[int]:
        """Return the families that need the rules.

        The policy has its place behind rules without a priority as it is, but
        where the default goes by rule.
        """
        found = _pinned(plan) | (_routed(plan) & self.by_main())
        return found | by_rule if self.is_known or self.owners else found


def _require_other_tables(plan: Plan, alone: Iterable[_Alone]) -> None:
    theirs = {
        owner.table: each.eni
        for each in alone
        for owner in each.owners
        # cloud-init may send it by main, which is everybody's; and a rule on
        # more than the ENI may mean the table of a managed one.
        if owner.table != MAIN_TABLE
        and (owner.has_default or owner.src in each.sources)
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


def _comes_before_main(owner: SourceRule) -> bool:
    is_early = _place(owner) <= PRIORITY_POLICY_LAST
    return is_early and owner.table != MAIN_TABLE


def _rules(
    plan: Plan,
    alone: Iterable[_Alone],
    enis: Sequence[Eni],
    by_rule: frozenset[int],
) -> Iterator[RoutingPolicyRule]:
    owners: dict[SourceRule, None] = {}
    last: list[RoutingPolicyRule] = []
    for each in alone:
        versions = each.versions(plan, by_rule)
        owners |= dict.fromkeys(
            it for it in each.owners if it.src.version in versions
        )
        last += [
            replace(rule, priority=PRIORITY_LEFT_ALONE_MAIN)
            for rule in source_rules(each.eni, enis, MAIN_TABLE)
            if rule.src.version in versions
        ]
    yield from _repeated(owners)
    told = {owner.src for owner in owners if owner.table == MAIN_TABLE}
    for rule in last:
        yield from _unlike(rule) if rule.src in told else (rule,)


def _repeated(owners: Iterable[SourceRule]) -> Iterator[RoutingPolicyRule]:
    """Repeat those that come late, in their order.

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
