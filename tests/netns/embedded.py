# SPDX-License-Identifier: Apache-2.0
"""IPv4 cases as IPv6: each address stands in the last 32 bits of one.

So both families are asked about the same subnets, prefixes and packets: what
is right for the one is right for the other.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import (
    IPv6Address,
    IPv6Network,
)

from cc_multihome.model import Address, Eni, Network
from tests.netns.namespace import Query

BLOCK = IPv6Network("2001:db8::/96")
FORWARDING = ("net.ipv6.conf.all.forwarding=1",)


def embed_address(address: Address) -> IPv6Address:
    """Return the IPv6 address that stands for it."""
    return BLOCK[int(address)]


def embed_network(network: Network) -> IPv6Network:
    """Return the IPv6 prefix that stands for it."""
    first = embed_address(network.network_address)
    return IPv6Network((first, 96 + network.prefixlen))


def embed_eni(eni: Eni) -> Eni:
    """Return an ENI that has IPv6 instead of IPv4."""
    return replace(
        eni,
        local_ipv4s=(),
        subnet_ipv4s=(),
        ipv4_prefixes=(),
        ipv6s=tuple(map(embed_address, eni.local_ipv4s)),
        subnet_ipv6s=tuple(map(embed_network, eni.subnet_ipv4s)),
        ipv6_prefixes=tuple(map(embed_network, eni.ipv4_prefixes)),
    )


def embed_query(query: Query) -> Query:
    """Return the same packet in IPv6."""
    source = query.source
    return replace(
        query,
        to=embed_address(query.to),
        source=None if source is None else embed_address(source),
    )
