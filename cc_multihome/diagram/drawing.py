# SPDX-License-Identifier: Apache-2.0
"""The parts of a picture, each with its place.

Lengths are user units (look.py); x grows to the right, y downwards. A text
stands on its baseline.
"""

from __future__ import annotations

from dataclasses import dataclass

from cc_multihome.diagram import look


@dataclass(frozen=True)
class Text:
    """A line of text; `anchor` is where x is: `start` or `end`.

    Attributes:
        tooltip: what there is to say of it beyond itself.
        is_badge: has a frame around it.
    """

    x: float
    y: float
    text: str
    size: int = look.SIZE
    colour: str = look.INK
    bold: bool = False
    anchor: str = "start"
    tooltip: str = ""
    is_badge: bool = False

    @property
    def width(self) -> float:
        """How wide it is at most."""
        return look.text_width(self.text, self.size)

    @property
    def left(self) -> float:
        """Where it begins."""
        return self.x - self.width if self.anchor == "end" else self.x


@dataclass(frozen=True)
class Box:
    """A frame with a head; `title` says what it is without its place."""

    x: int
    y: int
    width: int
    height: int
    colour: str
    title: str
    texts: tuple[Text, ...]
    is_dashed: bool = False

    @property
    def port(self) -> int:
        """Where straight lines meet its sides."""
        return self.y + look.HEAD_HEIGHT // 2


@dataclass(frozen=True)
class Lane:
    """The ground below the boxes of an ENI."""

    x: int
    y: int
    width: int
    height: int
    colour: str


@dataclass(frozen=True)
class Wire:
    """An arrow through points that are right or below each other."""

    points: tuple[tuple[int, int], ...]
    colour: str
    dash: str
    title: str


@dataclass(frozen=True)
class Drawing:
    """The whole picture."""

    width: int
    height: int
    title: str
    description: str
    texts: tuple[Text, ...]
    lanes: tuple[Lane, ...]
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
