# SPDX-License-Identifier: Apache-2.0
"""A run that hangs is ended; one that ended by itself is left alone."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from cc_multihome import deadline
from cc_multihome.apply.deadman import SIGNAL, ended_alone
from cc_multihome.errors import ApplyError, RollbackError

RUN = 4242


class Host:
    """A host whose timer has fired.

    Attributes:
        holder: the process that holds the lock.
        journal: there while something is to be undone.
        done: what was done, in order.
        error: what undoing raises.
        heeds: does the run end when it is told to?
    """

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.holder: int | None = RUN
        self.journal = folder / "journal"
        self.journal.touch()
        self.done: list[str] = []
        self.error: Exception | None = None
        self.heeds = True
        patch.setattr(deadline, "JOURNAL", self.journal)
        patch.setattr(deadline, "holder", lambda: self.holder)
        patch.setattr(deadline, "end_unfinished", self.undo)
        patch.setattr(os, "kill", self.kill)

    def kill(self, process: int, number: int) -> None:
        """Stand in for kill(2)."""
        self.done.append(f"kill -{int(number)} {process}")
        if self.heeds:
            self.holder = None

    def undo(self) -> bool:
        """Undo what the run did."""
        self.done.append("undo")
        if self.error:
            raise self.error
        return True


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    """A host with a run that hangs."""
    return Host(monkeypatch, tmp_path)


def test_a_run_that_hangs_is_ended_first(host: Host) -> None:
    """It holds the lock."""
    assert 0 == deadline.main()
    assert [f"kill -10 {RUN}", "undo"] == host.done


def test_what_a_killed_run_did_is_undone(host: Host) -> None:
    """There is nobody to kill."""
    host.holder = None
    assert 0 == deadline.main()
    assert ["undo"] == host.done


def test_a_run_that_ends_just_then_is_undone_all_the_same(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the lock and the kill."""

    def gone(*_: int) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", gone)
    assert 0 == deadline.main()
    assert ["undo"] == host.done


def test_a_run_that_has_ended_or_begun_nothing_is_left_alone(
    host: Host,
) -> None:
    """The timer fired when it was through; it may be the next run already."""
    host.journal.unlink()
    assert 0 == deadline.main()
    assert [] == host.done


def test_an_undoing_that_fails_fails_the_unit(host: Host) -> None:
    """For whoever looks at systemd's list of failed units."""
    host.error = RollbackError("half")
    assert 1 == deadline.main()


def test_a_run_that_does_not_heed_is_killed(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time that its undoing may take."""
    now = iter(range(0, 10_000, 50))
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    monkeypatch.setattr("time.sleep", lambda _: None)
    host.heeds = False
    assert 0 == deadline.main()
    told, killed, undone = host.done
    assert (told, killed) == (f"kill -10 {RUN}", f"kill -9 {RUN}")
    assert "undo" == undone


def test_a_run_in_a_process_of_others_ends_alone() -> None:
    """Whatever it waits for; the process goes on, as it was before."""
    former = signal.getsignal(SIGNAL)
    with pytest.raises(ApplyError, match="did not end in time"), ended_alone():
        threading.Timer(0.05, os.kill, (os.getpid(), SIGNAL)).start()
        time.sleep(20)
    assert former == signal.getsignal(SIGNAL)


def test_beside_the_main_thread_there_is_no_signal() -> None:
    """Which Python does not allow; the run is the same."""
    ran: list[bool] = []

    def act() -> None:
        with ended_alone():
            ran.append(True)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    assert ran
