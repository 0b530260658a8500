# SPDX-License-Identifier: Apache-2.0
"""A gateway counts as there when it answers now, on a real kernel.

  host                     gateway
10.9.9.2 eth0 ====== eth0 10.9.9.1
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.lab.host import REPO
from tests.lab.netns import Netns

pytestmark = pytest.mark.netns

HOST, GATEWAY = "10.9.9.2", "10.9.9.1"
ASK = (
    "import sys; from cc_multihome.apply.probes import ask_neighbour;"
    "print(ask_neighbour(sys.argv[1], 'eth0', float(sys.argv[2])))"
)
ENTRY = f"neigh replace {GATEWAY} dev eth0"
# An answer may take its time on a busy machine; the kernel asks for 3 s.
YES_S, NO_S = 30.0, 5.0


@pytest.fixture
def ends(new_netns: Callable[[], Netns]) -> tuple[Netns, Netns]:
    """The host and its gateway."""
    host, gateway = new_netns(), new_netns()
    host.ip(
        [
            f"link add eth0 type veth peer name eth0 netns {gateway.name}",
            f"address add {HOST}/24 dev eth0",
            "link set eth0 up",
        ]
    )
    gateway.ip([f"address add {GATEWAY}/24 dev eth0", "link set eth0 up"])
    return host, gateway


def is_there(host: Netns, within: float) -> bool:
    """Ask with the module's own probe."""
    argv = ["env", f"PYTHONPATH={REPO}", sys.executable, "-c", ASK]
    return host.run([*argv, GATEWAY, str(within)]).strip() == "True"


def mac_of(netns: Netns) -> str:
    """Return the MAC of its end."""
    return netns.run(["cat", "/sys/class/net/eth0/address"]).strip()


@pytest.mark.parametrize("state", ["none", "stale", "reachable", "failed"])
def test_whatever_is_remembered_the_gateway_is_asked(
    ends: tuple[Netns, Netns], state: str
) -> None:
    """It answers; then it is dead, with the same entry as before."""
    host, gateway = ends
    mac = f"lladdr {mac_of(gateway)}" if state != "failed" else ""
    remember = [f"{ENTRY} {mac} nud {state}"] if state != "none" else []
    host.ip(remember)
    assert is_there(host, YES_S)
    host.ip(["neigh flush all", *remember])
    gateway.ip(["link set eth0 arp off"])
    assert not is_there(host, NO_S)


def test_an_entry_of_an_administrators_is_left_alone(
    ends: tuple[Netns, Netns],
) -> None:
    """It says where the gateway is, and nobody has to answer."""
    host, gateway = ends
    gateway.ip(["link set eth0 arp off"])
    host.ip([f"{ENTRY} lladdr {mac_of(gateway)} nud permanent"])
    assert is_there(host, YES_S)
    assert "PERMANENT" in host.run(["ip", "neigh", "show"])
