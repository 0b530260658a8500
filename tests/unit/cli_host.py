# SPDX-License-Identifier: Apache-2.0
"""What the verbs ask of the rest of the package, without a host."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cc_multihome.apply.diff import mismatches
from cc_multihome.apply.host import Changes
from cc_multihome.apply.verify import LevelResult
from cc_multihome.cli import core
from cc_multihome.cli.main import main
from cc_multihome.decide import Decision
from cc_multihome.explain.lookup import explain
from cc_multihome.explain.question import Sender
from cc_multihome.explain.routing import Host, planned_routing
from cc_multihome.explain.way import Way
from cc_multihome.files import File
from cc_multihome.model import Address, Observed, Plan
from cc_multihome.pipeline import Result
from cc_multihome.plan.as_dict import plan_as_dict
from cc_multihome.render import render
from tests.unit.builders import instance, observed_of, plan_for

GOOD = (
    LevelResult("kernel", "ok", 0.25),
    LevelResult("neighbours", "ok", 0.5),
    LevelResult("services", "ok", 0.125),
)


def record(plan: Plan | None, **changes: Any) -> dict[str, Any]:
    """Make the record of a run that went well."""
    return {
        "version": 1,
        "time": "2026-11-24T03:00:00Z",
        "trigger": "boot",
        "outcome": "applied",
        "error": None,
        "instance_id": "i-0123",
        "seconds": 2.5,
        "plan": plan_as_dict(plan) if plan else None,
        "verification": [item.as_dict() for item in GOOD],
        "input": "ab12",
        "failed": None,
        **changes,
    }


class CliHost:
    """A host that was made what its plan says.

    Attributes:
        asked: what the verbs asked for, in order.
        error: what the next change ends in.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.status: dict[str, Any] | None = record(plan)
        self.force = core.InForce("boot", plan)
        self.kernel: Observed = observed_of(plan)
        self.changes = Changes((), {}, False)
        self.restore = Changes((), {}, False)
        self.key: object = None
        self.enabled = True
        self.running: int | None = None
        self.pending: str | None = None
        self.units: tuple[str, ...] = ()
        self.boot_files: tuple[File, ...] = ()
        self.result = Result("applied", True, GOOD)
        self.levels: tuple[LevelResult, ...] = GOOD
        self.error: Exception | None = None
        self.way: Way | None = None
        self.routing: Host | None = None
        self.uids: dict[str, int] = {}
        self.asked: list[object] = []

    def use(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of the core."""
        patch.setattr(os, "geteuid", lambda: 0)
        patch.setattr(core, "read_status", lambda: self.status)
        patch.setattr(core, "in_force", lambda _: self.force)
        patch.setattr(core, "kernel", lambda: self.kernel)
        patch.setattr(core, "kernel_way", self.kernel_way)
        patch.setattr(core, "uid_of", lambda name: self.uids.get(name))
        patch.setattr(core, "host_routing", self.host_routing)
        patch.setattr(core, "missing", self.missing)
        patch.setattr(core, "running", lambda: self.running)
        patch.setattr(core, "pending", lambda: self.pending)
        patch.setattr(core, "read_key", lambda: self.key)
        patch.setattr(core, "decided", self.decided)
        patch.setattr(core, "find_changes", lambda *_: self.changes)
        patch.setattr(core, "find_restore", lambda: self.restore)
        patch.setattr(core, "running_resolver_units", lambda: self.units)
        patch.setattr(core, "resolver_file", self.resolver_file)
        patch.setattr(core, "boot_files", lambda _: self.boot_files)
        patch.setattr(core, "apply", self.apply)
        patch.setattr(core, "roll_back", lambda: self.change("roll_back"))
        patch.setattr(core, "take_away", lambda: self.change("take_away"))
        patch.setattr(core, "prove", self.prove)

    def kernel_way(
        self, to: Address, source: Address | None, sender: Sender
    ) -> Way | None:
        """Answer as a kernel that holds the plan, or with `way`."""
        self.asked.append((to, source))
        found = explain(self.plan, to, source, sender=sender)
        return self.way or found.way

    def host_routing(self, to: Address) -> Host:
        """Hold what the plan says, or what `routing` does."""
        return self.routing or host_of(self.plan, to.version)

    def missing(self, plan: Plan) -> tuple[str, ...]:
        """Compare a plan with the kernel."""
        return mismatches(plan, self.kernel)

    def decided(self, raw: object) -> Decision | None:
        """Decide."""
        self.asked.append(raw)
        if not self.enabled:
            return None
        files = render(self.plan, ())
        return Decision(self.plan, files, instance(), "ab12", raw)

    def resolver_file(self, plan: Plan) -> File | None:
        """Name the resolver's file, in a folder of the test."""
        made = RESOLVER_FILE(plan)
        if made is None:
            return None
        return File(self.folder / "resolv.conf", made.text)

    def apply(self, *, trigger: str, prove: bool) -> Result:
        """Apply."""
        return self.change((trigger, prove))

    def change(self, what: object) -> Result:
        """Note what is asked, and say what comes of it."""
        self.asked.append(what)
        if self.error:
            raise self.error
        return self.result

    def prove(self, plan: Plan, timeout: float) -> tuple[LevelResult, ...]:
        """Verify."""
        self.asked.append((plan, timeout))
        return self.levels


RESOLVER_FILE = core.resolver_file


def make(patch: pytest.MonkeyPatch, folder: Path) -> CliHost:
    """Make a healthy host with the seed's plan, and put it in place."""
    host = CliHost(plan_for(), folder)
    host.use(patch)
    return host


def host_of(plan: Plan, version: int = 4) -> Host:
    """Make the kernel's rules and routes that are just what a plan wants."""
    held = planned_routing(plan, version)
    return Host(
        rules=held.rules,
        entries=tuple(
            replace(entry, place=place)
            for place, entry in enumerate(held.entries)
        ),
        groups=held.groups,
        addresses=tuple(
            (item.name, each)
            for item in plan.interfaces
            for each in item.addresses
        ),
    )


def read_json(
    capsys: pytest.CaptureFixture[str], *argv: str, status: int = 0
) -> Any:
    """Run a verb with --json and read what it prints."""
    capsys.readouterr()
    assert main([*argv, "--json"]) == status
    return json.loads(capsys.readouterr().out)
