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
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from cc_multihome.model import Address, Eni, Network, RoutingPolicyRule
from cc_multihome.numbers import FEW_ADDRESSES, from_priority
from cc_multihome.plan.policy import contains

# What an `iif` selector calls the host's own traffic (ip-rule(8)).
LOCAL_OUTPUT = "lo"


@dataclass(frozen=True)
class _Sources:
    """What an ENI sends from, of one family."""

    addresses: tuple[Address, ...]
    prefixes: tuple[Network, ...]
    subnets: tuple[Network, ...]


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
    return tuple(
        RoutingPolicyRule(priority, table, src, iif=iif)
        for sources_of in (_ipv4, _ipv6)
        for src, iif in _compile(
            sources_of(eni), [sources_of(other) for other in others]
        )
    )


def _ipv4(eni: Eni) -> _Sources:
    return _Sources(eni.local_ipv4s, eni.ipv4_prefixes, eni.subnet_ipv4s)


def _ipv6(eni: Eni) -> _Sources:
    return _Sources(eni.ipv6s, eni.ipv6_prefixes, eni.subnet_ipv6s)


def _compile(
    own: _Sources, others: Sequence[_Sources]
) -> Iterator[tuple[Network, str | None]]:
    """Yield the sources of an ENI's rules, each with its `iif`."""
    lone = [net for net in _crowded(own) if not _is_shared(net, others)]
    for net in lone:
        yield net, LOCAL_OUTPUT
    for net in _exact(own, lone):
        yield net, None


def _crowded(own: _Sources) -> Iterator[Network]:
    """Yield the subnets in which the ENI has more than a few addresses."""
    for subnet in own.subnets:
        inside = [item for item in own.addresses if item in subnet]
        if len(inside) > FEW_ADDRESSES:
            yield subnet


def _is_shared(subnet: Network, others: Sequence[_Sources]) -> bool:
    """Has another ENI an address or a prefix in the subnet?"""
    return any(
        contains(subnet, source) or contains(source, subnet)
        for other in others
        for source in (*_hosts(other.addresses), *other.prefixes)
    )


def _exact(own: _Sources, lone: Sequence[Network]) -> tuple[Network, ...]:
    """Return the sources that no lone subnet covers, as few prefixes."""
    left = [
        item
        for item in own.addresses
        if not any(item in subnet for subnet in lone)
    ]
    sources = (*_hosts(left), *own.prefixes)
    if len(sources) <= FEW_ADDRESSES:
        return tuple(dict.fromkeys(sources))
    # One family at a time, which is all that it takes.
    return (
        *collapse_addresses(
            it for it in sources if isinstance(it, IPv4Network)
        ),
        *collapse_addresses(
            it for it in sources if isinstance(it, IPv6Network)
        ),
    )


def _hosts(addresses: Sequence[Address]) -> Iterator[Network]:
    return (ip_network(address) for address in addresses)
