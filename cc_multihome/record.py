# SPDX-License-Identifier: Apache-2.0
"""The record of one run, which `multihome status` shows (docs/cli.md)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from cc_multihome import state
from cc_multihome.apply.verify import LevelResult
from cc_multihome.decide import Decision
from cc_multihome.errors import MultihomeError, TimeIsUp
from cc_multihome.plan.as_dict import plan_as_dict

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


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


class Run:
    """What is known of the run that is going on.

    Attributes:
        decision: None until it has come to one.
        has_begun: whether something was changed, and has to be undone when
            the run ends in an error.
    """

    def __init__(self, trigger: str) -> None:
        self.trigger = trigger
        self.decision: Decision | None = None
        self.has_begun = False
        self._started = time.monotonic()

    def record(
        self, result: Result, error: BaseException | None = None
    ) -> None:
        """Keep the status that `multihome status` shows."""
        decision = self.decision
        value: dict[str, Any] = {
            "version": 1,
            "time": now(),
            "trigger": self.trigger,
            "outcome": result.outcome,
            "error": None if error is None else _describe(error),
            "instance_id": decision.instance.instance_id if decision else None,
            "seconds": round(time.monotonic() - self._started, 3),
            "plan": plan_as_dict(decision.plan) if decision else None,
            "verification": [item.as_dict() for item in result.verification],
            "input": decision.fingerprint if decision else None,
        }
        state.save(state.STATUS, value)


def now() -> str:
    """Return the time, UTC, as docs/cli.md has it."""
    return datetime.now(timezone.utc).strftime(TIME_FORMAT)


def read_time(text: str) -> float:
    """Return what `now` wrote in seconds since 1970.

    Raises:
        ValueError: it is something else.
    """
    read = datetime.strptime(text, TIME_FORMAT)
    return read.replace(tzinfo=timezone.utc).timestamp()


def _describe(error: BaseException) -> str:
    """Say what went wrong; a mistake of this package's with its class."""
    if isinstance(error, (MultihomeError, OSError, TimeIsUp)):
        return str(error)
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return "the run was interrupted"
    return f"{type(error).__name__}: {error}"
