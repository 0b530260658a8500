# SPDX-License-Identifier: Apache-2.0
"""What the simulated VPC enforces, as nftables rulesets made from a Shape.

The source/destination check of an ENI:
https://docs.aws.amazon.com/vpc/latest/userguide/work-with-nat-instances.html
The 1:1 NAT of an internet gateway:
https://docs.aws.amazon.com/vpc/latest/userguide/VPC_Internet_Gateway.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network

from tests.lab.netns import device_name
from tests.lab.shape import LabEni, Shape, Subnet

CHECKS = ("src", "dst", "arp", "ndp")
LINK_LOCAL = "fe80::/10"
# The target of a solicitation or an advertisement, RFC 4861, 4.3 and 4.4.
NDP_TARGET = "@th,64,128"
# 198.18.0.0/15 is for tests between networks (RFC 2544), 100.64.0.0/10 for
# networks between networks (RFC 6598); the last one is the last resort.
TRANSFER_POOLS = ("198.18.0.0/15", "100.64.0.0/10", "172.31.0.0/16")


@dataclass(frozen=True)
class Drops:
    """Packets that the VPC dropped at one ENI.

    Attributes:
        src: sent with an address (or a MAC) that is not the ENI's.
        dst: came for an address that is not the ENI's.
        arp: ARP sent with an address that is not the ENI's.
        ndp: neighbour advertisements sent for such an address, and router
            advertisements.
    """

    src: int = 0
    dst: int = 0
    arp: int = 0
    ndp: int = 0

    def __sub__(self, before: Drops) -> Drops:
        return Drops(
            self.src - before.src,
            self.dst - before.dst,
            self.arp - before.arp,
            self.ndp - before.ndp,
        )


def tap_name(eni: LabEni) -> str:
    """Return the name of an ENI's tap in the hypervisor's namespace."""
    return device_name("tap", eni.name)


def gateway_name(subnet: Subnet) -> str:
    """Return the router's device in a subnet."""
    return device_name("gw", subnet.name)


def prefix_routes(shape: Shape) -> Iterator[tuple[str, str]]:
    """Yield each delegated prefix and the router's route to its ENI."""
    for eni in shape.enis:
        dev = gateway_name(shape.subnet(eni.subnet))
        for prefixes, addresses in (
            (eni.ipv4_prefixes, eni.ipv4s),
            (eni.ipv6_prefixes, eni.ipv6s),
        ):
            for prefix in prefixes:
                yield prefix, f"{prefix} via {addresses[0]} dev {dev}"


def counter_name(check: str, mac: str) -> str:
    """Return the counter of a check; nft names bear no dash or colon."""
    return f"{check}_{mac.replace(':', '')}"


def drops_at(counters: Mapping[str, int], mac: str) -> Drops:
    """Return an ENI's drops from what nft counts."""
    counts = {
        check: counters.get(counter_name(check, mac), 0) for check in CHECKS
    }
    return Drops(**counts)


def eni_ruleset(shape: Shape, *, floods_arp: bool = False) -> str:
    """Return the table that does what the VPC does at each ENI.

    Loaded again it replaces the rules and keeps the counters.

    Args:
        floods_arp: every ENI of a subnet sees each ARP request there, as on
            plain Ethernet, and not as in EC2.
    """
    counters = (
        f"  counter {counter_name(check, eni.mac)} {{ }}"
        for eni in shape.enis
        for check in CHECKS
    )
    sent = (rule for eni in shape.enis for rule in _sent_rules(eni))
    received = (
        rule
        for eni in shape.enis
        for rule in _received_rules(eni, floods_arp=floods_arp)
    )
    return "\n".join(
        (
            "table bridge eni { }",
            "flush table bridge eni",
            "table bridge eni {",
            *counters,
            *chain("sent", "filter hook prerouting priority -300", sent),
            *chain(
                "received", "filter hook postrouting priority 300", received
            ),
            "}\n",
        )
    )


def chain(name: str, hook: str, rules: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a base chain of nftables that lets all else pass."""
    yield f"  chain {name} {{"
    yield f"    type {hook}; policy accept;"
    for rule in rules:
        yield f"    {rule}"
    yield "  }"


def _sent_rules(eni: LabEni) -> Iterator[str]:
    """Yield the checks on what comes out of the instance."""
    tap = f'iifname "{tap_name(eni)}"'
    own = _own_ipv4(eni)
    own6 = ", ".join(("::", LINK_LOCAL, *eni.ipv6s, *eni.ipv6_prefixes))
    drop = f"counter name {counter_name('src', eni.mac)} drop"
    arp_drop = f"counter name {counter_name('arp', eni.mac)} drop"
    ndp_drop = f"counter name {counter_name('ndp', eni.mac)} drop"
    yield f"{tap} ether saddr != {eni.mac} {drop}"
    yield f"{tap} ip saddr 0.0.0.0 udp dport 67 accept"
    yield f"{tap} ether type ip {_unless('ip saddr', own)} {drop}"
    yield f"{tap} ether type ip6 ip6 saddr != {{ {own6} }} {drop}"
    # An address conflict probe (RFC 5227) comes from 0.0.0.0.
    asking = ("0.0.0.0", *own)
    yield f"{tap} {_unless('arp saddr ip', asking)} {arp_drop}"
    yield f"{tap} icmpv6 type nd-router-advert {ndp_drop}"
    kind = "icmpv6 type nd-neighbor-advert"
    yield from _by_target(f"{tap} {kind}", eni.ipv6s, ndp_drop)


def _received_rules(eni: LabEni, *, floods_arp: bool) -> Iterator[str]:
    """Yield the checks on what goes into the instance."""
    tap = f'oifname "{tap_name(eni)}"'
    own = _own_ipv4(eni)
    own6 = ", ".join((LINK_LOCAL, *eni.ipv6s, *eni.ipv6_prefixes))
    drop = f"counter name {counter_name('dst', eni.mac)} drop"
    # The bridge floods what it has not learned; the VPC's mapping does not.
    group = "ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00"
    yield f"{tap} ether daddr != {eni.mac} {group} drop"
    known = ", ".join(("255.255.255.255", "224.0.0.0/4", *own))
    yield f"{tap} ether type ip ip daddr != {{ {known} }} {drop}"
    yield (f"{tap} ether type ip6 ip6 daddr != {{ ff00::/8, {own6} }} {drop}")
    # EC2 has no broadcast: an ENI sees requests for its own addresses only.
    if not floods_arp:
        others = _unless("arp daddr ip", own)
        yield f"{tap} arp operation request {others} drop"
    kind = "icmpv6 type nd-neighbor-solicit"
    yield from _by_target(f"{tap} {kind}", eni.ipv6s, "drop")


def _own_ipv4(eni: LabEni) -> tuple[str, ...]:
    return (*eni.ipv4s, *eni.ipv4_prefixes)


def _unless(field: str, values: Sequence[str]) -> str:
    """Return an nft match of all but these values; nft has no empty set."""
    return f"{field} != {{ {', '.join(values)} }}" if values else ""


def _by_target(
    match: str, addresses: Sequence[str], otherwise: str
) -> Iterator[str]:
    """Let NDP messages pass for these and for link-local targets."""
    for prefix in (LINK_LOCAL, *addresses):
        yield f"{match} {NDP_TARGET} {_bits(prefix)} accept"
    yield f"{match} {otherwise}"


def _bits(prefix: str) -> str:
    """Return an nft comparison of 128 raw bits with an IPv6 prefix."""
    net = ip_network(prefix)
    return f"& {int(net.netmask):#034x} == {int(net.network_address):#034x}"


def igw_ruleset(shape: Shape) -> str:
    """Return the internet gateway's NAT and what it does not let pass."""
    pairs = [pair for eni in shape.enis for pair in eni.public.items()]
    known = ", ".join([private for private, _ in pairs] or ["0.0.0.0"])
    inward = (
        f'iifname "igw" ip daddr {public} dnat to {private}'
        for private, public in pairs
    )
    outward = (
        f'oifname "igw" ip saddr {private} snat to {public}'
        for private, public in pairs
    )
    passing = (
        f'oifname "igw" ip saddr != {{ {known} }} counter drop',
        # A private address is unknown outside: only what the NAT changed
        # comes in, or what answers.
        'iifname "igw" ct state new ct status & dnat == 0 counter drop',
    )
    # There is no NAT for IPv6: what is global passes as it is.
    passing6 = ('oifname "igw" ip6 saddr fc00::/7 counter drop',)
    return "\n".join(
        (
            "table ip igw",
            "delete table ip igw",
            "table ip igw {",
            *chain("pre", "nat hook prerouting priority -100", inward),
            *chain("post", "nat hook postrouting priority 100", outward),
            *chain("pass", "filter hook forward priority 0", passing),
            "}",
            "table ip6 igw",
            "delete table ip6 igw",
            "table ip6 igw {",
            *chain("pass", "filter hook forward priority 0", passing6),
            "}\n",
        )
    )


def transfer_nets(shape: Shape) -> tuple[IPv4Network, IPv4Network]:
    """Return two /30 for the links to the gateways (internet, company).

    They hold no address that the shape uses.
    """
    taken = [IPv4Network(text) for text in _used_addresses(shape)]
    found: list[IPv4Network] = []
    for pool in map(IPv4Network, TRANSFER_POOLS):
        if any(pool.subnet_of(other) for other in taken):
            continue  # a million networks need not be tried one by one
        for net in pool.subnets(new_prefix=30):
            if not any(net.overlaps(other) for other in taken):
                found.append(net)
            if len(found) == 2:
                return found[0], found[1]
    raise ValueError(f"the shape uses all of {', '.join(TRANSFER_POOLS)}")


def _used_addresses(shape: Shape) -> Iterator[str]:
    """Yield every IPv4 address and prefix of a shape."""
    texts = [shape.internet, shape.company, shape.dns, *shape.both_sides]
    texts += shape.vpc_cidrs
    texts += (cidr for subnet in shape.subnets for cidr in subnet.cidrs)
    for eni in shape.enis:
        texts += (*eni.ipv4s, *eni.public.values(), *eni.ipv4_prefixes)
    yield from (text for text in texts if ":" not in text)
