# SPDX-License-Identifier: Apache-2.0
"""A command in a tree sees a copy, and what it does is gone afterwards.

The tree is this machine's own: whatever it is, it has a shell.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab import host
from tests.lab.chroot import chroot_run, overlay_argv, overlay_root
from tests.lab.host import LabError

ROOTFS = Path("/")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


@pytest.fixture(autouse=True)
def _own_lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(host.LAB_DIR_VARIABLE, str(tmp_path / "lab, a: b"))


def test_the_command_line_isolates_binds_and_then_runs(tmp_path: Path) -> None:
    """Each bind is three words before the two dashes."""
    argv = overlay_argv(
        Path("/tree"),
        ["true"],
        binds={tmp_path: "/in"},
        writable={tmp_path: "/out"},
    )

    assert "unshare" == argv[0]
    assert {"--mount", "--pid", "--net", "--kill-child"} <= set(argv)
    expected = ["ro", str(tmp_path), "/in", "rw", str(tmp_path), "/out"]
    assert [*expected, "--", "true"] == argv[-8:]


@needs_root
@pytest.mark.netns
def test_what_a_command_writes_is_gone_but_for_the_writable(
    tmp_path: Path,
) -> None:
    """The sources and what is bound read-only refuse it."""
    given = tmp_path / "given"
    given.write_text("given")
    results = tmp_path / "results"
    results.mkdir()
    shell = """
    cat /in/given
    touch /lab-was-here && ls /lab-was-here
    test -e /src/pyproject.toml && ! touch /src/lab-was-here
    ! echo changed > /in/given
    echo kept > /out/kept
    """

    said = chroot_run(
        ROOTFS,
        ["sh", "-ec", shell],
        binds={given: "/in/given"},
        writable={results: "/out"},
    )

    assert "given/lab-was-here\n" == said.out
    assert "given" == given.read_text()
    assert "kept\n" == (results / "kept").read_text()
    assert not Path("/lab-was-here").exists()
    assert not Path("/in").exists()


@needs_root
@pytest.mark.netns
def test_a_command_has_a_network_and_processes_of_its_own() -> None:
    """Only the loopback, which is up; and /run is empty."""
    shell = "ls -A /sys/class/net /run; ls -d /proc/[0-9]* | wc -l"

    said = chroot_run(ROOTFS, ["sh", "-c", shell]).out

    assert "/run:\n\n/sys/class/net:\nlo\n" in said
    assert int(said.split()[-1]) < 10


@needs_root
@pytest.mark.netns
def test_no_mount_is_left(tmp_path: Path) -> None:
    """They are in a namespace that ends with the command."""
    chroot_run(ROOTFS, ["true"])

    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert [] == list(overlay_root().parent.iterdir())


@needs_root
@pytest.mark.netns
def test_a_failure_and_a_late_end_are_errors_with_the_command() -> None:
    """With what was said, or the time that it had."""
    with pytest.raises(LabError, match=r"ls /nowhere: .*status 2.*No such"):
        chroot_run(ROOTFS, ["ls", "/nowhere"])
    with pytest.raises(LabError, match="sleep 60 did not end in 1 s"):
        chroot_run(ROOTFS, ["sleep", "60"], timeout=1)
