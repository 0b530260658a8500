# SPDX-License-Identifier: Apache-2.0
"""Colours, sizes and the width of text: what the picture looks like.

Lengths are user units, which are CSS pixels at a scale of 1.
"""

from __future__ import annotations

import unicodedata

PAGE = "#ffffff"
INK = "#1f2933"
MUTED = "#52606d"
NEUTRAL = "#52606d"
WHITE = "#ffffff"
# White text on each, and each on white or its tint, has a contrast of at
# least 4.5 (WCAG 2.1, 1.4.3); neighbours differ in lightness or hue. EC2 has
# at most 15 ENIs on most instance types; more of them begin anew.
COLOURS = (
    *("#1d5fa8", "#b0400f", "#1b7340", "#7b3aa0", "#8a6100"),
    *("#b01e5b", "#0d6f7c", "#6b4226", "#3d46b8", "#54700a"),
    *("#a32020", "#3a5f73", "#8d2f8d", "#2f5d3a", "#4b3b8f"),
)
# Lines can be told apart in black and white, too.
DASHES = ("", "9 3", "3 3", "9 3 3 3")
# How much of the colour is in the ground below an ENI's boxes.
TINT = 0.07

# One family for all, so that the width of a text is known: a character of
# the fonts behind `monospace` is 0.55 (Consolas) to 0.602 em (DejaVu) wide.
FONT = "'DejaVu Sans Mono', Menlo, Consolas, monospace"
EM = 0.61

SIZE = 12
HEAD_SIZE = 13
BADGE_SIZE = 10
TITLE_SIZE = 20
LINE_HEIGHT = 18
HEAD_HEIGHT = 26
PAD = 10
BADGE_PAD = 6
MARGIN = 24
ROW_GAP = 12
LANE_PAD = 8
GUTTER = 56
WIRE_STEP = 7

# Longer ones are cut: an IPv6 prefix is at most 43 characters long.
MOST_CHARACTERS = 46
# Entries of a list that are shown; all of them if it is one more.
MOST_ENTRIES = 6
MOST_OF_MANY = 2
MANY_ENIS = 7
MOST_IN_TABLE = 3


def text_width(text: str, size: int) -> float:
    """Estimate how wide a text is, rather too wide than too narrow."""
    return _columns(text) * EM * size


def _columns(text: str) -> int:
    return sum(
        2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def cut(text: str, most: int = MOST_CHARACTERS) -> str:
    """Shorten a text in its middle, where ids differ least."""
    if _columns(text) <= most:
        return text
    text = text[:most] + text[-most:]
    while _columns(text) >= most:
        middle = len(text) // 2
        text = text[:middle] + text[middle + 1 :]
    middle = len(text) // 2
    return f"{text[:middle]}\N{HORIZONTAL ELLIPSIS}{text[middle:]}"


def colour_of(index: int) -> str:
    """Return the colour of the ENI with this index."""
    return COLOURS[index % len(COLOURS)]


def dash_of(index: int) -> str:
    """Return the pattern of its lines; "" is a solid one."""
    return DASHES[index % len(DASHES)]


def tint(colour: str) -> str:
    """Return a light ground of the same hue."""
    return "#" + "".join(
        f"{round(255 - (255 - int(colour[at : at + 2], 16)) * TINT):02x}"
        for at in (1, 3, 5)
    )


def most_entries(enis: int) -> int:
    """Return how many entries a list shows, so that a page is enough."""
    return MOST_ENTRIES if enis < MANY_ENIS else MOST_OF_MANY
