# SPDX-License-Identifier: Apache-2.0
"""Let traffic from an ENI's address follow the administrator's routes: pure.

Main's routes by an ENI are for traffic that is bound to no address. A copy in
that ENI's own table is for what is bound to its address; what is bound to
another ENI's never comes to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address

from cc_multihome.model import (
    LEARNED,
    Address,
    Plan,
    PlannedInterface,
    Route,
)
from cc_multihome.plan.policy import sort_key


def with_main_routes(plan: Plan, routes: Sequence[tuple[str, Route]]) -> Plan:
    """Copy main's routes into the tables of the ENIs that they leave by.

    Args:
        routes: each with the device's name of now.
    """
    return replace(
        plan,
        honors_main_routes=True,
        interfaces=tuple(
            replace(item, routes=(*item.routes, *_copies(item, routes)))
            for item in plan.interfaces
        ),
    )


def _copies(
    item: PlannedInterface, routes: Sequence[tuple[str, Route]]
) -> Iterator[Route]:
    taken = {it.to for it in item.routes if it.table == item.table}
    own = [it for name, it in routes if name == item.ifname]
    # Of equals the kernel takes the one with the lowest metric.
    for route in sorted(
        own, key=lambda it: (sort_key(it.to), it.metric or 0, str(it.via))
    ):
        if route.to not in taken and _is_reachable(item, route):
            taken.add(route.to)
            yield replace(
                route,
                table=item.table,
                metric=None,
                prefsrc=_prefsrc(item, route),
            )


def _is_reachable(item: PlannedInterface, route: Route) -> bool:
    """Is the gateway on the link, as the ENI's own table knows it?"""
    via = route.via
    if via is None or via == LEARNED:
        return False
    if not isinstance(via, IPv4Address):
        return via.is_link_local or _is_on_link(item, via)
    return _is_on_link(item, via)


def _is_on_link(item: PlannedInterface, via: Address) -> bool:
    return any(
        via in it.to
        for it in item.routes
        if it.via is None and it.table == item.table
    )


def _prefsrc(item: PlannedInterface, route: Route) -> Address | None:
    """Keep the source that the administrator chose, else the table's own."""
    if route.prefsrc in [it.ip for it in item.addresses]:
        return route.prefsrc
    same = (
        it.prefsrc
        for it in item.routes
        if it.table == item.table and it.to.version == route.to.version
    )
    return next(same, None)
