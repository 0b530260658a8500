# SPDX-License-Identifier: Apache-2.0
"""Two ENIs in one subnet: what the kernel's settings change, by capture.

    host: east 10.0.9.10, .12 == |        | 10.0.9.1, the subnet's router,
          west 10.0.9.11      == | bridge | 203.0.113.9 behind it
          docker0 172.17.0.1 (a container at .2, DNAT to it)

The segment lets everything pass and counts by the port that it came in at;
EC2's own checks, which would hide what is wrong, are in tests/lab. Every
setting is seen to be needed: the same traffic goes wrong without it.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cc_multihome.apply.sysctl import KEYS
from cc_multihome.errors import CommandError
from cc_multihome.model import Plan
from tests.lab.host import REPO
from tests.lab.netns import Netns, wait_until
from tests.netns.namespace import (
    PEER,
    SEND,
    install,
    neighbours,
    veth_commands,
)
from tests.unit.builders import eni, instance, link, plan_for

pytestmark = pytest.mark.netns

SUBNET = "10.0.9.0/24"
EAST, EAST_TOO, WEST = "10.0.9.10", "10.0.9.12", "10.0.9.11"
ROUTER, REMOTE = "10.0.9.1", "203.0.113.9"
NOBODY = "10.0.9.99"
CONTAINER = "172.17.0.2"
SEND_BY = (
    "import socket, sys; s = socket.socket(type=socket.SOCK_DGRAM);"
    "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1);"
    "s.setsockopt(socket.SOL_SOCKET, 25, sys.argv[3].encode());"
    "s.bind((sys.argv[1], 0)); s.sendto(b'x', (sys.argv[2], 9))"
)
COUNTERS = """
table bridge segment {
  counter reply_east { }
  counter reply_west { }
  counter wrong_name_east { }
  chain sent {
    type filter hook prerouting priority 0
    iifname p-east arp operation reply counter name reply_east
    iifname p-west arp operation reply counter name reply_west
    iifname p-east arp operation request arp saddr ip 10.0.9.11 \
counter name wrong_name_east
  }
}
"""
TO_CONTAINER = f"""
table ip published {{
  counter arrived {{ }}
  chain pre {{
    type nat hook prerouting priority -100
    udp dport 9 dnat to {CONTAINER}
  }}
  chain pass {{
    type filter hook forward priority 0
    oifname docker0 counter name arrived
  }}
}}
"""
DOCKER = (
    *veth_commands("docker0"),
    "address add 172.17.0.1/16 dev docker0",
    *neighbours((CONTAINER, "docker0")),
)
# The module's own functions, in the namespace; its record goes elsewhere.
MODULE = """
import pickle, sys
from pathlib import Path
from cc_multihome.apply import sysctl
from cc_multihome.apply.checkpoint import Checkpoint
sysctl.FORMER_VALUES = Path(sys.argv[2])
plan = pickle.loads(bytes.fromhex(sys.stdin.read()))
if sys.argv[1] == "restore":
    sysctl.restore_sysctls()
else:
    changes = sysctl.find_sysctls(plan)
    print(len(changes))
    if sys.argv[1] != "find" and changes:
        with Checkpoint() as checkpoint:
            sysctl.apply_sysctls(changes, checkpoint)
            if sys.argv[1] == "fail":
                raise RuntimeError("as if verifying had failed")
"""


@dataclass(frozen=True)
class Pair:
    """The host and the segment that both of its ENIs are in."""

    host: Netns
    segment: Netns

    def counter(self, name: str) -> int:
        """Return what the segment has counted."""
        return counter(self.segment, "bridge segment", name)

    def dropped_by_reverse_path(self) -> int:
        """Return the host's count of packets that rp_filter dropped."""
        text = self.host.run(["cat", "/proc/net/netstat"])
        names, values = (
            line.split()
            for line in text.splitlines()
            if line.startswith("TcpExt:")
        )
        return int(values[names.index("IPReversePathFilter")])

    def udp_without_port(self) -> int:
        """Return how many datagrams have reached the host."""
        text = self.host.run(["cat", "/proc/net/snmp"])
        names, values = (
            line.split()
            for line in text.splitlines()
            if line.startswith("Udp:")
        )
        return int(values[names.index("NoPorts")])

    def ask_arp(self, address: str) -> tuple[int, int]:
        """Let the router look for an address: answers by east, by west."""
        self.segment.ip(["neigh flush dev segment"])
        before = self.counter("reply_east"), self.counter("reply_west")
        send(self.segment, ROUTER, address)
        wait_until(
            lambda: (
                self.counter("reply_east") + self.counter("reply_west")
                > sum(before)
            ),
            what=f"an answer for {address}",
        )
        time.sleep(0.2)  # for an answer too many
        return (
            self.counter("reply_east") - before[0],
            self.counter("reply_west") - before[1],
        )


def counter(netns: Netns, table: str, name: str) -> int:
    """Read a named counter of nftables."""
    argv = ["nft", "-j", "list", "counter", *table.split(), name]
    found = json.loads(netns.run(argv))["nftables"]
    return int(found[-1]["counter"]["packets"])


def send(netns: Netns, source: str, to: str, device: str = "") -> None:
    """Send one datagram, from a device if one is named."""
    script = SEND_BY if device else SEND
    netns.run([sys.executable, "-c", script, source, to, device])


def the_plan() -> Plan:
    """Plan for the two ENIs."""
    key = {
        "interfaces": {
            "east": {"device_number": 0},
            "west": {"device_number": 1},
        },
        "resolver": "keep",
    }
    host = instance(
        eni(0, EAST, EAST_TOO, subnet=SUBNET), eni(1, WEST, subnet=SUBNET)
    )
    links = (link("east", eni(0).mac), link("west", eni(1).mac, ifindex=3))
    return plan_for(key, host, links)


@pytest.fixture
def pair(new_netns: Callable[[], Netns]) -> Pair:
    """Make both namespaces, with the plan in force and nothing else set."""
    made = Pair(new_netns(), new_netns())
    for netns in (made.host, made.segment):
        netns.sysctl(
            "net.ipv6.conf.all.disable_ipv6=1",
            "net.ipv6.conf.default.disable_ipv6=1",
            # A namespace has them from the machine.
            *(
                f"net.ipv4.conf.{which}.{key}=0"
                for which in ("all", "default")
                for key in KEYS
            ),
        )
    plan = the_plan()
    install(made.host, plan)
    made.segment.ip(
        [
            "link set lo up",
            "link add segment type bridge",
            f"address add {ROUTER}/24 dev segment",
            f"address add {REMOTE}/32 dev lo",
            "link set segment up",
        ]
    )
    for name in ("east", "west"):
        made.host.ip(
            [
                f"link set {PEER}{name} down",
                f"link set {PEER}{name} name p-{name}",
                f"link set p-{name} netns {made.segment.name}",
            ]
        )
        made.segment.ip([f"link set p-{name} master segment up"])
    # A port that has just come up lets nothing through for a moment.
    wait_until(
        lambda: made.segment.run(["bridge", "link"]).count("forwarding") == 2,
        what="both ports of the segment",
    )
    made.segment.nft(COUNTERS)
    return made


def set_all(pair: Pair, **values: int) -> None:
    """Set values of both ENIs."""
    pair.host.sysctl(
        *(
            f"net.ipv4.conf.{name}.{key}={value}"
            for name in ("east", "west")
            for key, value in values.items()
        )
    )


def values_of(pair: Pair, name: str) -> dict[str, int]:
    """Read the values of one ENI."""
    return {
        key: int(
            pair.host.run(["cat", f"/proc/sys/net/ipv4/conf/{name}/{key}"])
        )
        for key in KEYS
    }


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param(EAST, (1, 0), id="east"),
        pytest.param(EAST_TOO, (1, 0), id="east's second"),
        pytest.param(WEST, (0, 1), id="west"),
    ],
)
def test_arp_is_answered_by_the_right_eni_only(
    pair: Pair, address: str, expected: tuple[int, int]
) -> None:
    """Also for an address that is configured as /32."""
    set_all(pair, arp_ignore=1)
    assert pair.ask_arp(address) == expected


def test_without_arp_ignore_both_enis_answer(pair: Pair) -> None:
    """Negative twin: whose answer comes last has the address."""
    assert pair.ask_arp(WEST) == (1, 1)


@pytest.mark.parametrize(("announce", "wrong"), [(2, 0), (0, 1)])
def test_an_eni_asks_in_its_own_name_with_arp_announce_only(
    pair: Pair, announce: int, wrong: int
) -> None:
    """A socket that is bound to one ENI's address and the other's device.

    The second case is the negative twin.
    """
    set_all(pair, arp_announce=announce)
    send(pair.host, WEST, NOBODY, "east")
    time.sleep(0.2)
    assert pair.counter("wrong_name_east") == wrong


def test_a_strict_reverse_path_filter_lets_unicast_through(
    pair: Pair,
) -> None:
    """The rules on source address hold for the reverse path, too."""
    set_all(pair, arp_ignore=1, rp_filter=1)
    before = pair.udp_without_port()
    for address in (EAST, EAST_TOO, WEST):
        for source in (ROUTER, REMOTE):
            send(pair.segment, source, address)
    wait_until(
        lambda: pair.udp_without_port() - before >= 6, what="six datagrams"
    )
    assert pair.dropped_by_reverse_path() == 0


@pytest.mark.parametrize(("mode", "dropped"), [(2, 0), (1, 1), (0, 0)])
def test_a_strict_reverse_path_filter_drops_broadcasts(
    pair: Pair, mode: int, dropped: int
) -> None:
    """On the ENI that is not main's way to the subnet."""
    set_all(pair, rp_filter=mode)
    send(pair.segment, ROUTER, "10.0.9.255", "segment")
    time.sleep(0.2)
    assert pair.dropped_by_reverse_path() == dropped


@pytest.mark.parametrize(("mode", "arrived"), [(2, 1), (1, 0)])
def test_a_strict_reverse_path_filter_drops_what_is_for_a_container(
    pair: Pair, mode: int, arrived: int
) -> None:
    """It comes in by the ENI that does not hold main's default."""
    pair.host.sysctl("net.ipv4.ip_forward=1")
    pair.host.ip(DOCKER)
    pair.host.nft(TO_CONTAINER)
    set_all(pair, arp_ignore=1, rp_filter=mode)
    send(pair.segment, REMOTE, WEST)
    time.sleep(0.2)
    assert counter(pair.host, "ip published", "arrived") == arrived


def test_the_module_sets_what_is_needed_and_puts_it_back(
    pair: Pair, tmp_path: Path
) -> None:
    """Once for each ENI; a stricter value of the administrator's stays."""
    record = tmp_path / "sysctl.json"
    pair.host.sysctl(
        "net.ipv4.conf.east.rp_filter=1", "net.ipv4.conf.west.arp_ignore=2"
    )
    before = values_of(pair, "east"), values_of(pair, "west")
    assert module(pair, "apply", record) == "4"
    assert values_of(pair, "east") == dict(zip(KEYS, (1, 2, 2), strict=True))
    assert values_of(pair, "west") == dict(zip(KEYS, (2, 2, 0), strict=True))
    assert pair.ask_arp(WEST) == (0, 1)
    assert module(pair, "find", record) == "0"
    module(pair, "restore", record)
    assert (values_of(pair, "east"), values_of(pair, "west")) == before
    assert not record.exists()


def test_a_failed_apply_puts_the_settings_back(
    pair: Pair, tmp_path: Path
) -> None:
    """As every other step."""
    record = tmp_path / "sysctl.json"
    before = values_of(pair, "east"), values_of(pair, "west")
    with pytest.raises(CommandError, match="as if verifying had failed"):
        module(pair, "fail", record)
    assert (values_of(pair, "east"), values_of(pair, "west")) == before
    assert not record.exists()


def test_an_eni_that_is_alone_again_gets_its_settings_back(
    pair: Pair, tmp_path: Path
) -> None:
    """The other one was detached; what somebody changed stays."""
    record = tmp_path / "sysctl.json"
    before = values_of(pair, "east")
    module(pair, "apply", record)
    pair.host.sysctl("net.ipv4.conf.west.arp_announce=1")
    alone = tuple(
        replace(item, shares_subnet=False) for item in the_plan().interfaces
    )
    plan = replace(the_plan(), interfaces=alone)
    assert module(pair, "apply", record, plan) == "3"
    assert values_of(pair, "east") == before
    assert values_of(pair, "west")["arp_announce"] == 1
    module(pair, "restore", record)
    assert values_of(pair, "west")["arp_announce"] == 1
    assert not record.exists()


def module(
    pair: Pair, what: str, record: Path, plan: Plan | None = None
) -> str:
    """Call the module's functions on a plan, in the host's namespace."""
    argv = ["env", f"PYTHONPATH={REPO}", sys.executable, "-c", MODULE]
    stdin = pickle.dumps(plan or the_plan()).hex()
    return pair.host.run([*argv, what, str(record)], stdin).strip()
