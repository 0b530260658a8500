# SPDX-License-Identifier: Apache-2.0
"""Lines on standard error for what takes long, for a person who waits.

The steps are those that the package logs. Nothing is shown in the first two
seconds, nor to a file or a pipe, where nobody waits. Warnings are always
shown, once.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

PATIENCE_S = 2.0
# After so long without a new step the last one is said again.
REMIND_S = 10.0
STILL = "still at it: "
_LOGGER = logging.getLogger("cc_multihome")


class Progress(logging.Handler):
    """Holds back steps until it has taken long, then shows each at once.

    Writing never fails: the terminal may have gone away with the connection
    that is being changed.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        steps: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(logging.INFO)
        self._stream, self._steps, self._clock = stream, steps, clock
        self._started = self._told = clock()
        self._held: list[str] = []
        self._last = "no step has ended yet"

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of the log."""
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            self._write(f"warning: {text}")
        elif self._steps:
            self._held.append(text)
            self.tick()

    def tick(self) -> None:
        """Show what is due now."""
        now = self._clock()
        if not self._steps or now - self._started < PATIENCE_S:
            return
        for text in self._held:
            self._say(text)
        if now - self._told >= REMIND_S:
            self._say(f"{STILL}{self._last}")
        self._held.clear()

    def _say(self, text: str) -> None:
        self._told = self._clock()
        self._last = text.removeprefix(STILL)
        self._write(f"{self._told - self._started:5.1f} s  {text}")

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(f"{text}\n")
            self._stream.flush()


@contextmanager
def shown(*, quiet: bool, stream: TextIO | None = None) -> Iterator[None]:
    """Show warnings, and at a terminal the steps, while the block runs."""
    if quiet:
        # Without any handler logging would print warnings by itself.
        handler: logging.Handler = logging.NullHandler()
        with _added(handler):
            yield
        return
    stream = stream or sys.stderr
    progress = Progress(stream, steps=stream.isatty())
    ended = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(progress, ended), daemon=True
    )
    with _added(progress):
        # It inherits that: else the system hands a signal that the main
        # thread holds back (apply/deadman.py) to this one.
        former = signal.pthread_sigmask(
            signal.SIG_BLOCK, signal.valid_signals()
        )
        watcher.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def _watch(progress: Progress, ended: threading.Event) -> None:
    while not ended.wait(PATIENCE_S / 4):
        progress.acquire()
        try:
            progress.tick()
        finally:
            progress.release()


@contextmanager
def _added(handler: logging.Handler) -> Iterator[None]:
    level = _LOGGER.level
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.addHandler(handler)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.setLevel(level)
