# SPDX-License-Identifier: Apache-2.0
"""Over IPv6, too, a published port answers by the ENI it was reached by.

test_containers.py in the other family; each address is 2001:db8:0:...:

    client f::9 -+- private 10::5 ---------- docker0 -- container d::2
     (`far`)     +- public  11::5, default --+  d::1
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from cc_multihome.model import Plan
from cc_multihome.render.nftables import table
from tests.lab.netns import Netns, wait_until
from tests.netns.namespace import ROUTER, route_commands, rule_words
from tests.netns.test_containers import KEY, answers, serving
from tests.unit.builders import eni, instance, plan_for, with_ipv6

pytestmark = pytest.mark.netns

CLIENT, CONTAINER = "2001:db8:0:f::9", "2001:db8:0:d::2"
ADDRESSES = {"private": "2001:db8:0:10::5", "public": "2001:db8:0:11::5"}
# As Docker's, at dstnat.
DNAT = f"""
table ip6 docker {{
  chain pre {{
    type nat hook prerouting priority -100;
    ip6 daddr {{ {", ".join(ADDRESSES.values())} }} tcp dport 80 \\
      dnat to [{CONTAINER}]:80
  }}
}}
"""
# What EC2's source check does: an answer by the other ENI is lost.
CHECK = """
table ip6 ec2 {
  chain pre {
    type filter hook prerouting priority -300;
    iifname "private" ip6 saddr 2001:db8:0:11::/64 drop
    iifname "public" ip6 saddr 2001:db8:0:10::/64 drop
  }
}
"""
ASK = (
    "import socket, sys;"
    f"s = socket.create_connection((sys.argv[1], 80), 2, ('{CLIENT}', 0));"
    "print(s.recv(9).decode())"
)
SERVE = (
    "import socket;"
    "s = socket.create_server(('::', 80), family=socket.AF_INET6)\n"
    "while True: s.accept()[0].sendall(b'hello')"
)


@pytest.fixture
def plan() -> Plan:
    """Two ENIs in two subnets; the second one has the default route."""
    enis = (with_ipv6(eni(0)), with_ipv6(eni(1)))
    return replace(plan_for(KEY, instance(*enis)), ifgroup=31000)


@pytest.fixture
def spaces(
    new_netns: Callable[[], Netns], plan: Plan
) -> tuple[Netns, Netns, Netns]:
    """The host with the plan, the far side, and a container that serves."""
    host, far, inside = new_netns(), new_netns(), new_netns()
    host.ip(
        [
            "link set lo up",
            "link add docker0 type bridge",
            f"link add port type veth peer name eth0 netns {inside.name}",
            "link set port master docker0 up",
            "link set docker0 up",
            "address add 2001:db8:0:d::1/64 dev docker0 nodad",
        ]
    )
    inside.ip(["link set eth0 up"])
    inside.ip(
        [
            f"address add {CONTAINER}/64 dev eth0 nodad",
            "route add default via 2001:db8:0:d::1",
        ],
        "-6",
    )
    host.sysctl("net.ipv6.conf.all.forwarding=1")
    far.ip(["link set lo up", f"address add {CLIENT}/128 dev lo nodad"])
    for name, address in ADDRESSES.items():
        attach(host, far, name, address, plan.ifgroup)
    for item in plan.interfaces:
        host.ip([*route_commands(item, 6)], "-6")
    rules = [rule for rule in plan.rules() if rule.src.version == 6]
    host.ip([f"rule add {rule_words(rule)}" for rule in rules], "-6")
    far.nft(CHECK)
    host.nft(DNAT)
    return host, far, inside


def attach(
    host: Netns, far: Netns, name: str, address: str, group: int | None
) -> None:
    """Make the two ends of an ENI's link; the far one is the router."""
    host.ip(
        [
            f"link add {name} type veth peer name {name} netns {far.name}",
            f"link set {name} group {group}",
            f"link set {name} up",
            f"address add {address}/128 dev {name} nodad",
        ]
    )
    far.ip(
        [
            f"link set {name} up",
            f"address add {ROUTER}/64 dev {name} nodad",
            f"route add {address}/128 dev {name}",
        ],
        "-6",
    )


def test_a_published_port_answers_by_each_eni_over_ipv6(
    spaces: tuple[Netns, Netns, Netns], plan: Plan
) -> None:
    """With the table; without it only by the default."""
    host, far, inside = spaces
    host.nft(table(plan) or "")
    asked = partial(answers, program=ASK)
    with serving(inside, SERVE):
        for address in ADDRESSES.values():
            # Neighbours have to be found first, on a machine that is busy.
            wait_until(partial(asked, far, address), what=address)
        # Negative twin.
        host.run(["nft", "delete", "table", "inet", "multihome"])
        assert asked(far, ADDRESSES["public"])
        assert not asked(far, ADDRESSES["private"])
