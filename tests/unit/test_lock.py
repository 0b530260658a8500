# SPDX-License-Identifier: Apache-2.0
"""One run at a time, and it is known which."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cc_multihome.apply import lock
from cc_multihome.apply.lock import holder, only_one_run
from cc_multihome.errors import ApplyError


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lock's file."""
    made = tmp_path / "run" / "lock"
    monkeypatch.setattr(lock, "LOCK", made)
    return made


def test_the_holder_is_known_and_then_nobody_is() -> None:
    """For the second run's message, and for the timer that ends a hung one."""
    assert holder() is None
    with only_one_run():
        assert holder() == os.getpid()
    assert holder() is None


@pytest.mark.parametrize("before", [None, 0o644])
def test_nobody_else_can_take_it(path: Path, before: int | None) -> None:
    """Who may read a file may lock it (flock(2)), whatever the umask."""
    former = os.umask(0o022)
    try:
        if before:
            path.parent.mkdir()
            path.touch(before)
        with only_one_run():
            assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(former)


def test_an_error_lets_go_of_it() -> None:
    """Nothing is left locked."""
    with pytest.raises(ApplyError, match="no"), only_one_run():
        raise ApplyError("no")
    assert holder() is None


def test_a_second_run_says_who_holds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After it has waited."""
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    ticks = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: next(ticks))
    with (
        only_one_run(),
        pytest.raises(ApplyError, match=f"process {os.getpid()}"),
        only_one_run(wait_s=5),
    ):
        pass
    assert waits


def test_a_second_run_goes_on_when_the_first_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It waits for it."""
    first = only_one_run()
    first.__enter__()
    monkeypatch.setattr(
        "time.sleep", lambda _: first.__exit__(None, None, None)
    )
    with only_one_run():
        assert holder() == os.getpid()
