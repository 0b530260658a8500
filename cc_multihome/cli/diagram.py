# SPDX-License-Identifier: Apache-2.0
"""`multihome diagram`: the plan as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cc_multihome.cli.source import add_source, require_plan
from cc_multihome.cli.verb import (
    EXIT_OK,
    FileError,
    InactiveError,
    add_json,
    add_verb,
    name_of_file,
    print_json,
)

if TYPE_CHECKING:
    from cc_multihome.cli.verb import Verbs
    from cc_multihome.model import Plan

STDOUT = "-"
NEW_MODE = 0o644


def add_diagram(verbs: Verbs) -> None:
    """Describe `multihome diagram`."""
    parser = add_verb(
        verbs,
        "diagram",
        run_diagram,
        summary="draw rules, tables, ENIs and destinations as SVG",
        description="Draw the plan that is in force, and change nothing."
        " With --config it is the plan that an apply would make of FILE; with"
        " --metadata it needs no instance and no network.",
    )
    add_source(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=name_of_file,
        metavar="FILE",
        help="write the picture there, in place of standard output",
    )
    add_json(parser)


def run_diagram(args: argparse.Namespace) -> int:
    """Do `multihome diagram`."""
    from cc_multihome.diagram import diagram

    plan = require_plan(args, "draw")
    if not plan.interfaces:
        raise InactiveError(
            "the plan has nothing to draw: one ENI and no wishes, which"
            " routes right as it is"
        )
    to_stdout = args.output in (None, STDOUT)
    if not to_stdout:
        _write(args.output, diagram(plan))
    if args.json:
        print_json(_as_dict(plan))
    elif to_stdout:
        print(diagram(plan), end="")
    return EXIT_OK


def _write(name: str, text: str) -> None:
    """Write the picture in one step; a symbolic link is followed.

    Raises:
        FileError: something else than a file is in its place, which would be
            gone then, such as /dev/stdout; or its folder is missing.
    """
    from cc_multihome.files import File, write

    path = Path(name).resolve()
    if not path.parent.is_dir():
        raise FileError(f"{name}: found no folder {path.parent}, expected one")
    if path.exists() and not path.is_file():
        raise FileError(
            f"{name}: found a folder or a device, expected a file or none"
        )
    mode = path.stat().st_mode & 0o777 if path.exists() else NEW_MODE
    write(File(path, text, mode))


def _as_dict(plan: Plan) -> dict[str, object]:
    from dataclasses import asdict

    from cc_multihome.diagram.content import content_of

    return asdict(content_of(plan))
