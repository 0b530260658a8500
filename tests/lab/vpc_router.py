# SPDX-License-Identifier: Apache-2.0
"""The simulated VPC's router: its links, its routes, its own addresses.

As in a VPC it has the first host of a subnet's IPv4 block. Over IPv6 it is
known by its link-local address alone, which it advertises: that one follows
from its MAC in the subnet, so each subnet has another.
https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from zlib import crc32

from tests.lab.far_server import COMPANY, INTERNET
from tests.lab.shape import Shape, Subnet
from tests.lab.vpc_dns import RESOLVER, RESOLVER_IPV6
from tests.lab.vpc_rules import chain, gateway_name

IMDS = "169.254.169.254"
IMDS_IPV6 = "fd00:ec2::254"
NTP = "169.254.169.123"
SERVICES = (IMDS, RESOLVER, NTP, IMDS_IPV6, RESOLVER_IPV6)
LAST_RESORT_METRIC = 9999
# The ends of the links to the gateways, where there is IPv6.
ROUTER_IPV6, FAR_IPV6 = "fe80::1", "fe80::2"
# What a subnet's default_via names, and the side that it leads to.
GATEWAY_SIDES = {"igw": INTERNET, "tgw": COMPANY}
GATEWAY_NAMES = tuple(GATEWAY_SIDES)


def gateway_mac(subnet: Subnet) -> str:
    """Return the router's MAC in a subnet."""
    return f"02:00:{crc32(subnet.name.encode()).to_bytes(4).hex(':')}"


def gateway_ipv6(subnet: Subnet) -> str:
    """Return the router's link-local address in a subnet (RFC 4291, A)."""
    mac = bytes.fromhex(gateway_mac(subnet).replace(":", ""))
    end = bytes([mac[0] ^ 2, *mac[1:3], 0xFF, 0xFE, *mac[3:]])
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + end))


def subnet_link(
    subnet: Subnet, mtu: int, *, peer: str, hyp: str
) -> Iterator[str]:
    """Yield the commands that make the router's device in a subnet.

    Args:
        peer: its other end, in the namespace `hyp`.
    """
    name = gateway_name(subnet)
    yield (
        f"link add {name} mtu {mtu} address {gateway_mac(subnet)} type veth"
        f" peer name {peer} mtu {mtu} netns {hyp}"
    )
    if subnet.cidr:
        net = ip_network(subnet.cidr)
        yield f"addr add {net[1]}/{net.prefixlen} dev {name}"
    # dnsmasq wants an address in each network that it serves. It is a
    # reserved one and not the first: who takes that one for the gateway is
    # wrong on EC2 and finds nobody here.
    for net6 in map(IPv6Network, subnet.ipv6_cidrs):
        yield f"addr add {net6[-1]}/{net6.prefixlen} dev {name} nodad"
    yield f"link set {name} up"


def subnet_routes(
    subnet: Subnet, subnets: Sequence[Subnet], far: Sequence[IPv4Network]
) -> Iterator[str]:
    """Yield the routes of a subnet: the VPC's subnets, then its default.

    Args:
        far: the links to the gateways, in the order of GATEWAY_NAMES.
    """
    for other in subnets:
        for cidr in other.cidrs:
            yield f"{cidr} dev {gateway_name(other)}"
    last = f"metric {LAST_RESORT_METRIC}"
    yield f"unreachable 0.0.0.0/0 {last}"
    yield f"unreachable ::/0 {last}"
    if subnet.default_via is None:
        return
    if subnet.cidr:
        via = far[GATEWAY_NAMES.index(subnet.default_via)][2]
        yield f"0.0.0.0/0 via {via} dev {subnet.default_via}"
    if subnet.ipv6_cidr:
        yield f"::/0 via {FAR_IPV6} dev {subnet.default_via}"


def services_ruleset(shape: Shape) -> str:
    """Return what makes IMDS deaf over IPv6 where it is not enabled."""
    deaf = () if shape.imds_ipv6 else (f"ip6 daddr {IMDS_IPV6} drop",)
    return "\n".join(
        (
            "table ip6 imds",
            "delete table ip6 imds",
            "table ip6 imds {",
            *chain("deaf", "filter hook input priority 0", deaf),
            "}\n",
        )
    )


def advertisements_ruleset(*, lost: bool) -> str:
    """Return what the hypervisor needs to lose router advertisements."""
    rules = ("icmpv6 type nd-router-advert drop",) if lost else ()
    return "\n".join(
        (
            "table bridge ra",
            "delete table bridge ra",
            "table bridge ra {",
            *chain("lost", "filter hook prerouting priority -200", rules),
            "}\n",
        )
    )
