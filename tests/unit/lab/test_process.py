# SPDX-License-Identifier: Apache-2.0
"""A process is its pid and its start time, and ends when it is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.lab.process import (
    end_process,
    find_marked,
    is_alive,
    read_process,
)

# Prints when SIGTERM can no longer end it.
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('ready', flush=True); time.sleep(60)"
)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process to end; reaped whatever the test does to it."""
    env = {**os.environ, "LAB_TEST_MARK": "this-one"}
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
    found = [item.pid for item in find_marked("LAB_TEST_MARK", "this-one")]

    assert [sleeper.pid] == found
    assert () == find_marked("LAB_TEST_MARK", "this")
