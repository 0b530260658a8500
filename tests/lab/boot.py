# SPDX-License-Identifier: Apache-2.0
"""When a guest has booted, as its agent tells."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.lab.guest import Agent
from tests.lab.host import LabError

SETTLED = ("running", "degraded")
GOOD = ("done", "running")
# For the reader of a failed test: the guest is gone by then.
EXPLAIN = """cloud-init status --long
systemctl --no-legend --failed
grep -n -A25 -E 'multihome|Traceback' /var/log/cloud-init.log | tail -n 120
journalctl --no-pager -o short-monotonic -u systemd-networkd | tail -n 60
ip -br link; ip -br address; ip rule; ls -l /run/netplan /run/systemd/network
"""
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
        why: what cloud-init and systemd say of a status that is not the
            good one; empty when both are good.
    """

    agent_s: float
    settled_s: float
    cloud_init: str
    system: str
    why: str = ""


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


def explain(agent: Agent, status: str, system: str) -> str:
    """Return what the guest says of a boot that did not end well."""
    if (status, system) == GOOD:
        return ""
    return agent.run(EXPLAIN, check=False).out


def parse_status(text: str) -> str:
    """Return the word after `status:`; `--wait` prints dots before it."""
    for line in text.splitlines():
        head, _, word = line.partition("status:")
        if word and not head.strip(". "):
            return word.strip()
    return text.strip() or "unknown"
