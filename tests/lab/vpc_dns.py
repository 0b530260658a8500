# SPDX-License-Identifier: Apache-2.0
"""dnsmasq as the VPC's DHCP and DNS, configured from a Shape.

https://docs.aws.amazon.com/vpc/latest/userguide/VPC_DHCP_Options.html
https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

from tests.lab.imds_tree import host_name, primary_eni, resource_name
from tests.lab.netns import device_name
from tests.lab.shape import LabEni, Shape

RESOLVER = "169.254.169.253"
RESOLVER_IPV6 = "fd00:ec2::253"
LEASE = "1h"
INTERNET_NAME = "internet.example.test"
COMPANY_NAME = "company.example.test"
DHCP_PORT, DHCPV6_PORT = 67, 547


def dns_records(shape: Shape) -> dict[str, tuple[str, ...]]:
    """Return the names that the VPC resolver knows. All others it denies.

    `instance-data`, which cloud-init asks for, is not among them.
    """
    hosts = {
        INTERNET_NAME: (shape.internet, shape.internet_ipv6),
        COMPANY_NAME: (shape.company, shape.company_ipv6),
    }
    records = {
        name: tuple(address for address in addresses if address)
        for name, addresses in hosts.items()
    }
    for eni in shape.enis:
        for address in eni.ipv4s:
            records[host_name(shape, address)] = (address,)
    primary = primary_eni(shape)
    if primary.ipv6s:
        records[resource_name(shape)] = primary.ipv6s[:1]
    return records


def dnsmasq_config(shape: Shape, leases: Path) -> str:
    """Return dnsmasq's configuration file (dnsmasq(8), without the --).

    Args:
        leases: where it may keep its leases.
    """
    return "\n".join(
        (*_general(shape, leases), *_dhcp(shape), *_dns(shape), "")
    )


def _general(shape: Shape, leases: Path) -> Iterator[str]:
    yield "user=root"
    yield "no-hosts"
    yield "no-resolv"
    yield "no-ping"
    yield "log-dhcp"
    yield "log-queries"
    yield "log-facility=-"
    yield "pid-file"  # none: who started it knows
    yield f"dhcp-leasefile={leases}"
    yield "bind-dynamic"
    for address in (shape.dns, RESOLVER, RESOLVER_IPV6, "127.0.0.1"):
        yield f"listen-address={address}"
    for subnet in shape.subnets:
        yield f"interface={device_name('gw', subnet.name)}"


def _dhcp(shape: Shape) -> Iterator[str]:
    yield "dhcp-authoritative"
    yield f"dhcp-option=option:dns-server,{shape.dns}"
    yield f"dhcp-option=option:mtu,{shape.mtu}"
    yield f"domain={shape.domain}"
    for subnet in shape.subnets:
        if subnet.cidr is None:
            continue
        net = ip_network(subnet.cidr)
        tag = device_name("gw", subnet.name)
        yield (
            f"dhcp-range=set:{tag},{net.network_address},static,"
            f"{net.netmask},{LEASE}"
        )
    if has_ipv6(shape):
        # "static" alone is: no address of the client's own choice (SLAAC),
        # as in a VPC's router advertisements, which carry M and not A.
        yield "enable-ra"
        yield f"dhcp-option=option6:dns-server,[{RESOLVER_IPV6}]"
    for subnet in shape.subnets:
        for cidr in subnet.ipv6_cidrs:
            net6 = ip_network(cidr)
            chosen = ",slaac" if subnet.name in shape.autonomous else ""
            yield (
                f"dhcp-range={net6.network_address},static{chosen},"
                f"{net6.prefixlen},{LEASE}"
            )
    for eni in shape.enis:
        if eni.addresses:
            yield f"dhcp-host={_host(shape, eni)}"


def _host(shape: Shape, eni: LabEni) -> str:
    # DHCP gives the primary addresses only; the rest is for IMDS to tell.
    primary6 = [f"[{address}]" for address in eni.ipv6s[:1]]
    primary = [
        word
        for address in eni.ipv4s[:1]
        for word in (address, host_name(shape, address).split(".")[0])
    ]
    return ",".join((eni.mac, *primary[:1], *primary6, *primary[1:], LEASE))


def _dns(shape: Shape) -> Iterator[str]:
    for name, addresses in dns_records(shape).items():
        yield f"host-record={name},{','.join(addresses)}"
    # No such name, rather than an error that clients try again.
    yield "address=/#/"


def has_ipv6(shape: Shape) -> bool:
    """Return whether any subnet of the shape has IPv6."""
    return any(subnet.ipv6_cidr for subnet in shape.subnets)


def dhcp_ports(shape: Shape) -> tuple[int, ...]:
    """Return the UDP ports at which dnsmasq listens for DHCP."""
    ports = (DHCP_PORT,) if any(it.cidr for it in shape.subnets) else ()
    return (*ports, DHCPV6_PORT) if has_ipv6(shape) else ports
