# SPDX-License-Identifier: Apache-2.0
"""One run at a time."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from cc_multihome.errors import BusyError
from cc_multihome.files import make_directory, read_text

LOG = logging.getLogger(__name__)

LOCK = Path("/run/multihome/lock")
# Longer than a run may take: apply/deadman.py ends one that hangs.
WAIT_S = 420.0
INTERVAL_S = 0.2


@contextmanager
def only_one_run(wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold the one lock; a second run waits for the first.

    The kernel lets go of the lock when its holder ends, however it does
    (flock(2)).

    Raises:
        BusyError: another run still holds it after `wait_s` seconds.
        OSError: the lock file cannot be made.
    """
    make_directory(LOCK.parent)
    with _open() as stream:
        _acquire(stream, wait_s)
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        yield


def holder() -> int | None:
    """Return the id of the process that holds the lock, or None."""
    text = read_text(LOCK)
    if text is None:
        return None
    with _open() as stream:
        if _try(stream):
            return None
    # It may be between taking the lock and writing its id.
    return int(text) if text.strip().isdigit() else None


def _open() -> TextIO:
    """Open the file, which is root's alone.

    flock(2) takes any descriptor: whoever may read the file could lock it,
    and keep every run from starting, the one that undoes a failed change too.
    """
    handle = os.open(LOCK, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    stream = os.fdopen(handle, "a+", encoding="utf-8")
    os.fchmod(handle, 0o600)
    return stream


def _acquire(stream: TextIO, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    told = False
    while not _try(stream):
        who = (read_text(LOCK) or "").strip() or "unknown"
        if time.monotonic() >= deadline:
            raise BusyError(
                f"another run of multihome (process {who}) is not through"
                f" after {wait_s:.0f} s; nothing was changed"
            )
        if not told:
            LOG.info("waiting for another run (process %s)", who)
            told = True
        time.sleep(INTERVAL_S)


def _try(stream: TextIO) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
