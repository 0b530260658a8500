# SPDX-License-Identifier: Apache-2.0
"""`multihome integrate`: tie the module into the installed cloud-init."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cc_multihome.cli.verb import (
    EXIT_OK,
    EXIT_WRONG,
    FileError,
    add_json,
    add_verb,
    name_of_file,
    print_json,
)

if TYPE_CHECKING:
    from cc_multihome.cli.verb import Verbs
    from cc_multihome.integrate.steps import Finding


def add_integrate(verbs: Verbs) -> None:
    """Describe `multihome integrate`."""
    parser = add_verb(
        verbs,
        "integrate",
        run_integrate,
        summary="tie the module into the installed cloud-init",
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
        type=name_of_file,
        default="/",
        metavar="DIR",
        help="the system below DIR, such as a mounted image",
    )
    add_json(parser)
    parser.add_argument(
        "--quiet", action="store_true", help="print what is wrong only"
    )


def run_integrate(args: argparse.Namespace) -> int:
    """Do `multihome integrate`."""
    from cc_multihome.integrate import steps

    root = _root_of(args.root)
    if args.remove:
        findings = steps.remove(root)
    elif args.check:
        findings = steps.check(root)
    else:
        findings = steps.integrate(root)
    if args.json:
        print_json([item.as_dict() for item in findings])
    else:
        _print(findings, quiet=args.quiet)
    wrong = any(item.state == "wrong" for item in findings)
    return EXIT_WRONG if wrong else EXIT_OK


def _root_of(name: str) -> Path:
    """Find the system; where there is none, nothing is right about it.

    Raises:
        FileError: there is no folder of this name.
    """
    root = Path(name).resolve()
    if not root.is_dir():
        raise FileError(f"--root: found no folder {name}, expected one")
    return root


def _print(findings: tuple[Finding, ...], *, quiet: bool) -> None:
    for item in findings:
        if item.state == "wrong":
            print(f"{item.part}: {item.message}", file=sys.stderr)
        elif not quiet:
            print(f"{item.part}: {item.message}")
    if not quiet and not any(item.state != "right" for item in findings):
        print("nothing to do")
