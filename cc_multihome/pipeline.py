# SPDX-License-Identifier: Apache-2.0
"""One run: decide, act, and remember what came of it.

A run has a trigger: `boot` (cloud-init), `kept` (before cloud-init, from what
was kept), `hotplug`, `refresh` (the timer), `person`, or `deadline`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from cc_multihome import follow, history, seen, state
from cc_multihome.apply.host import Applied, apply_plan
from cc_multihome.apply.lock import only_one_run
from cc_multihome.apply.restore import find_restore, restore
from cc_multihome.apply.rollback import undo_journal
from cc_multihome.config.drop_ins import DROP_INS
from cc_multihome.decide import Decision, decide
from cc_multihome.discover.imds_tree import instance_from_tree
from cc_multihome.errors import (
    ApplyError,
    BusyError,
    ConfigError,
    RollbackError,
    TimeIsUp,
    hidden_failure,
)
from cc_multihome.model import Instance
from cc_multihome.record import Result, Run

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
UNFINISHED = (
    "a run was killed or did not end in time; what it had changed was undone"
)
SECOND_TRY = "At a second try the former state was put back."


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
    while_active: bool = False,
) -> Result:
    """Make the host what the `multihome` key asks.

    Args:
        while_active: do nothing where the key is not in force any more once
            it is this run's turn: `restore` may have been the run before.
        known: metadata that was read before; None asks the service.
        because: what went wrong before, for the status.

    Raises:
        ConfigError: the key is wrong; nothing was changed, or, where it is a
            drop-in and nobody waits, no more than the last good one asks.
        MultihomeError: reading or applying failed; the host is as before.
        RollbackError: the former state could not be put back whole.
    """
    with _recorded(trigger) as run:
        if while_active and state.active() is None:
            LOG.info("the key is not in force any more: nothing is done")
            return Result("unchanged")
        _undo_unfinished()
        former = seen.take()
        mistake = _decide(raw, run, known, former)
        result = _act(run.decision, run, prove=prove)
        # At an attachment the metadata may have another place of the ENI yet
        # (no network-card, device-number 0): the next look is a full one.
        if run.decision is not None and trigger not in ("kept", "hotplug"):
            seen.keep(run.decision.instance, former)
        run.record(result, error=mistake or because)
    if mistake is not None:
        raise mistake
    return result


def _decide(
    raw: object, run: Run, known: Instance | None, former: seen.Seen | None
) -> ConfigError | None:
    """Come to the run's decision; return a mistake that did not stop it.

    Where a drop-in is wrong, and nobody waits for what it asks, ENIs and
    addresses are followed by what was proved last.

    Raises:
        MultihomeError: there is none to come to.
    """
    is_kept, is_quiet = run.trigger == "kept", run.trigger == "refresh"
    ask = partial(
        decide,
        known=known,
        seen=former.instance if former and is_quiet else None,
        before=None if is_kept else history.read_kept(),
        runtime=run.trigger in RUNTIME,
    )
    try:
        # What was kept has them in it.
        run.decision = ask(raw, drop_ins=None if is_kept else DROP_INS)
    except ConfigError as err:
        kept = state.load(state.KEPT)
        in_files = all(it.origin for it in err.problems)
        if run.trigger not in UNATTENDED or not in_files or not kept:
            raise
        LOG.info("ENIs and addresses are followed by what was proved last")
        try:
            run.decision = ask(kept["key"])
        except ConfigError:
            # The same one, of an entry that was right when it was proved.
            raise err from None
        return err
    return None


def end_unfinished() -> bool:
    """Undo a run that did not end; say whether there was one.

    Raises:
        RollbackError: the former state could not be put back whole.
    """
    with _recorded("deadline") as run:
        former = state.load(state.STATUS) or {}
        if not _undo_unfinished():
            return False
        error = UNFINISHED
        if former.get("outcome") == "rollback_failed":
            error = f"{former['error']}\n{SECOND_TRY}"
        result = Result("rolled_back", changed=True)
        run.record(result, error=ApplyError(error))
        return True


def take_away(trigger: str = "refresh") -> Result:
    """Take everything back, and forget it: the key is gone.

    Raises:
        MultihomeError: it could not be done.
    """
    with _recorded(trigger) as run:
        _undo_unfinished()
        changed = _take_all_back()
        state.forget(*state.PLANS)
        follow.end()
        result = Result("restored", changed)
        run.record(result)
        return result


def roll_back(trigger: str = "person") -> Result:
    """Go back: from a run that did not end, else to the plan before the last.

    Where there is no former plan, cloud-init's own networking comes back. The
    plan that is left is not applied again by itself until something of it
    changes.

    Raises:
        MultihomeError: it could not be done.
    """
    with _recorded(trigger) as run:
        result = _go_back(run)
        run.record(result)
        return result


@contextmanager
def _recorded(trigger: str) -> Iterator[Run]:
    """Run under the lock; the status tells of an error of any kind."""
    run = Run(trigger)
    with ExitStack() as stack:
        try:
            stack.enter_context(only_one_run())
            yield run
        except BusyError:
            # The run that goes on has a record of its own.
            raise
        except BaseException as err:
            hidden = hidden_failure(err)
            if hidden is not None:
                # Whoever is interrupted tells no error.
                LOG.error("%s", hidden)
            told = hidden or err
            outcome = "rolled_back" if run.has_begun else "refused"
            if isinstance(told, RollbackError):
                outcome = "rollback_failed"
            run.record(Result(outcome), error=told)
            raise


def _undo_unfinished() -> bool:
    """Undo a run that did not end; what it tried counts as failed."""
    try:
        found = undo_journal()
    except RollbackError as err:
        history.remember_unfinished(str(err))
        raise
    if found:
        history.remember_unfinished(UNFINISHED)
    return found


def _go_back(run: Run) -> Result:
    if _undo_unfinished():
        return Result("rolled_back", changed=True)
    kept, previous = state.load(state.KEPT), state.load(state.PREVIOUS)
    if kept:
        history.remember_given_up(kept["fingerprint"])
    if previous:
        run.decision = decide(
            previous["key"], known=instance_from_tree(previous["metadata"])
        )
        if run.decision is not None:
            applied = _apply(run.decision, run)
            state.save(state.KEPT, previous)
            state.forget(state.PREVIOUS)
            return Result("rolled_back", applied.changed, applied.verification)
    changed = _take_all_back()
    state.forget(state.KEPT, state.PREVIOUS)
    return Result("restored", changed)


def _take_all_back() -> bool:
    """Take everything back; say whether there was anything."""
    try:
        changed = not find_restore().is_empty()
    # Whatever it is, also a file of ours that somebody has damaged.
    except Exception as err:
        LOG.warning("what was done is taken back without a look: %s", err)
        changed = True
    restore()
    return changed


def _act(decision: Decision | None, run: Run, *, prove: bool) -> Result:
    if decision is None:
        LOG.info("multihome is false: what was done is taken back")
        changed = _take_all_back()
        state.forget(state.KEPT, state.PREVIOUS)
        follow.end()
        return Result("off", changed)
    if run.trigger in UNATTENDED:
        history.refuse_failed(decision)
    applied = _apply(decision, run, prove=prove)
    state.forget(state.FAILED)
    history.keep(decision)
    if state.active() is None:
        # The boot refused the key, or `false` was in force: mended since.
        follow.begin("person")
    outcome = "applied" if applied.changed else "unchanged"
    if run.trigger == "kept":
        outcome = "kept"
    return Result(outcome, applied.changed, applied.verification)


def _apply(decision: Decision, run: Run, *, prove: bool = True) -> Applied:
    """Apply it; what was begun and taken back is remembered as failed."""
    seen = None

    def look() -> None:
        nonlocal seen
        run.has_begun = True
        seen = history.look_at_kernel()

    try:
        with history.attempting(decision):
            return apply_plan(
                decision.plan, decision.files, prove=prove, before_undo=look
            )
    except BaseException as err:
        told = hidden_failure(err) or err
        is_failure = isinstance(told, (Exception, TimeIsUp))
        if run.has_begun and is_failure:
            history.remember_failed(decision, str(told), seen)
        raise
