# SPDX-License-Identifier: Apache-2.0
"""When a guest has booted, as its agent tells."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.lab.guest import Agent
from tests.lab.host import LabError

SETTLED = ("running", "degraded")
GOOD = ("done", "running")
# For the reader of a failed test: the guest is gone by then.
EXPLAIN = """cloud-init status --long
systemctl --no-legend --failed
grep -n -A25 -E 'multihome|Traceback' /var/log/cloud-init.log | tail -n 120
journalctl --no-pager -o short-monotonic -u systemd-networkd \
    -u systemd-networkd-wait-online | tail -n 70
ip -br link; ip -br address; ip rule; ls -l /run/netplan /run/systemd/network
"""
DISABLED = "disabled"
# cloud-init's last stage writes the one, its generator the other.
RESULT = (
    "cat /run/cloud-init/result.json ||"
    f" {{ test -e /run/cloud-init/disabled && echo {DISABLED}; }}"
)


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

    Not by `cloud-init status --wait`: under emulation that takes as long as
    an eighth of the boot which it waits for.

    Returns:
        cloud-init's status and systemd's, as Boot has them.

    Raises:
        LabError: they did not end in time, or systemd is in another state.
    """
    # cloud-init's last stage is one of the jobs that systemd waits for.
    system = agent.run(
        "systemctl is-system-running --wait", check=False, timeout=timeout
    ).out.strip()
    if system not in SETTLED:
        raise LabError(
            f"the system ended up {system!r}, "
            f"expected one of {', '.join(SETTLED)}"
        )
    return parse_status(agent.run(RESULT, check=False).out), system


def explain(agent: Agent, status: str, system: str) -> str:
    """Return what the guest says of a boot that did not end well."""
    if (status, system) == GOOD:
        return ""
    return agent.run(EXPLAIN, check=False).out


def parse_status(text: str) -> str:
    """Return cloud-init's status from what RESULT prints.

    Recoverable errors are none, as `cloud-init status` sees it.
    """
    if text.strip() == DISABLED:
        return DISABLED
    try:
        errors = json.loads(text)["v1"]["errors"]
    except (ValueError, LookupError, TypeError):
        return "unknown"
    return "error" if errors else "done"
