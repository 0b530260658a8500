# SPDX-License-Identifier: Apache-2.0
"""`multihome verify`: does this host do what its plan says?"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from cc_multihome.cli.verb import (
    EXIT_OK,
    EXIT_WRONG,
    add_json,
    add_quiet,
    add_verb,
    print_json,
    require_root,
)

if TYPE_CHECKING:
    from cc_multihome.cli.verb import Verbs

# A host at rest answers at once; links that are being configured need a few
# seconds.
DEFAULT_TIMEOUT_S = 10.0
MOST_SECONDS = 3600


def add_verify(verbs: Verbs) -> None:
    """Describe `multihome verify`."""
    parser = add_verb(
        verbs,
        "verify",
        run_verify,
        summary="prove that this host does what its plan says",
        description="Look whether the kernel holds the plan that is in force,"
        " ask every gateway on its own ENI, the metadata service from every"
        " ENI, and the resolver. Changes nothing. Exit status 1 when"
        " something is wrong, 3 when there is no plan.",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=DEFAULT_TIMEOUT_S,
        metavar="SECONDS",
        help="how long the kernel may take to hold the plan (default:"
        f" {DEFAULT_TIMEOUT_S:.0f})",
    )
    add_json(parser)
    add_quiet(parser)


def run_verify(args: argparse.Namespace) -> int:
    """Do `multihome verify`."""
    require_root("verify")
    from cc_multihome.cli import core, levels, progress, style

    plan = core.require_plan()
    with progress.shown(quiet=args.quiet):
        results = core.prove(plan, args.timeout)
    ok = all(result.state == "ok" for result in results)
    shown = [result.as_dict() for result in results]
    if args.json:
        print_json({"ok": ok, "verification": shown})
    elif not (ok and args.quiet):
        print(levels.as_table(shown, style.style_of(sys.stdout)))
    return EXIT_OK if ok else EXIT_WRONG


def seconds(text: str) -> float:
    """Read a time.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    with suppress(ValueError):
        value = float(text)
        if 0 <= value <= MOST_SECONDS:
            return value
    raise argparse.ArgumentTypeError(
        f"found {text!r}, expected seconds, from 0 to {MOST_SECONDS}"
    )
