# SPDX-License-Identifier: Apache-2.0
"""Compile an ENI's source addresses into few rules: pure.

A rule is looked at for every packet, one after the other, so 15 ENIs with 50
addresses each shall not need 750 rules. Where an ENI alone has addresses in
a subnet, one rule for the subnet serves them all. It says `iif lo`: what the
host sends itself. It can have no other source in that subnet than the ENI's
addresses, so the answer is that of one rule for each. What the host forwards
can have: a neighbour in the subnet may use it as its router, and that
neighbour's traffic is for the policy and the default route to send on.

A delegated prefix is for containers, whose packets *are* forwarded: prefixes
keep rules of their own, without `iif`. tests/netns asks the kernel whether
all of this comes to the same as one rule for each address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

from cc_multihome.model import Eni, RoutingPolicyRule
from cc_multihome.numbers import FEW_ADDRESSES, from_priority
from cc_multihome.plan.policy import contains

# What an `iif` selector calls the host's own traffic (ip-rule(8)).
LOCAL_OUTPUT = "lo"


def source_rules(
    eni: Eni, enis: Sequence[Eni], table: int
) -> tuple[RoutingPolicyRule, ...]:
    """Make the rules that send an ENI's sources to its table.

    All have one priority: they exclude each other, so their order does not
    matter, while a priority that counted addresses would move the rules of
    other ENIs when an address is added.

    Args:
        enis: all of the instance, also those that are left alone.

    Raises:
        LinkError: there is no priority for such an ENI.
    """
    priority = from_priority(eni.network_card, eni.device_number)
    others = [other for other in enis if other.mac != eni.mac]
    lone = [net for net in _crowded(eni) if not _is_shared(net, others)]
    return tuple(
        RoutingPolicyRule(priority, table, src, iif=iif)
        for src, iif in (
            *((net, LOCAL_OUTPUT) for net in lone),
            *((net, None) for net in _exact(eni, lone)),
        )
    )


def _crowded(eni: Eni) -> Iterator[IPv4Network]:
    """Yield the subnets in which the ENI has more than a few addresses."""
    for subnet in eni.subnet_ipv4s:
        inside = [item for item in _addresses(eni) if item in subnet]
        if len(inside) > FEW_ADDRESSES:
            yield subnet


def _is_shared(subnet: IPv4Network, others: Sequence[Eni]) -> bool:
    """Has another ENI an address or a prefix in the subnet?"""
    return any(
        contains(subnet, source) or contains(source, subnet)
        for other in others
        for source in (*_hosts(_addresses(other)), *_prefixes(other))
    )


def _exact(eni: Eni, lone: Sequence[IPv4Network]) -> tuple[IPv4Network, ...]:
    """Return the sources that no lone subnet covers, as few prefixes."""
    left = [
        item
        for item in _addresses(eni)
        if not any(item in subnet for subnet in lone)
    ]
    sources = (*_hosts(left), *_prefixes(eni))
    if len(sources) <= FEW_ADDRESSES:
        return tuple(dict.fromkeys(sources))
    return tuple(collapse_addresses(sources))


def _addresses(eni: Eni) -> tuple[IPv4Address, ...]:
    return eni.local_ipv4s


def _prefixes(eni: Eni) -> tuple[IPv4Network, ...]:
    return eni.ipv4_prefixes


def _hosts(addresses: Sequence[IPv4Address]) -> Iterator[IPv4Network]:
    return (IPv4Network(address) for address in addresses)
