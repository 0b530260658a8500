# SPDX-License-Identifier: Apache-2.0
"""The boxes of the picture and their words, row by row: pure.

A row of the picture is what belongs to one table: its rules, itself, the ENI
whose own it is, and what leaves by that ENI. So the lines between rules and
tables, and between ENIs and destinations, are straight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cc_multihome.diagram import look
from cc_multihome.diagram.content import (
    Content,
    Destination,
    EniView,
    Rule,
    Table,
    TableRoute,
)
from cc_multihome.model import LEARNED
from cc_multihome.numbers import LOCAL_TABLE, PRIORITY_MAIN_BUT_DEFAULT


@dataclass(frozen=True)
class Entry:
    """A line of a box.

    Attributes:
        kind: `plain`, `strong` or `muted`.
        leads_to: the ENI that a line of the picture goes to from here.
        hidden: what it stands for where a list was shortened.
    """

    key: str
    value: str
    kind: str = "plain"
    leads_to: str | None = None
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Words:
    """A box without a place. `is_kernels`: not of the plan's making."""

    head: str
    note: str
    entries: tuple[Entry, ...]
    badges: tuple[str, ...] = ()
    is_kernels: bool = False


@dataclass(frozen=True)
class Row:
    """Boxes side by side; `interface` gives the colour, None: grey."""

    interface: str | None
    rules: Words | None = None
    table: Words | None = None
    eni: Words | None = None
    destination: Words | None = None


def rows_of(content: Content) -> tuple[Row, ...]:
    """Order the rows by their first rule's priority."""
    enis = {item.name: item for item in content.interfaces}
    exits = {item.interface: item for item in content.destinations}
    tables = {item.table: item for item in content.tables}
    most = look.most_entries(len(enis))
    rows, seen = [], set()
    for group in _groups(content.rules):
        table = tables.get(group[0].table)
        owner = table.interface if table else None
        if owner is not None and owner not in seen:
            seen.add(owner)
            rows.append(_own(group, table, enis[owner], exits[owner], most))
        else:
            rows.append(Row(None, _rules(group, most), _shared(group, table)))
    own = {table.interface: table for table in content.tables}
    lone = [
        _own((), own.get(name), eni, exits[name], most)
        for name, eni in enis.items()
        if name not in seen
    ]
    # Above the first rule that does not belong to an ENI any more.
    last = max((at for at, row in enumerate(rows) if row.eni), default=0)
    return (*rows[: last + 1], *lone, *rows[last + 1 :])


def _groups(rules: Sequence[Rule]) -> list[tuple[Rule, ...]]:
    """Put rules together that lead to the same routes.

    Main is looked into twice, the first time without most of it.
    """
    groups: dict[tuple[int, tuple[str, ...]], list[Rule]] = {}
    for rule in rules:
        groups.setdefault((rule.table, rule.suppress), []).append(rule)
    return [tuple(group) for group in groups.values()]


def _own(
    group: tuple[Rule, ...],
    table: Table | None,
    eni: EniView,
    to: Destination,
    most: int,
) -> Row:
    return Row(
        interface=eni.name,
        rules=_rules(group, most) if group else None,
        table=_table(table, most) if table else None,
        eni=_eni(eni, most),
        destination=_destination(to, most),
    )


def _rules(group: tuple[Rule, ...], most: int) -> Words:
    first = group[0]
    lines = [Entry(str(rule.priority), rule.selector) for rule in group]
    # Rules of one ENI have one priority: said once it reads better.
    told = [
        Entry("", line.value) if at and line.key == lines[at - 1].key else line
        for at, line in enumerate(lines)
    ]
    return Words(
        head=f"lookup {first.table_name}",
        note="",
        entries=(
            *_shorten(told, most),
            *(Entry("", each, "muted") for each in first.suppress),
        ),
        is_kernels=all(rule.by == "kernel" for rule in group),
    )


def _shared(group: tuple[Rule, ...], table: Table | None) -> Words:
    first = group[0]
    routes = table.routes if table and not first.suppress else ()
    return Words(
        head=first.table_name,
        note=str(first.table),
        entries=(*_by_exit(routes), *_remark(first, routes)),
        is_kernels=first.by == "kernel" and not routes,
    )


def _remark(rule: Rule, routes: Sequence[TableRoute]) -> tuple[Entry, ...]:
    """Say what else is in a table, that is not of the plan's making."""
    if rule.table == LOCAL_TABLE:
        return (Entry("", "addresses of this host", "muted"),)
    if rule.suppress:
        is_all = rule.priority == PRIORITY_MAIN_BUT_DEFAULT
        text = "all but default" if is_all else "containers, VPNs, bridges"
        return (Entry("", f"to {text}", "muted"),)
    if any(route.to == "default" for route in routes):
        return (Entry("", "neighbours, on the link", "muted"),)
    return () if routes else (Entry("", "no routes of the plan", "muted"),)


def _by_exit(routes: Sequence[TableRoute]) -> list[Entry]:
    exits: dict[str, list[TableRoute]] = {}
    for route in routes:
        exits.setdefault(route.interface, []).append(route)
    entries = []
    for name, mine in exits.items():
        head = Entry("by " + name, "", "strong", leads_to=name)
        entries += [head, *_shorten(_lines(mine), look.MOST_IN_TABLE)]
    return entries


def _table(table: Table, most: int) -> Words:
    lines = _lines(table.routes)
    return Words(
        head=table.table_name,
        note=str(table.table),
        entries=_shorten(lines, most)
        or (Entry("", "no routes of the plan", "muted"),),
    )


def _lines(routes: Sequence[TableRoute]) -> list[Entry]:
    return [Entry(route.to, _via(route.via)) for route in routes]


def _via(gateway: str | None) -> str:
    if gateway == LEARNED:
        return "via the learned router"
    return "on the link" if gateway is None else f"via {gateway}"


def _eni(eni: EniView, most: int) -> Words:
    marks = (("primary", eni.is_primary), ("default", eni.is_default))
    device = f"{eni.ifname}, MTU {eni.mtu}"
    addresses = list(eni.addresses)
    if len(addresses) > 1:
        addresses[0] += " (first)"
    known: tuple[Entry, ...] = (
        Entry("eni", eni.eni_id),
        Entry("mac", eni.mac),
        Entry("device", device),
    )
    subnet: tuple[Entry, ...] = (
        *_list("subnet", [eni.subnet] if eni.subnet else [], most),
        *([Entry("", "shared with another")] if eni.shares_subnet else []),
    )
    if most == look.MOST_OF_MANY:
        # A page of many ENIs has the rest in the tooltip of the first line.
        told = tuple(f"{it.key} {it.value}".strip() for it in known)
        known = (replace(known[0], hidden=told),)
        subnet = subnet[:1]
    return Words(
        head=eni.name,
        note="",
        badges=tuple(word for word, is_so in marks if is_so),
        entries=(
            *known,
            *subnet,
            *_list("address", addresses, most),
            *_list("prefix", eni.prefixes, most),
        ),
    )


def _destination(to: Destination, most: int) -> Words:
    rest = [Entry("default", "the internet, all else", "strong")]
    bound = [Entry("bound", "from its addresses: all", "muted")]
    entries = (
        *(rest if to.default else ()),
        *_list("policy", to.policy, most),
        *(bound if to.bound else ()),
    )
    return Words(
        head=f"by {to.interface}",
        note="",
        entries=entries or (Entry("", "nothing of the plan", "muted"),),
    )


def _list(key: str, values: Sequence[str], most: int) -> tuple[Entry, ...]:
    """Write a list; only its first line has the key."""
    lines = [Entry("" if at else key, it) for at, it in enumerate(values)]
    return _shorten(lines, most)


def _shorten(lines: Sequence[Entry], most: int) -> tuple[Entry, ...]:
    """Keep the first lines; "and 1 more" would save nothing."""
    if len(lines) <= most + 1:
        return tuple(lines)
    hidden = tuple(f"{it.key} {it.value}".strip() for it in lines[most:])
    text = f"and {len(hidden):,} more"
    return (*lines[:most], Entry("", text, "muted", hidden=hidden))
