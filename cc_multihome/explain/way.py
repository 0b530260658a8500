# SPDX-License-Identifier: Apache-2.0
"""The way of a packet that a route decides: pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from cc_multihome.explain.routing import (
    ANYCAST,
    BROADCAST,
    LOCAL,
    LOOPBACK,
    MULTICAST,
    PLAN,
    REFUSALS,
    UNICAST,
    Entry,
    Hop,
)
from cc_multihome.model import Address, Gateway, Interface

LIMITED_BROADCAST = IPv4Address("255.255.255.255")
# __mkroute_output(): a multicast takes no gateway of a route shorter than
# 224.0.0.0/4.
MULTICAST_PREFIX = 4


@dataclass(frozen=True)
class Way:
    """How a packet is sent.

    Attributes:
        interface: its name; "lo" for an address of this host; None for a
            packet that is refused.
        table: the routing table that has the route; None where none has a
            part in it.
        gateway: None for a destination on the link; LEARNED where the plan
            leaves it to router advertisements.
        source: the address that the packet carries; None where that is not
            for the plan to say.
        kind: the type of the route, as of ip-route(8).
    """

    interface: str | None
    table: int | None
    gateway: Gateway | None
    source: Address | None
    kind: str = UNICAST


def ways_of(
    entry: Entry,
    to: Address,
    source: Address | None,
    usable: Callable[[str], Sequence[Interface]],
) -> list[Way]:
    """Return the ways that a route leads, one for each of its hops.

    Args:
        usable: the planned addresses of a device, or none where the kernel
            can choose another one.
    """
    table = entry.table or None
    if entry.kind in REFUSALS:
        return [Way(None, table, None, source, entry.kind)]
    if entry.kind == LOCAL:
        own = entry.prefsrc or (to if to.version == 4 else None)
        return [Way(LOOPBACK, table, None, source or own, LOCAL)]
    return [
        Way(
            hop.device,
            table,
            hop.gateway if takes_gateway(entry, to) else None,
            source or _source(entry, hop, usable(hop.device), to),
            kind_of(entry, to),
        )
        for hop in entry.hops
    ]


def takes_gateway(entry: Entry, to: Address) -> bool:
    """Does a packet to this address go to the gateway that a route has?"""
    if to == LIMITED_BROADCAST:
        return False
    is_short = entry.to.prefixlen < MULTICAST_PREFIX
    return not (to.version == 4 and to.is_multicast and is_short)


def kind_of(entry: Entry, to: Address) -> str:
    """Return the type of the way, as of ip-route(8)."""
    if entry.kind in (BROADCAST, ANYCAST) or to == LIMITED_BROADCAST:
        return ANYCAST if entry.kind == ANYCAST else BROADCAST
    return MULTICAST if to.is_multicast else entry.kind


def _source(
    entry: Entry, hop: Hop, usable: Sequence[Interface], to: Address
) -> Address | None:
    """Choose the address as inet_select_addr() does.

    Of IPv6 addresses all but the first are deprecated: RFC 6724, rule 3.
    """
    if entry.prefsrc is not None or entry.owner != PLAN or not usable:
        return entry.prefsrc
    if to.version == 6:
        is_near = to.is_link_local or to.is_multicast
        return None if is_near else usable[0].ip
    near = hop.gateway or to
    return next((it for it in usable if near in it.network), usable[0]).ip
