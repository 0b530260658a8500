# SPDX-License-Identifier: Apache-2.0
"""Files are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cc_multihome.files import (
    HEADER,
    File,
    differs,
    is_ours,
    keeping_unchanged,
    make_directory,
    read_text,
    write,
)


@pytest.fixture
def odd_umask() -> Iterator[None]:
    """A umask under which nobody else may read."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """Return the permission bits."""
    return path.stat().st_mode & 0o777


def test_a_written_file_says_the_text_and_has_the_mode(
    tmp_path: Path,
) -> None:
    """Folders above it are made."""
    file = File(tmp_path / "run/netplan/a.yaml", "text é\n", 0o600)
    write(file)
    assert read_text(file.path) == "text é\n"
    assert mode(file.path) == 0o600
    assert not differs(file)


@pytest.mark.usefixtures("odd_umask")
def test_the_umask_has_no_say(tmp_path: Path) -> None:
    """networkd runs as a user of its own and has to read them."""
    path = tmp_path / "new" / "conf"
    write(File(path, "x"))
    assert (mode(path), mode(path.parent)) == (0o644, 0o755)


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    """It is somebody's."""
    (tmp_path / "d").mkdir(mode=0o700)
    make_directory(tmp_path / "d" / "e")
    assert (mode(tmp_path / "d"), mode(tmp_path / "d/e")) == (0o700, 0o755)


def test_no_other_file_is_left_beside_it(tmp_path: Path) -> None:
    """Nor after an overwrite."""
    for text in ("one", "two"):
        write(File(tmp_path / "a", text))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failed_write_leaves_the_old_text_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or a power cut."""
    path = tmp_path / "a"
    write(File(path, "old"))

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write(File(path, "new"))
    assert read_text(path) == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_the_text_is_on_disk_before_it_has_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In that order, and the temporary name is none that netplan reads."""
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        steps.append("fsync")
        fsync(descriptor)

    def note_replace(source: str, target: Path) -> None:
        steps.append("replace")
        assert not source.endswith((".yaml", ".conf"))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    write(File(tmp_path / "a.yaml", "x"))
    assert steps == ["fsync", "replace"]


def test_a_symbolic_link_is_replaced_and_not_followed(
    tmp_path: Path,
) -> None:
    """resolv.conf points to a file of systemd-resolved's."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("theirs")
    link.symlink_to(target)
    file = File(link, "theirs", mode(target))
    assert differs(file)
    write(file)
    assert not link.is_symlink()
    assert target.read_text() == "theirs"


def test_no_text_removes_the_file(tmp_path: Path) -> None:
    """Once and twice."""
    path = tmp_path / "a"
    path.write_text("x")
    gone = File(path, None)
    assert differs(gone)
    write(gone)
    assert not path.exists()
    assert not differs(gone)
    write(gone)


@pytest.mark.parametrize(
    ("text", "permissions", "expected"),
    [
        pytest.param("x", 0o644, False, id="the same"),
        pytest.param("y", 0o644, True, id="another text"),
        pytest.param("x", 0o600, True, id="another mode"),
        pytest.param(None, 0o644, True, id="there is none"),
    ],
)
def test_differs_says_whether_writing_would_change_anything(
    tmp_path: Path, text: str | None, permissions: int, expected: bool
) -> None:
    """The text and the mode count."""
    path = tmp_path / "a"
    if text is not None:
        path.write_text(text)
        path.chmod(permissions)
    assert differs(File(path, "x", 0o644)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"{HEADER}\nnetwork: {{}}\n", True, id="ours"),
        pytest.param(f"network: {{}}\n{HEADER}\n", False, id="not first"),
        pytest.param("", False, id="empty"),
        pytest.param(None, False, id="no file"),
    ],
)
def test_our_files_are_known_by_their_first_line(
    tmp_path: Path, text: str | None, expected: bool
) -> None:
    """And no other is ever taken away."""
    path = tmp_path / "a"
    if text is not None:
        path.write_text(text)
    assert is_ours(path) is expected


def test_a_folder_is_not_ours(tmp_path: Path) -> None:
    """Somebody may have made one of that name."""
    assert not is_ours(tmp_path)


def test_bytes_that_are_no_utf8_are_put_back_as_they_were(
    tmp_path: Path,
) -> None:
    """A resolv.conf with a comment in Latin-1, say."""
    path = tmp_path / "a"
    path.write_bytes(b"# \xe9t\xe9\n")
    assert not is_ours(path)
    text = read_text(path)
    write(File(path, "ours"))
    write(File(path, text))
    assert path.read_bytes() == b"# \xe9t\xe9\n"


def test_files_written_anew_with_the_same_content_stay(
    tmp_path: Path,
) -> None:
    """networkd takes another inode or time for a change."""
    folder = tmp_path / "network"
    folder.mkdir()
    names = ("10-a.network", "10-b.network", "10-gone.network")
    for name in names:
        (folder / name).write_text("old")
        os.utime(folder / name, (1e9, 1e9))
    (folder / "10-a.network.d").mkdir()
    stamps = {name: (folder / name).stat() for name in names}
    with keeping_unchanged(folder, "10-*", tmp_path / "scratch"):
        for name, text in zip(names, ("old", "new"), strict=False):
            (folder / name).unlink()
            (folder / name).write_text(text)
        (folder / "10-gone.network").unlink()
    same = (folder / "10-a.network").stat()
    assert same.st_ino == stamps["10-a.network"].st_ino
    assert same.st_mtime == 1e9
    assert (folder / "10-b.network").stat().st_mtime != 1e9
    assert (folder / "10-b.network").read_text() == "new"
    assert not (folder / "10-gone.network").exists()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_files_that_could_not_be_written_anew_are_as_before(
    tmp_path: Path,
) -> None:
    """netplan had removed them, and there was no space for the new ones."""
    folder = tmp_path / "network"
    folder.mkdir()
    for name in ("10-a.network", "10-b.network", "20-theirs.network"):
        (folder / name).write_text(name)
    stamps = {path.name: path.stat().st_ino for path in folder.iterdir()}
    with (
        pytest.raises(OSError),
        keeping_unchanged(folder, "10-*", tmp_path / "scratch"),
    ):
        (folder / "10-a.network").unlink()
        (folder / "10-b.network").unlink()
        (folder / "10-b.network").write_text("")
        (folder / "10-c.network").write_text("half")
        raise OSError("no space left")
    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == (
        stamps
    )
    assert {path.name for path in folder.iterdir()} == {
        path.read_text() for path in folder.iterdir()
    }
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_file_that_goes_just_now_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd has netplan write them anew at the same time."""
    folder = tmp_path / "network"
    folder.mkdir()
    (folder / "10-a.network").write_text("old")

    def link(path: Path, _: Path) -> None:
        path.unlink()
        raise FileNotFoundError(path)

    monkeypatch.setattr("os.link", link)
    with keeping_unchanged(folder, "10-*", tmp_path / "scratch"):
        (folder / "10-a.network").write_text("new")
    assert "new" == (folder / "10-a.network").read_text()
