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

# The device by name, too: to put a file in its place is not what is meant.
STDOUT = (None, "-", "/dev/stdout")
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
            "the plan has nothing to draw: one ENI and no wishes but the"
            " resolver's: it routes right as it is"
        )
    to_stdout = args.output in STDOUT
    if not to_stdout:
        _write(args.output, diagram(plan))
    if args.json:
        print_json(_as_dict(plan))
    elif to_stdout:
        print(diagram(plan), end="")
    return EXIT_OK


def _write(name: str, text: str) -> None:
    """Write the picture in one step; a symbolic link is followed.

    A device or a pipe takes it as it is: a file in its place would be the
    end of /dev/null for everybody.

    Raises:
        FileError: there is a folder in its place, or its folder is missing.
        OSError: it cannot be written.
    """
    from cc_multihome.files import File, write

    # Not resolved: a pipe among /dev/fd has a name of nothing.
    there = Path(name)
    if there.is_dir():
        raise FileError(f"{name}: found a folder, expected a file or none")
    if there.exists() and not there.is_file():
        _write_through(there, text)
        return
    path = there.resolve()
    if not path.parent.is_dir():
        raise FileError(f"{name}: found no folder {path.parent}, expected one")
    mode = path.stat().st_mode & 0o777 if path.exists() else NEW_MODE
    write(File(path, text, mode))


def _write_through(path: Path, text: str) -> None:
    try:
        with path.open("w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as err:
        raise OSError(err.errno, err.strerror, str(path)) from err


def _as_dict(plan: Plan) -> dict[str, object]:
    from dataclasses import asdict

    from cc_multihome.diagram.content import content_of

    return asdict(content_of(plan))
