# SPDX-License-Identifier: Apache-2.0
"""How an answer of `multihome explain` is shown to a person: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cc_multihome.cli.style import Style


def answer_text(value: Mapping[str, Any], style: Style) -> str:
    """Write what --json prints, in lines."""
    found = value["expected"] or value["plan"]
    bound = f" from {value['from']}" if value["from"] else ""
    for whose in ("user", "service"):
        bound += f" for {whose} {value[whose]}" if value[whose] else ""
    rows = [
        (f"{it['priority']}:", it["rule"], it["result"])
        for it in found["steps"]
    ]
    lines = [
        style.paint(f"{value['to']}{bound}:", "bold"),
        f"  {_way_text(found)}",
        f"  because {found['why']}",
    ]
    if rows:
        lines += [style.paint("Rules, in order:", "bold"), style.columns(rows)]
    if value["agree"] is None:
        lines.append("The kernel was not asked: this plan is from files.")
    elif value["agree"]:
        lines.append(style.paint(_agreement(found), "good"))
    else:
        lines.append(style.paint("The kernel does something else:", "bad"))
        lines += [f"  {line}" for line in value["differences"]]
        lines.append(
            "`multihome status` says what of the plan is missing;"
            " `multihome apply` puts it back."
        )
    return "\n".join(lines)


def _agreement(found: Mapping[str, Any]) -> str:
    if found["decided_by"] == "others":
        return "The kernel does so. The plan has no part in it."
    return "The kernel does the same."


def _gateway_text(gateway: str | None) -> str:
    from cc_multihome.model import LEARNED

    if gateway == LEARNED:
        return "gateway learned from router advertisements"
    return "on link" if gateway is None else f"gateway {gateway}"


def _way_text(found: Mapping[str, Any]) -> str:
    way, eni_id = found["way"], found["eni_id"]
    if way is None:
        is_theirs = found["decided_by"] == "others"
        return "as its owner says" if is_theirs else "no route"
    table = way["table"]
    where = [] if table is None else [f"table {way['table_name']} ({table})"]
    if way["interface"] is None:
        return ", ".join((f"refused: {way['type']}", *where))
    parts = [f"by {way['interface']}" + (f" ({eni_id})" if eni_id else "")]
    parts.append(_gateway_text(way["gateway"]))
    if way["source"] is not None:
        parts.append(f"source address {way['source']}")
    return ", ".join((*parts, *where))
