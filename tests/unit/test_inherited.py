# SPDX-License-Identifier: Apache-2.0
"""What a disk holds of another instance goes, and what is one's own stays."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from cc_multihome import inherited, state
from cc_multihome.apply import lock
from cc_multihome.errors import CommandError
from cc_multihome.files import HEADER, is_ours
from cc_multihome.inherited import begin_boot, main, on_boot_without_key
from tests.unit.builders import plan
from tests.unit.fake_host import STUB, FakeHost

CLEAN = "integrate/cloud_clean.sh"
OLD, NEW = "i-0aaaaaaaaaaaaaaaa", "i-0bbbbbbbbbbbbbbbb"
TABLES = "etc/iproute2/rt_tables.d/multihome.conf"


class Disk:
    """The disk of an instance that ran the module, as the next boot has it."""

    def __init__(self, patch: pytest.MonkeyPatch, root: Path) -> None:
        self.host = FakeHost(root, plan())
        self.host.use(patch)
        self.root = root
        patch.setattr(state, "STATE", root / "var")
        patch.setattr(state, "RUN", root / "run/multihome")
        patch.setattr(lock, "LOCK", root / "run/multihome/lock")
        patch.setattr(inherited, "ROOT", root)
        patch.setattr(inherited, "INSTANCE_ID", root / "instance-id")
        patch.setattr(inherited, "USER_DATA", root / "user-data.txt")
        self.set_id(OLD)
        for name in (state.KEY, state.KEPT, state.PREVIOUS, state.FAILED):
            state.save(name, {"of": OLD})
        state.save(state.OWNER, OLD)
        self.put(TABLES, f"{HEADER}\n10 private\n")
        (root / "etc/resolv.conf").unlink()
        self.put("etc/resolv.conf", f"{HEADER}\nsearch old\n")
        unit = {"name": "systemd-resolved.service"}
        former = {
            "resolv_conf": {"link": STUB},
            "units": [{**unit, "active": True, "enabled": True}],
        }
        self.put("var/state.json", json.dumps(former))
        for each in self.host.units.values():
            each.active = each.enabled = False

    def put(self, name: str, text: str) -> None:
        """Write a file."""
        self.host.put(name, text)

    def set_id(self, instance_id: str) -> None:
        """Let cloud-init say which instance it is."""
        self.put("instance-id", f"{instance_id}\n")

    def is_clean(self) -> bool:
        """Is nothing left of the instance?"""
        resolv = self.root / "etc/resolv.conf"
        stock = resolv.is_symlink() and str(resolv.readlink()) == STUB
        running = all(it.active for it in self.host.units.values())
        gone = not (self.root / TABLES).exists()
        return stock and running and gone and not list(state.STATE.glob("k*"))

    def is_untouched(self) -> bool:
        """Is all of it there?"""
        names = (state.KEY, state.KEPT, state.PREVIOUS, state.FAILED)
        found = [(state.STATE / name).read_text() for name in names]
        kept = all(json.loads(text) == {"of": OLD} for text in found)
        return kept and self.host.calls == []


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Disk:
    """The disk, in its next boot."""
    return Disk(monkeypatch, tmp_path)


def test_the_same_instance_keeps_what_is_its_own(disk: Disk) -> None:
    """A reboot."""
    begin_boot()
    assert disk.is_untouched()


def test_another_instance_starts_from_nothing(disk: Disk) -> None:
    """Not even a plan that a rollback would go back to."""
    disk.set_id(NEW)
    begin_boot()
    assert disk.is_clean()
    assert state.load(state.OWNER) == NEW
    assert [path.name for path in state.STATE.iterdir()] == [state.OWNER]


def test_what_says_no_owner_is_anothers(disk: Disk) -> None:
    """It cannot be told whose it is."""
    state.forget(state.OWNER)
    begin_boot()
    assert disk.is_clean()


@pytest.mark.parametrize("said", ["", "iid-datasource-none"])
def test_where_nobody_says_which_instance_it_is_all_stays(
    disk: Disk, said: str
) -> None:
    """The metadata service did not answer: that is no other instance."""
    disk.set_id(said)
    begin_boot()
    on_boot_without_key()
    assert disk.is_untouched()
    assert state.load(state.OWNER) == OLD


def test_a_first_boot_has_nothing_to_drop(disk: Disk) -> None:
    """Only whose the state will be."""
    for path in state.STATE.iterdir():
        path.unlink()
    begin_boot()
    assert state.load(state.OWNER) == OLD
    assert disk.host.calls == []


def test_a_failure_does_not_stop_the_boot(disk: Disk) -> None:
    """The run that follows makes the host right."""
    disk.set_id(NEW)
    disk.host.failing["systemctl enable"] = 1
    begin_boot()
    assert state.load(state.OWNER) == NEW
    # But for the former resolver, which another try may put back.
    left = {path.name for path in state.STATE.iterdir()}
    assert left == {"state.json", state.OWNER}


BROKEN = pytest.mark.parametrize(
    "record",
    [
        pytest.param("{", id="cut off"),
        pytest.param("{}", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param('{"resolv_conf": []}', id="another kind"),
        pytest.param('{"resolv_conf": {}, "units": [{}]}', id="no unit"),
    ],
)


@BROKEN
def test_a_resolver_that_is_not_known_any_more_stays(
    disk: Disk, record: str
) -> None:
    """A damaged backup is none; all else goes."""
    disk.set_id(NEW)
    disk.put("var/state.json", record)
    begin_boot()
    assert not (disk.root / "var/state.json").exists()
    assert not (disk.root / TABLES).exists()


@BROKEN
def test_cleaning_does_not_call_a_disk_clean_whose_resolver_is_not_known(
    disk: Disk, record: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at another try either: the image would have another VPC's."""
    disk.put("var/state.json", record)
    assert [main(), main()] == [1, 1]
    assert (disk.root / "var/state.json").read_text() == record
    assert is_ours(disk.root / "etc/resolv.conf")
    assert f"then remove {disk.root}/var/state.json" in caplog.text


def test_without_the_key_another_instances_state_goes(disk: Disk) -> None:
    """As if the package had never run."""
    disk.set_id(NEW)
    on_boot_without_key()
    assert disk.is_clean()
    assert not state.STATE.exists()


def test_a_key_that_was_taken_out_of_user_data_is_taken_back(
    disk: Disk,
) -> None:
    """On the instance that had it."""
    disk.put("user-data.txt", "#cloud-config\n{}\n")
    on_boot_without_key()
    assert disk.is_clean()
    assert not state.STATE.exists()


def test_user_data_that_may_not_have_been_read_takes_nothing_back(
    disk: Disk,
) -> None:
    """cloud-init says the same of none and of an error."""
    disk.put("user-data.txt", "")
    on_boot_without_key()
    assert disk.is_untouched()


def test_a_running_host_is_left_alone_without_the_key(disk: Disk) -> None:
    """`cloud-init single` by a person."""
    disk.put("user-data.txt", "#cloud-config\n{}\n")
    state.set_active("boot")
    on_boot_without_key()
    assert disk.is_untouched()


def test_cleaning_ends_the_runs_by_themselves(disk: Disk) -> None:
    """The timer would write it all again before the image is made."""
    state.set_active("boot")
    assert main() == 0
    assert disk.is_clean()
    assert state.active() is None


def test_cleaning_says_what_it_could_not_do(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And `cloud-init clean` fails then."""

    def fail() -> None:
        raise CommandError("no")

    monkeypatch.setattr(inherited, "restore_resolver", fail)
    assert main() == 1


@pytest.mark.touches("programs")
@pytest.mark.parametrize(
    ("command", "left"),
    [
        pytest.param("true", None, id="done"),
        pytest.param("false", ["resolver.json"], id="failed"),
    ],
)
def test_the_script_fails_as_it_does_and_keeps_what_is_for_another_try(
    tmp_path: Path, command: str, left: list[str] | None
) -> None:
    """`cloud-init clean` goes by its exit status, and the image with it."""
    var = tmp_path / "var/lib/multihome"
    var.mkdir(parents=True)
    for name in ("kept.json", "resolver.json"):
        (var / name).write_text("{}")
    text = (Path(inherited.__file__).parent / CLEAN).read_text()
    for old, new in (
        ("/usr/bin/python3 -m cc_multihome.inherited", command),
        ("/var/lib/multihome", str(var)),
        ("/run/multihome", str(tmp_path)),
        ("/etc/iproute2", str(tmp_path)),
    ):
        assert old in text
        text = text.replace(old, new)
    done = subprocess.run(["sh", "-c", text], check=False, cwd=tmp_path)
    assert (0 if left is None else 1) == done.returncode
    names = sorted(it.name for it in var.iterdir()) if var.exists() else None
    assert left == names
