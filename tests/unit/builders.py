# SPDX-License-Identifier: Apache-2.0
"""Short ways to the values that tests are about.

Everything that a test does not name has a value that is right for the host
of the seed of this project (its article's addresses, MACs and tables).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import (
    IPv4Address,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from pathlib import Path
from typing import Any

import pytest

from cc_multihome import follow
from cc_multihome.config.parse import parse
from cc_multihome.discover.netplan_files import NetplanFile
from cc_multihome.errors import CommandError
from cc_multihome.files import File
from cc_multihome.model import (
    LEARNED,
    Address,
    Eni,
    Instance,
    Link,
    Network,
    Observed,
    Plan,
    PlannedInterface,
    Resolver,
    Route,
    RoutingPolicyRule,
)
from cc_multihome.plan.bind import bind_or_raise
from cc_multihome.plan.build import build_plan

DATA = Path(__file__).parent / "data"
PRIVATE_MAC = "0a:93:1b:88:fa:fb"
PUBLIC_MAC = "0a:c9:4e:3c:89:65"
DESTINATIONS = ("192.0.2.14", "198.51.100.42", "203.0.113.22")
NEW_SYSTEMD = 257

SEED_KEY: dict[str, Any] = {
    "interfaces": {
        "private": {"device_number": 0, "table": 10},
        "public": {"device_number": 1, "table": 20},
    },
    "default": "public",
    "policy": [{"to": list(DESTINATIONS), "via": "private"}],
    "resolver": "vpc",
}


def eni(
    number: int = 0,
    *addresses: str,
    subnet: str = "",
    card: int = 0,
    **fields: Any,
) -> Eni:
    """Make an ENI; without addresses it has one in 10.0.<number>.0/24."""
    ipv4s = addresses or (f"10.0.{number}.10",)
    cidr = subnet or f"10.0.{number}.0/24"
    made = Eni(
        mac=f"0a:00:00:00:{card:02x}:{number:02x}",
        eni_id=f"eni-{card:04x}{number:04x}",
        device_number=number,
        network_card=card,
        subnet_id=f"subnet-{number:04x}",
        is_primary=number == 0 and card == 0,
        local_ipv4s=tuple(IPv4Address(text) for text in ipv4s),
        subnet_ipv4s=(ip_network(cidr),),  # type: ignore[arg-type]
    )
    return replace(made, **fields)


def with_ipv6(
    eni: Eni, *addresses: str, subnet: str = "", **fields: Any
) -> Eni:
    """Give an ENI IPv6, in 2001:db8:0:1<number>::/64 unless said."""
    cidr = subnet or f"2001:db8:0:1{eni.device_number}::/64"
    found = addresses or (f"{cidr[:-3]}5",)
    made = replace(
        eni,
        ipv6s=tuple(map(IPv6Address, found)),
        subnet_ipv6s=(IPv6Network(cidr),),
    )
    return replace(made, **fields)


def seed_enis() -> tuple[Eni, Eni]:
    """Make the two ENIs of the seed's host."""
    return (
        eni(0, "10.224.184.51", subnet="10.224.184.0/26", mac=PRIVATE_MAC),
        eni(1, "10.224.186.43", subnet="10.224.186.0/26", mac=PUBLIC_MAC),
    )


def instance(*enis: Eni) -> Instance:
    """Make an instance; without ENIs it is the seed's host."""
    return Instance("i-0123", ("ec2.internal",), enis or seed_enis())


def link(ifname: str, mac: str, **fields: Any) -> Link:
    """Make a device."""
    made = Link(ifname=ifname, ifindex=2, mac=mac, mtu=1500)
    return replace(made, **fields)


def links_of(instance: Instance) -> tuple[Link, ...]:
    """Make the devices ens5, ens6 and so on, in order of attachment."""
    ordered = sorted(instance.enis, key=Eni.sort_key)
    return tuple(
        link(f"ens{5 + index}", item.mac, ifindex=2 + index)
        for index, item in enumerate(ordered)
    )


def plan_for(
    key: object = None,
    host: Instance | None = None,
    links: Sequence[Link] = (),
    *,
    systemd: int = NEW_SYSTEMD,
    uids: Mapping[str, int] | None = None,
) -> Plan:
    """Plan for a `multihome` key (without one: the seed's) on a host."""
    parsed = parse(SEED_KEY if key is None else key)
    host = host or instance()
    bound = bind_or_raise(
        parsed, host, tuple(links) or links_of(host), uids=uids or {}
    )
    assert parsed.config is not None
    return build_plan(parsed.config, bound, host, systemd_version=systemd)


def network(text: str) -> Network:
    """Read a prefix."""
    return ip_network(text)


def address(text: str) -> Address:
    """Read an address."""
    return ip_address(text)


def rule(
    priority: int, table: int, src: str = "0.0.0.0/0"
) -> RoutingPolicyRule:
    """Make a rule on the source alone."""
    return RoutingPolicyRule(priority, table, network(src))


def route(to: str, via: str | None = None, table: int = 254) -> Route:
    """Make a route."""
    return Route(network(to), address(via) if via else None, table)


def planned(name: str = "private", **fields: Any) -> PlannedInterface:
    """Make an interface of a plan with one address, route and rule."""
    made = PlannedInterface(
        mac=PRIVATE_MAC,
        eni_id="eni-1",
        netdef_id="ens5",
        ifname=name,
        name=name,
        table=10,
        table_name=name,
        addresses=(ip_interface("10.224.184.51/26"),),
        routes=(route("0.0.0.0/0", "10.224.184.1", 10),),
        rules=(rule(31100, 10, "10.224.184.51"),),
        mtu=1500,
        optional=False,
    )
    return replace(made, **fields)


def plan(*interfaces: PlannedInterface, **fields: Any) -> Plan:
    """Make a plan that leaves the resolver alone."""
    made = Plan(interfaces, Resolver((), ()), policy_table=None, ifgroup=None)
    return replace(made, **fields)


def observed_of(plan: Plan) -> Observed:
    """Make the kernel's state that is just what a plan wants."""
    built_in = [rule(0, 255), rule(32766, 254), rule(32767, 253)]
    if plan.has_ipv6():
        built_in += [rule(0, 255, "::/0"), rule(32766, 254, "::/0")]
    return Observed(
        addresses=frozenset(
            (item.name, each)
            for item in plan.interfaces
            for each in item.addresses
        ),
        routes=frozenset(
            (item.name, _learned(each))
            for item in plan.interfaces
            for each in item.routes
        ),
        rules=frozenset((*built_in, *plan.rules())),
    )


def _learned(route: Route) -> Route:
    via = address("fe80::1") if route.via == LEARNED else route.via
    return replace(route, via=via)


def netplan_file(name: str, ethernets: dict[str, Any]) -> NetplanFile:
    """Make a file of /etc/netplan with these netdefs."""
    content = {"network": {"version": 2, "ethernets": ethernets}}
    return NetplanFile(name, Path("/etc/netplan") / name, content)


def texts(files: Sequence[File]) -> dict[str, str | None]:
    """Map path to text."""
    return {str(file.path): file.text for file in files}


class Socket:
    """Stands in for systemd, and has the socket of cloud-init's hotplug.

    Attributes:
        unit: its properties; an error is raised.
        calls: what systemctl was told.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.unit: dict[str, str] | CommandError = {
            "ActiveState": "inactive",
            "UnitFileState": "enabled",
        }
        self.calls: list[str] = []
        patch.setattr(follow, "read_unit", self.read_unit)
        patch.setattr(follow, "run", self.run)

    def read_unit(self, name: str, *_: str) -> dict[str, str]:
        """Show it."""
        assert name == follow.SOCKET
        if isinstance(self.unit, CommandError):
            raise self.unit
        return self.unit

    def run(self, argv: Sequence[str]) -> str:
        """Start it, or stop it."""
        self.calls.append(" ".join(argv))
        if isinstance(self.unit, CommandError):
            raise self.unit
        state = "active" if "start" in argv else "inactive"
        self.unit = {**self.unit, "ActiveState": state}
        return ""


class FakeRun:
    """Stands in for run(): notes commands, and says what it was told to.

    Attributes:
        calls: every command so far, its words joined by spaces.
        outputs: how a command begins -> what it prints, or the error.
    """

    def __init__(self, **outputs: str | Exception) -> None:
        self.calls: list[str] = []
        self.outputs: dict[str, str | Exception] = dict(outputs)

    def __call__(self, argv: Sequence[str], **_: Any) -> str:
        """Take a command."""
        command = " ".join(argv)
        self.calls.append(command)
        for start, output in self.outputs.items():
            if command.startswith(start):
                if isinstance(output, Exception):
                    raise output
                return output
        return ""
