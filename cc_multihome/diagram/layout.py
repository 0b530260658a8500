# SPDX-License-Identifier: Apache-2.0
"""Where each box, line and word of the picture stands: pure.

The boxes stand in a grid. Only the lines from tables that ENIs share go up
or down, between the second and the third column, each at an x of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import ceil

from cc_multihome.diagram import frame, look
from cc_multihome.diagram.boxes import Row, Words, rows_of
from cc_multihome.diagram.content import Content
from cc_multihome.diagram.drawing import Box, Drawing, Lane, Text, Wire
from cc_multihome.diagram.summary import described, explained, summed_up

TITLE = "How packets leave this host"
COLUMNS = ("rules", "table", "eni", "destination")
HEADINGS = (
    "Rules, from first to last",
    "Routing tables",
    "Interfaces (ENIs)",
    "Destinations",
)
TITLE_Y, SUBTITLE_Y, REMARK_Y, HEADING_Y, TOP = 44, 68, 88, 126, 142


@dataclass(frozen=True)
class _Grid:
    """Where the columns and rows are, and the ENIs' indexes."""

    lefts: tuple[int, ...]
    widths: tuple[int, ...]
    tops: tuple[int, ...]
    heights: tuple[int, ...]
    indexes: dict[str, int]

    def colour(self, interface: str | None) -> str:
        if interface is None:
            return look.NEUTRAL
        return look.colour_of(self.indexes[interface])

    def dash(self, interface: str | None) -> str:
        return look.dash_of(self.indexes[interface]) if interface else ""


# What stands in a row, by column; None where the row has no box.
_Cells = tuple[Box | None, ...]


def lay_out(content: Content) -> Drawing:
    """Give everything its place.

    Raises:
        ValueError: there are no interfaces.
    """
    if not content.interfaces:
        raise ValueError("found a plan without interfaces, expected some")
    rows = rows_of(content)
    grid = _grid(rows, content)
    cells = [
        tuple(
            _box(words, row, grid, (column, at)) if words else None
            for column, words in enumerate(_words(row))
        )
        for at, row in enumerate(rows)
    ]
    texts = _page_texts(content, grid)
    right = max(ceil(text.left + text.width) for text in texts)
    bottom = grid.tops[-1] + grid.heights[-1] + look.LANE_PAD
    edge = grid.lefts[-1] + grid.widths[-1] + look.LANE_PAD
    return Drawing(
        width=max(right, edge) + look.MARGIN,
        height=bottom + look.MARGIN,
        title=f"{TITLE}: {summed_up(content)}",
        description=described(content),
        texts=texts,
        lanes=tuple(_lanes(rows, grid)),
        boxes=tuple(box for row in cells for box in row if box),
        wires=(*_bent(rows, cells, grid), *_straight(rows, cells, grid)),
    )


def _words(row: Row) -> tuple[Words | None, ...]:
    return (row.rules, row.table, row.eni, row.destination)


def _grid(rows: Sequence[Row], content: Content) -> _Grid:
    widths = tuple(
        max(
            ceil(look.text_width(heading, look.HEAD_SIZE)),
            *(frame.width_of(words) for words in column if words),
        )
        for heading, *column in zip(HEADINGS, *map(_words, rows), strict=True)
    )
    bends = sum(1 for row in rows for _ in _exits(row))
    gaps = (look.GUTTER, look.GUTTER + bends * look.WIRE_STEP, look.GUTTER)
    steps = (width + gap for width, gap in zip(widths, gaps, strict=False))
    heights = tuple(
        max(frame.height_of(words) for words in _words(row) if words)
        for row in rows
    )
    between = look.ROW_GAP + 2 * look.LANE_PAD
    tops = accumulate(
        (height + between for height in heights[:-1]),
        initial=TOP + look.LANE_PAD,
    )
    left = look.MARGIN + look.LANE_PAD
    return _Grid(
        lefts=tuple(accumulate(steps, initial=left)),
        widths=widths,
        tops=tuple(tops),
        heights=heights,
        indexes={it.name: at for at, it in enumerate(content.interfaces)},
    )


def _exits(row: Row) -> Iterator[str]:
    """Name the ENIs that bent lines of the row's table go to."""
    for entry in row.table.entries if row.table else ():
        if entry.leads_to is not None:
            yield entry.leads_to


def _box(words: Words, row: Row, grid: _Grid, place: tuple[int, int]) -> Box:
    column, at = place
    box = Box(
        x=grid.lefts[column],
        y=grid.tops[at],
        width=grid.widths[column],
        height=frame.height_of(words),
        colour=grid.colour(row.interface),
        title=f"{words.head} {words.note}".strip(),
        texts=(),
        is_dashed=words.is_kernels,
    )
    return replace(box, texts=frame.texts_of(words, box))


def _page_texts(content: Content, grid: _Grid) -> tuple[Text, ...]:
    left = look.MARGIN + look.LANE_PAD
    headings = (
        Text(x, HEADING_Y, text, look.HEAD_SIZE, bold=True)
        for x, text in zip(grid.lefts, HEADINGS, strict=True)
    )
    return (
        Text(left, TITLE_Y, TITLE, look.TITLE_SIZE, bold=True),
        Text(left, SUBTITLE_Y, summed_up(content)),
        Text(left, REMARK_Y, explained(content), colour=look.MUTED),
        *headings,
    )


def _lanes(rows: Sequence[Row], grid: _Grid) -> Iterator[Lane]:
    pad = look.LANE_PAD
    width = grid.lefts[-1] + grid.widths[-1] - grid.lefts[0] + 2 * pad
    for row, top, height in zip(rows, grid.tops, grid.heights, strict=True):
        yield Lane(
            x=grid.lefts[0] - pad,
            y=top - pad,
            width=width,
            height=height + 2 * pad,
            colour=look.tint(grid.colour(row.interface)),
        )


def _straight(
    rows: Sequence[Row], cells: Sequence[_Cells], grid: _Grid
) -> Iterator[Wire]:
    """Join boxes side by side: at the height of their heads."""
    for row, boxes in zip(rows, cells, strict=True):
        for start, end in pairwise(boxes):
            if start and end:
                yield Wire(
                    ((start.x + start.width, start.port), (end.x, end.port)),
                    grid.colour(row.interface),
                    grid.dash(row.interface),
                    f"{start.title} to {end.title}",
                )


def _bent(
    rows: Sequence[Row], cells: Sequence[_Cells], grid: _Grid
) -> list[Wire]:
    """Join the tables that ENIs share with these.

    Each line enters its ENI below those that came before, and the one that
    ends highest goes up furthest left: so lines from one table do not cross.
    """
    enis = {
        row.interface: boxes[2]
        for row, boxes in zip(rows, cells, strict=True)
        if row.interface is not None and boxes[2] is not None
    }
    used: Counter[str] = Counter()
    found = []
    for row, boxes in zip(rows, cells, strict=True):
        for at, entry in enumerate(row.table.entries if row.table else ()):
            name, table = entry.leads_to, boxes[1]
            if name is None or table is None:
                continue
            eni = enis[name]
            start = frame.entry_top(table, at) + look.LINE_HEIGHT // 2
            end = frame.entry_top(eni, used[name]) + look.LINE_HEIGHT // 2
            used[name] += 1
            found.append((end, start, name, f"{table.title} to {name}"))
    edge = grid.lefts[1] + grid.widths[1]
    return [
        Wire(
            _corners((edge, start), (grid.lefts[2], end), at),
            grid.colour(name),
            grid.dash(name),
            title,
        )
        for at, (end, start, name, title) in enumerate(sorted(found))
    ]


def _corners(
    start: tuple[int, int], end: tuple[int, int], at: int
) -> tuple[tuple[int, int], ...]:
    x = start[0] + look.GUTTER // 2 + at * look.WIRE_STEP
    return (start, (x, start[1]), (x, end[1]), end)
