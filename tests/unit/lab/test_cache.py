# SPDX-License-Identifier: Apache-2.0
"""What takes long to make is made once, whole or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.lab.cache import reuse_or_build
from tests.lab.cleanup import Run


def build(_run: Run, target: Path) -> None:
    """Make something."""
    (target / "content").write_text("made")


def make(top: Path, name: str, *, keep: int = 2) -> Path:
    """Have `name` there, made or not."""
    target = top / "kept" / name
    reuse_or_build(target, name, build, top=top, keep=keep)
    return target


def test_it_is_built_once_and_reuse_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second time the day of the first is told."""
    target = make(tmp_path, "thing")
    (target / "content").write_text("touched")

    make(tmp_path, "thing")

    assert "touched" == (target / "content").read_text()
    said = capsys.readouterr().err
    assert "building thing ..." in said
    assert "reusing thing, built 20" in said


def test_a_failed_build_leaves_nothing_to_be_used(tmp_path: Path) -> None:
    """Half of it was there; the next call builds anew."""
    target = tmp_path / "kept" / "thing"

    def fail(_run: Run, half: Path) -> None:
        (half / "content").write_text("half")
        raise RuntimeError("no space")

    with pytest.raises(RuntimeError, match="no space"):
        reuse_or_build(target, "thing", fail, top=tmp_path, keep=2)

    assert not target.exists()
    assert "made" == (make(tmp_path, "thing") / "content").read_text()


def test_the_longest_unused_go(tmp_path: Path) -> None:
    """Use counts, not age: `a` was made first and used last."""
    for age, name in enumerate("cba"):
        target = make(tmp_path, name, keep=9)
        os.utime(target, (1000 + age, 1000 + age))
    make(tmp_path, "c", keep=9)

    make(tmp_path, "d", keep=3)

    left = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert ["a", "c", "d"] == left


def test_two_at_once_build_one_after_the_other(tmp_path: Path) -> None:
    """The second waits, and then reuses what the first has made."""
    built = []
    gate = threading.Event()

    def slow(_run: Run, target: Path) -> None:
        gate.wait(10)
        built.append(target)

    target = tmp_path / "kept" / "thing"
    threads = [
        threading.Thread(
            target=lambda: reuse_or_build(
                target, "thing", slow, top=tmp_path, keep=2
            )
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()

    assert 1 == len(built)
