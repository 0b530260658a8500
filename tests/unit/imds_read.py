# SPDX-License-Identifier: Apache-2.0
"""Reads of the stub with pauses that a test can wait for."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cc_multihome.discover.imds import read_instance
from cc_multihome.model import Instance
from tests.unit.imds_stub import MACS, PRIMARY, SECONDARY, TOKEN

PUT = f"PUT {TOKEN}"
GET_ID = "GET instance-id"
LISTING = f"GET {MACS}"
FIRST_RECORD = f"GET {MACS}{PRIMARY}/"
RECORD = f"GET {MACS}{SECONDARY}/"
IPV6 = {
    "ipv6s": "2001:db8:0:1::10",
    "subnet_ipv6_cidr_blocks": "2001:db8:0:1::/64",
    "vpc_ipv6_cidr_blocks": "2001:db8::/56",
}


@dataclass
class Clock:
    """A time that passes while somebody sleeps, and only then."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.now += seconds


def read(
    *urls: str,
    deadline_s: float = 20.0,
    settle_s: float = 0.1,
    request_timeout_s: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    seen: Instance | None = None,
    sources: Iterable[str] = (),
) -> Instance:
    """Read, and wait 1 s for what is not ready."""
    return read_instance(
        seen=seen,
        base_urls=urls,
        sources=lambda version: sources,
        deadline_s=deadline_s,
        propagation_s=1.0,
        settle_s=settle_s,
        request_timeout_s=request_timeout_s,
        first_wait_s=0.01,
        clock=clock,
        sleep=sleep,
    )


def places(instance: Instance) -> list[tuple[int, int, str]]:
    """Return where each ENI is attached, in the order of the answer."""
    return [eni.sort_key() for eni in instance.enis]


def refused_url() -> str:
    """Return a URL on which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"
