# SPDX-License-Identifier: Apache-2.0
"""Compile destinations into routes of one table: pure.

The seed of this project adds one rule for each destination
(`ip rule add to X lookup T`). A rule is looked at for every packet, one after
the other; a route is found in a tree. So the destinations become routes of
one table behind one rule, which gives the same answer (tests/netns proves it
against the kernel, one against the other) and costs the same for 3 and for
100,000 destinations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from cc_multihome.model import Address, Gateway, Network, Route

# Of each family.
EVERYTHING: dict[int, Network] = {
    4: ip_network("0.0.0.0/0"),
    6: ip_network("::/0"),
}


@dataclass(frozen=True)
class Exit:
    """How traffic leaves by one ENI, for one family.

    Attributes:
        subnets: what is on the link itself, without the gateway.
        prefsrc: the source of traffic not bound to an address, or None to
            let the kernel choose.
    """

    name: str
    subnets: tuple[Network, ...]
    gateway: Gateway
    prefsrc: Address | None = None

    def route_to(self, to: Network, table: int) -> Route:
        """Make the route to a destination, by the gateway or on the link."""
        on_link = any(contains(subnet, to) for subnet in self.subnets)
        via = None if on_link else self.gateway
        return Route(to=to, via=via, table=table, prefsrc=self.prefsrc)


def contains(outer: Network, inner: Network) -> bool:
    """Is every address of `inner` in `outer`? Never across families."""
    return (
        outer.version == inner.version
        and outer.prefixlen <= inner.prefixlen
        and int(outer.network_address) >> _host_bits(outer)
        == int(inner.network_address) >> _host_bits(outer)
    )


def _host_bits(network: Network) -> int:
    return network.max_prefixlen - network.prefixlen


def covering(
    destinations: Sequence[tuple[Network, Exit]], network: Network
) -> tuple[Network, Exit] | None:
    """Find the longest destination that holds the whole of `network`."""
    found = [item for item in destinations if contains(item[0], network)]
    return max(found, key=lambda item: item[0].prefixlen, default=None)


def compile_destinations(
    destinations: Sequence[tuple[Network, Exit]], table: int
) -> tuple[tuple[Exit, Route], ...]:
    """Turn (destination, exit) pairs into routes of one table.

    The longest destination wins, as routes do. A destination that is wider
    than a subnet of its own ENI gets that subnet as a second route: the
    ENI's own table, which the seed's rule looks into, has it on the link.
    """
    unique = {item[0]: item for item in destinations}
    ordered = sorted(unique.values(), key=lambda item: sort_key(item[0]))
    routes = [(exit_, exit_.route_to(to, table)) for to, exit_ in ordered]
    for exit_ in dict.fromkeys(exit_ for _, exit_ in ordered):
        for subnet in exit_.subnets:
            cover = covering(ordered, subnet)
            if cover and cover[1] == exit_ and cover[0] != subnet:
                routes.append((exit_, exit_.route_to(subnet, table)))
    return tuple(routes)


def sort_key(network: Network) -> tuple[int, int, int]:
    """Order networks of both families."""
    return (network.version, int(network.network_address), network.prefixlen)
