# SPDX-License-Identifier: Apache-2.0
"""One run: decide, act, and remember what came of it.

A run has a trigger: `boot` (cloud-init), `kept` (before cloud-init, from what
was kept), `hotplug`, `refresh` (the timer), `person`, or `deadline`.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from cc_multihome import state
from cc_multihome.apply.host import Applied, apply_plan, restore
from cc_multihome.apply.lock import only_one_run
from cc_multihome.apply.rollback import undo_journal
from cc_multihome.apply.verify import LevelResult
from cc_multihome.config.drop_ins import DROP_INS
from cc_multihome.decide import Decision, decide
from cc_multihome.discover.imds_tree import instance_from_tree, tree_of
from cc_multihome.discover.kernel import read_kernel
from cc_multihome.errors import (
    ApplyError,
    ConfigError,
    ImdsError,
    LinkError,
    MultihomeError,
    RefusedError,
    RollbackError,
)
from cc_multihome.model import Instance
from cc_multihome.plan.as_dict import plan_as_dict

__all__ = [
    "Decision",
    "Result",
    "configure",
    "decide",
    "read_key",
    "roll_back",
]

LOG = logging.getLogger(__name__)

# Nobody waits for their outcome, and they come again by themselves.
UNATTENDED = ("hotplug", "refresh")
RUNTIME = (*UNATTENDED, "person")


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
        outcome: `applied`, `unchanged`, `refused`, `rolled_back`,
            `rollback_failed`, `kept`, `off` or `restored` (docs/cli.md).
        changed: whether anything on the host is other than before.
    """

    outcome: str
    changed: bool = False
    verification: tuple[LevelResult, ...] = ()


def read_key() -> object:
    """Return the configuration for a run that cloud-init has no part in.

    Raises:
        ConfigError: there is none that can be read.
    """
    return state.load_key()


def configure(
    raw: object,
    *,
    trigger: str = "boot",
    prove: bool = True,
    known: Instance | None = None,
    because: Exception | None = None,
) -> Result:
    """Make the host what the `multihome` key asks.

    Args:
        known: metadata that was read before; None asks the service.
        because: what went wrong before, for the status.

    Raises:
        ConfigError: the key is wrong; nothing was changed.
        MultihomeError: reading or applying failed; the host is as before.
        RollbackError: the former state could not be put back whole.
    """
    with only_one_run():
        run = _Run(trigger)
        try:
            undo_journal()
            decision = decide(
                raw,
                known=known,
                runtime=trigger in RUNTIME,
                # What was kept has them in it.
                drop_ins=None if trigger == "kept" else DROP_INS,
            )
            run.decision = decision
            result = _act(decision, run, prove=prove)
        except (MultihomeError, OSError) as err:
            run.record(Result(_outcome_of(err)), error=err)
            raise
        run.record(result, error=because)
        return result


def end_unfinished() -> bool:
    """Undo a run that did not end; say whether there was one.

    Raises:
        RollbackError: the former state could not be put back whole.
    """
    with only_one_run():
        run = _Run("deadline")
        try:
            if not undo_journal():
                return False
        except RollbackError as err:
            run.record(Result("rollback_failed"), error=err)
            raise
        error = ApplyError(
            "a run was killed or did not end in time; what it had changed"
            " was undone"
        )
        run.record(Result("rolled_back", changed=True), error=error)
        return True


def take_away(trigger: str = "refresh") -> Result:
    """Take everything back, and forget it: the key is gone.

    Raises:
        MultihomeError: it could not be done.
    """
    with only_one_run():
        undo_journal()
        restore()
        names = (state.KEY, state.KEPT, state.PREVIOUS, state.FAILED)
        state.forget(*names)
        state.set_active(None)
        result = Result("restored", changed=True)
        _Run(trigger).record(result)
        return result


def roll_back(trigger: str = "person") -> Result:
    """Go back: from a run that did not end, else to the plan before the last.

    Where there is no former plan, cloud-init's own networking comes back. The
    plan that is left is not applied again by itself until something of it
    changes.

    Raises:
        MultihomeError: it could not be done.
    """
    with only_one_run():
        run = _Run(trigger)
        try:
            result = _go_back(run)
        except (MultihomeError, OSError) as err:
            run.record(Result(_outcome_of(err)), error=err)
            raise
        run.record(result)
        return result


def _go_back(run: _Run) -> Result:
    if undo_journal():
        return Result("rolled_back", changed=True)
    kept, previous = state.load(state.KEPT), state.load(state.PREVIOUS)
    if kept:
        _remember_failed(kept["fingerprint"], "rolled back by a person")
    if previous:
        decision = decide(
            previous["key"], known=instance_from_tree(previous["metadata"])
        )
        run.decision = decision
        if decision is not None:
            applied = apply_plan(decision.plan, decision.files)
            state.save(state.KEPT, previous)
            state.forget(state.PREVIOUS)
            return Result("rolled_back", applied.changed, applied.verification)
    restore()
    state.forget(state.KEPT, state.PREVIOUS)
    return Result("restored", changed=True)


def _act(decision: Decision | None, run: _Run, *, prove: bool) -> Result:
    if decision is None:
        LOG.info("multihome is false: what was done is taken back")
        restore()
        state.forget(state.KEPT, state.PREVIOUS)
        state.set_active(None)
        return Result("off")
    failed = state.load(state.FAILED) or {}
    if (
        run.trigger in UNATTENDED
        and failed.get("input") == decision.fingerprint
    ):
        raise RefusedError(
            "this plan was taken back before and is not tried again until"
            " something of it changes, at the next boot, or by `multihome"
            f" apply`. It failed at {failed['time']}: {failed['error']}"
        )
    applied = _apply(decision, prove=prove)
    state.forget(state.FAILED)
    _keep(decision)
    outcome = "applied" if applied.changed else "unchanged"
    if run.trigger == "kept":
        outcome = "kept"
    return Result(outcome, applied.changed, applied.verification)


def _apply(decision: Decision, *, prove: bool) -> Applied:
    try:
        return apply_plan(decision.plan, decision.files, prove=prove)
    except ApplyError as err:
        _remember_failed(decision.fingerprint, str(err), decision)
        raise


def _keep(decision: Decision) -> None:
    """Keep what was proved: as data, from which the plan comes again."""
    kept = state.load(state.KEPT)
    value = {
        "fingerprint": decision.fingerprint,
        "key": decision.key,
        "metadata": tree_of(decision.instance),
        "mtus": {item.mac: item.mtu for item in decision.plan.interfaces},
    }
    if kept and kept["fingerprint"] != decision.fingerprint:
        state.save(state.PREVIOUS, kept)
    state.save(state.KEPT, value)


def _remember_failed(
    fingerprint: str, error: str, decision: Decision | None = None
) -> None:
    kernel = read_kernel()
    state.save(
        state.FAILED,
        {
            "time": _now(),
            "input": fingerprint,
            "error": error,
            "plan": plan_as_dict(decision.plan) if decision else None,
            "kernel": {
                "addresses": sorted(f"{n} {a}" for n, a in kernel.addresses),
                "routes": sorted(f"{n} {r}" for n, r in kernel.routes),
                "rules": [
                    str(rule)
                    for rule in sorted(
                        kernel.rules, key=lambda rule: rule.priority
                    )
                ],
            },
        },
    )


def _outcome_of(err: Exception) -> str:
    if isinstance(err, RollbackError):
        return "rollback_failed"
    refused = (RefusedError, ConfigError, ImdsError, LinkError)
    if isinstance(err, ApplyError) and not isinstance(err, refused):
        return "rolled_back"
    return "refused"


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Run:
    """What is known of the run that is going on."""

    def __init__(self, trigger: str) -> None:
        self.trigger = trigger
        self.decision: Decision | None = None
        self._started = time.monotonic()

    def record(self, result: Result, error: Exception | None = None) -> None:
        """Keep the status that `multihome status` shows."""
        decision = self.decision
        value: dict[str, Any] = {
            "version": 1,
            "time": _now(),
            "trigger": self.trigger,
            "outcome": result.outcome,
            "error": None if error is None else str(error),
            "instance_id": decision.instance.instance_id if decision else None,
            "seconds": round(time.monotonic() - self._started, 3),
            "plan": plan_as_dict(decision.plan) if decision else None,
            "verification": [item.as_dict() for item in result.verification],
            "input": decision.fingerprint if decision else None,
        }
        state.save(state.STATUS, value)
