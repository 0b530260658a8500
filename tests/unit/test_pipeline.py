# SPDX-License-Identifier: Apache-2.0
"""A run tells the truth about itself, and does not repeat a failure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cc_multihome import follow, history, pipeline, seen, state
from cc_multihome.apply import lock
from cc_multihome.apply.host import Applied, Changes
from cc_multihome.apply.lock import holder
from cc_multihome.apply.verify import LevelResult
from cc_multihome.decide import Decision
from cc_multihome.discover.links import HostLinks
from cc_multihome.errors import (
    ApplyError,
    BusyError,
    CommandError,
    ConfigError,
    ImdsError,
    Problem,
    RefusedError,
    RollbackError,
    TimeIsUp,
    VerifyError,
)
from cc_multihome.files import File, write
from cc_multihome.model import Instance, Observed
from cc_multihome.pipeline import (
    configure,
    end_unfinished,
    roll_back,
    take_away,
)
from tests.unit.builders import (
    Socket,
    instance,
    link,
    observed_of,
    plan_for,
)

OK = (LevelResult("kernel", "ok"),)


class World:
    """A host that is what it is told, or fails as it is told.

    Attributes:
        fingerprint: of the next decision; None: the key says false.
        error: what applying raises.
        begun: whether that is after something was changed.
        done: what was done, in order.
        unfinished: whether a journal is there.
    """

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.fingerprint: str | None = "one"
        self.error: BaseException | None = None
        self.begun = True
        self.changed = True
        self.unfinished = False
        self.done: list[str] = []
        patch.setattr(state, "STATE", folder / "var")
        patch.setattr(state, "RUN", folder / "run")
        self.ifindex = 2
        self.seen: list[Instance | None] = []
        self.before: list[Instance | None] = []
        patch.setattr(seen, "read_links", self.read_links)
        patch.setattr(lock, "LOCK", folder / "run" / "lock")
        self.socket = Socket(patch)
        patch.setattr(pipeline, "decide", self.decide)
        patch.setattr(pipeline, "apply_plan", self.apply_plan)
        patch.setattr(pipeline, "restore", self.restore)
        patch.setattr(pipeline, "find_restore", self.find_restore)
        patch.setattr(pipeline, "undo_journal", self.undo_journal)
        patch.setattr(history, "read_kernel", self.read_kernel)

    def read_links(self, _: object) -> HostLinks:
        """Read the devices."""
        found = link("ens5", "0a:00:00:00:00:01", ifindex=self.ifindex)
        return HostLinks((found,), frozenset())

    def decide(
        self,
        raw: Any,
        *,
        known: Instance | None = None,
        seen: Instance | None = None,
        before: Instance | None = None,
        **_: object,
    ) -> Decision | None:
        """Plan the seed under the fingerprint that was set, or the key's."""
        self.seen.append(seen)
        self.before.append(before)
        if self.fingerprint is None:
            return None
        name = raw.get("name", self.fingerprint)
        found = known or seen or instance()
        return Decision(plan_for(), (), found, name, raw)

    def apply_plan(
        self, *_: object, before_undo: Callable[[], None], prove: bool = True
    ) -> Applied:
        """Apply, under the lock."""
        assert holder() is not None
        self.done.append("apply")
        if self.error:
            if self.begun:
                before_undo()
            raise self.error
        return Applied(self.changed, OK if prove else ())

    def restore(self) -> None:
        """Take everything back."""
        self.done.append("restore")

    def find_restore(self) -> Changes:
        """Say what that would change: a name, once something was applied."""
        is_ours = self.done[-1:] == ["apply"]
        return Changes((), {"private": "ens5"} if is_ours else {}, False)

    def undo_journal(self) -> bool:
        """Undo what a run that was killed has left."""
        unfinished, self.unfinished = self.unfinished, False
        if unfinished:
            self.done.append("undo")
        return unfinished

    def read_kernel(self) -> Observed:
        """Read the kernel."""
        return observed_of(plan_for())


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """The seed's host."""
    return World(monkeypatch, tmp_path)


def status() -> dict[str, Any]:
    """Return the status, which is there."""
    found = state.read_status()
    assert found is not None
    return found


def test_what_was_done_is_told(world: World) -> None:
    """When, why, what, for whom, and what proved it."""
    assert configure({}, trigger="boot").outcome == "applied"
    told = status()
    assert told["outcome"] == "applied"
    assert told["trigger"] == "boot"
    assert told["instance_id"] == instance().instance_id
    assert told["plan"]["interfaces"][0]["mac"] == instance().enis[0].mac
    assert told["verification"] == [
        {"level": "kernel", "state": "ok", "seconds": 0.0, "details": []}
    ]
    assert (told["error"], told["failed"]) == (None, None)


def test_a_host_that_is_right_is_unchanged(world: World) -> None:
    """And the status says so."""
    world.changed = False
    result = configure({}, trigger="refresh")
    assert (result.outcome, result.changed) == ("unchanged", False)
    assert status()["outcome"] == "unchanged"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        pytest.param(VerifyError("no route"), "rolled_back", id="verify"),
        pytest.param(ApplyError("no reload"), "rolled_back", id="apply"),
        pytest.param(KeyError("name"), "rolled_back", id="a mistake of ours"),
        pytest.param(RefusedError("bad yaml"), "refused", id="refused"),
        pytest.param(RollbackError("half"), "rollback_failed", id="rollback"),
        pytest.param(ImdsError("401"), "refused", id="imds"),
        pytest.param(OSError("full"), "refused", id="disk"),
    ],
)
def test_every_failure_is_told_as_what_it_is(
    world: World, error: Exception, outcome: str
) -> None:
    """And goes on to the caller."""
    world.error, world.begun = error, outcome != "refused"
    with pytest.raises(type(error)):
        configure({})
    assert status()["outcome"] == outcome
    assert str(error) in status()["error"]
    assert holder() is None


def test_a_failed_plan_is_kept_with_the_kernels_state(world: World) -> None:
    """For whoever looks at it later."""
    world.error = VerifyError("no route")
    with pytest.raises(VerifyError):
        configure({})
    failed = status()["failed"]
    assert failed["input"] == "one"
    assert failed["error"] == "no route"
    assert failed["plan"]["interfaces"]
    assert failed["kernel"]["rules"]
    assert failed["kernel"]["addresses"]


def test_a_plan_whose_time_was_up_is_a_failed_one(world: World) -> None:
    """It would hang again."""
    world.error = TimeIsUp("the run did not end in time")
    with pytest.raises(TimeIsUp):
        configure({})
    assert "did not end in time" in status()["failed"]["error"]
    assert "rolled_back" == status()["outcome"]
    assert "the run did not end in time" == status()["error"]


@pytest.mark.parametrize("trigger", ["refresh", "hotplug"])
def test_a_failed_plan_is_not_tried_again_by_itself(
    world: World, trigger: str
) -> None:
    """The timer would break the host every five minutes."""
    world.error = VerifyError("no route")
    with pytest.raises(VerifyError):
        configure({})
    world.error = None
    with pytest.raises(RefusedError, match="no route"):
        configure({}, trigger=trigger)
    assert world.done == ["apply"]
    assert status()["outcome"] == "refused"


def test_a_repair_that_failed_is_tried_again_in_an_hour(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan worked before: what the host has lost is not lost for good."""
    configure({}, trigger="boot")
    world.error = VerifyError("gateway: no answer")
    with pytest.raises(VerifyError):
        configure({}, trigger="refresh")
    world.error = None
    began = time.time()
    for after in (0, history.RETRY_S - 5, -history.RETRY_S * 2):
        monkeypatch.setattr(time, "time", lambda after=after: began + after)
        with pytest.raises(RefusedError, match="no answer"):
            configure({}, trigger="refresh")
    monkeypatch.setattr(time, "time", lambda: began + history.RETRY_S + 5)
    assert configure({}, trigger="refresh").outcome == "applied"
    assert status()["failed"] is None


def test_a_plan_that_never_worked_or_was_given_up_is_not_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it is."""
    later = time.time() + 100 * history.RETRY_S
    configure({}, trigger="boot")
    world.fingerprint, world.error = "two", VerifyError("no route")
    with pytest.raises(VerifyError):
        configure({}, trigger="refresh")
    world.error = None
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(RefusedError):
        configure({}, trigger="refresh")
    configure({}, trigger="person")
    roll_back()
    with pytest.raises(RefusedError, match="by a person"):
        configure({}, trigger="refresh")


def test_what_a_person_gave_up_stays_so_when_another_plan_fails(
    world: World,
) -> None:
    """The configuration may come back to it by the next refresh."""
    configure({}, trigger="boot")
    world.fingerprint = "two"
    configure({}, trigger="person")
    roll_back()
    world.fingerprint, world.error = "three", VerifyError("no route")
    with pytest.raises(VerifyError):
        configure({}, trigger="refresh")
    world.fingerprint, world.error = "two", None
    with pytest.raises(RefusedError, match="by a person") as refused:
        configure({}, trigger="refresh")
    # That is what became of the other one.
    assert "no route" not in str(refused.value)


def test_what_failed_before_a_person_went_back_is_not_tried_again(
    world: World,
) -> None:
    """The record of the failure has made way for that of the going back."""
    configure({}, trigger="boot")
    world.fingerprint = "two"
    configure({}, trigger="person")
    world.fingerprint, world.error = "three", VerifyError("no route")
    with pytest.raises(VerifyError):
        configure({}, trigger="refresh")
    world.error = None
    roll_back()
    with pytest.raises(RefusedError):
        configure({}, trigger="refresh")


@pytest.mark.parametrize("trigger", ["person", "boot"])
def test_a_person_or_a_boot_tries_it_again(world: World, trigger: str) -> None:
    """And a success clears the record."""
    world.error = VerifyError("no route")
    with pytest.raises(VerifyError):
        configure({})
    world.error = None
    assert configure({}, trigger=trigger).outcome == "applied"
    assert status()["failed"] is None


def test_another_plan_is_tried_at_once(world: World) -> None:
    """Something of the input has changed."""
    world.error = VerifyError("no route")
    with pytest.raises(VerifyError):
        configure({})
    world.error, world.fingerprint = None, "two"
    assert configure({}, trigger="refresh").outcome == "applied"


def test_what_a_killed_run_left_is_undone_first(world: World) -> None:
    """Then this run begins from a known state."""
    world.unfinished = True
    configure({})
    assert world.done == ["undo", "apply"]


def test_the_deadline_undoes_a_run_and_says_so(world: World) -> None:
    """The run itself can not."""
    world.unfinished = True
    assert end_unfinished()
    assert status()["trigger"] == "deadline"
    assert status()["outcome"] == "rolled_back"
    assert "killed" in status()["error"]


class Killed(BaseException):
    """Stands for SIGKILL, as far as one process can."""


@pytest.mark.parametrize("undoer", ["deadline", "refresh"])
def test_the_plan_of_a_run_that_did_not_end_is_not_tried_in_a_loop(
    world: World, monkeypatch: pytest.MonkeyPatch, undoer: str
) -> None:
    """The timer would hang, or be killed, every five minutes."""
    world.error = Killed()
    with monkeypatch.context() as patch:
        # A process that is killed neither records nor forgets anything.
        patch.setattr(state, "forget", lambda *_: None)
        with pytest.raises(Killed):
            configure({}, trigger="refresh")
    world.error, world.unfinished = None, True
    if undoer == "deadline":
        assert end_unfinished()
    with pytest.raises(RefusedError, match="killed"):
        configure({}, trigger="refresh")
    assert world.done == ["apply", "undo"]
    failed = status()["failed"]
    assert failed["plan"]["interfaces"]
    assert failed["kernel"]["rules"]
    assert configure({}, trigger="person").outcome == "applied"


def test_a_second_try_to_undo_says_what_the_first_one_met(
    world: World,
) -> None:
    """The timer comes once more when the run could not undo it all."""
    world.error = RollbackError("no reload")
    with pytest.raises(RollbackError):
        configure({})
    world.unfinished = True
    assert end_unfinished()
    assert status()["outcome"] == "rolled_back"
    assert status()["error"].startswith("no reload\n")
    assert "second try" in status()["error"]


def test_a_plan_that_was_not_begun_is_tried_again(world: World) -> None:
    """/run was full, say: that goes by without anything changing."""
    world.error, world.begun = RefusedError("no space"), False
    with pytest.raises(RefusedError):
        configure({}, trigger="refresh")
    world.error = None
    assert configure({}, trigger="refresh").outcome == "applied"


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_does_not_hide_what_could_not_be_undone(
    world: World,
    interrupt: type[BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It came in the undoing, and ends the run after that."""
    world.error = interrupt()
    world.error.__context__ = RollbackError("no reload; look at the host")
    with pytest.raises(interrupt):
        configure({})
    assert status()["outcome"] == "rollback_failed"
    assert "no reload" in status()["error"]
    assert "no reload" in status()["failed"]["error"]
    assert "no reload" in caplog.text


@pytest.mark.parametrize("begun", [True, False])
def test_an_interrupt_is_told_and_no_failure_of_the_plan(
    world: World, begun: bool
) -> None:
    """Control-C, or a unit that is stopped."""
    world.error, world.begun = SystemExit(143), begun
    with pytest.raises(SystemExit):
        configure({})
    outcome = "rolled_back" if begun else "refused"
    assert status()["outcome"] == outcome
    assert "interrupted" in status()["error"]
    assert status()["failed"] is None


def test_a_kernel_that_cannot_be_read_hides_no_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ip` may be what is broken."""

    def fail() -> Observed:
        raise CommandError("no ip")

    monkeypatch.setattr(history, "read_kernel", fail)
    world.error = VerifyError("no route")
    with pytest.raises(VerifyError, match="no route"):
        configure({})
    assert status()["failed"]["kernel"] is None


def test_a_run_that_cannot_lock_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/run is full; but a run that only waited has no say."""

    error: Exception = OSError("no space")

    def refuse() -> None:
        raise error

    monkeypatch.setattr(pipeline, "only_one_run", refuse)
    with pytest.raises(OSError):
        configure({})
    assert "no space" in status()["error"]
    error = BusyError("another run")
    with pytest.raises(BusyError):
        configure({})
    assert "no space" in status()["error"]


def test_a_deadline_after_the_end_does_nothing(world: World) -> None:
    """The run ended between the timer's start and the lock."""
    configure({})
    assert not end_unfinished()
    assert status()["outcome"] == "applied"


@pytest.mark.parametrize("trigger", ["boot", "hotplug", "refresh", "person"])
def test_metadata_is_held_against_what_was_proved(
    world: World, trigger: str
) -> None:
    """What was kept is not held against itself."""
    configure({})
    configure({}, trigger=trigger)
    configure({}, trigger="kept", known=instance())
    assert world.before == [None, instance(), None]
    state.save(state.KEPT, ["damaged"])
    configure({}, trigger="person")
    assert world.before[-1] is None


def test_rolling_back_brings_the_plan_before_the_last(world: World) -> None:
    """It was proved once."""
    configure({"name": "one"})
    configure({"name": "two"})
    assert roll_back().outcome == "rolled_back"
    assert state.load(state.KEPT)["fingerprint"] == "one"
    with pytest.raises(RefusedError, match="by a person"):
        configure({"name": "two"}, trigger="refresh")


def test_rolling_back_the_first_plan_brings_cloud_inits_networking(
    world: World,
) -> None:
    """There is nothing before it."""
    configure({"name": "one"})
    assert roll_back() == pipeline.Result("restored", changed=True)
    assert world.done == ["apply", "restore"]
    assert roll_back() == pipeline.Result("restored", changed=False)
    assert state.load(state.KEPT) is None


@pytest.mark.parametrize(
    "err", [CommandError("ip failed"), ValueError("no JSON")]
)
def test_what_cannot_be_compared_is_taken_back_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, err: Exception
) -> None:
    """It is needed most where something is broken."""

    def fail() -> Changes:
        raise err

    monkeypatch.setattr(pipeline, "find_restore", fail)
    assert roll_back() == pipeline.Result("restored", changed=True)
    assert world.done == ["restore"]


def test_rolling_back_twice_leaves_both_plans(world: World) -> None:
    """The configuration still asks for the first that was left.

    The timer would apply it five minutes later.
    """
    configure({"name": "one"})
    configure({"name": "two"})
    roll_back()
    assert roll_back().outcome == "restored"
    for name in ("one", "two"):
        with pytest.raises(RefusedError, match="by a person"):
            configure({"name": name}, trigger="refresh")
    configure({"name": "two"}, trigger="person")
    configure({"name": "one"}, trigger="refresh")


def test_rolling_back_a_run_that_did_not_end_only_undoes_it(
    world: World,
) -> None:
    """What was there before it, it was."""
    configure({"name": "one"})
    world.unfinished = True
    assert roll_back().outcome == "rolled_back"
    assert world.done == ["apply", "undo"]


def test_false_takes_back_what_was_done(world: World) -> None:
    """The resolver too, which outlives a reboot."""
    configure({})
    world.fingerprint = None
    first, second = configure(False), configure(False)
    assert ("off", True) == (first.outcome, first.changed)
    assert ("off", False) == (second.outcome, second.changed)
    assert world.done == ["apply", "restore", "restore"]
    assert state.load(state.KEPT) is None
    assert state.active() is None


def test_taking_away_forgets_the_key(world: World) -> None:
    """The timer has nothing to do then."""
    state.save(state.KEY, {})
    state.set_active("kept")
    configure({})
    take_away()
    assert state.load(state.KEY) is None
    assert state.active() is None
    assert status()["outcome"] == "restored"


def test_who_waited_for_a_restore_does_not_undo_it(world: World) -> None:
    """The timer came while it went on, and has read the key before."""
    state.set_active("boot")
    configure({})
    take_away()
    configure({}, trigger="refresh", while_active=True)
    assert world.done == ["apply", "restore"]
    assert state.active() is None
    assert status()["outcome"] == "restored"


def test_what_a_person_mended_is_in_force(world: World) -> None:
    """From then on the timer and hotplug follow, and cloud-init does not."""
    world.socket.unit = {"ActiveState": "active", "UnitFileState": "enabled"}
    world.error, world.begun = VerifyError("no route"), False
    with pytest.raises(VerifyError):
        configure({}, trigger="person")
    assert state.active() is None
    world.error = None
    configure({}, trigger="person")
    assert state.active() == "person"
    assert world.socket.calls == [f"systemctl stop {follow.SOCKET}"]


def test_who_put_the_key_in_force_stays_who(world: World) -> None:
    """A later run by a person is not it."""
    state.set_active("boot")
    configure({}, trigger="person")
    assert state.active() == "boot"


@pytest.mark.parametrize("key", [False, None])
def test_what_is_taken_back_is_left_to_cloud_init(
    world: World, key: object
) -> None:
    """By `multihome: false`, or by `multihome restore`."""
    state.set_active("boot")
    if key is False:
        world.fingerprint = None
        configure(False)
    else:
        take_away()
    assert state.active() is None
    started = f"systemctl start --no-block {follow.SOCKET}"
    assert world.socket.calls == [started]


def test_a_state_that_cannot_be_written_does_not_undo_the_network(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/var is full, or read-only; the status is of this run all the same."""
    world.changed = False
    configure({})
    world.changed = True
    real: Callable[[File], None] = write
    full = True

    def refuse(file: File) -> None:
        if full and "var" in file.path.parts:
            raise OSError("read-only")
        real(file)

    monkeypatch.setattr(state, "write", refuse)
    assert configure({}).outcome == "applied"
    assert status()["outcome"] == "applied"
    world.error = VerifyError("no route")
    with pytest.raises(VerifyError):
        configure({})
    with pytest.raises(RefusedError, match="no route"):
        configure({}, trigger="refresh")
    full, world.error = False, None
    configure({})
    assert status()["outcome"] == "applied"
    assert status()["failed"] is None
    assert not (state.RUN / state.STATUS).exists()


def test_a_state_that_is_damaged_counts_as_none(
    world: World, tmp_path: Path
) -> None:
    """A reset in the middle of a write, on some file systems."""
    configure({})
    (tmp_path / "var" / state.KEPT).write_text("{")
    assert configure({}).outcome == "applied"


def test_a_key_that_was_lost_is_not_all_defaults(
    world: World, tmp_path: Path
) -> None:
    """The timer would take every policy from the host."""
    assert pipeline.read_key() is None
    state.set_active("boot")
    with pytest.raises(ConfigError, match="reboot"):
        pipeline.read_key()
    state.save(state.KEY, None)
    assert pipeline.read_key() is None
    (tmp_path / "var" / state.KEY).write_text("{")
    with pytest.raises(ConfigError, match=r"key\.json"):
        pipeline.read_key()


def test_what_is_kept_is_the_decisions_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is, with the drop-ins of then; and it is not merged again."""
    real, folders = world.decide, []

    def decide(raw: Any, *, drop_ins: Any = None, **named: Any) -> Any:
        folders.append(drop_ins)
        decision = real(raw, **named)
        assert decision is not None
        return replace(decision, key={"merged": True})

    monkeypatch.setattr(pipeline, "decide", decide)
    configure({"name": "one"})
    assert state.load(state.KEPT)["key"] == {"merged": True}
    configure({}, trigger="kept")
    configure({"name": "two"})
    roll_back()
    assert [it is None for it in folders] == [False, True, False, True]


def test_a_wrong_key_is_told_in_full(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each mistake."""
    problem = Problem("multihome.default", "'x'", "an interface")

    def refuse(*_: object, **__: object) -> None:
        raise ConfigError((problem,))

    monkeypatch.setattr(pipeline, "decide", refuse)
    with pytest.raises(ConfigError):
        configure({})
    assert "multihome.default" in status()["error"]


def break_drop_in(patch: pytest.MonkeyPatch, world: World, by: str) -> None:
    """Have a mistake in what is asked, and none in what was proved."""
    real = world.decide
    problem = Problem("multihome.policy[1].to", "'x'", "a prefix", by)

    def decide(raw: Any, **named: Any) -> Decision | None:
        if raw.get("name") != "proved":
            raise ConfigError((problem,))
        return real(raw, **named)

    patch.setattr(pipeline, "decide", decide)


@pytest.mark.parametrize("trigger", ["refresh", "hotplug"])
def test_a_broken_drop_in_does_not_keep_enis_from_being_followed(
    world: World, monkeypatch: pytest.MonkeyPatch, trigger: str
) -> None:
    """By the last good configuration; the mistake is told all the same."""
    configure({"name": "proved"})
    break_drop_in(monkeypatch, world, "50-puppet.yaml, line 2")
    world.done.clear()
    with pytest.raises(ConfigError, match="line 2"):
        configure({"name": "wrong"}, trigger=trigger)
    assert ["apply"] == world.done
    assert "50-puppet.yaml, line 2" in status()["error"]
    assert trigger == status()["trigger"]
    assert "applied" == status()["outcome"]
    assert {"name": "proved"} == state.load(state.KEPT)["key"]


@pytest.mark.parametrize(
    ("trigger", "origin", "kept"),
    [
        pytest.param("person", "a.yaml, line 2", "proved", id="a person"),
        pytest.param("refresh", "", "proved", id="user-data"),
        pytest.param("refresh", "a.yaml, line 2", None, id="nothing proved"),
        pytest.param("hotplug", "a.yaml, line 2", "old", id="wrong since"),
    ],
)
def test_any_other_mistake_stops_a_run(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    trigger: str,
    origin: str,
    kept: str | None,
) -> None:
    """Also one that what was proved has by now: its ENI was detached."""
    if kept:
        configure({"name": kept})
    break_drop_in(monkeypatch, world, origin)
    world.done.clear()
    with pytest.raises(ConfigError, match="policy"):
        configure({"name": "wrong"}, trigger=trigger)
    assert [] == world.done
    assert ("refused", origin in status()["error"]) == (
        status()["outcome"],
        True,
    )


def short_look(world: World) -> bool:
    """Run as the timer does; say whether a short look could do."""
    configure({}, trigger="refresh")
    return world.seen[-1] == instance()


def test_the_timer_may_take_a_short_look_after_a_good_run(
    world: World,
) -> None:
    """But nobody else."""
    assert not short_look(world)
    assert short_look(world)
    for trigger in ("boot", "hotplug", "person"):
        configure({}, trigger=trigger)
        assert world.seen[-1] is None
    assert short_look(world)


def test_what_was_read_at_an_attachment_is_read_again(world: World) -> None:
    """A short look would not see where the ENI has come to be in the end."""
    configure({}, trigger="hotplug", known=instance())
    assert not short_look(world)
    assert short_look(world)


def test_a_device_that_came_or_went_has_all_read_in_full(
    world: World,
) -> None:
    """An ENI attached anew can be another device_number."""
    configure({}, trigger="boot")
    world.ifindex += 1
    assert not short_look(world)
    assert short_look(world)


def test_a_run_that_failed_has_all_read_in_full(world: World) -> None:
    """Whatever it failed of."""
    configure({}, trigger="boot")
    world.error = VerifyError("no")
    with pytest.raises(VerifyError):
        configure({"name": "two"}, trigger="refresh")
    world.error = None
    assert not short_look(world)


def test_all_is_read_in_full_every_hour(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short look does not put it off."""
    configure({}, trigger="boot")
    later = time.monotonic() + seen.SERVES_S - 5
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert short_look(world)
    monkeypatch.setattr(time, "monotonic", lambda: later + 10)
    assert not short_look(world)


def test_what_was_kept_is_never_taken_for_read(world: World) -> None:
    """It can be of another day."""
    configure({}, trigger="kept", known=instance())
    assert not short_look(world)


def test_a_damaged_record_is_no_record(world: World) -> None:
    """It is written anew."""
    configure({}, trigger="boot")
    (state.RUN / seen.SEEN).write_text("{")
    assert not short_look(world)
    assert short_look(world)
