# SPDX-License-Identifier: Apache-2.0
"""A process is its pid and its start time, and ends when it is told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import process as lab_process
from tests.lab.process import (
    end_process,
    find_marked,
    is_alive,
    read_cpu_seconds,
    read_process,
)

# Another run of these tests may be under way.
MARK = f"this-{os.getpid()}-one"
# Prints when SIGTERM can no longer end it.
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('ready', flush=True); time.sleep(60)"
)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process to end; reaped whatever the test does to it."""
    env = {**os.environ, "LAB_TEST_MARK": MARK}
    child = subprocess.Popen(["sleep", "60"], env=env)
    yield child
    child.kill()
    child.wait()


def test_a_running_process_is_alive_and_a_zombie_is_not(
    sleeper: subprocess.Popen[bytes],
) -> None:
    """Nothing is left of a zombie but its exit status."""
    process = read_process(sleeper.pid)

    assert process is not None
    assert is_alive(process)
    end_process(process)
    assert not is_alive(process)
    assert read_process(sleeper.pid) is None
    assert -15 == sleeper.wait()


@pytest.mark.parametrize("field", ["start", "boot"])
def test_a_later_process_with_the_same_pid_is_left_alone(
    sleeper: subprocess.Popen[bytes], field: str
) -> None:
    """Only the pid is the same: it is someone else's process."""
    process = read_process(sleeper.pid)
    assert process is not None
    other = process._replace(
        **({"start": process.start - 1} if field == "start" else {"boot": "x"})
    )

    assert not is_alive(other)
    end_process(other)
    assert is_alive(process)


def test_a_process_that_ignores_sigterm_is_killed() -> None:
    """The time for a good end is short."""
    with subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process = read_process(child.pid)
        assert process is not None

        end_process(process, timeout=0.3)

        assert -9 == child.wait()


def test_ending_a_process_that_is_gone_does_nothing(
    sleeper: subprocess.Popen[bytes],
) -> None:
    """Its pid may not exist any more."""
    process = read_process(sleeper.pid)
    assert process is not None
    sleeper.kill()
    sleeper.wait()

    end_process(process)

    assert not is_alive(process)


def test_a_process_is_found_by_the_mark_in_its_environment(
    sleeper: subprocess.Popen[bytes],
) -> None:
    """The whole value counts, not its beginning."""
    found = [item.pid for item in find_marked("LAB_TEST_MARK", MARK)]

    assert [sleeper.pid] == found
    assert () == find_marked("LAB_TEST_MARK", MARK[:-1])


class FakeProc:
    """A /proc with one process, in the middle of its execve(2).

    Attributes:
        looks: how often somebody waited for it.
    """

    def __init__(self, top: Path, cmdline: bytes) -> None:
        real = Path("/proc/self/stat")
        self.pid = top / "4711"
        self.pid.mkdir()
        (self.pid / "stat").write_text(real.read_text())
        (self.pid / "exe").symlink_to(sys.executable)
        (self.pid / "cmdline").write_bytes(cmdline)
        (self.pid / "environ").write_bytes(b"")
        boot_id = top / "sys/kernel/random/boot_id"
        boot_id.parent.mkdir(parents=True)
        boot_id.write_text("this-boot\n")
        self.looks = 0

    def finish_after(self, looks: int) -> Callable[[float], None]:
        """Return a sleep() in which the execve(2) ends, at its nth call."""

        def sleep(seconds: float) -> None:
            self.looks += 1
            if self.looks == looks:
                (self.pid / "environ").write_bytes(b"MARK=mine\0HOME=/\0")

        return sleep


@pytest.mark.parametrize(
    ("cmdline", "looks"),
    [
        pytest.param(b"", 20, id="no arguments yet"),
        pytest.param(b"sleep\x0060\0", 1, id="memory lost after the open"),
    ],
)
def test_a_process_in_the_middle_of_execve_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cmdline: bytes,
    looks: int,
) -> None:
    """Its environment reads as empty until the kernel is through."""
    proc = FakeProc(tmp_path, cmdline)
    monkeypatch.setattr(lab_process, "PROC", tmp_path)
    monkeypatch.setattr(time, "sleep", proc.finish_after(looks))

    found = [item.pid for item in find_marked("MARK", "mine")]

    assert [4711] == found


def test_a_process_without_an_environment_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`env -i` makes one; it has arguments, and never a mark."""
    proc = FakeProc(tmp_path, b"sleep\x0060\0")
    monkeypatch.setattr(lab_process, "PROC", tmp_path)
    monkeypatch.setattr(time, "sleep", proc.finish_after(1000))

    assert () == find_marked("MARK", "mine")
    assert lab_process.EMPTY_LOOKS == proc.looks


def test_a_kernel_thread_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no program, nor has a zombie."""
    proc = FakeProc(tmp_path, b"")
    (proc.pid / "exe").unlink()
    monkeypatch.setattr(lab_process, "PROC", tmp_path)
    monkeypatch.setattr(time, "sleep", proc.finish_after(1))

    assert () == find_marked("MARK", "mine")
    assert 0 == proc.looks


def test_processor_time_of_who_works_and_of_who_sleeps(
    sleeper: subprocess.Popen[bytes],
) -> None:
    """This process has worked, the other one has not."""
    before = read_cpu_seconds(os.getpid())
    deadline = time.process_time() + 0.2
    while time.process_time() < deadline:
        pass

    assert read_cpu_seconds(os.getpid()) >= before + 0.1
    assert read_cpu_seconds(sleeper.pid) < 0.1
