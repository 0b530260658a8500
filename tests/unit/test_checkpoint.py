# SPDX-License-Identifier: Apache-2.0
"""What was done is taken back in reverse, all of it, and honestly."""

from __future__ import annotations

import os
import time
from pathlib import Path
from signal import SIGINT

import pytest

from cc_multihome.apply.checkpoint import Checkpoint, PutFileBack, Undo
from cc_multihome.apply.deadman import SIGNAL, ended_alone
from cc_multihome.apply.rollback import undo_journal
from cc_multihome.errors import ApplyError, RollbackError, hidden_failure


class Step(Undo):
    """A step that notes when it is undone."""

    kind = "step"

    def __init__(self, label: str, steps: Steps) -> None:
        self.name, self.steps = label, steps

    @property
    def label(self) -> str:
        """Its name."""
        return self.name

    def run(self) -> None:
        """Undo it."""
        self.steps.undo(self.name)


class Steps:
    """Notes which steps were undone; some of them refuse."""

    def __init__(self, *refusing: str) -> None:
        self.undone: list[str] = []
        self.refusing = refusing

    def undo(self, label: str) -> None:
        """Undo a step."""
        self.undone.append(label)
        if label in self.refusing:
            raise OSError(f"no {label}")

    def run(self, *labels: str, error: BaseException | None = None) -> None:
        """Take steps in a checkpoint, then fail or not."""
        with Checkpoint() as checkpoint:
            for label in labels:
                checkpoint.add(Step(label, self))
            if error is not None:
                raise error


class TimeUpMeanwhile(Step):
    """A step in whose undoing the timer fires."""

    def run(self) -> None:
        """Undo it."""
        os.kill(os.getpid(), SIGNAL)
        super().run()


def test_the_deadline_lets_an_undoing_come_to_its_end() -> None:
    """And the run ends with its own error, not with that of the time."""
    steps = Steps()
    with (
        pytest.raises(ApplyError, match="its own"),
        ended_alone(),
        Checkpoint() as checkpoint,
    ):
        checkpoint.add(Step("one", steps))
        checkpoint.add(TimeUpMeanwhile("two", steps))
        raise ApplyError("its own")
    assert ["two", "one"] == steps.undone
    with pytest.raises(ApplyError, match="in time"), ended_alone():
        os.kill(os.getpid(), SIGNAL)
        time.sleep(20)


def test_a_second_ctrl_c_ends_no_undoing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the run afterwards; nothing is left for the timer."""
    put_back, journal = PutFileBack.run, tmp_path / "journal"

    def disturbed(undo: PutFileBack) -> None:
        os.kill(os.getpid(), SIGINT)
        put_back(undo)

    monkeypatch.setattr(PutFileBack, "run", disturbed)
    files = [tmp_path / "one", tmp_path / "two"]
    with pytest.raises(KeyboardInterrupt), Checkpoint(journal) as checkpoint:
        for file in files:
            checkpoint.add(PutFileBack.of(file))
            file.write_text("new")
        raise KeyboardInterrupt
    assert [False, False] == [file.exists() for file in files]
    assert not journal.exists()


def test_an_interrupt_does_not_hide_that_the_undoing_failed() -> None:
    """The run tells both (pipeline.py)."""

    class Interrupted(Step):
        def run(self) -> None:
            os.kill(os.getpid(), SIGINT)
            super().run()

    error = ApplyError("the kernel said no")
    with pytest.raises(KeyboardInterrupt) as caught, Checkpoint() as it:
        it.add(Interrupted("one", Steps("one")))
        raise error
    found = hidden_failure(caught.value)
    assert found is not None
    assert "one: no one" in str(found)
    assert found.__cause__ is error
    assert hidden_failure(KeyboardInterrupt()) is None
    # What is no interrupt hides nothing: it says itself what it is.
    assert hidden_failure(found) is None


def test_without_an_error_nothing_is_undone() -> None:
    """The change stays."""
    steps = Steps()
    steps.run("one", "two")
    assert steps.undone == []


def test_steps_are_undone_in_reverse() -> None:
    """The last one stands on those before it."""
    steps = Steps()
    with pytest.raises(ApplyError):
        steps.run("one", "two", "three", error=ApplyError("no"))
    assert steps.undone == ["three", "two", "one"]


def test_an_error_before_the_undoing_does_not_keep_it_from_happening() -> None:
    """The kernel's state is noted then, and may be what is odd."""
    steps, seen = Steps(), Steps("look")
    with (
        pytest.raises(ApplyError),
        Checkpoint(before_undo=lambda: seen.undo("look")) as checkpoint,
    ):
        checkpoint.add(Step("one", steps))
        raise ApplyError("no")
    assert (seen.undone, steps.undone) == (["look"], ["one"])


def test_the_error_goes_on_as_it_is() -> None:
    """The caller is told what went wrong, not that it was undone."""
    error = ApplyError("the kernel said no")
    with pytest.raises(ApplyError) as caught:
        Steps().run("one", error=error)
    assert caught.value is error


def test_a_step_that_cannot_be_undone_stops_no_other() -> None:
    """One half of a host is better than none."""
    steps = Steps("two")
    with pytest.raises(RollbackError):
        steps.run("one", "two", "three", error=ApplyError("no"))
    assert steps.undone == ["three", "two", "one"]


def test_a_failed_rollback_says_what_failed_and_why_it_began() -> None:
    """A person has to look at the host, and where."""
    steps = Steps("one", "three")
    error = ApplyError("the kernel said no")
    with pytest.raises(RollbackError) as caught:
        steps.run("one", "two", "three", error=error)
    text = str(caught.value)
    for part in ("the kernel said no", "three: no three", "one: no one"):
        assert part in text
    assert "two" not in text
    assert caught.value.__cause__ is error


def test_an_interrupt_is_undone_too() -> None:
    """Control-C, or cloud-init's being stopped."""
    steps = Steps()
    with pytest.raises(KeyboardInterrupt):
        steps.run("one", error=KeyboardInterrupt())
    assert steps.undone == ["one"]


def test_a_step_registered_before_it_fails_is_undone() -> None:
    """Half of it may have been done."""
    steps = Steps()
    with pytest.raises(ApplyError), Checkpoint() as checkpoint:
        checkpoint.add(Step("half", steps))
        raise ApplyError("half-way")
    assert steps.undone == ["half"]


def test_the_journal_knows_each_step_before_it_is_taken(
    tmp_path: Path,
) -> None:
    """Another process undoes it when this one is killed."""
    journal, file = tmp_path / "run" / "journal", tmp_path / "file"
    file.write_text("before\udcff", "utf-8", "surrogateescape")
    with Checkpoint(journal) as checkpoint:
        checkpoint.add(PutFileBack.of(file))
        file.write_text("after")
        assert journal.stat().st_mode & 0o777 == 0o600
        kept = journal.read_text()
        assert undo_journal(journal)
        assert file.read_bytes() == b"before\xff"
        assert not journal.exists()
        journal.write_text(kept)
    assert not journal.exists()


def test_a_journal_cut_short_undoes_what_was_taken(tmp_path: Path) -> None:
    """The step of a line that was not finished was never taken."""
    journal, file = tmp_path / "journal", tmp_path / "file"
    with Checkpoint(journal) as checkpoint:
        checkpoint.add(PutFileBack.of(file))
        text = journal.read_text()
    file.write_text("new")
    journal.write_text(text + text[: len(text) // 2])
    assert undo_journal(journal)
    assert not file.exists()


def test_a_line_that_cannot_be_read_stops_no_other(tmp_path: Path) -> None:
    """It may be of another version of this package."""
    journal, file = tmp_path / "journal", tmp_path / "file"
    with Checkpoint(journal) as checkpoint:
        checkpoint.add(PutFileBack.of(file))
        text = journal.read_text()
    file.write_text("new")
    odd = '{"kind": "odd"}\n', '{"kind": "file"}\n', "\udcff{\n", "[]\n"
    damaged = "".join((odd[0], text, *odd[1:]))
    journal.write_text(damaged, "utf-8", "surrogateescape")
    with pytest.raises(RollbackError) as caught:
        undo_journal(journal)
    assert not file.exists()
    assert not journal.exists()
    for number in (1, 3, 4, 5):
        assert f"line {number} of the journal" in str(caught.value)
    assert "line 2" not in str(caught.value)


def test_without_a_journal_there_is_nothing_to_undo(tmp_path: Path) -> None:
    """Every run asks."""
    assert not undo_journal(tmp_path / "journal")


def test_a_journal_that_cannot_be_written_lets_no_step_be_taken(
    tmp_path: Path,
) -> None:
    """/run is full, say."""
    (tmp_path / "journal").mkdir()
    with Checkpoint() as checkpoint:
        checkpoint._journal = tmp_path / "journal"
        with pytest.raises(OSError):
            checkpoint.add(PutFileBack.of(tmp_path / "file"))
        checkpoint._journal = None


def test_a_symbolic_link_comes_back_as_one(tmp_path: Path) -> None:
    """resolv.conf is one, at first."""
    path = tmp_path / "resolv.conf"
    path.symlink_to("../stub")
    undo = PutFileBack.of(path)
    path.unlink()
    path.write_text("ours")
    undo.run()
    assert str(path.readlink()) == "../stub"
