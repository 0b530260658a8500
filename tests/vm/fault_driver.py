#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run the module in a guest while something goes wrong. Pushed to the guest.

    fault_driver.py FAULT [STEP] < KEY

STEP, as `rename:2`, is the second step of the kind `rename` to undo. KEY is
the `multihome` key as JSON. The timer that undoes a run is set to a few
seconds, the waits for IMDS too; all else is the module as it is.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cc_multihome import decide, pipeline
from cc_multihome.apply import checkpoint, deadman, host, verify
from cc_multihome.discover.imds import read_instance
from cc_multihome.errors import MultihomeError

DEADLINE_S = 6
PAUSED, GO = Path("/run/fault-paused"), Path("/run/fault-go")
OVERLAY = Path("/run/netplan/55-multihome.yaml")


def shell(command: str) -> None:
    """Run a command line of a fault."""
    subprocess.run(command, shell=True, check=False)


def replace(owner: Any, name: str, value: Any) -> None:
    """Put something of the fault's in the place of the module's own."""
    setattr(owner, name, value)


def kill_after_step(step: str) -> None:
    """Die right after a step was written down, before it is taken."""
    kind, number = step.split(":")
    real, count = checkpoint.Checkpoint.add, iter(range(1, 1000))

    def add(self: Any, undo: Any) -> None:
        real(self, undo)
        if undo.kind == kind and next(count) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    replace(checkpoint.Checkpoint, "add", add)


def wrap_take_up(
    before: Callable[[], None], after: Callable[[], None]
) -> None:
    """Do something around networkd's taking up of the files."""
    real = vars(host)["take_up"]

    def take_up(*args: Any) -> None:
        before()
        real(*args)
        after()

    replace(host, "take_up", take_up)


def nothing() -> None:
    """Do nothing."""


def damage() -> None:
    """Cut the rendered file short."""
    text = OVERLAY.read_text()
    OVERLAY.write_text(text[: len(text) // 2] + "\n  [")


def pause() -> None:
    """Wait for the test's go, for a bounded time."""
    PAUSED.touch()
    for _ in range(600):
        if GO.exists():
            return
        time.sleep(0.2)


def hang() -> None:
    """Never come back."""
    time.sleep(600)


FAULTS: dict[str, Callable[[str], None]] = {
    "none": lambda _: None,
    "kill": kill_after_step,
    "kill-in-verify": lambda _: wrap_take_up(
        nothing, lambda: os.kill(os.getpid(), signal.SIGKILL)
    ),
    "hang": lambda _: wrap_take_up(nothing, hang),
    "damage": lambda _: wrap_take_up(damage, nothing),
    "pause": lambda _: wrap_take_up(nothing, pause),
    "restart": lambda _: wrap_take_up(
        nothing, lambda: shell("systemctl restart systemd-networkd")
    ),
    "clock": lambda _: wrap_take_up(
        nothing, lambda: shell("date -s '+1 year'")
    ),
}


def main(fault: str, step: str) -> int:
    """Configure with the fault; say what came of it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    seconds = 60 if fault in ("pause", "clock", "none") else DEADLINE_S
    impatient = partial(
        read_instance, deadline_s=8.0, propagation_s=4.0, settle_s=2.0
    )
    replace(host, "armed", partial(deadman.armed, seconds=seconds))
    replace(host, "verify", partial(verify.verify, timeout=15))
    replace(decide, "read_instance", impatient)
    FAULTS[fault](step)
    key = json.load(sys.stdin)
    try:
        result = pipeline.configure(key, trigger="person")
    except (MultihomeError, OSError) as err:
        print(f"{type(err).__name__}: {err}")
        return 1
    print(result.outcome)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], (sys.argv[2:] or [""])[0]))
