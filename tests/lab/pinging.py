# SPDX-License-Identifier: Apache-2.0
"""Pings that go on while something else happens, and what was lost."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.netns import Netns

PINGER = Path(__file__).with_name("pinger.py")
STOP_TIMEOUT_S = 10.0


@dataclass
class Pings:
    """What came of the pings; complete after the block has ended.

    Attributes:
        longest_gap_s: between two answers, in seconds.
    """

    sent: int = 0
    received: int = 0
    longest_gap_s: float = 0.0

    @property
    def lost(self) -> int:
        """How many were not answered."""
        return self.sent - self.received


@contextmanager
def pinging(
    netns: Netns, address: str, *, rate: float = 10.0
) -> Iterator[Pings]:
    """Ping an address from a namespace, `rate` times a second."""
    pings = Pings()
    argv = netns.argv(["python3", str(PINGER), address, str(rate)])
    child = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield pings
        printed, _ = child.communicate(timeout=STOP_TIMEOUT_S)
        for key, value in json.loads(printed).items():
            setattr(pings, key, value)
    finally:
        child.kill()
        child.wait()
