# SPDX-License-Identifier: Apache-2.0
"""The namespaces of a simulated VPC, and the links and routes in them.

                    hyp                  router
    ENI == tap-<eni> = br-<subnet> == gw-<subnet>   igw == eth0 inet
                                     DHCP DNS IMDS  tgw == eth0 corp

hyp is the hypervisor's side: QEMU runs in it, and what a VPC checks at each
ENI is checked on its bridges. The router has a routing table for each
subnet. inet and corp own an address each, and all of `both_sides`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Network

from tests.lab.cleanup import Run
from tests.lab.netns import Netns, device_name
from tests.lab.shape import LabEni, Shape, Subnet
from tests.lab.vpc_router import (
    FAR_IPV6,
    GATEWAY_NAMES,
    ROUTER_IPV6,
    SERVICES,
    advertisements_ruleset,
    services_ruleset,
    subnet_link,
    subnet_routes,
)
from tests.lab.vpc_rules import (
    eni_ruleset,
    gateway_name,
    igw_ruleset,
    prefix_routes,
    tap_name,
    transfer_nets,
)

FIRST_TABLE = 101
FIRST_PRIORITY = 1000


class VpcNet:
    """The network of a VPC; `apply` brings it to a shape, again and again.

    Args:
        instance: where ENIs are made as plain devices instead of taps.
    """

    def __init__(
        self, run: Run, *, label: str = "", instance: Netns | None = None
    ) -> None:
        names = [f"{label}{end}" for end in ("hyp", "router", "inet", "corp")]
        self._run = run
        self._suffixes = names
        self._instance = instance
        self.hyp, self.router, self.inet, self.corp = (
            Netns(run.netns_name(name)) for name in names
        )
        self._subnets: dict[str, Subnet] = {}
        self._far: tuple[IPv4Network, ...] = ()
        self._prefixes: set[str] = set()

    def make(self, shape: Shape) -> None:
        """Make the namespaces and what does not depend on ENIs."""
        for suffix in self._suffixes:
            netns = Netns(self._run.add_netns(suffix))
            # A reverse path filter would hide what an ENI's check must see.
            netns.sysctl(
                "net.ipv4.conf.all.rp_filter=0",
                "net.ipv4.conf.default.rp_filter=0",
                "net.ipv6.conf.all.disable_ipv6=0",
                "net.ipv6.conf.default.disable_ipv6=0",
                "net.ipv6.conf.default.accept_dad=0",
            )
        # Bridges need no addresses, and would make noise with them.
        self.hyp.sysctl(
            "net.ipv6.conf.all.disable_ipv6=1",
            "net.ipv6.conf.default.disable_ipv6=1",
        )
        self.router.sysctl(
            "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"
        )
        self._far = transfer_nets(shape)
        for name, far, net in zip(
            GATEWAY_NAMES, (self.inet, self.corp), self._far, strict=True
        ):
            self.router.ip(_gateway_link(name, net, far.name))
            far.ip(_far_link(net))
        self.router.ip(f"addr add {address} dev lo" for address in SERVICES)

    def apply(self, shape: Shape) -> None:
        """Make it what the shape says.

        Raises:
            ValueError: the shape would change a subnet that exists, or has
                a MAC or a device name twice.
        """
        self.check(shape)
        self._add_subnets(shape)
        self.router.ip([f"addr replace {shape.dns}/32 dev lo"])
        self._apply_far_hosts(shape)
        self._apply_taps(shape)
        self.hyp.nft(eni_ruleset(shape))
        self.router.nft(igw_ruleset(shape) + services_ruleset(shape))
        self._route_prefixes(shape)
        # An address may have moved to another ENI.
        self._forget_neighbours(shape)

    def _forget_neighbours(self, shape: Shape) -> None:
        self.router.ip(
            f"neigh flush dev {gateway_name(subnet)}"
            for subnet in shape.subnets
        )

    def set_gateway(self, subnet: str, *, answers: bool) -> None:
        """Plug the router into a subnet's bridge, or pull the plug.

        At the bridge's side: the router keeps its addresses and routes.
        """
        state = "up" if answers else "down"
        uplink = _uplink(self._subnets[subnet])
        self.hyp.ip([f"link set dev {uplink} {state}"])

    def flood_arp(self, shape: Shape, flooded: bool) -> None:
        """Show ARP requests to every ENI of the subnet, or to the owner.

        The router asks anew.
        """
        self.hyp.nft(eni_ruleset(shape, floods_arp=flooded))
        self._forget_neighbours(shape)

    def delete(self) -> None:
        """Remove the namespaces; they may be gone already."""
        for netns in (self.inet, self.corp, self.router, self.hyp):
            netns.delete()

    def lose_advertisements(self, lost: bool) -> None:
        """Lose all router advertisements from now on, or no more."""
        self.hyp.nft(advertisements_ruleset(lost=lost))

    def read_counters(self) -> dict[str, int]:
        """Return the packets that each counter of the ENIs' checks holds."""
        text = self.hyp.run(["nft", "-j", "list", "counters"])
        found = (
            entry.get("counter") for entry in json.loads(text)["nftables"]
        )
        return {item["name"]: int(item["packets"]) for item in found if item}

    def check(self, shape: Shape) -> None:
        """Raise ValueError if `apply` cannot make it what the shape says."""
        for subnet in shape.subnets:
            old = self._subnets.get(subnet.name, subnet)
            if old != subnet:
                raise ValueError(
                    f"subnet {subnet.name} exists as {old} and cannot become"
                    f" {subnet}: give the new one another name"
                )
        for what, names in (
            ("MAC", [eni.mac for eni in shape.enis]),
            ("tap", [tap_name(eni) for eni in shape.enis]),
            ("gateway", [gateway_name(subnet) for subnet in shape.subnets]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"the shape has a {what} twice: {names}")

    def _add_subnets(self, shape: Shape) -> None:
        new = [
            item for item in shape.subnets if item.name not in self._subnets
        ]
        for subnet in new:
            self.hyp.ip(_bridge(subnet, shape.mtu))
            uplink, hyp = _uplink(subnet), self.hyp.name
            self.router.ip(
                subnet_link(subnet, shape.mtu, peer=uplink, hyp=hyp)
            )
            self.hyp.ip([f"link set {uplink} master {bridge_name(subnet)} up"])
            self._subnets[subnet.name] = subnet
        if new:
            self._route()
        for subnet in new:
            number = list(self._subnets).index(subnet.name)
            rule = (
                f"rule add iif {gateway_name(subnet)}"
                f" lookup {FIRST_TABLE + number}"
                f" priority {FIRST_PRIORITY + number}"
            )
            self.router.ip([rule], "-4")
            self.router.ip([rule], "-6")

    def _route(self) -> None:
        """Fill the table of each subnet: every one has routes to all."""
        subnets = tuple(self._subnets.values())
        for number, subnet in enumerate(subnets):
            table = FIRST_TABLE + number
            self.router.ip(
                f"route replace {line} table {table}"
                for line in subnet_routes(subnet, subnets, self._far)
            )

    def _route_prefixes(self, shape: Shape) -> None:
        """Send delegated prefixes to their ENIs, as the VPC does: no ARP."""
        tables = [
            "main",
            *range(FIRST_TABLE, FIRST_TABLE + len(self._subnets)),
        ]
        wanted = dict(prefix_routes(shape))
        gone = self._prefixes - set(wanted)
        lines = [f"del {prefix}" for prefix in gone]
        lines += (f"replace {line}" for line in wanted.values())
        self.router.ip(f"route {it} table {t}" for it in lines for t in tables)
        self._prefixes = set(wanted)

    def _apply_far_hosts(self, shape: Shape) -> None:
        for far, own, own6, net in zip(
            (self.inet, self.corp),
            (shape.internet, shape.company),
            (shape.internet_ipv6, shape.company_ipv6),
            self._far,
            strict=True,
        ):
            far.ip(
                f"addr replace {address} dev lo{_nodad(address)}"
                for address in (*shape.both_sides, own, own6)
                if address
            )
            far.ip([f"route replace 0.0.0.0/0 via {net[1]} src {own}"])
            source = f" src {own6}" if own6 else ""
            far.ip([f"route replace ::/0 via {ROUTER_IPV6} dev eth0{source}"])

    def _apply_taps(self, shape: Shape) -> None:
        wanted = {tap_name(eni): eni for eni in shape.enis}
        existing = [n for n in self.hyp.links() if n.startswith("tap-")]
        self.hyp.ip(
            f"link delete {name}" for name in existing if name not in wanted
        )
        for name, eni in wanted.items():
            if name not in existing:
                self.hyp.ip(self._tap(name, eni, shape))

    def _tap(self, name: str, eni: LabEni, shape: Shape) -> Iterator[str]:
        if self._instance is None:
            yield f"tuntap add dev {name} mode tap"
        else:
            yield (
                f"link add {name} type veth peer name {eni.name}"
                f" address {eni.mac} mtu {shape.mtu}"
                f" netns {self._instance.name}"
            )
        bridge = bridge_name(shape.subnet(eni.subnet))
        yield f"link set {name} mtu {shape.mtu} master {bridge} up"


def bridge_name(subnet: Subnet) -> str:
    """Return the hypervisor's bridge of a subnet."""
    return device_name("br", subnet.name)


def _uplink(subnet: Subnet) -> str:
    return device_name("up", subnet.name)


def _gateway_link(name: str, net: IPv4Network, far: str) -> Iterator[str]:
    yield f"link add {name} type veth peer name eth0 netns {far}"
    yield f"addr add {net[1]}/{net.prefixlen} dev {name}"
    yield f"addr add {ROUTER_IPV6}/64 dev {name} nodad"
    yield f"link set {name} up"


def _far_link(net: IPv4Network) -> Iterator[str]:
    yield f"addr add {net[2]}/{net.prefixlen} dev eth0"
    yield f"addr add {FAR_IPV6}/64 dev eth0 nodad"
    yield "link set eth0 up"


def _bridge(subnet: Subnet, mtu: int) -> Iterator[str]:
    name = bridge_name(subnet)
    yield (
        f"link add {name} type bridge forward_delay 0 stp_state 0"
        " mcast_snooping 0"
    )
    yield f"link set {name} mtu {mtu} up"


def _nodad(address: str) -> str:
    """Make an IPv6 address usable at once, also as a route's source."""
    return " nodad" if ":" in address else ""
