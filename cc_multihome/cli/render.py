# SPDX-License-Identifier: Apache-2.0
"""`multihome render`: the files that say the plan, on standard output."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cc_multihome.cli.source import add_source, require_sketch
from cc_multihome.cli.verb import (
    EXIT_OK,
    InactiveError,
    add_json,
    add_verb,
    print_json,
)

if TYPE_CHECKING:
    from cc_multihome.cli.source import Sketch
    from cc_multihome.cli.verb import Verbs
    from cc_multihome.files import File


def add_render(verbs: Verbs) -> None:
    """Describe `multihome render`."""
    parser = add_verb(
        verbs,
        "render",
        run_render,
        summary="print the netplan configuration",
        description="Print the netplan file of the plan, and change nothing."
        " With --metadata it needs no instance and no network: links are"
        " invented, ens5 being the first.",
    )
    add_source(parser)
    parser.add_argument(
        "--all",
        action="store_true",
        help="every file: what is shadowed, networkd's drop-ins, the names"
        " of the tables",
    )
    add_json(parser)


def run_render(args: argparse.Namespace) -> int:
    """Do `multihome render`."""
    made = require_sketch(args, "render")
    overlay = _overlay(made)
    if args.json:
        print_json(_as_dict(made))
    elif args.all:
        print("\n".join(_with_head(file) for file in made.files), end="")
    elif overlay is not None:
        print(overlay, end="")
    return EXIT_OK if overlay is not None else _say_nothing()


def _overlay(made: Sketch) -> str | None:
    from cc_multihome.discover.netplan_files import OVERLAY_NAME

    for file in made.files:
        if file.path.name == OVERLAY_NAME:
            return file.text
    return None


def _say_nothing() -> int:
    """Say it as an error: the JSON is whole, and has no file."""
    from cc_multihome.cli.report import report

    nothing = InactiveError(
        "the plan has no netplan file: one ENI and no wishes but the"
        " resolver's: it routes right as it is"
    )
    return report(nothing, "render", as_json=False)


def _with_head(file: File) -> str:
    return f"# ==> /{file.path} (mode {file.mode:04o}) <==\n{file.text}"


def _as_dict(made: Sketch) -> dict[str, object]:
    from cc_multihome.plan.as_dict import plan_as_dict

    return {
        "files": [
            {
                "path": f"/{file.path}",
                "mode": f"{file.mode:04o}",
                "text": file.text,
            }
            for file in made.files
        ],
        "plan": plan_as_dict(made.plan),
    }
