# SPDX-License-Identifier: Apache-2.0
"""The verbs that change this host: apply, rollback, restore."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cc_multihome.cli.verb import (
    EXIT_OK,
    add_json,
    add_quiet,
    add_verb,
    print_json,
    require_root,
)

if TYPE_CHECKING:
    from cc_multihome.cli.verb import Verbs
    from cc_multihome.pipeline import Result

# `kept` and `deadline` are the package's own.
TRIGGERS = ("person", "boot", "hotplug", "refresh")
_SAID = {
    "applied": "applied: the host is what the configuration asks",
    "unchanged": "nothing to change: the host is what the configuration asks",
    "rolled_back": "rolled back: the former plan is in force",
    "restored": "restored: cloud-init's own networking is in force",
    "off": "the configuration says false: cloud-init's own networking is in"
    " force",
    "kept": "applied from what was kept of an earlier run",
}


def add_apply(verbs: Verbs) -> None:
    """Describe `multihome apply`."""
    parser = add_verb(
        verbs,
        "apply",
        run_apply,
        summary="make this host what its configuration asks",
        description="Read the configuration (cloud-init's key and"
        " /etc/multihome.d) and the metadata again and bring the host to"
        " them. What does not prove to work is taken back.",
    )
    parser.add_argument(
        "--no-verify",
        action="store_true",
        help="do not prove that it works, nor take it back if it does not",
    )
    parser.add_argument(
        "--trigger",
        choices=TRIGGERS,
        default="person",
        help="what the status is to name as the reason (default: person);"
        " hotplug and refresh do not try a plan again that failed",
    )
    add_json(parser)
    add_quiet(parser)


def run_apply(args: argparse.Namespace) -> int:
    """Do `multihome apply`."""
    require_root("apply")
    from cc_multihome.cli import core

    def act() -> Result:
        return core.apply(trigger=args.trigger, prove=not args.no_verify)

    return _change(args, act)


def add_rollback(verbs: Verbs) -> None:
    """Describe `multihome rollback`."""
    parser = add_verb(
        verbs,
        "rollback",
        run_rollback,
        summary="go back to what was in force before the last change",
        description="Undo a run that did not end; else go back to the plan"
        " before the last one; where there is none, to cloud-init's own"
        " networking. The plan that is left is not tried again until"
        " something of it changes, at the next boot, or by multihome apply.",
    )
    add_json(parser)
    add_quiet(parser)


def run_rollback(args: argparse.Namespace) -> int:
    """Do `multihome rollback`."""
    require_root("rollback")
    from cc_multihome.cli import core

    return _change(args, core.roll_back)


def add_restore(verbs: Verbs) -> None:
    """Describe `multihome restore`."""
    parser = add_verb(
        verbs,
        "restore",
        run_restore,
        summary="take back what the module did to this host",
        description="Put back cloud-init's networking and the former resolver,"
        " on the running host. At the next boot the module runs again.",
    )
    add_json(parser)
    add_quiet(parser)


def run_restore(args: argparse.Namespace) -> int:
    """Do `multihome restore`."""
    require_root("restore")
    from cc_multihome.cli import core

    return _change(args, core.take_away)


def _change(args: argparse.Namespace, act: Callable[[], Result]) -> int:
    """Do it, and say what came of it."""
    from cc_multihome.cli import levels, progress, style

    with _undisturbed(), progress.shown(quiet=args.quiet):
        result = act()
    shown = [item.as_dict() for item in result.verification]
    if args.json:
        print_json(
            {
                "outcome": result.outcome,
                "changed": result.changed,
                "verification": shown,
            }
        )
        return EXIT_OK
    if args.quiet:
        return EXIT_OK
    print(_SAID.get(result.outcome, result.outcome))
    if shown:
        look = style.style_of(sys.stdout)
        print(f"verification: {levels.in_one_line(shown, look)}")
    return EXIT_OK


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Outlive the terminal, and undo before the process is ended.

    The connection of whoever started this may be cut by the very change, and
    its terminal hangs up then. SIGTERM's default would leave the undoing to
    the timer.
    """
    former = {
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, _interrupt),
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
