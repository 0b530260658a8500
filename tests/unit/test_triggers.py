# SPDX-License-Identifier: Apache-2.0
"""Each trigger runs when it should, and only then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cc_multihome import follow, inherited, state, triggers
from cc_multihome.discover.imds_tree import tree_of
from cc_multihome.discover.links import HostLinks
from cc_multihome.discover.netplan_files import NetplanFile
from cc_multihome.errors import (
    ConfigError,
    ImdsError,
    Problem,
    RefusedError,
    VerifyError,
)
from cc_multihome.model import Instance, Link
from cc_multihome.pipeline import Result
from cc_multihome.triggers import main, on_boot, on_hotplug, on_refresh
from tests.unit.builders import (
    SEED_KEY,
    Socket,
    instance,
    links_of,
    netplan_file,
)
from tests.unit.cli_host import record

THIRD = "02:00:00:00:00:33"

PROVED = {
    "fingerprint": "ab12",
    "key": SEED_KEY,
    "metadata": tree_of(instance()),
    "leases": {},
}


class World:
    """An instance whose kernel and metadata may differ for a while.

    Attributes:
        runs: what configure() was called with.
        errors: what it raises, one after the other.
        overlay: this package's own, of an earlier run of this boot.
        seen: metadata, one reading after the other; the last one stays.
    """

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.runs: list[dict[str, Any]] = []
        self.errors: list[Exception] = []
        self.links: tuple[Link, ...] = links_of(instance())
        self.seen = [instance()]
        self.now = 0.0
        patch.setattr(state, "STATE", folder / "var")
        patch.setattr(state, "RUN", folder / "run")
        (folder / "instance-id").write_text(f"{instance().instance_id}\n")
        patch.setattr(inherited, "INSTANCE_ID", folder / "instance-id")
        self.socket = Socket(patch)
        self.overlay: tuple[NetplanFile, ...] = ()
        patch.setattr(triggers, "read_own_overlay", lambda: self.overlay)
        patch.setattr(triggers, "configure", self.configure)
        patch.setattr(triggers, "read_instance", self.read_instance)
        patch.setattr(triggers, "read_links", self.read_links)
        patch.setattr(triggers, "other_host", lambda _: None)
        patch.setattr("time.sleep", self.sleep)
        patch.setattr("time.monotonic", lambda: self.now)

    def configure(self, key: object, **named: Any) -> Result:
        """Run, or fail."""
        self.runs.append({"key": key, **named})
        if self.errors:
            raise self.errors.pop(0)
        return Result("applied", changed=True)

    def read_instance(self) -> Instance:
        """Ask the metadata service."""
        return self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]

    def read_links(self, _: object) -> HostLinks:
        """Read the devices."""
        return HostLinks(self.links, frozenset())

    def drop(self) -> None:
        """Forget what was kept."""
        state.forget(state.KEPT, state.OWNER)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """The seed's instance, where the key is in force."""
    made = World(monkeypatch, tmp_path)
    state.save(state.KEY, SEED_KEY)
    state.save(state.OWNER, instance().instance_id)
    state.set_active("boot")
    return made


def with_third() -> tuple[Instance, tuple[Link, ...]]:
    """Return the instance with one ENI more, and its links."""
    seed = instance()
    third = replace(seed.enis[1], mac=THIRD, device_number=2, is_primary=False)
    more = replace(seed, enis=(*seed.enis, third))
    return more, links_of(more)


def test_cloud_inits_key_is_remembered_and_in_force(world: World) -> None:
    """For the runs that cloud-init has no part in."""
    state.forget(state.KEY)
    state.set_active(None)
    on_boot({"default": "public"})
    assert state.load(state.KEY) == {"default": "public"}
    assert state.active() == "boot"
    assert [run["trigger"] for run in world.runs] == ["boot"]


def test_what_another_instance_left_is_dropped_before_the_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk came with an image of it."""
    state.save(state.OWNER, "i-0eeeeeeeeeeeeeeee")
    state.save(state.KEPT, PROVED)
    monkeypatch.setattr(inherited, "drop_everything", world.drop)
    world.errors = [ImdsError("no answer")]
    with pytest.raises(ImdsError):
        on_boot(SEED_KEY)
    assert [run["trigger"] for run in world.runs] == ["boot"]
    assert state.load(state.OWNER) == instance().instance_id


def test_without_metadata_what_was_kept_is_in_force(world: World) -> None:
    """And the error goes on to cloud-init, and into the status."""
    state.save(state.KEPT, PROVED)
    world.errors = [ImdsError("no answer")]
    with pytest.raises(ImdsError, match="no answer"):
        on_boot(SEED_KEY)
    assert [run["trigger"] for run in world.runs] == ["boot", "kept"]
    assert world.runs[1]["known"] == instance()
    assert "no answer" in str(world.runs[1]["because"])


def test_what_was_kept_of_another_host_stays_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stock networking is better than another's addresses."""
    state.save(state.KEPT, PROVED)
    monkeypatch.setattr(triggers, "other_host", lambda _: "another id")
    world.errors = [ImdsError("no answer")]
    with pytest.raises(ImdsError):
        on_boot(SEED_KEY)
    assert len(world.runs) == 1


def test_a_wrong_plan_is_no_reason_to_fall_back(world: World) -> None:
    """It was taken back already."""
    state.save(state.KEPT, PROVED)
    world.errors = [VerifyError("no route")]
    with pytest.raises(VerifyError):
        on_boot(SEED_KEY)
    assert len(world.runs) == 1


@pytest.mark.parametrize(
    ("origins", "triggers_run"),
    [
        pytest.param(["x.yaml, line 7"], ["boot", "kept"], id="drop-in"),
        pytest.param([""], ["boot"], id="user-data"),
        pytest.param(["", "x.yaml, line 7"], ["boot"], id="both"),
    ],
)
def test_a_broken_drop_in_leaves_the_last_good_config_in_force(
    world: World, origins: list[str], triggers_run: list[str]
) -> None:
    """What the user-data says wrongly is no reason to fall back."""
    state.save(state.KEPT, PROVED)
    problems = tuple(Problem("multihome", "x", "y", it) for it in origins)
    world.errors = [ConfigError(problems)]
    with pytest.raises(ConfigError):
        on_boot(SEED_KEY)
    assert [run["trigger"] for run in world.runs] == triggers_run


WRONG = Problem("multihome.default", "'x'", "a name")
IN_FILE = replace(WRONG, origin="x.yaml, line 7")
NOT_YET = Problem("multihome.interfaces.a", "{}", "one", may_pass=True)


@pytest.mark.parametrize(
    ("problems", "active"),
    [
        pytest.param([WRONG], None, id="user-data"),
        pytest.param([WRONG, IN_FILE], None, id="both"),
        pytest.param([WRONG, NOT_YET], None, id="an ENI would not help"),
        pytest.param([IN_FILE], "boot", id="drop-in"),
        pytest.param([NOT_YET], "boot", id="an ENI that may be attached"),
        pytest.param([NOT_YET, IN_FILE], "boot", id="both may be mended"),
    ],
)
@pytest.mark.parametrize("kept", [False, True])
def test_wrong_user_data_leaves_enis_to_cloud_init(
    world: World, problems: list[Problem], active: str | None, kept: bool
) -> None:
    """Else an ENI that is attached would be served by nobody."""
    if kept:
        state.save(state.KEPT, PROVED)
    state.set_active(None)
    world.errors = [ConfigError(tuple(problems))]
    with pytest.raises(ConfigError):
        on_boot(SEED_KEY)
    assert active == state.active()
    started = f"systemctl start --no-block {follow.SOCKET}"
    assert world.socket.calls == ([] if active else [started])


def test_what_an_earlier_run_put_in_force_is_followed_on(
    world: World,
) -> None:
    """cloud-init was run again by hand, with another key."""
    world.overlay = (netplan_file("55-multihome.yaml", {}),)
    world.errors = [ConfigError((WRONG,))]
    with pytest.raises(ConfigError):
        on_boot(SEED_KEY)
    assert state.active() == "boot"
    assert world.socket.calls == []


def test_a_mistake_that_is_known_fails_no_unit_every_five_minutes(
    world: World,
) -> None:
    """The first time it does, and so does another one, or an attachment."""
    first, other = ConfigError((IN_FILE,)), ConfigError((WRONG,))

    def told(err: Exception, trigger: str) -> int:
        world.errors = [err]
        done = main([trigger])
        state.save(state.STATUS, record(None, error=str(err)))
        return done

    assert 1 == told(first, "refresh")
    assert 0 == told(first, "refresh")
    assert 0 == told(first, "refresh")
    assert 1 == told(other, "refresh")
    assert 1 == told(other, "hotplug")
    assert 1 == told(VerifyError("no route"), "refresh")
    assert 1 == told(VerifyError("no route"), "refresh")
    state.save(state.STATUS, ["damaged"])
    assert 1 == told(first, "refresh")


def test_a_key_that_is_no_json_is_told_and_not_stumbled_upon(
    world: World,
) -> None:
    """YAML has keys that are numbers, beside those that are text."""
    key: Any = {"interfaces": {10: {}, "private": {}}}
    key["loop"] = key
    on_boot(key)
    assert world.runs[0]["key"] is key
    assert "private" in state.load(state.KEY)["interfaces"]


def test_a_disk_that_refuses_the_key_does_not_change_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that can be read is not the same as nothing asked."""
    monkeypatch.setattr(state, "save", lambda *_: None)
    on_boot({"default": "private"})
    assert world.runs[0]["key"] == {"default": "private"}


@pytest.mark.parametrize("trigger", [on_refresh, on_hotplug])
def test_where_the_key_is_not_in_force_nothing_runs(
    world: World, trigger: Any
) -> None:
    """A host with the package and without the key."""
    state.set_active(None)
    assert trigger() is None
    assert world.runs == []


def test_a_refresh_looks_with_the_remembered_key(world: World) -> None:
    """cloud-init is long gone."""
    on_refresh()
    assert world.runs == [
        {"key": SEED_KEY, "trigger": "refresh", "while_active": True}
    ]


def test_a_host_without_cloud_init_keeps_what_was_kept(
    world: World,
) -> None:
    """It was disabled after the first boot."""
    state.set_active("kept")
    on_refresh()
    assert len(world.runs) == 1


def test_metadata_that_is_behind_is_waited_for(world: World) -> None:
    """The kernel has the ENI first."""
    more, world.links = with_third()
    world.seen = [instance(), instance(), more]
    on_hotplug()
    assert [run["known"] for run in world.runs] == [more]
    assert world.now == 2 * triggers.AGREE_INTERVAL_S


def test_metadata_that_still_shows_a_detached_eni_is_waited_for(
    world: World,
) -> None:
    """The other way round."""
    more, _ = with_third()
    world.seen = [more, instance()]
    on_hotplug()
    assert [run["known"] for run in world.runs] == [instance()]


def test_waiting_ends(world: World) -> None:
    """The timer looks again later."""
    _, world.links = with_third()
    on_hotplug()
    assert [run["known"] for run in world.runs] == [None]
    assert world.now >= triggers.AGREE_TIMEOUT_S


def test_a_device_that_comes_meanwhile_gets_a_run_of_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its event found the unit running."""
    more, links = with_third()
    real = world.configure

    def configure(key: object, **named: Any) -> Result:
        world.links, world.seen = links, [more]
        return real(key, **named)

    monkeypatch.setattr(triggers, "configure", configure)
    on_hotplug()
    assert [len(run["known"].enis) for run in world.runs] == [2, 3]


def test_a_unit_fails_when_the_run_does(world: World) -> None:
    """So that systemctl --failed shows it; but not every five minutes."""
    world.errors = [VerifyError("no route"), RefusedError("as before")]
    assert main(["refresh"]) == 1
    assert main(["refresh"]) == 0
    assert main(["hotplug"]) == 0
