# SPDX-License-Identifier: Apache-2.0
"""Leave nothing behind: what a run makes is on record before it exists.

A run has a directory, `<lab>/runs/<id>/`, with who owns it (`owner`) and
what it made (`journal`). `Run` takes all of it away at its end. When the
owner was killed, the next run's `sweep()` does it, for runs whose owner is
dead and for nothing else.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType

from cc_multihome.errors import CommandError
from cc_multihome.run import RUN_ENV, run
from tests.lab.host import LabError, lab_dir, say
from tests.lab.process import (
    ProcessId,
    end_process,
    find_marked,
    is_alive,
    read_process,
)

MARKER = "MULTIHOME_LAB_RUN"
KEPT_LOGS = 10
NETNS_DIR = Path("/run/netns")


class Run:
    """Everything that one run of the lab makes, and its end.

    Use it as a context manager. Entering sweeps what dead runs left;
    leaving takes everything away, the newest first, whatever fails.

    Attributes:
        id: short and unique among the runs on this machine.
        dir: for disks, sockets and logs; gone after the run. Its `*.log` and
            `*.jsonl` are then in `<lab>/logs/<id>/`, kept for ten runs.
    """

    def __init__(self, top: Path | None = None) -> None:
        self._top = top or lab_dir()
        self.id = ""
        self.dir = self._top / "runs"
        self._children: list[subprocess.Popen[bytes]] = []
        self._undo: list[Callable[[], object]] = []
        self._handled: list[int] = []

    def __enter__(self) -> Run:
        sweep(self._top)
        with _locked(self._top):
            self.id = _free_id(self._top)
            self.dir = self._top / "runs" / self.id
            self.dir.mkdir()
            owner = read_process(os.getpid())
            (self.dir / "owner").write_text(json.dumps(owner))
        self._end_on_signals()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for undo in reversed(self._undo):
            _tolerate(undo)
        for child in reversed(self._children):
            _tolerate(partial(self.stop, child))
        with _locked(self._top):
            _take_away(self.dir)
        for number in self._handled:
            signal.signal(number, signal.SIG_DFL)

    def on_exit(self, undo: Callable[[], object]) -> None:
        """Call this first when the run ends; the last one given goes first.

        A kill skips it: for courtesies only, such as a clean shutdown.
        """
        self._undo.append(undo)

    def netns_name(self, suffix: str) -> str:
        """Return a namespace's name that no other run has."""
        return f"mh{self.id}-{suffix}"

    def register_netns(self, name: str) -> None:
        """Put a namespace on record: call it BEFORE `ip netns add`."""
        if not name.startswith(f"mh{self.id}-"):
            raise LabError(
                f"namespace {name} does not belong to run {self.id}: "
                "make its name with netns_name()"
            )
        self._record(kind="netns", name=name)

    def add_netns(self, suffix: str) -> str:
        """Make a network namespace, its loopback up, and return its name."""
        name = self.netns_name(suffix)
        self.register_netns(name)
        run(["ip", "netns", "add", name])
        run(["ip", "-n", name, "link", "set", "dev", "lo", "up"])
        return name

    def register_process(self, pid: int) -> None:
        """Put a process on record that `spawn` did not start."""
        process = read_process(pid)
        if process is not None:
            self._record(kind="process", process=process)

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        netns: str | None = None,
        cwd: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program that lives no longer than the run.

        What it prints goes to `<dir>/<name>.log`. It carries the run's id in
        its environment, as do its children, so that a sweep knows them even
        when the owner died before it could write their pid down.
        """
        enter = ["ip", "netns", "exec", netns] if netns else []
        with (self.dir / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                [*enter, *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                env={**RUN_ENV, MARKER: str(self.dir)},
                start_new_session=True,
            )
        self._children.append(child)
        self.register_process(child.pid)
        return child

    def stop(self, child: subprocess.Popen[bytes]) -> int:
        """End a program that `spawn` started, reap it, return its status."""
        if child.poll() is None:
            process = read_process(child.pid)
            if process is not None:
                end_process(process)
        status = child.wait(timeout=10)
        if child in self._children:
            self._children.remove(child)
        return status

    def _end_on_signals(self) -> None:
        """Make a polite kill end the run in good order, not just stop it."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                # It raises KeyboardInterrupt, which ends all of pytest.
                signal.signal(number, signal.default_int_handler)
                self._handled.append(number)

    def _record(self, **entry: object) -> None:
        with (self.dir / "journal").open("a") as journal:
            journal.write(json.dumps(entry) + "\n")


def sweep(top: Path | None = None) -> tuple[str, ...]:
    """Take away what runs left whose owner is dead, and return their ids."""
    top = top or lab_dir()
    swept = []
    with _locked(top):
        for directory in sorted((top / "runs").iterdir()):
            if directory.is_dir() and not _has_owner(directory):
                say(f"taking away what the dead run {directory.name} left")
                _take_away(directory)
                swept.append(directory.name)
    return tuple(swept)


@contextmanager
def _locked(top: Path) -> Iterator[None]:
    """Let one process at a time make or take away runs."""
    (top / "runs").mkdir(parents=True, exist_ok=True)
    with (top / "runs" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _free_id(top: Path) -> str:
    """Return an id that is neither here nor in another checkout's names."""
    while True:
        name = secrets.token_hex(3)
        if (top / "runs" / name).exists():
            continue
        if not any(NETNS_DIR.glob(f"mh{name}-*")):
            return name


def _has_owner(directory: Path) -> bool:
    # A run without a readable owner died before it had made anything: it
    # is written under the lock that the sweep holds.
    try:
        owner = ProcessId(*json.loads((directory / "owner").read_text()))
    except (OSError, ValueError, TypeError):
        return False
    return is_alive(owner)


def _take_away(directory: Path) -> None:
    """End a run's processes, delete its namespaces, then its directory."""
    entries = _read_journal(directory)
    processes = [
        ProcessId(*entry["process"])
        for entry in entries
        if entry["kind"] == "process"
    ]
    names = [e["name"] for e in entries if e["kind"] == "netns"]
    for process in reversed(processes):
        _tolerate(partial(end_process, process))
    for process in find_marked(MARKER, str(directory)):
        _tolerate(partial(end_process, process))
    left = [name for name in reversed(names) if not _delete_netns(name)]
    if left:
        # The record stays, so that the next sweep tries again.
        say(f"could not delete {' '.join(left)} of run {directory.name}")
        return
    _keep_logs(directory)
    shutil.rmtree(directory, ignore_errors=True)


def _read_journal(directory: Path) -> list[dict[str, str]]:
    entries = []
    with suppress(OSError):
        for line in (directory / "journal").read_text().splitlines():
            # The last line is cut short when the owner died writing it; it
            # names nothing that was made yet.
            with suppress(ValueError):
                entries.append(json.loads(line))
    return entries


def _delete_netns(name: str) -> bool:
    """Delete a namespace with whatever still runs in it; True if gone."""
    if not (NETNS_DIR / name).exists():
        return True
    with suppress(CommandError):
        for pid in run(["ip", "netns", "pids", name]).split():
            process = read_process(int(pid))
            if process is not None:
                end_process(process)
        run(["ip", "netns", "del", name])
    return not (NETNS_DIR / name).exists()


def _keep_logs(directory: Path) -> None:
    logs = directory.parent.parent / "logs"
    kept = logs / directory.name
    for pattern in ("**/*.log", "**/*.jsonl"):
        for path in directory.glob(pattern):
            target = kept / path.relative_to(directory)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    if kept.exists():
        os.utime(kept, (time.time(), time.time()))
        old = sorted(logs.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in old[:-KEPT_LOGS]:
            shutil.rmtree(path, ignore_errors=True)


def _tolerate(step: Callable[[], object]) -> None:
    """Run one step of an ending; its failure must not stop the others."""
    try:
        step()
    except Exception as err:
        say(f"while cleaning up: {type(err).__name__}: {err}")
