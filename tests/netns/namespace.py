# SPDX-License-Identifier: Apache-2.0
"""Put a plan into a network namespace, and ask the kernel in it.

A veth pair stands for each ENI, its other end in the same namespace and
without an address: the kernel decides about routes, and nobody answers.
(Not every kernel has dummy devices.) networkd has no part here; tests/vm sees
to that.
"""

from __future__ import annotations

import base64
import json
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cc_multihome.model import (
    LEARNED,
    Address,
    Interface,
    Observed,
    Plan,
    PlannedInterface,
    Route,
    RoutingPolicyRule,
)
from tests.lab.host import REPO
from tests.lab.netns import Netns

# What runs inside; its answer crosses as bytes that no line break can spoil.
READ_KERNEL = (
    "import base64, pickle;"
    "from cc_multihome.discover.kernel import read_kernel;"
    "print(base64.b64encode(pickle.dumps(read_kernel())).decode())"
)
CALL = (
    "import base64, pickle, sys;"
    "function, plan = pickle.loads(base64.b64decode(sys.argv[1]));"
    "function(plan)"
)
SEND = (
    "import socket, sys; s = socket.socket(type=socket.SOCK_DGRAM);"
    "s.bind((sys.argv[1], 0)); s.sendto(b'x', (sys.argv[2], 9))"
)
PEER = "end-"
PORT = "port-"
ROUTER_MAC = "0a:00:5e:00:00:01"
# Stands for a router that nobody has told of here.
ROUTER = "fe80::800:5eff:fe00:1"


@dataclass(frozen=True)
class Answer:
    """How the kernel would send a packet.

    Attributes:
        dev: None where it is not routed at all.
        gateway: None for a destination on the link.
        source: the address that the packet would carry.
    """

    dev: str | None
    gateway: str | None
    source: str | None


@dataclass(frozen=True)
class Query:
    """One packet: where to, and the address that it is bound to, if any.

    Attributes:
        came_in: the device of a packet that is forwarded.
        uid: the user whose socket it is.
    """

    to: Address
    source: Address | None = None
    came_in: str | None = None
    uid: int | None = None

    def words(self) -> str:
        """Return what follows `ip`."""
        bound = f" from {self.source}" if self.source else ""
        came_in = f" iif {self.came_in}" if self.came_in else ""
        whose = f" uid {self.uid}" if self.uid is not None else ""
        return f"route get {self.to}{bound}{came_in}{whose}"


def device_commands(plan: Plan) -> Iterator[str]:
    """Make the ENIs and put them up, each in the group of the plan."""
    for item in plan.interfaces:
        yield from veth_commands(item.name)
        if plan.ifgroup is not None:
            yield f"link set {item.name} group {plan.ifgroup}"
        for address in item.addresses:
            flags = _flags(item, address)
            yield f"address add {address} dev {item.name}{flags}"


def _flags(item: PlannedInterface, address: Interface) -> str:
    """Deprecate what the plan's netplan file deprecates."""
    if address.version == 4:
        return ""
    first = next(it for it in item.addresses if it.version == 6)
    return " nodad" if address == first else " nodad preferred_lft 0"


def veth_commands(name: str) -> tuple[str, ...]:
    """Make a device with a carrier; deleting it deletes its other end."""
    return (
        f"link add {name} type veth peer name {PEER}{name}",
        f"link set {PEER}{name} up",
        f"link set {name} up",
    )


def route_commands(item: PlannedInterface, version: int) -> Iterator[str]:
    """Put an interface's routes in, by the link first: gateways need it."""
    for route in sorted(item.routes, key=lambda route: bool(route.via)):
        if route.to.version == version:
            yield f"route add {route_words(route)} dev {item.name}"


def route_words(route: Route) -> str:
    """Write a route as ip(8) takes it."""
    words = f"{route.to} table {route.table}"
    if route.via is not None:
        words += f" via {ROUTER if route.via == LEARNED else route.via}"
    elif route.to.version == 4:
        words += " scope link"
    words += f" metric {route.metric}" if route.metric is not None else ""
    return words + (f" src {route.prefsrc}" if route.prefsrc else "")


def rule_words(rule: RoutingPolicyRule) -> str:
    """Write a rule as ip(8) takes it."""
    words = f"from {rule.src} table {rule.table} priority {rule.priority}"
    if rule.iif is not None:
        words += f" iif {rule.iif}"
    if rule.fwmark is not None:
        words += f" fwmark {rule.fwmark:#x}/{rule.fwmask:#x}"
    if rule.uid is not None:
        words += f" uidrange {rule.uid}-{rule.uid}"
    if rule.suppress_prefixlength is not None:
        words += f" suppress_prefixlength {rule.suppress_prefixlength}"
    if rule.suppress_ifgroup is not None:
        words += f" suppress_ifgroup {rule.suppress_ifgroup}"
    return words


def install(netns: Netns, plan: Plan, more: Iterable[str] = ()) -> None:
    """Put a plan in, and more commands after it."""
    netns.ip(device_commands(plan))
    for version in (4, 6):
        commands = [
            words
            for item in plan.interfaces
            for words in route_commands(item, version)
        ]
        commands += [
            f"rule add {rule_words(rule)}"
            for rule in plan.rules()
            if rule.src.version == version
        ]
        netns.ip(commands, f"-{version}")
    netns.ip(more)


def reset(netns: Netns, plan: Plan) -> None:
    """Take a plan out: the devices go, and with them their routes."""
    gone = [f"link delete {item.name}" for item in plan.interfaces]
    # It keeps the rule with priority 0 and deletes all others.
    netns.ip([*gone, "rule flush"])
    netns.ip(
        [
            "rule add priority 32766 lookup main",
            "rule add priority 32767 lookup default",
        ]
    )
    if plan.has_ipv6():
        netns.ip(["rule flush", "rule add priority 32766 lookup main"], "-6")


def ask(netns: Netns, queries: Sequence[Query]) -> tuple[Answer, ...]:
    """Ask the kernel for each route.

    Every query needs a route (a default, say): one without is an error.
    """
    return tuple(_answer(item) for item in route_get(netns, queries))


def route_get(
    netns: Netns, queries: Sequence[Query]
) -> tuple[dict[str, Any], ...]:
    """Return what `ip -N -j route get` prints; one process for all of them.

    All of them are of one family.
    """
    lines = "".join(f"{query.words()}\n" for query in queries)
    family = f"-{queries[0].to.version}"
    text = netns.run(["ip", "-N", family, "-j", "-batch", "-"], lines)
    found = tuple(_decode(text))
    assert len(found) == len(queries), (len(found), len(queries))
    for query, item in zip(queries, found, strict=True):
        assert item["dst"] == str(query.to), (query, item)
    return found


def _decode(text: str) -> Iterator[dict[str, Any]]:
    """Read the documents that `ip -j -batch` prints one after the other."""
    decoder, start = json.JSONDecoder(), 0
    while start < len(text.rstrip()):
        items, start = decoder.raw_decode(text, start)
        yield from items
        while text[start : start + 1].isspace():
            start += 1


def _answer(item: dict[str, Any]) -> Answer:
    # For a bound packet `from` is repeated, in place of `prefsrc` or, with
    # IPv6, beside it.
    bound = item.get("from", "::")
    return Answer(
        dev=item.get("dev"),
        gateway=item.get("gateway"),
        source=item.get("prefsrc") if bound == "::" else bound,
    )


def read_inside(netns: Netns, names: Path | None = None) -> Observed:
    """Call the module's own read_kernel() inside.

    `names`: a folder that takes the place of iproute2's configuration, in
    the mount namespace of that one command.
    """
    python = [sys.executable, "-c", READ_KERNEL]
    argv = ["env", f"PYTHONPATH={REPO}", *python]
    text = netns.run(argv if names is None else with_names(names, argv))
    observed: Observed = pickle.loads(base64.b64decode(text))
    return observed


def call_inside(
    netns: Netns, function: Callable[[Plan], None], plan: Plan
) -> None:
    """Call a function of the module's inside, with a plan."""
    given = base64.b64encode(pickle.dumps((function, plan))).decode()
    python = [sys.executable, "-c", CALL, given]
    netns.run(["env", f"PYTHONPATH={REPO}", *python])


def with_names(names: Path, argv: Sequence[str]) -> list[str]:
    """Run a command with another /etc/iproute2, seen by it alone."""
    # `ip netns exec` has made a mount namespace that is no one else's.
    script = 'mount --bind "$1" /etc/iproute2 && shift && exec "$@"'
    return ["sh", "-c", script, "sh", str(names), *argv]


def neighbours(*pairs: tuple[str, str]) -> list[str]:
    """Commands that answer ARP beforehand: (address, device)."""
    return [
        f"neighbour replace {address} lladdr {ROUTER_MAC} dev {device}"
        " nud permanent"
        for address, device in pairs
    ]


def carrier_of(netns: Netns, source: str, to: str) -> str | None:
    """Send a real packet and say which device carried it, None if none."""
    before = sent_packets(netns)
    netns.run([sys.executable, "-c", SEND, source, to])
    after = sent_packets(netns)
    names = [name for name in after if after[name] > before.get(name, 0)]
    # A bridge counts the packet, and then its port does.
    return min(names, key=lambda name: name.startswith(PORT), default=None)


def sent_packets(netns: Netns) -> dict[str, int]:
    """Count the packets that each device has sent."""
    shown = json.loads(netns.run(["ip", "-j", "-s", "link", "show"]))
    return {
        item["ifname"]: int(item["stats64"]["tx"]["packets"]) for item in shown
    }
