# SPDX-License-Identifier: Apache-2.0
"""A published port answers by the ENI that it was reached by.

    client 203.0.113.9 -+- private 10.0.0.10 ---------- docker0 -- container
          (`far`)       +- public  10.0.1.10, default --+           172.17.0.2

The container's replies have its own address while they are routed: without
the connection marks they leave by the default, public.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from cc_multihome.model import Plan
from cc_multihome.render.nftables import table
from tests.lab.netns import Netns
from tests.netns.namespace import route_commands, rule_words
from tests.unit.builders import eni, instance, plan_for

pytestmark = pytest.mark.netns

CLIENT = "203.0.113.9"
ADDRESSES = {"private": "10.0.0.10", "public": "10.0.1.10"}
KEY = {
    "interfaces": {
        "private": {"device_number": 0, "table": 10},
        "public": {"device_number": 1, "table": 20},
    },
    "default": "public",
    "containers": True,
}
# As Docker's, at dstnat.
DNAT = """
table ip docker {
  chain pre {
    type nat hook prerouting priority -100;
    ip daddr { 10.0.0.10, 10.0.1.10 } tcp dport 80 dnat to 172.17.0.2:80
  }
}
"""
SERVE = (
    "import socket; s = socket.create_server(('', 80));\n"
    "while True: s.accept()[0].sendall(b'hello')"
)
ASK = (
    "import socket, sys; s = socket.socket(); s.settimeout(2);"
    "s.bind(('203.0.113.9', 0)); s.connect((sys.argv[1], 80));"
    "print(s.recv(9).decode())"
)


@pytest.fixture
def plan() -> Plan:
    """Two ENIs in two subnets; the second one has the default route."""
    host = instance(eni(0, "10.0.0.10"), eni(1, "10.0.1.10"))
    made = plan_for(KEY, host)
    return replace(made, ifgroup=31000)


@pytest.fixture
def spaces(
    new_netns: Callable[[], Netns], plan: Plan
) -> tuple[Netns, Netns, Netns]:
    """The host with the plan, the far side, and a container that serves."""
    host, far, inside = new_netns(), new_netns(), new_netns()
    commands = ["link add docker0 type bridge", "link set docker0 up"]
    commands += ["address add 172.17.0.1/16 dev docker0", "link set lo up"]
    for name, address in ADDRESSES.items():
        commands += [
            f"link add {name} type veth peer name {name} netns {far.name}",
            f"link set {name} group {plan.ifgroup}",
            f"address add {address}/24 dev {name}",
            f"link set {name} up",
        ]
    commands += [
        f"link add port type veth peer name eth0 netns {inside.name}",
        "link set port master docker0 up",
    ]
    host.ip(commands)
    far.ip(
        [
            "link set lo up",
            f"address add {CLIENT}/32 dev lo",
            *(f"link set {name} up" for name in ADDRESSES),
            "address add 10.0.0.1/24 dev private",
            "address add 10.0.1.1/24 dev public",
        ]
    )
    inside.ip(
        [
            "address add 172.17.0.2/16 dev eth0",
            "link set eth0 up",
            "route add default via 172.17.0.1",
        ]
    )
    for item in plan.interfaces:
        host.ip([*route_commands(item, 4)])
    host.ip([f"rule add {rule_words(rule)}" for rule in plan.rules()])
    host.sysctl("net.ipv4.ip_forward=1")
    # What EC2's source check does: an answer by the other ENI is lost.
    for name in ADDRESSES:
        far.sysctl(f"net.ipv4.conf.{name}.rp_filter=0")
    far.nft(CHECK)
    host.nft(DNAT)
    return host, far, inside


CHECK = """
table ip ec2 {
  chain pre {
    type filter hook prerouting priority -300;
    iifname "private" ip saddr != 10.0.0.0/24 drop
    iifname "public" ip saddr != 10.0.1.0/24 drop
  }
}
"""


@contextmanager
def serving(inside: Netns, program: str = SERVE) -> Iterator[None]:
    """Serve in the container."""
    argv = inside.argv([sys.executable, "-c", program])
    with subprocess.Popen(argv) as server:
        try:
            inside.wait_for_listener(server, port=80)
            yield
        finally:
            server.kill()


def answers(far: Netns, address: str, program: str = ASK) -> bool:
    """Ask the published port."""
    argv = far.argv([sys.executable, "-c", program, address])
    done = subprocess.run(argv, capture_output=True, check=False)
    return done.stdout == b"hello\n"


def test_a_published_port_answers_by_each_eni(
    spaces: tuple[Netns, Netns, Netns], plan: Plan
) -> None:
    """With the table; without it only by the default."""
    host, far, inside = spaces
    host.nft(table(plan) or "")
    with serving(inside):
        for address in ADDRESSES.values():
            assert answers(far, address), address
        # Negative twin.
        host.run(["nft", "delete", "table", "inet", "multihome"])
        assert answers(far, ADDRESSES["public"])
        assert not answers(far, ADDRESSES["private"])
