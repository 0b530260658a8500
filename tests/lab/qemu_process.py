# SPDX-License-Identifier: Apache-2.0
"""One QEMU: started, talked to, ended, and explained when it fails."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cc_multihome.run import run as run_command
from tests.lab.cleanup import Run
from tests.lab.host import LabError, tail
from tests.lab.process import read_cpu_seconds
from tests.lab.qemu import AGENT_SOCKET, CONSOLE_LOG, DISK, QMP_SOCKET
from tests.lab.qmp import Qmp

START_TIMEOUT_S = 60.0
QUIT_TIMEOUT_S = 10.0


class QemuProcess:
    """A QEMU that runs in a namespace, its files in a directory of its own.

    Attributes:
        dir: its disk, sockets and logs.
        started: monotonic seconds of its last start.
    """

    def __init__(self, run: Run, name: str, *, netns: str) -> None:
        self._run = run
        self._name = name
        self._netns = netns
        self._child: subprocess.Popen[bytes] | None = None
        self.dir = run.dir / name
        self.started = 0.0

    def make_disk(self, backing: Path, kind: str) -> None:
        """Make its disk anew, an overlay on a file of that format."""
        self.dir.mkdir(exist_ok=True)
        run_command(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind,
             "-b", str(backing), str(self.dir / DISK)]
        )  # fmt: skip

    def copy_disk(self, target: Path) -> None:
        """Copy its disk; it must stand still."""
        disk = str(self.dir / DISK)
        run_command(["cp", "--sparse=always", disk, str(target)])

    def start(self, argv: Sequence[str]) -> None:
        """Start it and wait until its control socket is there.

        Raises:
            LabError: it ended at once (with what it printed).
        """
        for name in (AGENT_SOCKET, QMP_SOCKET):
            (self.dir / name).unlink(missing_ok=True)
        (self.dir / "command.log").write_text(shlex.join(argv) + "\n")
        self.started = time.monotonic()
        self._child = self._run.spawn(
            f"{self._name}-qemu", argv, netns=self._netns, cwd=self.dir
        )
        with self.explained():
            while not (self.dir / QMP_SOCKET).exists():
                late = time.monotonic() > self.started + START_TIMEOUT_S
                if late or not self.is_running():
                    raise LabError("QEMU did not start")
                time.sleep(0.05)

    def stop(self) -> None:
        """End it at once, as a power failure does; does no harm twice."""
        if self._child is None:
            return
        with suppress(LabError, subprocess.TimeoutExpired):
            with self.qmp() as qmp:
                qmp.execute("quit")
            self._child.wait(QUIT_TIMEOUT_S)
        self._run.stop(self._child)
        self._child = None

    def is_running(self) -> bool:
        """Tell whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def wait_ended(self, *, timeout: float) -> None:
        """Wait until it has ended by itself.

        Raises:
            LabError: it did not within `timeout` seconds.
        """
        if self._child is None:
            return
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired as err:
            raise LabError(f"{self._name} did not power off") from err

    def cpu_seconds(self) -> float:
        """Return the processor time that it has taken since its start.

        Raises:
            LabError: it does not run.
        """
        if self._child is None:
            raise LabError(f"{self._name} was not started")
        return read_cpu_seconds(self._child.pid)

    def qmp(self) -> Qmp:
        """Return a connection to its control socket, to be entered."""
        return Qmp(self.dir / QMP_SOCKET)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Add what is known of the machine to an error of the lab."""
        try:
            yield
        except LabError as err:
            raise LabError(f"{self._name}: {err}\n{self._state()}") from err

    def _state(self) -> str:
        state = "is not running"
        if self._child is not None:
            status = self._child.poll()
            state = "runs" if status is None else f"ended with {status}"
        logs = (
            self._run.dir / f"{self._name}-qemu.log",
            self.dir / CONSOLE_LOG,
        )
        parts = [f"-- the end of {log.name}:\n{tail(log)}" for log in logs]
        return "\n".join([f"QEMU {state}", *parts])
