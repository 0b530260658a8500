# SPDX-License-Identifier: Apache-2.0
"""Traffic that goes on while something else happens, and what was lost."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.netns import Netns
from tests.lab.vm import Vm

HERE = Path(__file__).parent
TRAFFIC, PROBE = HERE / "traffic.py", HERE / "probe.py"
# It waits for late answers itself.
STOP_TIMEOUT_S = 30.0
SERVED_S = 3600


@dataclass
class Pings:
    """What came of the pings; complete after the block has ended.

    Attributes:
        longest_gap_s: between two answers, in seconds.
        retransmits: segments that TCP sent again; 0 for pings.
    """

    sent: int = 0
    received: int = 0
    longest_gap_s: float = 0.0
    retransmits: int = 0

    @property
    def lost(self) -> int:
        """How many were not answered."""
        return self.sent - self.received


def pinging(
    netns: Netns, address: str, *, rate: float = 10.0
) -> AbstractContextManager[Pings]:
    """Ping an address from a namespace, `rate` times a second."""
    return _going_on(netns, ["ping", address, str(rate)])


def serve_echo(vm: Vm, port: int) -> None:
    """Have a guest send back what comes to a port, for an hour."""
    vm.agent.put(TRAFFIC.read_bytes(), "/run/traffic.py")
    vm.run(f"python3 /run/traffic.py serve {port} {SERVED_S}")


def streaming(
    netns: Netns, address: str, port: int, *, rate: float
) -> AbstractContextManager[Pings]:
    """Send lines over one TCP connection to an echo server (`serve_echo`)."""
    return _going_on(netns, ["stream", address, str(port), str(rate)])


def is_answered(netns: Netns, address: str, *, within: float) -> bool:
    """Ping an address from a namespace until it answers, for `within` s."""
    probe = {"id": "ping", "kind": "ping", "dst": address, "timeout": within}
    argv = ["python3", "-", json.dumps([probe])]
    printed = json.loads(netns.run(argv, PROBE.read_text()))
    return bool(printed[0]["ok"])


@contextmanager
def _going_on(netns: Netns, words: list[str]) -> Iterator[Pings]:
    pings = Pings()
    child = subprocess.Popen(
        netns.argv(["python3", str(TRAFFIC), *words]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield pings
        printed, _ = child.communicate(timeout=STOP_TIMEOUT_S)
        for key, value in json.loads(printed).items():
            setattr(pings, key, value)
    finally:
        child.kill()
        child.wait()
