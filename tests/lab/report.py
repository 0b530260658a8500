# SPDX-License-Identifier: Apache-2.0
"""Show what became of the flows, several configurations side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.lab.far_server import COMPANY, GUEST, INTERNET
from tests.lab.flows import Verdict
from tests.lab.vpc_rules import Drops

WIDTH = 100
LABEL_WIDTH = 30
NARROWEST = 12
GAP = "  "
DROPS_ROW = "packets dropped by the source checks"


@dataclass(frozen=True)
class Column:
    """One configuration of the instance and what came of its flows.

    Attributes:
        drops: by ENI, as Vpc.counters() returns them.
    """

    title: str
    verdicts: Sequence[Verdict]
    drops: Mapping[str, Drops]

    def cell(self, row: str) -> str:
        """Return what a row says in this column."""
        return say_row(
            [item for item in self.verdicts if item.flow.row == row]
        )


def say_verdict(verdict: Verdict) -> str:
    """Return what a single flow's verdict says, in a few words."""
    side = verdict.seen_side
    if side is None:
        return "no answer"
    if side != verdict.flow.expected_side:
        return f"{side} side (wrong)"
    if not verdict.ok:
        return f"{verdict.seen_eni or 'unseen'} (wrong)"
    if side in (INTERNET, COMPANY):
        return f"{side} side"
    return "answers" if side == GUEST else "works"


def say_row(verdicts: Sequence[Verdict]) -> str:
    """Return what the flows of one row say together.

    Where they differ, the wrong ones are counted and named.
    """
    if not verdicts:
        return "-"
    total = len(verdicts)
    wrong: dict[str, int] = {}
    right: dict[str, int] = {}
    for verdict in verdicts:
        said = say_verdict(verdict)
        count = right if verdict.ok else wrong
        count[said] = count.get(said, 0) + 1
    if not wrong:
        return ", ".join(right)
    if len(wrong) == 1 and not right:
        return next(iter(wrong))
    return ", ".join(f"{n} of {total}: {said}" for said, n in wrong.items())


def say_drops(drops: Mapping[str, Drops]) -> str:
    """Return how many packets were dropped at the source check, and where."""
    found = {name: item.src for name, item in drops.items() if item.src}
    if not found:
        return "0"
    if len(drops) == 1:
        return str(sum(found.values()))
    where = ", ".join(f"{name} {count}" for name, count in found.items())
    return f"{sum(found.values())} ({where})"


def render(columns: Sequence[Column], *, width: int = WIDTH) -> str:
    """Return a table for a terminal: a line for each row, words wrapped.

    Args:
        width: in characters; never exceeded unless there are so many
            columns that each would be narrower than 12.
    """
    rows: dict[str, None] = {}
    for column in columns:
        rows.update(dict.fromkeys(item.flow.row for item in column.verdicts))
    lines = [["flow", *(column.title for column in columns)]]
    lines += [[row, *(column.cell(row) for column in columns)] for row in rows]
    lines.append([DROPS_ROW, *(say_drops(column.drops) for column in columns)])
    each = (width - LABEL_WIDTH) // max(1, len(columns)) - len(GAP)
    widths = [LABEL_WIDTH, *(max(NARROWEST, each) for _ in columns)]
    text = [_wrap_line(cells, widths) for cells in lines]
    ruler = GAP.join("-" * size for size in widths)
    return "\n".join((text[0], ruler, *text[1:])) + "\n"


def _wrap_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return one row of the table, as many lines as its longest cell."""
    wrapped = [
        textwrap.wrap(cell, size, subsequent_indent=" " * (number == 0))
        for number, (cell, size) in enumerate(zip(cells, widths, strict=True))
    ]
    height = max(len(part) for part in wrapped)
    padded = [part + [""] * (height - len(part)) for part in wrapped]
    return "\n".join(
        GAP.join(
            text.ljust(size) for text, size in zip(line, widths, strict=True)
        ).rstrip()
        for line in zip(*padded, strict=True)
    )
