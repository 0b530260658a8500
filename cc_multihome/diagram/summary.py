# SPDX-License-Identifier: Apache-2.0
"""The picture in words, for its head and for who cannot see it: pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cc_multihome.diagram import look
from cc_multihome.diagram.content import Content, Destination, EniView


def summed_up(content: Content) -> str:
    """Count what there is, and name the default."""
    policy = sum(len(item.policy) for item in content.destinations)
    rules = sum(rule.by == "plan" for rule in content.rules)
    parts = (
        _count(len(content.interfaces), "ENI"),
        _count(rules, "rule"),
        _count(policy, "policy destination"),
        f"default route by {_default(content)}",
    )
    return ", ".join(parts)


def explained(content: Content) -> str:
    """Say how to read it."""
    text = "The first rule that finds a route decides."
    if any(rule.by == "kernel" for rule in content.rules):
        text += " Dashed: the kernel's own."
    return f"{text} What a list leaves out is in its tooltip."


def described(content: Content) -> str:
    """Say which way what goes: a sentence for each ENI and each rule."""
    return " ".join((*_rules(content), *_enis(content)))


def _rules(content: Content) -> Iterator[str]:
    shown: dict[tuple[int, str], list[str]] = {}
    for rule in content.rules:
        key = (rule.priority, rule.table_name)
        text = " ".join((rule.selector, *rule.suppress))
        shown.setdefault(key, []).append(text)
    for (priority, table), texts in shown.items():
        listed = _few(texts)
        yield f"Rule {priority}: {listed} looks into table {table}."


def _enis(content: Content) -> Iterator[str]:
    exits = {item.interface: item for item in content.destinations}
    tables = {item.interface: item for item in content.tables}
    for eni in content.interfaces:
        own = tables.get(eni.name)
        table = f" with table {own.table}" if own else ""
        addresses = _few(eni.addresses) or "no IPv4 address"
        leaves = _leaves(exits[eni.name])
        yield (
            f"{_role(eni)} {eni.name} ({eni.eni_id}, {eni.mac}){table} has"
            f" {addresses}; by it leaves {leaves}."
        )


def _role(eni: EniView) -> str:
    return "Primary ENI" if eni.is_primary else "ENI"


def _leaves(to: Destination) -> str:
    parts = [
        *(["what nothing else names"] if to.default else []),
        *(["what is bound to its addresses"] if to.bound else []),
        *([f"what goes to {_few(to.policy)}"] if to.policy else []),
    ]
    return ", ".join(parts) or "nothing of the plan"


def _few(values: Sequence[str]) -> str:
    """List some; the rest is in the picture's own lists."""
    more = len(values) - look.MOST_ENTRIES
    if more <= 1:
        return ", ".join(values)
    return f"{', '.join(values[: look.MOST_ENTRIES])} and {more} more"


def _default(content: Content) -> str:
    names = [eni.name for eni in content.interfaces if eni.is_default]
    return look.cut(", ".join(names) or "none of them")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
