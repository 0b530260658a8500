# SPDX-License-Identifier: Apache-2.0
"""A timer outside of this process that undoes it, unless it is disarmed.

It is a transient systemd unit (systemd-run(1)). systemd counts from its own
start on, so that a step of the clock neither fires nor delays it.

What it starts (cc_multihome.deadline) sends the run a signal first, which
ends the process unless that asked to be told (`ended_alone`).
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cc_multihome.errors import (
    ApplyError,
    CommandError,
    RefusedError,
    TimeIsUp,
)
from cc_multihome.run import run

LOG = logging.getLogger(__name__)

UNIT = "multihome-deadline"
# Longer than all the waits of an apply together, 145 s (networkd 10, rules of
# others twice 15, the kernel 60, answers 45), and its commands.
DEADLINE_S = 240
SIGNAL = signal.SIGUSR1
# What ends a run before its time: a person, systemd.
ENDS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def armed(journal: Path, seconds: int = DEADLINE_S) -> Iterator[None]:
    """Have cc_multihome.deadline run after `seconds`, or not at all.

    Args:
        journal: while it is there, something is to be undone.

    Raises:
        RefusedError: the timer cannot be set; nothing was changed.
    """
    _stop()
    try:
        run(_arm_command(seconds))
    except CommandError as err:
        raise RefusedError(
            f"the timer that would undo a failed change cannot be set,"
            f" so nothing was changed: {err}"
        ) from err
    try:
        yield
    finally:
        # The undoing may have failed, or was interrupted.
        if not journal.exists():
            _stop()


@contextmanager
def ended_alone() -> Iterator[None]:
    """Let the deadline end this run, and not the process that it is in.

    That is cloud-init's at boot, which has users and host keys to make yet.

    Raises:
        ApplyError: the time was up; what had been changed is undone.
    """
    inside = True

    def end(*_: object) -> None:
        if inside:
            raise TimeIsUp("the run did not end in time")

    try:
        former = signal.signal(SIGNAL, end)
    except ValueError:
        LOG.debug("not in the main thread, which alone gets signals")
        yield
        return
    try:
        yield
    except TimeIsUp as err:
        raise ApplyError(f"{err}; what it had changed was undone") from err
    finally:
        inside = False
        signal.signal(SIGNAL, former or signal.SIG_DFL)


@contextmanager
def held_back() -> Iterator[None]:
    """Let nothing end an undoing in its middle, nor what it has started.

    Not the deadline, which would begin just that, nor a second Ctrl-C, nor
    the stop of the unit. One that hangs is killed all the same, after the
    deadline's grace.
    """
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL, *ENDS})
    try:
        yield
    finally:
        # The deadline's has been done; the others come now.
        signal.sigtimedwait({SIGNAL}, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def _arm_command(seconds: int) -> list[str]:
    return [
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit={UNIT}",
        f"--on-active={seconds}",
        "--timer-property=AccuracySec=1s",
        # In cloud-init's first stages the targets that units wait for by
        # default wait for cloud-init.
        "--timer-property=DefaultDependencies=no",
        "--property=DefaultDependencies=no",
        "--",
        sys.executable,
        "-m",
        "cc_multihome.deadline",
    ]


def _stop() -> None:
    with suppress(CommandError):
        run(["systemctl", "stop", f"{UNIT}.timer"])
