# SPDX-License-Identifier: Apache-2.0
"""networkd takes up what was written by the way that is open to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cc_multihome.apply import networkd, networkd_files
from cc_multihome.apply.checkpoint import Checkpoint
from cc_multihome.apply.networkd import (
    generate,
    reload_networkd,
    take_up,
    taken_back,
)
from cc_multihome.discover import networkd as states
from cc_multihome.discover import systemd

GENERATE = "netplan generate"
RENAME = "rename {'ens5': 'private'}"
NAMES = {"ens5": "private"}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every command, and the rename, in order; there is no D-Bus."""
    made: list[str] = []

    def run(argv: list[str]) -> str:
        made.append(" ".join(argv))
        kind = (tmp_path / "type").read_text() if argv[1] == "show" else ""
        return f"Type={kind}\n"

    def rename_links(names: dict[str, str], _: Checkpoint) -> None:
        made.append(f"rename {names}")

    monkeypatch.setattr(networkd, "SYSTEM_BUS", tmp_path / "no-bus")
    for name in ("NETWORKD_FILES", "RUN_MULTIHOME"):
        monkeypatch.setattr(networkd_files, name, tmp_path / name)
    monkeypatch.setattr(networkd, "run", run)
    monkeypatch.setattr(systemd, "run", run)
    monkeypatch.setattr(networkd, "rename_links", rename_links)
    (tmp_path / "type").write_text("notify")
    return made


@pytest.mark.parametrize(
    ("programs", "expected"),
    [
        pytest.param((), "netplan generate", id="older than 0.106"),
        pytest.param(("generate",), "generate", id="1.1"),
        pytest.param(("generate", "configure"), "netplan generate", id="1.2"),
    ],
)
def test_a_scratch_root_is_no_reason_for_a_daemon_reload(
    calls: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    programs: tuple[str, ...],
    expected: str,
) -> None:
    """By netplan's own generator, where netplan itself has one done."""
    for name in programs:
        (tmp_path / name).touch()
    generator = tmp_path / "generate"
    monkeypatch.setattr(networkd, "GENERATOR", generator)
    monkeypatch.setattr(networkd, "CONFIGURE", tmp_path / "configure")

    generate(tmp_path)
    generate()

    by = str(generator) if expected == "generate" else expected
    assert [f"{by} --root-dir {tmp_path}", GENERATE] == calls


def acted(calls: list[str]) -> list[str]:
    """Drop the commands that only ask."""
    return [call for call in calls if " show " not in call]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param("notify-reload", "reload", id="systemd 257"),
        pytest.param("notify", "restart", id="older"),
    ],
)
def test_without_d_bus_networkd_is_reached_by_systemd(
    calls: list[str], tmp_path: Path, kind: str, expected: str
) -> None:
    """cloud-init's first stages run before the bus."""
    (tmp_path / "type").write_text(kind)
    reload_networkd()
    assert acted(calls) == [
        GENERATE,
        f"systemctl {expected} systemd-networkd.service",
    ]


def test_an_old_networkd_stands_still_while_links_are_renamed(
    calls: list[str],
) -> None:
    """Seen on Debian 12: it set the link up, or gave it up as failed."""
    take_up(NAMES, Checkpoint())
    assert acted(calls) == [
        GENERATE,
        "systemctl stop systemd-networkd.socket systemd-networkd.service",
        RENAME,
        "systemctl start systemd-networkd.socket systemd-networkd.service",
    ]


def test_an_old_networkd_is_only_restarted_where_no_name_changes(
    calls: list[str],
) -> None:
    """One command, one gap."""
    take_up({}, Checkpoint())
    assert acted(calls)[-1] == "systemctl restart systemd-networkd.service"
    assert RENAME not in calls


def _take_back() -> None:
    with taken_back():
        pass


@pytest.mark.parametrize(
    "take",
    [
        pytest.param(reload_networkd, id="reload"),
        pytest.param(lambda: take_up({}, Checkpoint()), id="taken up"),
        pytest.param(lambda: take_up(NAMES, Checkpoint()), id="renamed"),
        pytest.param(_take_back, id="taken back"),
    ],
)
def test_what_networkd_was_told_to_read_is_kept(
    calls: list[str], tmp_path: Path, take: Callable[[], None]
) -> None:
    """For when somebody else has the same written anew."""
    path = tmp_path / "NETWORKD_FILES/10-netplan-ens5.network"
    path.parent.mkdir()
    path.write_text("as it was")
    inode = path.stat().st_ino
    take()
    (tmp_path / "anew").write_text("as it was")
    os.utime(tmp_path / "anew", (1e9, 1e9))
    (tmp_path / "anew").replace(path)
    take()
    assert inode == path.stat().st_ino


def test_names_wait_until_networkd_is_through_with_the_links(
    calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows files for both names by then, and keeps the link."""
    record = tmp_path / "3"
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        state = "configuring" if len(waits) < 3 else "configured"
        record.write_text(f"# private\nADMIN_STATE={state}\n")
        os.utime(record, (2e9, 2e9))

    # From before: networkd has not come to the link yet.
    record.write_text("ADMIN_STATE=configured\n")
    os.utime(record, (1e9, 1e9))
    monkeypatch.setattr(networkd, "SYSTEM_BUS", tmp_path)
    monkeypatch.setattr(networkd, "if_nametoindex", lambda _: 3)
    monkeypatch.setattr(states, "LINK_STATES", tmp_path)
    monkeypatch.setattr("time.sleep", sleep)
    take_up(NAMES, Checkpoint())
    assert calls == [GENERATE, "networkctl reload", RENAME]
    assert len(waits) == 3


def test_a_link_that_networkd_never_ends_with_is_renamed_all_the_same(
    calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verification judges, not this wait."""
    (tmp_path / "3").write_text("ADMIN_STATE=configuring\n")
    clock = iter(range(0, 100, 4))
    monkeypatch.setattr(networkd, "SYSTEM_BUS", tmp_path)
    monkeypatch.setattr(networkd, "if_nametoindex", lambda _: 3)
    monkeypatch.setattr(states, "LINK_STATES", tmp_path)
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    take_up(NAMES, Checkpoint())
    assert calls[-1] == RENAME
