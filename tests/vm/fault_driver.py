#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run the module in a guest while something goes wrong. Pushed to the guest.

    fault_driver.py serve
    fault_driver.py run FAULT [WHERE]

`serve` has all imported and waits for lines `OUT VERB ...` in the fifo `in`
beside this file; VERB is `run FAULT [WHERE]`, `status` or `verify`. It does
each in a process of its own, beside each other, and writes what that printed
to the fifo OUT, and `ended STATUS` as the last line. So a machine that is
saved and restored is ready at once. The `multihome` key is in the file `key`,
as JSON.

WHERE is for `kill-before` the first step of that kind in the journal, as
`group`; for `kill-after` what was really done, a file's path or words of a
command. Waits for what does not come are shortened where a fault needs it
(`IMPATIENT`); all else is the module as it is. Printed is the outcome, or the
error.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from cc_multihome import decide, history, pipeline, triggers
from cc_multihome.apply import (
    checkpoint,
    deadman,
    host,
    networkd,
    nftables,
    rename,
    resolver,
    verify,
)
from cc_multihome.cli.main import main as command
from cc_multihome.discover.imds import read_instance
from cc_multihome.errors import MultihomeError
from cc_multihome.run import run

# For a run that hangs until the timer ends it.
DEADLINE_S = 8
# For a gateway that is dead, or a link that is gone.
VERIFY_TIMEOUT_S = 20.0
PROBE_TIMEOUT_S = 10.0
# For networkd's not answering.
COMMAND_TIMEOUT_S = 15.0
HERE = Path(__file__).parent
KEY, IN, PAUSED, GO = (HERE / name for name in ("key", "in", "paused", "go"))
OVERLAY = Path("/run/netplan/55-multihome.yaml")


def shell(command: str) -> None:
    """Run a command line of a fault."""
    subprocess.run(command, shell=True, check=False)


def replace(owner: Any, name: str, value: Any) -> None:
    """Put something of the fault's in the place of the module's own."""
    setattr(owner, name, value)


def die() -> None:
    """Be killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_before(kind: str) -> None:
    """Die when the first step of a kind is written down, and not taken."""
    real = checkpoint.Checkpoint.add

    def add(self: Any, undo: Any) -> None:
        real(self, undo)
        if undo.kind == kind:
            die()

    replace(checkpoint.Checkpoint, "add", add)


def kill_after(action: str) -> None:
    """Die right after a file was written, or a command was run."""

    def is_path(file: Any) -> bool:
        return str(file.path) == action

    def has_words(argv: list[str]) -> bool:
        return action in " ".join(argv)

    for module in (host, resolver):
        die_after(module, "write", is_path)
    for module in (nftables, rename, resolver):
        die_after(module, "run", has_words)


def die_after(
    owner: Any, name: str, is_it: Callable[[Any], bool] | None = None
) -> None:
    """Die when a function has done its work, where its argument is that."""
    real = getattr(owner, name)

    def act(what: Any, *args: Any, **named: Any) -> Any:
        done = real(what, *args, **named)
        if is_it is None or is_it(what):
            die()
        return done

    replace(owner, name, act)


def kill_in_verify(_: str) -> None:
    """Die when the kernel holds the plan, and no probe is sent yet."""
    die_after(verify, "wait_until_converged")


def kill_when_proved(_: str) -> None:
    """Die between the proof and the end of the journal; tell of the proof."""
    real = vars(host)["require"]

    def require(*args: Any) -> None:
        real(*args)
        print("proved", flush=True)

    replace(host, "require", require)
    die_after(host, "take_up_files")


def kill_in_rollback(_: str) -> None:
    """Fail, and die when half of the files are back."""
    wrap_take_up(damage, nothing)
    real, count = checkpoint.PutFileBack.run, iter(range(1, 1000))

    def put_back(self: Any) -> None:
        if next(count) == 2:
            die()
        real(self)

    replace(checkpoint.PutFileBack, "run", put_back)


def wrap_take_up(
    before: Callable[[], None], after: Callable[[], None]
) -> None:
    """Do something around networkd's taking up of the files."""
    real = vars(host)["take_up"]

    def take_up(*args: Any, **named: Any) -> None:
        before()
        real(*args, **named)
        after()

    replace(host, "take_up", take_up)


def around_take_up(
    *, before: Callable[[], None] | None = None, after: Any = None
) -> Callable[[str], None]:
    """Return a fault that does something around the taking up."""
    return lambda _: wrap_take_up(before or nothing, after or nothing)


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


def late_deadline(_: str) -> None:
    """Have the timer fire when the run was proved, and is not through."""
    real = history.keep

    def keep(*args: Any) -> None:
        shell(f"{sys.executable} -m cc_multihome.deadline")
        real(*args)

    replace(history, "keep", keep)


def list_commands(_: str) -> None:
    """Print what is started, a JSON list a line."""
    real: Any = subprocess.run

    def listed(argv: list[str], **named: Any) -> Any:
        print(json.dumps(argv))
        return real(argv, **named)

    replace(subprocess, "run", listed)


FAULTS: dict[str, Callable[[str], None]] = {
    "commands": list_commands,
    "kill-before": kill_before,
    "kill-after": kill_after,
    "kill-in-verify": kill_in_verify,
    "kill-when-proved": kill_when_proved,
    "kill-in-rollback": kill_in_rollback,
    "hang": around_take_up(after=hang),
    "hang-at-boot": around_take_up(after=hang),
    "damage": around_take_up(before=damage),
    "pause": around_take_up(after=pause),
    "late-deadline": late_deadline,
    "restart": around_take_up(
        after=lambda: shell("systemctl restart systemd-networkd")
    ),
    "networkd-hangs": around_take_up(
        before=lambda: shell("systemctl kill -s STOP systemd-networkd")
    ),
    "no-bus": around_take_up(
        before=lambda: shell("systemctl stop dbus.socket dbus.service")
    ),
    "clock": around_take_up(after=lambda: shell("date -s '+1 year'")),
}


def fire_soon() -> None:
    """Have the timer come after some seconds."""
    replace(host, "armed", partial(deadman.armed, seconds=DEADLINE_S))


def prove_in_short() -> None:
    """Wait for the kernel and for answers, but not for long."""
    replace(host, "verify", partial(verify.verify, timeout=VERIFY_TIMEOUT_S))
    replace(verify, "PROBE_TIMEOUT_S", PROBE_TIMEOUT_S)


def command_in_short() -> None:
    """Give up on networkd early, but not on systemd."""

    def run_in_short(argv: list[str]) -> str:
        if argv == ["networkctl", "reload"]:
            return run(argv, timeout=COMMAND_TIMEOUT_S)
        return run(argv)

    replace(networkd, "run", run_in_short)


def read_in_short() -> None:
    """Give up on the metadata service early."""
    impatient = partial(
        read_instance, deadline_s=5.0, propagation_s=4.0, settle_s=2.0
    )
    replace(decide, "read_instance", impatient)


IMPATIENT: dict[str, Callable[[], None]] = {
    "hang": fire_soon,
    "hang-at-boot": fire_soon,
    "networkd-hangs": command_in_short,
    "pause": prove_in_short,
    "no-gateway": prove_in_short,
    "no-metadata": read_in_short,
}


def configure(fault: str, *where: str) -> int:
    """Configure with the fault; say what came of it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    signal.signal(signal.SIGTERM, triggers._end)
    IMPATIENT.get(fault, nothing)()
    if fault in FAULTS:
        FAULTS[fault](" ".join(where))
    # Whose run's commands are listed.
    trigger = where[0] if fault == "commands" else "person"
    # As in cloud-init's process, which is not the run's own.
    alone = deadman.ended_alone() if fault == "hang-at-boot" else ExitStack()
    try:
        with alone:
            result = pipeline.configure(
                json.loads(KEY.read_text()), trigger=trigger
            )
    except (MultihomeError, OSError) as err:
        print(f"{type(err).__name__}: {err}")
        return 1
    print(result.outcome)
    return 0


def do(verb: str, *words: str) -> int:
    """Do one thing in this process."""
    if verb == "status":
        return command(["status", "--json"])
    if verb == "verify":
        return command(["verify"])
    return configure(*words)


def serve() -> None:
    """Do what the lines say, for ever."""
    # Whoever does one thing is nobody's child to wait for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        for line in IN.read_text().splitlines():
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                attend(*line.split())
                os._exit(0)


def attend(out: str, *words: str) -> None:
    """Do one thing in a process, and tell how that ended."""
    with open(f"{out}.said", "w+") as said:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            os._exit(finish(*words))
        _, status = os.waitpid(child, 0)
        said.seek(0)
        code = os.waitstatus_to_exitcode(status)
        Path(out).write_text(f"{said.read()}\nended {code}\n")


def finish(*words: str) -> int:
    """Do one thing and flush what it printed, however it ended."""
    status = 1
    try:
        status = do(*words)
    except SystemExit as err:
        status = int(err.code or 0)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    sys.exit(do(*sys.argv[1:]))
