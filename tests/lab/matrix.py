# SPDX-License-Identifier: Apache-2.0
"""Suites x shapes: boot each, send every flow, say what is not right.

    python -m tests.lab.matrix [--suite trixie]... [--shape seed]... [--json]

Exit status 0: every cell is green; 1: one is not; 2: the lab itself failed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.expected import problems_of
from tests.lab.flow_table import build_flows
from tests.lab.host import LabError, say
from tests.lab.image import with_package
from tests.lab.instance import LabInstance, booted, build_deb
from tests.lab.shapes import SHAPES
from tests.lab.user_data import Intent

SUITES = ("bookworm", "trixie", "sid")
VERSIONS = (
    "dpkg-query --showformat='${Package} ${Version}, ' --show"
    " cloud-init netplan.io systemd; echo Linux $(uname -r)"
)
# What cloud-init's log says of the module that a person should know.
LOGGED = (
    "grep -E '(WARNING|ERROR).*multihome|multihome.*(WARNING|ERROR)'"
    " /var/log/cloud-init.log | tail -n 8"
)
SECONDS_OF_RUN = "multihome status --json"
GREEN, RED, BROKEN = "ok", "WRONG", "lab failed"
DONE, WRONG, LAB_FAILED = 0, 1, 2


@dataclass(frozen=True)
class Cell:
    """One shape on one suite.

    Attributes:
        outcome: GREEN, RED or BROKEN.
        flows: how many were sent.
        boot_s, run_s: to the end of cloud-init, and of it the module's run.
        imds: requests to the metadata service in this boot.
        problems: what is not right, a line each.
        logged: warnings and errors of the module in cloud-init's log.
        versions: of what the suite brings.
    """

    suite: str
    shape: str
    outcome: str
    flows: int = 0
    boot_s: float = 0.0
    run_s: float = 0.0
    imds: int = 0
    problems: tuple[str, ...] = ()
    logged: tuple[str, ...] = ()
    versions: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the matrix."""
    options = _parse(argv)
    suites = [it for it in SUITES if it in (options.suite or SUITES)]
    shapes = [it for it in SHAPES if it in (options.shape or SHAPES)]
    pairs = [(suite, shape) for suite in suites for shape in shapes]
    cells = []
    try:
        deb = build_deb()
        with Run() as run:
            for number, (suite, shape) in enumerate(pairs, 1):
                say(f"{number} of {len(pairs)}: {shape} on {suite}")
                cells.append(_try(run, deb, suite, shape))
                say(f"{shape} on {suite}: {cells[-1].outcome}")
    except LabError as err:
        print(f"the matrix could not run: {err}", file=sys.stderr)
        return LAB_FAILED
    print(_as_json(cells) if options.json else render(cells), end="")
    return exit_status(cells)


def exit_status(cells: Iterable[Cell]) -> int:
    """Return what the command ends with; wrong flows come before the lab's."""
    found = {cell.outcome for cell in cells}
    if RED in found:
        return WRONG
    return LAB_FAILED if BROKEN in found else DONE


def render(cells: Sequence[Cell]) -> str:
    """Return the table (Markdown), the versions, and what is not right."""
    suites = list(dict.fromkeys(cell.suite for cell in cells))
    by_place = {(cell.shape, cell.suite): cell for cell in cells}
    rows = [["shape", *suites], ["---"] * (len(suites) + 1)]
    for shape in dict.fromkeys(cell.shape for cell in cells):
        found = (by_place.get((shape, suite)) for suite in suites)
        rows.append([shape, *(_say(cell) if cell else "-" for cell in found)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"| {' | '.join(map(str.ljust, row, widths))} |" for row in rows]
    versions = {it.suite: it.versions for it in cells if it.versions}
    lines += ["", *(f"{suite}: {it}" for suite, it in versions.items())]
    for cell in cells:
        lines += _explain(cell)
    return "\n".join(lines) + "\n"


def _say(cell: Cell) -> str:
    if cell.outcome == GREEN:
        return f"{GREEN}, {cell.flows} flows"
    return f"{cell.outcome}: {len(cell.problems)} problems, see below"


def _explain(cell: Cell) -> list[str]:
    """Say why a cell is not green, and what cloud-init's log has of it."""
    if cell.outcome == GREEN:
        return []
    said = [f"  log: {line}" for line in cell.logged]
    return [
        "",
        f"{cell.shape} on {cell.suite}: {cell.outcome}",
        *(f"  {line}" for line in cell.problems),
        *(said or ["  cloud-init's log has no warning or error of it"]),
    ]


def _try(run: Run, deb: Path, suite: str, shape: str) -> Cell:
    """Boot one shape on one suite; a lab that fails is that cell's matter."""
    intent = SHAPES[shape]
    data = user_data.multihome(intent)
    try:
        image = with_package(suite, deb)
        label = f"{suite}-{shape}"
        with booted(run, image, intent, data, label=label) as instance:
            return _look(instance, intent, suite, shape)
    except LabError as err:
        return Cell(suite, shape, BROKEN, problems=(str(err),))


def _look(
    instance: LabInstance, intent: Intent, suite: str, shape: str
) -> Cell:
    asked = len(instance.vpc.imds_requests())
    problems = problems_of(instance, intent)
    shown = instance.vm.run(SECONDS_OF_RUN, check=False).out
    last = json.loads(shown or "{}").get("last") or {}
    return Cell(
        suite,
        shape,
        RED if problems else GREEN,
        len(_flows(intent)),
        round(instance.boot.settled_s, 1),
        last.get("seconds", 0.0),
        asked,
        tuple(problems),
        tuple(instance.vm.run(LOGGED, check=False).out.splitlines()),
        instance.vm.run(VERSIONS).out.strip(),
    )


def _flows(intent: Intent) -> Sequence[object]:
    return build_flows(
        intent.shape,
        default=intent.default,
        policy=intent.policy,
        unnamed=intent.unnamed,
        unnamed_ipv6=intent.unnamed_ipv6,
    )


def _as_json(cells: Iterable[Cell]) -> str:
    return json.dumps([asdict(cell) for cell in cells], indent=2) + "\n"


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="script/matrix",
        description="Boot every shape of instance on every Debian release in"
        " a simulated VPC with cc_multihome, send every flow, and print what"
        " is right. Exit status 1 when a flow is wrong, 2 when the lab"
        " failed.",
    )
    parser.add_argument(
        "--suite", action="append", choices=SUITES, help="only this; repeat"
    )
    parser.add_argument(
        "--shape", action="append", choices=SHAPES, help="only this; repeat"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the cells as JSON"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
