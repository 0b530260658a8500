# SPDX-License-Identifier: Apache-2.0
"""Rules that pin traffic to an ENI by who sends it: pure.

They come after those on an ENI's own address: a socket that is bound to an
address stays with the ENI of that address. They come before the policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cc_multihome.model import (
    Eni,
    Network,
    PinnedService,
    Plan,
    PlannedInterface,
    RoutingPolicyRule,
)
from cc_multihome.numbers import MARK_MASK, PRIORITY_MARK, PRIORITY_USER
from cc_multihome.plan.bound import Bound
from cc_multihome.plan.marks import marks_of
from cc_multihome.plan.policy import EVERYTHING
from cc_multihome.plan.sources import LOCAL_OUTPUT


def with_pins(
    plan: Plan, bound: Bound, enis: Sequence[Eni], *, containers: bool
) -> Plan:
    """Add the rules of what is pinned to each interface, and the services.

    Args:
        enis: all of the instance, also those that are left alone.
    """
    marks = marks_of(enis)
    used = {it.via for it in bound.services}
    names = {item.eni.mac: item.name for item in bound.interfaces}
    macs = {name: mac for mac, name in names.items()}
    interfaces = []
    for item in plan.interfaces:
        name, rules = names[item.mac], list(item.rules)
        mark = marks[item.mac] if containers or name in used else None
        if mark is not None:
            rules += _mark_rules(item, mark)
        rules += _user_rules(item, bound, name)
        interfaces.append(replace(item, rules=tuple(rules), mark=mark))
    services = tuple(
        PinnedService(it.unit, it.via, marks[macs[it.via]])
        for it in bound.services
    )
    return replace(
        plan,
        interfaces=tuple(interfaces),
        services=services,
        containers=containers,
    )


def families(item: PlannedInterface) -> tuple[Network, ...]:
    """Return everything of each family that the ENI's table routes."""
    versions = {
        rule.src.version for rule in item.rules if rule.table == item.table
    }
    return tuple(EVERYTHING[version] for version in sorted(versions))


def _mark_rules(
    item: PlannedInterface, mark: int
) -> Iterator[RoutingPolicyRule]:
    for everything in families(item):
        yield RoutingPolicyRule(
            PRIORITY_MARK,
            item.table,
            everything,
            fwmark=mark,
            fwmask=MARK_MASK,
        )


def _user_rules(
    item: PlannedInterface, bound: Bound, name: str
) -> Iterator[RoutingPolicyRule]:
    """Make a rule for each user, of the host's own traffic.

    Without `iif lo` a rule for root would take what the host forwards, too:
    the kernel looks that up as user 0.
    """
    for uid in sorted({it.uid for it in bound.users if it.via == name}):
        for everything in families(item):
            yield RoutingPolicyRule(
                PRIORITY_USER,
                item.table,
                everything,
                iif=LOCAL_OUTPUT,
                uid=uid,
            )
