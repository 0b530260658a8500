# SPDX-License-Identifier: Apache-2.0
"""Pins of services and users: a mark that a socket has, a packet's way."""

from __future__ import annotations

from collections.abc import Sequence

from tests.lab.far_server import COMPANY, GUEST, INTERNET
from tests.lab.flows import Flow, build_flows, run_flows
from tests.lab.instance import LabInstance
from tests.lab.user_data import Intent
from tests.lab.vpc import Runner

DROP_IN = "/etc/multihome.d/50-test.yaml"
APPLY, REFRESH = "multihome apply", "systemctl start multihome-refresh"
# SO_MARK is 36.
STAYS = """
[Service]
ExecStartPre=/bin/rm -f /run/stays
ExecStart=/usr/bin/python3 -c "import socket, time; \\
 s = socket.socket(); m = hex(s.getsockopt(1, 36)); \\
 print(m, file=open('/run/stays', 'w'), flush=True); time.sleep(9999)"
"""


def configure(host: LabInstance, text: str, *, apply: str = APPLY) -> None:
    """Put a file beside the user-data and apply it."""
    host.vm.run("mkdir -p /etc/multihome.d")
    host.vm.agent.put(text.encode(), DROP_IN)
    host.vm.run(apply, timeout=200)


def unbound(intent: Intent, *, by: str | None = None) -> list[Flow]:
    """Make the flows of a guest's sockets that are bound to no address.

    Args:
        by: the ENI that must carry them all, whatever the intent says.
    """
    flows = build_flows(
        intent.shape,
        default=by or intent.default,
        policy=dict.fromkeys(intent.policy, by) if by else intent.policy,
        unnamed=intent.unnamed,
        unnamed_ipv6=intent.unnamed_ipv6,
        kinds=("tcp", "udp"),
    )
    return [it for it in flows if it.id.startswith("out unbound ")]


def wrong(
    host: LabInstance, flows: Sequence[Flow], guest: Runner | None = None
) -> list[str]:
    """Send flows, and say which went wrong; `guest` runs those from it."""
    host.vpc.reset_counters()
    runners: dict[str, Runner] = {
        GUEST: guest or host.guest,
        INTERNET: host.vpc.runner(INTERNET),
        COMPANY: host.vpc.runner(COMPANY),
    }
    verdicts = run_flows(flows, runners, host.vpc.capture)
    dropped = sum(it.src for it in host.vpc.counters().values())
    found = [it.detail for it in verdicts if not it.ok]
    return found + ([f"{dropped} packets dropped"] if dropped else [])


def as_user(
    host: LabInstance, name: str, argv: Sequence[str], stdin: str
) -> str:
    """Run a command in the guest as a user; the shape of vpc.Runner."""
    become = ["setpriv", f"--reuid={name}", "--clear-groups"]
    return host.guest([*become, *argv], stdin)


def start_service(host: LabInstance) -> None:
    """Start stays.service."""
    host.vm.agent.put(STAYS.encode(), "/etc/systemd/system/stays.service")
    host.vm.run("systemctl daemon-reload; systemctl start stays")


def mark_of(host: LabInstance, expected: str) -> str:
    """Return the mark of its socket, once it is that or the time is up."""
    poll = f"grep -qsx {expected} /run/stays && break; sleep 0.2"
    loop = f"for i in $(seq 100); do {poll}; done; cat /run/stays"
    return host.vm.run(loop, check=False).out.strip()


def assert_pin_stays(host: LabInstance) -> None:
    """Pin a service that runs; it starts again, as often as you like."""
    start_service(host)
    assert "0x0" == mark_of(host, "0x0")
    configure(host, "services: {stays.service: public}\n")
    assert "0x1002" == mark_of(host, "0x1002")
    for command in ("restart stays", "daemon-reload", "restart stays"):
        host.vm.run(f"systemctl {command}")
    assert "0x1002" == mark_of(host, "0x1002")
    # From within the sandbox of the unit that follows changes.
    configure(host, "services: {stays.service: private}\n", apply=REFRESH)
    assert "0x1001" == mark_of(host, "0x1001")
