# SPDX-License-Identifier: Apache-2.0
"""Keep what takes long to make: whole or not at all, one maker at a time."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.cleanup import Run
from tests.lab.host import progress, say

Build = Callable[[Run, Path], None]
STAMP = "built"


def reuse_or_build(
    target: Path, what: str, build: Build, *, top: Path, keep: int
) -> None:
    """Make the directory `target` exist, by `build` if it does not.

    `build` fills a directory inside of a run's: when it fails or is killed,
    that goes the way of the run. Only a whole one is renamed to `target`.

    Args:
        what: as a person calls it, for the messages.
        keep: how many of the directories beside `target` stay, itself
            included; the longest unused go first.
    """
    with _locked(top / "images.lock", what):
        if not target.exists():
            _build(target, what, build, top)
            _prune(target, keep)
            return
        target.touch()
        say(f"reusing {what}, built {(target / STAMP).read_text().strip()}")


def _build(target: Path, what: str, build: Build, top: Path) -> None:
    with Run(top) as run, progress(f"building {what}"):
        fresh = run.dir / "fresh"
        fresh.mkdir()
        build(run, fresh)
        (fresh / STAMP).write_text(time.strftime("%Y-%m-%d %H:%M:%S %z\n"))
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.rename(target)


def _prune(target: Path, keep: int) -> None:
    # A virtual machine that still runs on an old disk has it open: its
    # blocks stay until it ends.
    beside = sorted(
        (path for path in target.parent.iterdir() if path != target),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    for path in beside[keep - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(path: Path, what: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{what}: waiting for another build to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
