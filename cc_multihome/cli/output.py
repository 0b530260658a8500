# SPDX-License-Identifier: Apache-2.0
"""Standard output and standard error, which may be gone, closed or full.

What a verb prints is held back until its exit status is known, so that
neither depends on who reads it.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TextIO


class _Held(io.StringIO):
    """What is printed, for a stream that it looks like."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream

    def isatty(self) -> bool:
        """Say whether a person reads it."""
        return self.stream.isatty()


def prepare() -> None:
    """Give a stream that was closed a place where all of it goes.

    Else print() takes standard output for standard error, and the next file
    that is opened gets the number of one of them. What the encoding of a
    stream does not have is written as an escape.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            null = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, os.fdopen(null, "w", encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def held_back() -> Iterator[None]:
    """Print what a block prints at its end; nothing of it at an error.

    Raises:
        OSError: standard output takes it not, as where a disk is full.
    """
    held = _Held(sys.stdout)
    try:
        with redirect_stdout(held):
            yield
    except SystemExit:  # after --help and --version
        _put(held.getvalue())
        raise
    _put(held.getvalue())


def _put(text: str) -> None:
    stream = sys.stdout
    if not text:
        return
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # The reader of a pipe (head) has what it wanted.
        _discard(stream)
    except OSError as err:
        _discard(stream)
        raise OSError(err.errno, err.strerror, "standard output") from err


def complain(text: str) -> None:
    """Write lines to standard error, where somebody takes them."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Let the rest go: Python tries again at its end, and complains then."""
    # ValueError: a stream that was put there in its place has no number.
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
