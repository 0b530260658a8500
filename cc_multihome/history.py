# SPDX-License-Identifier: Apache-2.0
"""Which plans were proved, which one failed, which one is being applied."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cc_multihome import state
from cc_multihome.decide import Decision
from cc_multihome.discover.imds_tree import instance_from_tree, tree_of
from cc_multihome.discover.kernel import read_kernel
from cc_multihome.discover.leases import leases_of
from cc_multihome.errors import CommandError, MultihomeError, RefusedError
from cc_multihome.model import Instance, Observed
from cc_multihome.plan.as_dict import plan_as_dict
from cc_multihome.record import now, read_time

LOG = logging.getLogger(__name__)

# After so many seconds what worked once is tried again: the host may have
# lost a rule, and a repair may have failed for what has passed since (a
# gateway that was silent, a process that was killed).
RETRY_S = 3600.0
GIVEN_UP = "rolled back by a person"


def keep(decision: Decision) -> None:
    """Keep what was proved: as data, from which the plan comes again."""
    kept = state.load(state.KEPT)
    value = {
        "fingerprint": decision.fingerprint,
        "key": decision.key,
        "metadata": tree_of(decision.instance),
        "leases": leases_of(decision.plan),
    }
    fingerprint = kept.get("fingerprint") if isinstance(kept, dict) else None
    if fingerprint not in (None, decision.fingerprint):
        state.save(state.PREVIOUS, kept)
    state.save(state.KEPT, value)


def read_kept() -> Instance | None:
    """Return the metadata of the last plan that was proved, if any."""
    kept = state.load(state.KEPT)
    try:
        return instance_from_tree(kept["metadata"]) if kept else None
    except (MultihomeError, AttributeError, KeyError, TypeError) as err:
        LOG.warning("what was kept cannot be read: %r", err)
        return None


@contextmanager
def attempting(decision: Decision) -> Iterator[None]:
    """Have it known which plan is being applied.

    A run that is killed does not come to its end, and whoever undoes what it
    did then knows what not to try again.
    """
    attempt = {
        "input": decision.fingerprint,
        "plan": plan_as_dict(decision.plan),
    }
    state.save_for_boot(state.ATTEMPT, attempt)
    try:
        yield
    finally:
        state.forget(state.ATTEMPT)


def remember_unfinished(error: str) -> None:
    """Remember as failed what the run that did not end has tried."""
    attempt = state.load(state.ATTEMPT)
    if attempt:
        kernel = look_at_kernel()
        _save_failed(attempt["input"], error, attempt["plan"], kernel)
    state.forget(state.ATTEMPT)


def remember_failed(
    decision: Decision, error: str, kernel: Observed | None
) -> None:
    """Remember a plan that was taken back, and what the kernel held then."""
    plan = plan_as_dict(decision.plan)
    _save_failed(decision.fingerprint, error, plan, kernel)


def remember_given_up(fingerprint: str) -> None:
    """Remember that a person went back to the plan before this one.

    So it is with every plan that was left on the way back, until one is
    applied: the configuration may still ask for the first of them.
    """
    _save_failed(fingerprint, GIVEN_UP, None, look_at_kernel())


def look_at_kernel() -> Observed | None:
    """Read the kernel's state for a person; None where it cannot be read."""
    try:
        return read_kernel()
    except CommandError as err:
        LOG.warning("the kernel's state is not kept: %s", err)
        return None


def refuse_failed(decision: Decision) -> None:
    """Do not try again what was taken back before, or not soon.

    Raises:
        RefusedError: it is the same plan; says what became of it.
    """
    failed = _load_failed()
    left = (failed.get("input"), *failed.get("earlier", ()))
    if decision.fingerprint in left:
        if _is_proved(decision) and _age_s(failed) > RETRY_S:
            LOG.warning("this plan worked before: it is tried again")
            return
        raise RefusedError(
            "this plan was taken back before and is not tried again until"
            " something of it changes, at the next boot, or by `multihome"
            f" apply`. {_why_left(decision, failed)}"
        )


def _why_left(decision: Decision, failed: Mapping[str, Any]) -> str:
    if decision.fingerprint == failed.get("input"):
        return f"It failed at {failed['time']}: {failed['error']}"
    return f"It was {GIVEN_UP} before"


def _is_proved(decision: Decision) -> bool:
    """Was it in force, so that a repair is what failed?"""
    kept = state.load(state.KEPT)
    fingerprint = kept.get("fingerprint") if isinstance(kept, dict) else None
    return bool(fingerprint == decision.fingerprint)


def _age_s(failed: Mapping[str, Any]) -> float:
    """Say how long ago it failed, by a clock that may have been set."""
    try:
        return time.time() - read_time(failed["time"])
    except (KeyError, TypeError, ValueError):
        return 0.0


def _load_failed() -> dict[str, Any]:
    return state.load(state.FAILED) or {}


def _save_failed(
    fingerprint: str,
    error: str,
    plan: Any,
    kernel: Observed | None,
) -> None:
    before = _load_failed()
    # What a person gave up stays so; what failed, while a person goes back.
    left = list(before.get("earlier", ()))
    if GIVEN_UP in (error, before.get("error")):
        left.append(before.get("input"))
    others = dict.fromkeys(it for it in left if it not in (None, fingerprint))
    value = {
        "time": now(),
        "input": fingerprint,
        "earlier": list(others),
        "error": error,
        "plan": plan,
        "kernel": None if kernel is None else _kernel_as_dict(kernel),
    }
    state.save(state.FAILED, value)


def _kernel_as_dict(kernel: Observed) -> dict[str, list[str]]:
    rules = sorted(kernel.rules, key=lambda rule: rule.priority)
    return {
        "addresses": sorted(f"{n} {a}" for n, a in kernel.addresses),
        "routes": sorted(f"{n} {r}" for n, r in kernel.routes),
        "rules": [str(rule) for rule in rules],
    }
