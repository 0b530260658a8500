# SPDX-License-Identifier: Apache-2.0
"""A service of the guest's that says what mark its socket has."""

from __future__ import annotations

from tests.lab.instance import LabInstance

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
