# SPDX-License-Identifier: Apache-2.0
"""The table of nftables that remembers by which ENI a connection came.

A reply from a container has the container's address while it is routed, so no
rule on source address knows its ENI. The connection does: its first packet
gets it the mark of the ENI, and what comes back from elsewhere than an ENI
gets the mark of its connection, by which the rules route it.
"""

from __future__ import annotations

from hashlib import sha256

from cc_multihome.files import HEADER
from cc_multihome.model import Plan
from cc_multihome.numbers import MARK_MASK

FAMILY, NAME = "inet", "multihome"
# After connections are known (-200), before Docker's and others' DNAT (-100);
# the kernel's name for it is mangle.
PRIORITY = -150
OTHER_BITS = ~MARK_MASK & 0xFFFFFFFF


def table(plan: Plan) -> str | None:
    """Render the table; None where the plan wants none."""
    rules = _rules(plan)
    if not rules:
        return None
    lines = [
        f"    {rule} comment {comment}"
        for rule, comment in zip(rules, comments(rules), strict=True)
    ]
    return "\n".join(
        (
            HEADER,
            f"table {FAMILY} {NAME} {{",
            "  chain prerouting {",
            f"    type filter hook prerouting priority {PRIORITY};",
            *lines,
            "  }",
            "}\n",
        )
    )


def comments(rules: list[str]) -> list[str]:
    """Number the rules; the comments differ when any rule does."""
    digest = sha256("\n".join(rules).encode()).hexdigest()[:12]
    return [f'"{digest} {number}"' for number in range(len(rules))]


def wanted_comments(plan: Plan) -> list[str]:
    """Return the comments as nftables prints them."""
    return [comment.strip('"') for comment in comments(_rules(plan))]


def _rules(plan: Plan) -> list[str]:
    if not plan.containers:
        return []
    marked = [
        (item.name, item.mark)
        for item in plan.interfaces
        if item.mark is not None
    ]
    names = ", ".join(f'"{name}"' for name, _ in marked)
    return [
        *(
            f'iifname "{name}" ct state new ct mark set'
            f" ct mark and {OTHER_BITS:#x} or {mark:#x}"
            for name, mark in marked
        ),
        *(
            f"iifname != {{ {names} }} ct direction reply"
            f" ct mark and {MARK_MASK:#x} == {mark:#x} meta mark set"
            f" meta mark and {OTHER_BITS:#x} or {mark:#x}"
            for _, mark in marked
        ),
    ]
