# SPDX-License-Identifier: Apache-2.0
"""The command `multihome`.

A verb is a function `add_<verb>(verbs)` that describes its arguments and sets
`run`, a function from the parsed arguments to the exit status. What a verb
needs is imported when it runs, so that `--version` and `--help` stay quick.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cc_multihome.errors import MultihomeError
from cc_multihome.version import __version__

if TYPE_CHECKING:
    from cc_multihome.integrate.steps import Finding

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

EXIT_OK = 0
EXIT_WRONG = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status.

    0: all is right. 1: something is wrong, and was said. 2: bad usage.
    """
    args = build_parser().parse_args(argv)
    try:
        status: int = args.run(args)
    except (MultihomeError, OSError) as err:
        print(f"multihome: {err}", file=sys.stderr)
        return EXIT_WRONG
    except BrokenPipeError:
        # The reader of a pipe (head) has what it wanted.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    return status


def build_parser() -> argparse.ArgumentParser:
    """Describe every verb and its arguments."""
    parser = argparse.ArgumentParser(
        prog="multihome",
        description="Multi-homed EC2 instances, see multihome(8).",
    )
    parser.add_argument(
        "--version", action="version", version=f"multihome {__version__}"
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    add_integrate(verbs)
    add_restore(verbs)
    return parser


def add_integrate(verbs: Verbs) -> None:
    """Describe `multihome integrate`."""
    parser = verbs.add_parser(
        "integrate",
        help="tie the module into the installed cloud-init",
        description="Put multihome into cloud-init's list of modules, the"
        " key into its schema, and a script into /etc/cloud/clean.d."
        " Exit status 1 when something stays wrong.",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--check",
        action="store_true",
        help="write nothing, only say what is wrong",
    )
    which.add_argument(
        "--remove", action="store_true", help="take it all back"
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path("/"),
        metavar="DIR",
        help="the system below DIR, such as a mounted image",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--quiet", action="store_true", help="print what is wrong only"
    )
    parser.set_defaults(run=run_integrate)


def run_integrate(args: argparse.Namespace) -> int:
    """Do `multihome integrate`."""
    from cc_multihome.integrate import steps as integrate

    root: Path = args.root.resolve()
    if args.remove:
        findings = integrate.remove(root)
    elif args.check:
        findings = integrate.check(root)
    else:
        findings = integrate.integrate(root)
    if args.json:
        print(json.dumps([item.as_dict() for item in findings], indent=2))
    else:
        _print_findings(findings, quiet=args.quiet)
    wrong = any(item.state == "wrong" for item in findings)
    return EXIT_WRONG if wrong else EXIT_OK


def add_restore(verbs: Verbs) -> None:
    """Describe `multihome restore`."""
    parser = verbs.add_parser(
        "restore",
        help="take back what the module did to this host",
        description="Put back cloud-init's networking and the former resolver,"
        " on the running host. At the next boot the module runs again.",
    )
    parser.set_defaults(run=run_restore)


def run_restore(_args: argparse.Namespace) -> int:
    """Do `multihome restore`."""
    from cc_multihome.apply.host import restore

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    restore()
    return EXIT_OK


def _print_findings(findings: tuple[Finding, ...], *, quiet: bool) -> None:
    for item in findings:
        if item.state == "wrong":
            print(f"{item.part}: {item.message}", file=sys.stderr)
        elif not quiet:
            print(f"{item.part}: {item.message}")
    if not quiet and not any(item.state != "right" for item in findings):
        print("nothing to do")
