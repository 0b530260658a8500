# SPDX-License-Identifier: Apache-2.0
"""What was done is taken back in reverse, all of it, and honestly."""

from __future__ import annotations

import pytest

from cc_multihome.apply.checkpoint import Checkpoint
from cc_multihome.errors import ApplyError, RollbackError


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
                checkpoint.add(label, lambda label=label: self.undo(label))  # type: ignore[misc]
            if error is not None:
                raise error


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
        checkpoint.add("half", lambda: steps.undo("half"))
        raise ApplyError("half-way")
    assert steps.undone == ["half"]
