# SPDX-License-Identifier: Apache-2.0
"""A timer outside of this process that undoes it, unless it is disarmed.

It is a transient systemd unit (systemd-run(1)). systemd counts from its own
start on, so that a step of the clock neither fires nor delays it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cc_multihome.errors import CommandError, RefusedError
from cc_multihome.run import run

LOG = logging.getLogger(__name__)

UNIT = "multihome-deadline"
# Longer than all the waits of an apply together.
DEADLINE_S = 180


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
