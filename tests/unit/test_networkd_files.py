# SPDX-License-Identifier: Apache-2.0
"""networkd's files stay those that it read, whoever writes them anew."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from cc_multihome.apply import networkd_files
from cc_multihome.apply.networkd_files import (
    keep_what_was_read,
    keeping_networkd_files,
    networkd_has_read,
)

NAMES = ("10-netplan-a.network", "10-netplan-b.network")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """networkd's files."""
    made = tmp_path / "network"
    made.mkdir()
    monkeypatch.setattr(networkd_files, "NETWORKD_FILES", made)
    monkeypatch.setattr(networkd_files, "RUN_MULTIHOME", tmp_path / "run")
    generate(made)
    return made


def generate(folder: Path, text: str = "as it was") -> None:
    """Write all of them anew, as netplan's generator does."""
    for name in NAMES:
        # Made beside it: a file system may give an inode again.
        beside = folder / "new"
        beside.write_text(text)
        # Just made, and not read, also where atime is not kept.
        os.utime(beside, (1e9, 1e9))
        beside.replace(folder / name)


def read(folder: Path) -> None:
    """Read them, as networkd does when it is told to."""
    for path in folder.glob("10-*"):
        os.utime(path, (2e9, path.stat().st_mtime))


def inodes(folder: Path) -> list[int]:
    """Return by what networkd knows them."""
    return [(folder / name).stat().st_ino for name in NAMES]


def test_what_somebody_else_had_written_anew_is_put_back(
    folder: Path,
) -> None:
    """By a `systemctl daemon-reload`, twice before our next change."""
    networkd_has_read()
    read(folder)
    before = inodes(folder)
    for _ in range(2):
        generate(folder)
    assert before != inodes(folder)
    with keeping_networkd_files():
        generate(folder)
    assert before == inodes(folder)
    assert {"as it was"} == {(folder / it).read_text() for it in NAMES}


def test_what_networkd_read_since_stays(folder: Path) -> None:
    """Somebody else told it to: it does not know the kept ones any more."""
    networkd_has_read()
    kept = inodes(folder)
    generate(folder)
    read(folder)
    before = inodes(folder)
    for _ in range(2):
        with keeping_networkd_files():
            generate(folder)
        assert before == inodes(folder)
        # From now on these are kept.
        generate(folder)
    assert kept != before


def test_what_others_had_networkd_read_is_kept_by_the_next_run(
    folder: Path,
) -> None:
    """The timer's, minutes after an upgrade of systemd has restarted it."""
    networkd_has_read()
    generate(folder)
    read(folder)
    before = inodes(folder)
    keep_what_was_read()
    for _ in range(2):
        generate(folder)
        # Not this one: nobody has read it.
        keep_what_was_read()
    with keeping_networkd_files():
        generate(folder)
    assert before == inodes(folder)


def test_files_that_networkd_is_about_to_read_at_boot_are_kept(
    folder: Path,
) -> None:
    """The kept plan is put in place before it starts, and it is not told."""
    with keeping_networkd_files():
        generate(folder, "new")
    before = inodes(folder)
    read(folder)
    generate(folder, "new")
    with keeping_networkd_files():
        generate(folder, "new")
    assert before == inodes(folder)


def test_a_change_that_is_taken_back_unread_is_none(folder: Path) -> None:
    """The reload failed, and the former files are written again."""
    networkd_has_read()
    before = inodes(folder)
    with keeping_networkd_files():
        generate(folder, "changed")
    assert before != inodes(folder)
    assert {"changed"} == {(folder / it).read_text() for it in NAMES}
    with keeping_networkd_files():
        generate(folder)
    assert before == inodes(folder)


def test_other_permissions_stay(folder: Path) -> None:
    """A newer netplan lets fewer read what may hold a key."""
    networkd_has_read()
    for _ in range(2):
        with keeping_networkd_files():
            generate(folder)
            for name in NAMES:
                (folder / name).chmod(0o640)
        modes = {(folder / name).stat().st_mode & 0o777 for name in NAMES}
        assert {0o640} == modes


def test_a_file_that_is_gone_is_forgotten(
    folder: Path, tmp_path: Path
) -> None:
    """Its ENI was detached, and networkd has read the rest."""
    networkd_has_read()
    (folder / NAMES[0]).unlink()
    networkd_has_read()
    assert [NAMES[1]] == [
        it.name for it in (tmp_path / "run/networkd").iterdir()
    ]


def test_no_run_fails_because_they_cannot_be_kept(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It costs what it would have spared, and that is told."""
    caplog.set_level(logging.WARNING)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/networkd").write_text("")
    networkd_has_read()
    with keeping_networkd_files():
        generate(folder, "changed")
    assert {"changed"} == {(folder / it).read_text() for it in NAMES}
    assert 2 == len(caplog.records)
    assert "configure each link again" in caplog.text
