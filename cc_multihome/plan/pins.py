# SPDX-License-Identifier: Apache-2.0
"""Rules that pin traffic to an ENI by who sends it: pure.

They come after those on an ENI's own address: a socket that is bound to an
address stays with the ENI of that address. They come before the policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network

from cc_multihome.model import (
    Network,
    Plan,
    PlannedInterface,
    RoutingPolicyRule,
)
from cc_multihome.numbers import PRIORITY_USER
from cc_multihome.plan.bound import Bound
from cc_multihome.plan.sources import LOCAL_OUTPUT

EVERYTHING: dict[int, Network] = {
    4: ip_network("0.0.0.0/0"),
    6: ip_network("::/0"),
}


def with_pins(plan: Plan, bound: Bound) -> Plan:
    """Add the rules of what is pinned to each interface."""
    names = {item.eni.mac: item.name for item in bound.interfaces}
    return replace(
        plan,
        interfaces=tuple(
            replace(
                item,
                rules=(
                    *item.rules,
                    *_user_rules(item, bound, names[item.mac]),
                ),
            )
            for item in plan.interfaces
        ),
    )


def families(item: PlannedInterface) -> tuple[Network, ...]:
    """Return everything of each family that the ENI's table routes."""
    versions = {
        rule.src.version for rule in item.rules if rule.table == item.table
    }
    return tuple(EVERYTHING[version] for version in sorted(versions))


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
