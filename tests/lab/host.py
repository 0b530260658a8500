# SPDX-License-Identifier: Apache-2.0
"""What the lab needs of the machine that it runs on, and where it writes."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from cc_multihome.run import RUN_ENV

REPO = Path(__file__).resolve().parents[2]
LAB_DIR_VARIABLE = "MULTIHOME_LAB_DIR"
PROGRESS_EVERY_S = 10.0
LOG_TAIL_LINES = 30
# Tool -> the Debian package that has it.
TOOLS = {
    "ip": "iproute2",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "unshare": "util-linux",
}


class LabError(Exception):
    """The lab itself failed: says nothing about the module under test."""


@dataclass(frozen=True)
class Result:
    """How a command in a guest or in a tree ended.

    Attributes:
        status: its exit status; minus the signal that ended it.
    """

    status: int
    out: str
    err: str

    def require(self, what: str) -> Result:
        """Return itself; raise LabError if the status is not 0."""
        if self.status:
            said = (self.out + self.err).strip() or "nothing"
            raise LabError(
                f"{what}: exited with status {self.status} and said: {said}"
            )
        return self


def lab_dir() -> Path:
    """Return where images and runs are kept: git-ignored, never in /tmp.

    MULTIHOME_LAB_DIR overrides it; the default is .lab beside the sources.
    """
    return Path(os.environ.get(LAB_DIR_VARIABLE) or REPO / ".lab").resolve()


def say(text: str) -> None:
    """Tell the person who waits; stderr, so that results stay parseable."""
    print(f"[lab] {text}", file=sys.stderr, flush=True)


def tail(path: Path, lines: int = LOG_TAIL_LINES) -> str:
    """Return the end of a log, for an error's message."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return "(nothing)"
    return "\n".join(text.splitlines()[-lines:])


def find_missing(tools: Sequence[str]) -> tuple[str, ...]:
    """Return those of the tools that are not installed."""
    path = RUN_ENV["PATH"]
    return tuple(tool for tool in tools if not shutil.which(tool, path=path))


def require_host(tools: Sequence[str] = tuple(TOOLS)) -> None:
    """Check that this process is root and that the tools are installed.

    Raises:
        LabError: with everything that is missing, and what to do about it.
    """
    problems = []
    if os.geteuid() != 0:
        problems.append(f"needs root, runs as user id {os.geteuid()}")
    problems += [
        f"{tool} is not installed (Debian package {TOOLS.get(tool, tool)})"
        for tool in find_missing(tools)
    ]
    if problems:
        raise LabError(
            "this machine cannot run the lab: "
            + "; ".join(problems)
            + ". Run script/setup as root."
        )


@contextmanager
def progress(what: str, *, every: float = PROGRESS_EVERY_S) -> Iterator[None]:
    """Say that a step began, every `every` seconds that it goes on, its end.

    Several steps may be in progress at once; each has a thread of its own.
    """
    ended = Event()
    start = time.monotonic()

    def tick() -> None:
        while not ended.wait(every):
            say(f"{what}: {time.monotonic() - start:.0f} s so far")

    say(f"{what} ...")
    ticker = Thread(target=tick, daemon=True)
    ticker.start()
    outcome = "FAILED"
    try:
        yield
        outcome = "done"
    finally:
        ended.set()
        ticker.join()
        say(f"{what}: {outcome} after {time.monotonic() - start:.1f} s")
