# SPDX-License-Identifier: Apache-2.0
"""Colour and aligned columns, for people at a terminal; plain for the rest."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
# ECMA-48, SGR: bold, red, green, yellow, dim
_CODES = {"bold": 1, "bad": 31, "good": 32, "doubt": 33, "dim": 2}


@dataclass(frozen=True)
class Style:
    """How to write for one reader.

    Attributes:
        colour: with escape sequences.
        aligned: columns below each other; else one tab between them.
    """

    colour: bool = False
    aligned: bool = False

    def paint(self, text: str, kind: str) -> str:
        """Colour a text: bold, good, bad, doubt or dim."""
        if not self.colour or not text:
            return text
        return f"\x1b[{_CODES[kind]}m{text}\x1b[0m"

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
        """Write rows below their heads."""
        lines = [[self.paint(cell, "bold") for cell in head], *rows]
        return self.columns(lines)

    def columns(self, rows: Sequence[Sequence[str]]) -> str:
        """Write rows of equally many cells, a line each."""
        if not self.aligned:
            return "\n".join("\t".join(row) for row in rows)
        widths = [
            max(map(_width, column)) for column in zip(*rows, strict=True)
        ]
        return "\n".join(
            "  ".join(
                cell + " " * (width - _width(cell))
                for cell, width in zip(row, widths, strict=True)
            ).rstrip()
            for row in rows
        )

    def diff(self, text: str) -> str:
        """Colour the lines of a unified diff."""
        return "\n".join(self._diff_line(line) for line in text.splitlines())

    def _diff_line(self, line: str) -> str:
        if line.startswith(("+++", "---")):
            return self.paint(line, "bold")
        kinds = {"+": "good", "-": "bad", "@": "dim"}
        kind = kinds.get(line[:1])
        return self.paint(line, kind) if kind else line


def style_of(stream: TextIO, environ: Mapping[str, str] = os.environ) -> Style:
    """Choose by what the stream is, and https://no-color.org/."""
    if not stream.isatty():
        return Style()
    plain = bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"
    return Style(colour=not plain, aligned=True)


def _width(cell: str) -> int:
    return len(_ESCAPE.sub("", cell))
