# SPDX-License-Identifier: Apache-2.0
"""An instance that is a namespace, configured by hand in a simulated VPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path

from tests.lab.far_server import COMPANY, GUEST, INTERNET
from tests.lab.flows import Flow, Verdict, run_flows
from tests.lab.netns import Netns
from tests.lab.shape import LabEni, Shape, Subnet
from tests.lab.vpc import Vpc
from tests.lab.vpc_router import gateway_ipv6

NO_ANSWER_S = 2.0
THREE_POLICY = {"192.0.2.7": "right", "2001:db8:7::7": "right"}
THREE_UNNAMED = "203.0.113.5"
# Two ENIs in one subnet, a name longer than a device's, a secondary address,
# IPv6, a subnet with no way out.
THREE = Shape(
    subnets=(
        Subnet("outside-facing-1", "subnet-1", "172.20.1.0/24", "igw",
               ipv6_cidr="2001:db8:aa:1::/64"),
        Subnet("inside", "subnet-2", "172.20.2.0/28", "tgw",
               ipv6_cidr="2001:db8:aa:2::/64"),
        Subnet("closed", "subnet-3", "172.20.3.0/24", None),
    ),
    enis=(
        LabEni("left", "eni-1", "06:00:00:00:00:01", 0, "outside-facing-1",
               ("172.20.1.10", "172.20.1.11"),
               public={"172.20.1.10": "192.0.2.210",
                       "172.20.1.11": "192.0.2.211"},
               ipv6s=("2001:db8:aa:1::10",)),
        LabEni("right", "eni-2", "06:00:00:00:00:02", 1, "inside",
               ("172.20.2.5",), ipv6s=("2001:db8:aa:2::5",)),
        LabEni("also-left", "eni-3", "06:00:00:00:00:03", 2,
               "outside-facing-1", ("172.20.1.20",),
               public={"172.20.1.20": "192.0.2.220"}),
        LabEni("nowhere", "eni-4", "06:00:00:00:00:04", 3, "closed",
               ("172.20.3.9",)),
    ),
    both_sides=("192.0.2.7", "2001:db8:7::7", THREE_UNNAMED),
    internet="198.18.0.1",
    company="100.64.0.1",
    internet_ipv6="2001:db8:1::1",
    company_ipv6="2001:db8:2::1",
    vpc_cidrs=("172.20.0.0/16",),
    dns="172.20.0.2",
    domain="eu-west-1.compute.internal",
    region="eu-west-1",
)  # fmt: skip


@dataclass(frozen=True)
class Lab:
    """A VPC and the namespace that stands for its instance."""

    vpc: Vpc
    instance: Netns
    resolv_conf: Path

    def guest(self, argv: Sequence[str], stdin: str) -> str:
        """Run in the instance, with a resolv.conf of its own.

        `ip netns exec` has made a mount namespace, so no one else sees it.
        """
        mount = f"mount --bind {self.resolv_conf} /etc/resolv.conf"
        return self.instance.run(
            ["sh", "-c", f'{mount} && exec "$@"', "sh", *argv], stdin
        )

    def send(self, flows: Sequence[Flow]) -> list[Verdict]:
        """Send flows, not as patient as with a virtual machine."""
        hasty = [
            replace(flow, probe=replace(flow.probe, timeout=NO_ANSWER_S))
            for flow in flows
        ]
        runners = {
            GUEST: self.guest,
            INTERNET: self.vpc.runner(INTERNET),
            COMPANY: self.vpc.runner(COMPANY),
        }
        return run_flows(hasty, runners, self.vpc.capture)


def add_addresses(lab: Lab, default: str) -> None:
    """Give each ENI its addresses, and the main table its default."""
    shape = lab.vpc.shape
    for eni in shape.enis:
        subnet = shape.subnet(eni.subnet)
        size = ip_network(subnet.cidr or "0.0.0.0/0").prefixlen
        lab.instance.ip(
            [f"addr replace {a}/{size} dev {eni.name}" for a in eni.ipv4s]
            + [f"addr replace {a}/64 dev {eni.name} nodad" for a in eni.ipv6s]
            + [f"link set {eni.name} up"]
        )
    eni = shape.eni(default)
    lab.instance.ip(
        f"route replace {route}" for route in default_routes(shape, eni)
    )


def default_routes(shape: Shape, eni: LabEni) -> list[str]:
    """Return the default routes by an ENI, for each family that it has."""
    subnet = shape.subnet(eni.subnet)
    routes = []
    if subnet.cidr:
        gateway = ip_network(subnet.cidr)[1]
        routes.append(f"0.0.0.0/0 via {gateway} dev {eni.name}")
    if eni.ipv6s:
        # Without `src` the kernel would choose the address added last.
        via, source = gateway_ipv6(subnet), eni.ipv6s[0]
        routes.append(f"::/0 via {via} dev {eni.name} src {source}")
    return routes


def add_policy(lab: Lab, policy: Mapping[str, str], to_priority: int) -> None:
    """Give each ENI a table and its addresses a rule (priority 1000)."""
    shape = lab.vpc.shape
    tables = {eni.name: 11 + i for i, eni in enumerate(shape.enis)}
    routes: list[str] = []
    rules = [f"to {a} lookup {tables[n]} priority {to_priority}"
             for a, n in policy.items()]  # fmt: skip
    for eni in shape.enis:
        table = tables[eni.name]
        routes += (f"{x} table {table}" for x in default_routes(shape, eni))
        rules += (
            f"from {address} lookup {table} priority 1000"
            for address in (*eni.ipv4s, *eni.ipv6s)
        )
    lab.instance.ip(f"route replace {route}" for route in routes)
    for family, mark in (("-4", "."), ("-6", ":")):
        lab.instance.ip(
            [f"rule add {r}" for r in rules if mark in r.split()[1]], family
        )
