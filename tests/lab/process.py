# SPDX-License-Identifier: Apache-2.0
"""Processes by pid *and* start time: a pid alone is soon someone else's."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

END_TIMEOUT_S = 3.0
# How long an execve(2) may take on a busy machine.
EXEC_TIMEOUT_S = 1.0
# Arguments and no environment: a look that came between, or `env -i`.
EMPTY_LOOKS = 3
PROC = Path("/proc")


class ProcessId(NamedTuple):
    """One process, never to be mistaken for a later one.

    Attributes:
        start: clock ticks from boot to its start (proc_pid_stat(5)).
        boot: the kernel's boot id: ticks begin anew with each boot.
    """

    pid: int
    start: int
    boot: str


def read_process(pid: int) -> ProcessId | None:
    """Return which process has this pid now; None if there is none.

    A zombie counts as gone: nothing of it is left but its exit status.
    """
    try:
        fields = _read_stat(pid)
    except OSError:
        return None
    if fields[0] in ("Z", "X"):
        return None
    return ProcessId(pid, int(fields[19]), read_boot_id())


def read_cpu_seconds(pid: int) -> float:
    """Return the processor time of a process, its user's and the kernel's.

    Raises:
        OSError: there is no such process.
    """
    user, system = _read_stat(pid)[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _read_stat(pid: int) -> list[str]:
    """Return the fields of proc_pid_stat(5) from the third on, the state."""
    text = (PROC / str(pid) / "stat").read_text()
    # The command's name may hold spaces and brackets: count from its end.
    return text.rpartition(")")[2].split()


def read_boot_id() -> str:
    """Return the id that the kernel took at this boot."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def is_alive(process: ProcessId) -> bool:
    """Tell whether this very process still runs."""
    return read_process(process.pid) == process


def end_process(process: ProcessId, *, timeout: float = END_TIMEOUT_S) -> None:
    """Ask a process to end; kill it after `timeout` seconds.

    Does nothing when it is gone or its pid belongs to another by now.

    Raises:
        ProcessLookupError: never; TimeoutError: it survived SIGKILL.
    """
    try:
        # The descriptor pins the process: whoever it is, the check and the
        # signals below meet the same one.
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if not is_alive(process):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, number)
            if _has_ended(fd, timeout):
                return
    finally:
        os.close(fd)
    raise TimeoutError(f"process {process.pid} survived SIGKILL")


def find_marked(variable: str, value: str) -> tuple[ProcessId, ...]:
    """Return the processes that were started with `variable=value`."""
    wanted = f"{variable}={value}".encode()
    found = []
    for directory in PROC.glob("[0-9]*"):
        with suppress(OSError):
            if wanted in _read_environ(directory).split(b"\0"):
                process = read_process(int(directory.name))
                if process is not None:
                    found.append(process)
    return tuple(found)


def _read_environ(directory: Path) -> bytes:
    """Return a process's environment, as it was at its last execve(2).

    Seen in the middle of an execve(2), a process has a program (`exe`, which
    neither a kernel thread nor a zombie has) and no environment. Either it
    has no arguments yet, too, or it lost its memory between open and read:
    only a second look tells.
    """
    end = time.monotonic() + EXEC_TIMEOUT_S
    empty = 0
    while empty < EMPTY_LOOKS and time.monotonic() < end:
        environ = (directory / "environ").read_bytes()
        if environ:
            return environ
        (directory / "exe").readlink()
        empty += bool((directory / "cmdline").read_bytes())
        time.sleep(0.001)
    return b""


def _has_ended(fd: int, timeout: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))
