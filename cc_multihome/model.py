# SPDX-License-Identifier: Apache-2.0
"""The values that travel down the pipeline: all frozen, none with effects.

The words are those of IMDS, netplan, networkd and iproute2 (docs/glossary.md).
A *priority* belongs to a rule, a *metric* to a route.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Final, Literal, Union

# Written with Union: Python 3.10 evaluates these at run time.
Address = Union[IPv4Address, IPv6Address]
Interface = Union[IPv4Interface, IPv6Interface]
Network = Union[IPv4Network, IPv6Network]

# The router that sends advertisements to the link, as systemd.network(5)
# calls it in Gateway=: its address is learned, so a plan cannot have it.
LEARNED: Final = "_ipv6ra"
Gateway = Union[Address, Literal["_ipv6ra"]]


@dataclass(frozen=True)
class Eni:
    """An elastic network interface, as the metadata service describes it.

    Attributes are the keys below `network/interfaces/macs/<mac>/`:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html

    Attributes:
        mac: lower case, colons.
        eni_id: `interface-id`, as in ``eni-0123``.
        is_primary: the MAC is that of the instance's top-level `mac` key.
        local_ipv4s: the primary address first.
        subnet_ipv4s: the subnet's IPv4 CIDR blocks (EC2 has one today).
    """

    mac: str
    eni_id: str
    device_number: int
    network_card: int
    subnet_id: str
    is_primary: bool
    local_ipv4s: tuple[IPv4Address, ...] = ()
    subnet_ipv4s: tuple[IPv4Network, ...] = ()
    vpc_ipv4s: tuple[IPv4Network, ...] = ()
    ipv4_prefixes: tuple[IPv4Network, ...] = ()
    ipv6s: tuple[IPv6Address, ...] = ()
    subnet_ipv6s: tuple[IPv6Network, ...] = ()
    vpc_ipv6s: tuple[IPv6Network, ...] = ()
    ipv6_prefixes: tuple[IPv6Network, ...] = ()

    def sort_key(self) -> tuple[int, int, str]:
        """Order of attachment, which IMDS's listing (by MAC) is not."""
        return (self.network_card, self.device_number, self.mac)

    def describe(self) -> str:
        """Say which ENI this is, in an error message."""
        return (
            f"{self.eni_id} (device_number {self.device_number},"
            f" network_card {self.network_card}, mac {self.mac},"
            f" {self.subnet_id})"
        )


@dataclass(frozen=True)
class Instance:
    """What one complete read of the metadata service says.

    Attributes:
        instance_id: as in ``i-0123``.
        search: the VPC's DNS search domains, from `local-hostname`.
        enis: in order of attachment.
    """

    instance_id: str
    search: tuple[str, ...]
    enis: tuple[Eni, ...]


@dataclass(frozen=True)
class Link:
    """A network device of this host that has hardware behind it.

    Attributes:
        mac: the permanent one, lower case.
        netdef_id: the id under which netplan's files know this MAC, or None.
        has_netdef: netplan's files know it, if under an id of no use here.
        mtu: bytes.
        nameservers, search: what systemd-resolved has for this link, by DHCP
            or by this package's overlay.
    """

    ifname: str
    ifindex: int
    mac: str
    mtu: int
    netdef_id: str | None = None
    has_netdef: bool = False
    nameservers: tuple[Address, ...] = ()
    search: tuple[str, ...] = ()


@dataclass(frozen=True)
class Route:
    """A route (ip-route(8)). `table` 254 is the kernel's main table.

    Attributes:
        via: the gateway, LEARNED for whichever router advertises itself on
            the link, or None for a destination on the link itself.
        prefsrc: the source address for traffic that is not bound to one.
    """

    to: Network
    via: Gateway | None
    table: int
    prefsrc: Address | None = None
    metric: int | None = None


@dataclass(frozen=True)
class RoutingPolicyRule:
    """A rule of the kernel's routing policy (ip-rule(8)).

    Attributes:
        src: the `from` selector; a prefix of length 0 is every source.
        iif: the `iif` selector; "lo" is what this host sends itself, and
            not what it forwards.
        suppress_prefixlength: ignore routes of this prefix length or less.
        suppress_ifgroup: ignore routes through devices of this group.
        fwmark: the mark of the packet, of which `fwmask` are the bits that
            count.
        uid: the user whose socket sends the packet.
    """

    priority: int
    table: int
    src: Network
    suppress_prefixlength: int | None = None
    suppress_ifgroup: int | None = None
    iif: str | None = None
    fwmark: int | None = None
    fwmask: int | None = None
    uid: int | None = None


@dataclass(frozen=True)
class PlannedInterface:
    """One managed ENI: everything that its netplan netdef will say.

    Attributes:
        netdef_id: netplan's id for it, the kernel's name at first sight.
        ifname: the name now; `name`: the name that it gets.
        table: its routing table; `table_name`: what iproute2 calls that.
        optional: boot does not wait for it (every ENI but the primary).
        shares_subnet: another ENI of the instance, managed or not, is in
            its IPv4 subnet.
        mark: of what is pinned to it, None where nothing is.
        accept_ra: whether router advertisements are heard: True with IPv6
            addresses, False beside ENIs that have some, None where none has.
        nameservers, search: for systemd-resolved, where the host's resolver
            is kept.
    """

    mac: str
    eni_id: str
    netdef_id: str
    ifname: str
    name: str
    table: int
    table_name: str
    addresses: tuple[Interface, ...]
    routes: tuple[Route, ...]
    rules: tuple[RoutingPolicyRule, ...]
    mtu: int
    optional: bool
    shares_subnet: bool = False
    mark: int | None = None
    accept_ra: bool | None = None
    nameservers: tuple[Address, ...] = ()
    search: tuple[str, ...] = ()


@dataclass(frozen=True)
class Resolver:
    """What /etc/resolv.conf is to say.

    Attributes:
        nameservers: () means: leave the host's resolver as it is.
    """

    nameservers: tuple[Address, ...]
    search: tuple[str, ...]


@dataclass(frozen=True)
class PinnedService:
    """A service whose sockets are marked for an ENI.

    Attributes:
        unit: of systemd, as in ``puppet.service``.
        interface: the name of it.
    """

    unit: str
    interface: str
    mark: int


@dataclass(frozen=True)
class Plan:
    """The whole decision; everything else is derived from it.

    Attributes:
        interfaces: in order of attachment.
        policy_table: id of the table that holds the policy's destinations,
            or None where there is no policy.
        ifgroup: the device group of every managed ENI, or None where the
            systemd in use cannot suppress by group.
        services: in order of their names.
        containers: connections remember by which ENI they came.
        honors_main_routes: the ENIs' tables have main's routes by them.
    """

    interfaces: tuple[PlannedInterface, ...]
    resolver: Resolver
    policy_table: int | None
    ifgroup: int | None
    services: tuple[PinnedService, ...] = ()
    containers: bool = False
    honors_main_routes: bool = False

    def has_ipv6(self) -> bool:
        """Is there an ENI whose IPv6 is routed by the plan?"""
        return any(item.accept_ra for item in self.interfaces)

    def rules(self) -> tuple[RoutingPolicyRule, ...]:
        """Every rule, in the order in which the kernel looks at them."""
        rules = (rule for item in self.interfaces for rule in item.rules)
        return tuple(sorted(rules, key=lambda rule: rule.priority))


@dataclass(frozen=True)
class Observed:
    """One reading of the kernel's state.

    Attributes:
        addresses: (interface name, address with its prefix length); not
            those that duplicate address detection has not let through:
        tentative: it is still under way (RFC 4862, 5.4).
        duplicates: another host on the link has them.
        routes: (interface name, route), unicast only, every table.
        rules: every rule of both families, foreign ones too.
    """

    addresses: frozenset[tuple[str, Interface]]
    routes: frozenset[tuple[str, Route]]
    rules: frozenset[RoutingPolicyRule]
    tentative: frozenset[tuple[str, Interface]] = frozenset()
    duplicates: frozenset[tuple[str, Interface]] = frozenset()
