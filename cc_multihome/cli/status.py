# SPDX-License-Identifier: Apache-2.0
"""`multihome status`: what was planned, what is, when, and why."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cc_multihome.cli.verb import (
    EXIT_INACTIVE,
    EXIT_OK,
    EXIT_WRONG,
    add_json,
    add_verb,
    print_json,
)

if TYPE_CHECKING:
    from cc_multihome.cli.style import Style
    from cc_multihome.cli.verb import Verbs
    from cc_multihome.model import Plan, PlannedInterface

_STATUS = {
    "healthy": EXIT_OK,
    "failed": EXIT_WRONG,
    "differs": EXIT_WRONG,
    "unknown": EXIT_WRONG,
    "inactive": EXIT_INACTIVE,
    "never": EXIT_INACTIVE,
}
_MEANS = {
    "healthy": "the host is what was planned",
    "failed": "the last run failed",
    "differs": "the host is not what was planned",
    "unknown": "what is planned cannot be told",
    "inactive": "nothing is in force in this boot",
    "never": "it has never run on this host",
}
# An ENI can have 50; the JSON has them all.
_SHOWN_ADDRESSES = 2
_KINDS = {EXIT_OK: "good", EXIT_WRONG: "bad", EXIT_INACTIVE: "doubt"}
_TRIGGERS = {
    "boot": "cloud-init at boot",
    "kept": "what was kept of an earlier boot",
    "hotplug": "a device that came or went",
    "refresh": "the timer",
    "person": "a person",
    "deadline": "the timer that ends a run that hangs",
}


@dataclass(frozen=True)
class View:
    """What there is to say.

    Attributes:
        last: the record of the last run, or None before the first.
        in_force_by: `boot`, `kept`, `person`, or None.
        plan: the one in force.
        missing: what the host lacks of it, a line each.
        why_no_plan: where it cannot be told.
        running: the process that applies something right now.
        pending: why the configuration is not in force as it stands now.
    """

    last: dict[str, Any] | None = None
    in_force_by: str | None = None
    plan: Plan | None = None
    missing: tuple[str, ...] = ()
    why_no_plan: str | None = None
    running: int | None = None
    pending: str | None = None

    @property
    def health(self) -> str:
        """Sum it up in a word, a key of _STATUS."""
        if self.last is None:
            return "never"
        if self.last["error"] is not None:
            return "failed"
        if self.plan is None:
            return "unknown" if self.why_no_plan else "inactive"
        return "differs" if self.missing else "healthy"


def add_status(verbs: Verbs) -> None:
    """Describe `multihome status`."""
    parser = add_verb(
        verbs,
        "status",
        run_status,
        summary="show what was planned and what is",
        description="Show the last run, the plan that is in force, and what"
        " the host lacks of it. Exit status 1 when the last run failed or the"
        " host lacks something, 3 when nothing is in force.",
    )
    add_json(parser)


def run_status(args: argparse.Namespace) -> int:
    """Do `multihome status`."""
    from cc_multihome.cli import style

    view = _look()
    if args.json:
        print_json(_as_dict(view))
    else:
        print(_text(view, style.style_of(sys.stdout)))
    return _STATUS[view.health]


def _look() -> View:
    from cc_multihome.cli import core

    last = core.read_status()
    found = core.in_force(last)
    return View(
        last=last,
        in_force_by=found.by,
        plan=found.plan,
        missing=core.missing(found.plan) if found.plan else (),
        why_no_plan=found.why_not,
        running=core.running(),
        pending=core.pending() if found.plan else None,
    )


def _as_dict(view: View) -> dict[str, Any]:
    from cc_multihome.plan.as_dict import plan_as_dict

    last = dict(view.last) if view.last else None
    failed = last.pop("failed", None) if last else None
    return {
        "health": view.health,
        "in_force_by": view.in_force_by,
        "running": view.running,
        "last": last,
        "plan": plan_as_dict(view.plan) if view.plan else None,
        "missing": list(view.missing),
        "pending": view.pending,
        "failed": failed,
    }


def _text(view: View, style: Style) -> str:
    kind = _KINDS[_STATUS[view.health]]
    health = style.paint(view.health, kind)
    parts = [f"multihome: {health} ({_MEANS[view.health]})"]
    if view.running is not None:
        parts.append(f"process {view.running} applies something right now")
    if view.last is not None:
        parts.append(style.columns(_facts(view, view.last, style)))
    if view.plan is not None and view.plan.interfaces:
        parts += ["", _interfaces(view.plan, view.missing, style)]
    if view.missing:
        parts += ["", style.paint("The host lacks:", "bold")]
        parts += [f"  {line}" for line in view.missing]
    if view.pending:
        parts += ["", style.paint("Not in force yet:", "bold")]
        parts += [f"  {line}" for line in view.pending.splitlines()]
    parts += _trouble(view, style)
    return "\n".join(parts)


def _facts(
    view: View, last: dict[str, Any], style: Style
) -> list[tuple[str, str]]:
    from cc_multihome.cli import levels

    trigger = _TRIGGERS.get(last["trigger"], last["trigger"])
    facts = [
        ("last run:", f"{last['time']}, {last['seconds']:.1f} s"),
        ("started by:", trigger),
        ("outcome:", last["outcome"]),
        ("verification:", levels.in_one_line(last["verification"], style)),
        ("instance:", last["instance_id"] or "unknown"),
        ("in force by:", _TRIGGERS.get(view.in_force_by or "", "nobody")),
    ]
    if view.plan is not None:
        facts.append(("resolver:", _resolver(view.plan)))
        policy = view.plan.policy_table
        count = sum(
            route.table == policy
            for item in view.plan.interfaces
            for route in item.routes
        )
        facts.append(("policy:", f"{count} routes" if policy else "none"))
        pinned = _pinned(view.plan)
        if pinned:
            facts.append(("pinned:", ", ".join(pinned)))
    return facts


def _pinned(plan: Plan) -> list[str]:
    """Say who leaves by which interface."""
    users = dict.fromkeys(
        (rule.uid, item.name)
        for item in plan.interfaces
        for rule in item.rules
        if rule.uid is not None
    )
    return [
        *(f"{it.unit} by {it.interface}" for it in plan.services),
        *(f"user {uid} by {name}" for uid, name in users),
    ]


def _resolver(plan: Plan) -> str:
    servers = ", ".join(map(str, plan.resolver.nameservers))
    return servers or "the host's own"


def _interfaces(plan: Plan, missing: tuple[str, ...], style: Style) -> str:
    head = ("INTERFACE", "ENI", "TABLE", "ADDRESSES", "KERNEL")
    rows = [_row(item, missing, style) for item in plan.interfaces]
    return style.table(head, rows)


def _row(
    item: PlannedInterface, missing: tuple[str, ...], style: Style
) -> tuple[str, ...]:
    needles = (f" on {item.name} ", f" dev {item.name} ")
    tables = {f" lookup {rule.table} " for rule in item.rules}
    lost = sum(
        any(needle in f"{line} " for needle in (*needles, *tables))
        for line in missing
    )
    addresses = [str(each.ip) for each in item.addresses]
    more = len(addresses) - _SHOWN_ADDRESSES
    if more > 1:
        addresses[_SHOWN_ADDRESSES:] = [f"{more} more"]
    return (
        item.name,
        item.eni_id,
        f"{item.table} ({item.table_name})",
        ", ".join(addresses) or "none",
        style.paint(f"{lost} missing", "bad")
        if lost
        else style.paint("ok", "good"),
    )


def _trouble(view: View, style: Style) -> list[str]:
    last = view.last or {}
    failed = last.get("failed")
    parts = []
    if last.get("error"):
        parts += ["", style.paint("Error of the last run:", "bold")]
        parts += [f"  {line}" for line in last["error"].splitlines()]
    if view.why_no_plan:
        parts += ["", view.why_no_plan]
    if failed and failed["error"] != last.get("error"):
        head = f"Plan that was taken back at {failed['time']}:"
        parts += ["", style.paint(head, "bold")]
        parts += [f"  {line}" for line in failed["error"].splitlines()]
    for level in last.get("verification", ()):
        if last.get("error") is None:
            parts += [f"{level['level']}: {it}" for it in level["details"]]
    return parts
