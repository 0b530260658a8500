# SPDX-License-Identifier: Apache-2.0
"""A VM that one package test after another changes: what they share."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.boot import Boot
from tests.lab.instance import LabInstance
from tests.lab.pinging import Pings, pinging
from tests.lab.user_data import SEED_INTENT
from tests.vm.cloud_init import assert_content, read_status
from tests.vm.state import read_state


@dataclass
class PackageHost:
    """The VM, and what earlier tests found on it.

    Attributes:
        data: the user-data that it booted with.
        boot: how it did.
        stock: its network without the key; {} where no test looked.
        deb: the package that it has.
    """

    suite: str
    it: LabInstance
    data: str
    boot: Boot
    deb: Path
    stock: dict[str, Any] = field(default_factory=dict)

    def become(self, data: str) -> None:
        """Boot again, as an instance with that user-data."""
        if data == self.data:
            return
        self.it.vpc.set_user_data(data)
        self.again(data)

    def again(self, data: str) -> None:
        """Boot as a new instance, even if the user-data is the same."""
        self.run("cloud-init clean --logs")
        self.boot, self.data = self.it.vm.reboot(), data

    def run(self, shell: str, *, timeout: float = 300.0) -> str:
        """Run a command that must succeed; return what it printed."""
        return self.it.vm.run(shell, timeout=timeout).out

    def ask(self, shell: str) -> tuple[int, str]:
        """Return the exit status and all that a command printed."""
        done = self.it.vm.run(shell, check=False, timeout=300)
        return done.status, done.out + done.err

    def status(self) -> tuple[int, dict[str, Any]]:
        """Return the exit status and the JSON of `cloud-init status`."""
        return read_status(self.it)

    def assert_done(self) -> None:
        """cloud-init is content: exit status 0, and not a word."""
        assert_content(self.it, self.boot.why)

    def schema(self, data: str) -> tuple[tuple[int, str], ...]:
        """Return what `cloud-init schema` says: of the host, of a file."""
        self.it.vm.agent.put(data.encode(), "/root/data.yaml")
        return (
            self.ask("cloud-init schema --system"),
            self.ask("cloud-init schema --config-file /root/data.yaml"),
        )

    def network(self) -> dict[str, Any]:
        """Return netplan's files and the kernel's state."""
        files = self.run(
            "cd / && for f in etc/netplan/* run/netplan/*; do"
            ' [ -f "$f" ] && echo "== $f" && cat "$f"; done; true'
        )
        return {**read_state(self.it), "netplan": files}

    def pinged(self, stack: ExitStack) -> dict[str, Pings]:
        """Ping both ENIs, each from its side, until the stack is closed."""
        sides = {
            name: self.it.vpc.outside(name) for name in SEED_INTENT.tables
        }
        return {
            name: stack.enter_context(pinging(*side))
            for name, side in sides.items()
        }
