# SPDX-License-Identifier: Apache-2.0
"""When a guest has booted, as its agent tells."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.lab.guest import Agent
from tests.lab.host import LabError

SETTLED = ("running", "degraded")
# Each step gets at least this long, however late it is.
LEAST_S = 1.0


@dataclass(frozen=True)
class Boot:
    """How a boot went.

    Attributes:
        agent_s: seconds from the start (or reset) to the agent's answer.
        settled_s: the same to the end of cloud-init and of every unit's
            start.
        cloud_init: the status that cloud-init ended in: "done", "error",
            "disabled" ...
        system: "running", or "degraded": a unit failed.
    """

    agent_s: float
    settled_s: float
    cloud_init: str
    system: str


def wait_settled(agent: Agent, *, timeout: float) -> tuple[str, str]:
    """Wait for the end of cloud-init and of all that systemd starts.

    Returns:
        cloud-init's status and systemd's, as Boot has them.

    Raises:
        LabError: they did not end in time, or systemd is in another state.
    """
    deadline = time.monotonic() + timeout
    # What its exit status means differs between versions; the word does not.
    shown = agent.run(
        "cloud-init status --wait", check=False, timeout=timeout
    ).out
    left = max(deadline - time.monotonic(), LEAST_S)
    system = agent.run(
        "systemctl is-system-running --wait", check=False, timeout=left
    ).out.strip()
    if system not in SETTLED:
        raise LabError(
            f"the system ended up {system!r}, "
            f"expected one of {', '.join(SETTLED)}"
        )
    return parse_status(shown), system


def parse_status(text: str) -> str:
    """Return the word after `status:`; `--wait` prints dots before it."""
    for line in text.splitlines():
        head, _, word = line.partition("status:")
        if word and not head.strip(". "):
            return word.strip()
    return text.strip() or "unknown"
