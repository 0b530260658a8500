# SPDX-License-Identifier: Apache-2.0
"""How large a box is, and where its words stand in it: pure."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from cc_multihome.diagram import look
from cc_multihome.diagram.boxes import Entry, Words
from cc_multihome.diagram.drawing import Box, Text


def width_of(words: Words) -> int:
    """Return how wide a box must be for its words."""
    keys = _key_width(words)
    inner = max(
        (
            look.text_width(look.cut(entry.key), look.SIZE)
            if not entry.value
            else keys + look.text_width(look.cut(entry.value), look.SIZE)
            for entry in words.entries
        ),
        default=0,
    )
    head = look.text_width(look.cut(words.head), look.HEAD_SIZE)
    if words.note:
        head += 2 * look.PAD + look.text_width(words.note, look.SIZE)
    head += sum(_badge_width(badge) + look.PAD for badge in words.badges)
    return ceil(max(inner, head)) + 2 * look.PAD


def _key_width(words: Words) -> float:
    """Return how far the values are to the right of the keys."""
    keys = [look.cut(it.key) for it in words.entries if it.key and it.value]
    if not keys:
        return 0
    return max(look.text_width(key, look.SIZE) for key in keys) + look.PAD


def _badge_width(badge: str) -> float:
    return look.text_width(badge, look.BADGE_SIZE) + 2 * look.BADGE_PAD


def height_of(words: Words) -> int:
    """Return how high a box must be for its words."""
    body = len(words.entries) * look.LINE_HEIGHT
    return look.HEAD_HEIGHT + body + look.PAD


def texts_of(words: Words, box: Box) -> tuple[Text, ...]:
    """Place the words of a box."""
    return (*_head(words, box), *_body(words, box))


def _head(words: Words, box: Box) -> Iterator[Text]:
    base = box.y + look.HEAD_HEIGHT - 8
    yield Text(
        x=box.x + look.PAD,
        y=base,
        text=look.cut(words.head),
        size=look.HEAD_SIZE,
        colour=look.WHITE,
        bold=True,
        tooltip=_whole(words.head),
    )
    right: float = box.x + box.width - look.PAD
    if words.note:
        yield Text(right, base, words.note, colour=look.WHITE, anchor="end")
    for badge in reversed(words.badges):
        yield Text(
            x=right - look.BADGE_PAD,
            y=base - 1,
            text=badge,
            size=look.BADGE_SIZE,
            colour=look.WHITE,
            anchor="end",
            is_badge=True,
        )
        right -= _badge_width(badge) + look.PAD


def _body(words: Words, box: Box) -> Iterator[Text]:
    left, keys = box.x + look.PAD, _key_width(words)
    for at, entry in enumerate(words.entries):
        base = entry_top(box, at) + 14
        is_strong = entry.kind == "strong"
        quiet = look.INK if is_strong else look.MUTED
        if entry.key:
            text = look.cut(entry.key)
            tooltip = _whole(entry.key)
            yield Text(
                left, base, text, colour=quiet, bold=is_strong, tooltip=tooltip
            )
        if entry.value:
            yield Text(
                x=left + keys,
                y=base,
                text=look.cut(entry.value),
                colour=look.MUTED if entry.kind == "muted" else look.INK,
                bold=is_strong,
                tooltip=_tooltip(entry),
            )


def entry_top(box: Box, at: int) -> int:
    """Return where the line of an entry begins."""
    return box.y + look.HEAD_HEIGHT + look.PAD // 2 + at * look.LINE_HEIGHT


def _whole(text: str) -> str:
    """Return a text that was cut, else nothing."""
    return "" if look.cut(text) == text else text


def _tooltip(entry: Entry) -> str:
    return ", ".join(entry.hidden) or _whole(entry.value)
