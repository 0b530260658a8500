# SPDX-License-Identifier: Apache-2.0
"""Write a picture as SVG 1.1: pure, the same picture gives the same text.

https://www.w3.org/TR/SVG11/. No scripts, no style sheets, nothing from
elsewhere: it can be shown wherever an image can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from cc_multihome.diagram import look
from cc_multihome.diagram.drawing import Box, Drawing, Lane, Text, Wire

# What XML 1.0 has no way to write, not even escaped (its production 2).
_NOT_XML = re.compile(
    "[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
ARROW = 7
ROUND = 6
CORNER = 5


def svg(drawing: Drawing) -> str:
    """Return the whole document."""
    size = {"width": drawing.width, "height": drawing.height}
    head = _open(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        version="1.1",
        **size,
        viewBox=f"0 0 {drawing.width} {drawing.height}",
        font_family=look.FONT,
    )
    text = "\n".join(
        (
            '<?xml version="1.0" encoding="UTF-8"?>',
            head,
            _element("title", drawing.title),
            _element("desc", drawing.description),
            _empty("rect", **size, fill=look.PAGE),
            *(_lane(lane) for lane in drawing.lanes),
            *(_text(text) for text in drawing.texts),
            *(line for wire in drawing.wires for line in _wire(wire)),
            *(line for box in drawing.boxes for line in _box(box)),
            "</svg>\n",
        )
    )
    # ASCII is UTF-8, whatever the locale of who prints it.
    return text.encode("ascii", "xmlcharrefreplace").decode()


def _lane(lane: Lane) -> str:
    return _rect(lane, rx=ROUND, fill=lane.colour)


def _box(box: Box) -> Iterator[str]:
    yield "<g>"
    yield _element("title", box.title)
    yield _rect(box, rx=CORNER, fill=look.WHITE)
    yield _empty("path", d=_head_path(box), fill=box.colour)
    dash = {"stroke_dasharray": "5 3"} if box.is_dashed else {}
    frame = {"fill": "none", "stroke": box.colour, "stroke_width": 1.5}
    yield _rect(box, rx=CORNER, **frame, **dash)
    for text in box.texts:
        if text.is_badge:
            yield _badge(text)
        yield _text(text)
    yield "</g>"


def _head_path(box: Box) -> str:
    """Draw the head: round above, square below."""
    inner, arc = box.width - 2 * CORNER, f"{CORNER} {CORNER} 0 0 1 {CORNER}"
    below = look.HEAD_HEIGHT - CORNER
    return (
        f"M{box.x} {box.y + look.HEAD_HEIGHT}v{-below}a{arc} {-CORNER}"
        f"h{inner}a{arc} {CORNER}v{below}z"
    )


def _badge(text: Text) -> str:
    return _empty(
        "rect",
        x=text.left - look.BADGE_PAD,
        y=text.y - text.size - 1,
        width=text.width + 2 * look.BADGE_PAD,
        height=text.size + 5,
        rx=7,
        fill="none",
        stroke=text.colour,
    )


def _wire(wire: Wire) -> Iterator[str]:
    path = _path(wire)
    line = {"d": path, "fill": "none"}
    yield "<g>"
    yield _element("title", wire.title)
    # White below the line parts it from those that it crosses.
    yield _empty("path", **line, stroke=look.WHITE, stroke_width=5)
    dash = {"stroke_dasharray": wire.dash} if wire.dash else {}
    yield _empty("path", **line, stroke=wire.colour, stroke_width=2, **dash)
    x, y = wire.points[-1]
    tip = f"M{x} {y}l{-ARROW} {-ARROW / 2}v{ARROW}z"
    yield _empty("path", d=tip, fill=wire.colour)
    yield "</g>"


def _path(wire: Wire) -> str:
    """Join the points, with round corners; stop short of the arrow."""
    (x, y), *rest = wire.points
    *corners, (end_x, end_y) = rest
    parts = [f"M{x} {y}"]
    for at, (x, y) in enumerate(corners):
        before, after = wire.points[at], wire.points[at + 2]
        start, end = _towards((x, y), before), _towards((x, y), after)
        parts.append(f"L{start}Q{x} {y} {end}")
    parts.append(f"L{end_x - ARROW + 1} {end_y}")
    return "".join(parts)


def _towards(point: tuple[int, int], other: tuple[int, int]) -> str:
    """Go a little way from a point to the next, at most half of it."""
    steps = []
    for here, there in zip(point, other, strict=True):
        way = there - here
        step = min(ROUND, abs(way) / 2)
        steps.append(_number(here + (step if way > 0 else -step)))
    return " ".join(steps)


def _text(text: Text) -> str:
    attributes: dict[str, object] = {"x": text.x, "y": text.y}
    attributes |= {"font_size": text.size, "fill": text.colour}
    if text.bold:
        attributes["font_weight"] = "bold"
    if text.anchor != "start":
        attributes["text_anchor"] = text.anchor
    tooltip = _element("title", text.tooltip) if text.tooltip else ""
    return f"{_open('text', **attributes)}{tooltip}{_clean(text.text)}</text>"


def _rect(place: Box | Lane, **attributes: object) -> str:
    size = {"width": place.width, "height": place.height}
    return _empty("rect", x=place.x, y=place.y, **size, **attributes)


def _element(name: str, text: str) -> str:
    return f"<{name}>{_clean(text)}</{name}>"


def _open(name: str, **attributes: object) -> str:
    return f"<{name}{_attributes(attributes)}>"


def _empty(name: str, **attributes: object) -> str:
    return f"<{name}{_attributes(attributes)}/>"


def _attributes(attributes: dict[str, object]) -> str:
    return "".join(
        f" {key.replace('_', '-')}={quoteattr(_number(value))}"
        for key, value in attributes.items()
    )


def _number(value: object) -> str:
    """Write at most two decimals, and none that say nothing."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)


def _clean(text: str) -> str:
    return escape(_NOT_XML.sub(_REPLACEMENT, text))
