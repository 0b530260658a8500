# SPDX-License-Identifier: Apache-2.0
"""How a verification is shown: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cc_multihome.cli.style import Style

_KINDS = {"ok": "good", "failed": "bad", "skipped": "doubt"}


def in_one_line(levels: Sequence[Mapping[str, Any]], style: Style) -> str:
    """Write `kernel ok, neighbours ok, services ok`."""
    if not levels:
        return "none"
    return ", ".join(
        f"{level['level']} {_state(level, style)}" for level in levels
    )


def as_table(levels: Sequence[Mapping[str, Any]], style: Style) -> str:
    """Write a row for each level, and below what is wrong."""
    rows = [
        (level["level"], _state(level, style), f"{level['seconds']:.1f} s")
        for level in levels
    ]
    lines = [style.table(("LEVEL", "STATE", "TIME"), rows)]
    for level in levels:
        lines += [f"{level['level']}: {line}" for line in level["details"]]
    return "\n".join(lines)


def _state(level: Mapping[str, Any], style: Style) -> str:
    state = str(level["state"])
    return style.paint(state, _KINDS.get(state, "bold"))
