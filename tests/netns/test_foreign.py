# SPDX-License-Identifier: Apache-2.0
"""The kernel takes back word for word what it said of others' rules."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.lab.host import REPO
from tests.lab.netns import Netns

pytestmark = pytest.mark.netns

RULES = """
rule add priority 512 to 172.19.0.5 lookup main
rule add priority 1024 fwmark 0x80/0x80 lookup main
rule add priority 1536 from 172.19.0.5 lookup 2
rule add priority 1537 not from 172.19.0.0/16 iif lo lookup 2 protocol 0
rule add priority 1538 uidrange 100-200 ipproto tcp dport 80-90 lookup 300
rule add priority 1539 oif d0 lookup main suppress_prefixlength 8
rule add priority 1540 from 192.0.2.0/24 tos 0x10 prohibit
rule add priority 1541 goto 1600
rule add priority 1600 from 192.0.2.7 blackhole
-6 rule add priority 1700 from 2001:db8:77::/64 lookup 79
"""
ROUTES = """
route add 10.99.0.0/16 via 172.19.0.9 dev d0
route add 10.98.0.0/16 via 172.19.0.9 dev d0 table 77 metric 5 mtu 1400
route add 10.97.0.0/16 dev d0 scope link src 172.19.0.1 table 300
route add blackhole 10.95.0.0/16
route add 10.94.0.0/16 table 77 nexthop via 172.19.0.9 dev d0 weight 3
 nexthop via 172.19.0.10 dev d0 weight 5
route add 203.0.113.1 via 192.0.2.1 dev d0 onlink
route add 10.93.0.0/16 via inet6 fe80::9 dev d0
-6 route add 2001:db8:99::/48 via 2001:db8:1::9 dev d0 table 79 metric 7
-6 route add unreachable 2001:db8:98::/48
"""
READ = "from cc_multihome.discover.foreign import *; import pickle, sys; "
REMEMBER = f"{READ}sys.stdout.write(pickle.dumps(read_foreign()).hex())"
GIVE_BACK = f"""{READ}
from cc_multihome.apply.foreign import give_back
print(give_back(pickle.loads(bytes.fromhex(sys.stdin.read()))))"""


def python(netns: Netns, code: str, stdin: str = "") -> str:
    """Run a program of this checkout inside."""
    argv = ["env", f"PYTHONPATH={REPO}", sys.executable, "-c", code]
    return netns.run(argv, stdin)


def shown(netns: Netns) -> list[Any]:
    """Return all rules and routes as `ip` knows them."""
    found = []
    for words in ("-4 rule", "-6 rule", "-4 route", "-6 route"):
        table = ["table", "all"] if "route" in words else []
        argv = ["ip", "-N", "-j", "-d", *words.split(), "show", *table]
        found.append(sorted(map(repr, json.loads(netns.run(argv) or "[]"))))
    return found


@pytest.fixture
def busy(netns: Netns) -> Netns:
    """A namespace with rules and routes of every kind."""
    netns.sysctl("net.ipv6.conf.all.disable_ipv6=0")
    netns.sysctl("net.ipv6.conf.default.disable_ipv6=0")
    netns.ip(
        (
            "link set lo up",
            "link add d0 type veth peer name d1",
            "link set d1 up",
            "link set d0 up",
            "addr add 172.19.0.1/24 dev d0",
            "addr add 2001:db8:1::1/64 dev d0 nodad",
        )
    )
    for line in (*lines(RULES), *lines(ROUTES)):
        netns.run(["ip", *line.split()])
    return netns


def lines(text: str) -> list[str]:
    """Return the commands; a line that is indented goes on."""
    return text.replace("\n ", " ").strip().splitlines()


def test_what_was_dropped_comes_back_word_for_word(busy: Netns) -> None:
    """Marks, ports, users, several next hops, no protocol: all of it."""
    before = shown(busy)
    kept = python(busy, REMEMBER)
    for line in lines(RULES):
        family = ["-6"] if line.startswith("-6") else []
        number = line.split("priority ")[1].split()[0]
        busy.run(["ip", *family, "rule", "del", "priority", number])
    flush = "route flush table all protocol boot"
    for option in ("-4", "-6"):
        busy.run(["ip", option, *flush.split()])
    assert before != shown(busy)

    assert "{}" == python(busy, GIVE_BACK, kept).strip()
    assert before == shown(busy)


def test_what_is_there_is_not_doubled(busy: Netns) -> None:
    """Giving back twice is giving back once."""
    before = shown(busy)
    kept = python(busy, REMEMBER)
    python(busy, GIVE_BACK, kept)

    assert before == shown(busy)
