# SPDX-License-Identifier: Apache-2.0
"""What the machine lacks is said at once, and what takes long is said too."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.lab import accel, host
from tests.lab.accel import choose_accelerator
from tests.lab.boot import parse_status
from tests.lab.cleanup import Run
from tests.lab.host import (
    LabError,
    Result,
    lab_dir,
    progress,
    require_host,
    tail,
)
from tests.lab.image import Image


def test_all_that_is_missing_is_said_with_its_package_and_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Root, and every tool."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(host, "find_missing", lambda tools: tools)

    with pytest.raises(LabError) as caught:
        require_host(("mmdebstrap", "qemu-img"))

    said = str(caught.value)
    assert "user id 1000" in said
    assert "mmdebstrap is not installed (Debian package mmdebstrap)" in said
    assert "qemu-img is not installed (Debian package qemu-utils)" in said
    assert "script/setup" in said


def test_nothing_is_said_where_nothing_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`sh` is everywhere."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    require_host(("sh",))


def test_the_lab_s_directory_can_be_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is beside the sources otherwise."""
    monkeypatch.setenv(host.LAB_DIR_VARIABLE, str(tmp_path))
    assert tmp_path == lab_dir()
    monkeypatch.setenv(host.LAB_DIR_VARIABLE, "")
    assert host.REPO / ".lab" == lab_dir()


def test_progress_tells_the_beginning_the_way_and_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A step that takes long must not look dead."""
    with progress("baking", every=0.01):
        time.sleep(0.1)

    said = capsys.readouterr().err.splitlines()
    assert "[lab] baking ..." == said[0]
    assert "[lab] baking: 0 s so far" in said[1:-1]
    assert said[-1].startswith("[lab] baking: done after 0.")


def test_progress_tells_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """And lets it pass."""
    with pytest.raises(ValueError, match="burnt"), progress("baking"):
        raise ValueError("burnt")

    assert "baking: FAILED after" in capsys.readouterr().err


def test_a_result_is_required_to_be_good() -> None:
    """It is handed on when it is."""
    good = Result(0, "out", "")

    assert good is good.require("it")
    with pytest.raises(LabError, match=r"it: .*status 1 and said: nothing"):
        Result(1, " \n", "").require("it")


def test_a_log_s_end_is_shown_and_its_absence_borne(tmp_path: Path) -> None:
    """The message is about something else."""
    log = tmp_path / "log"
    log.write_text("a\nb\nc\n")

    assert "b\nc" == tail(log, 2)
    assert "(nothing)" == tail(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        pytest.param('{"v1": {"errors": []}}', "done", id="done"),
        pytest.param('{"v1": {"errors": ["x"]}}', "error", id="error"),
        pytest.param("disabled\n", "disabled", id="disabled"),
        pytest.param("", "unknown", id="nothing"),
        pytest.param("{}", "unknown", id="no-result"),
        pytest.param('{"v1": []}', "unknown", id="no-mapping"),
    ],
)
def test_cloud_init_s_status_is_what_its_result_says(
    text: str, word: str
) -> None:
    """In one word; what cannot be read is not good."""
    assert word == parse_status(text)


def test_an_accelerator_that_is_set_is_taken_and_a_wrong_one_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is probed then."""
    image = Image("trixie", "stock", "key", tmp_path)
    run = Run(tmp_path)

    monkeypatch.setenv(accel.ACCEL_VARIABLE, "kvm")
    assert "kvm" == choose_accelerator(run, image)
    monkeypatch.setenv(accel.ACCEL_VARIABLE, "xen")
    with pytest.raises(LabError, match=r"LAB_ACCEL=xen: expected .*kvm, tcg"):
        choose_accelerator(run, image)


@pytest.mark.parametrize(
    ("prints", "chosen"),
    [
        pytest.param("Spawning shell within the initramfs", "kvm", id="works"),
        pytest.param("KVM internal error. Suberror: 1", "tcg", id="fails"),
        pytest.param("", "tcg", id="ends"),
    ],
)
def test_kvm_is_taken_only_where_it_boots_and_asked_once_a_boot(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    prints: str,
    chosen: str,
) -> None:
    """A program of our own plays QEMU here: it prints, and stays or ends."""
    monkeypatch.delenv(accel.ACCEL_VARIABLE, raising=False)
    monkeypatch.setenv(host.LAB_DIR_VARIABLE, str(tmp_path))
    monkeypatch.setattr(accel, "KVM_DEVICE", tmp_path)
    probes = []

    def argv(image: Image) -> list[str]:
        probes.append(image)
        stay = "sleep 60" if prints else "true"
        return ["sh", "-c", f"echo '{prints}'; exec {stay}"]

    monkeypatch.setattr(accel, "probe_argv", argv)
    (tmp_path / "vmlinuz").write_text(prints)
    image = Image("trixie", "stock", "key", tmp_path)

    with Run(tmp_path) as run:
        assert chosen == choose_accelerator(run, image)
        assert chosen == choose_accelerator(run, image)
    assert 1 == len(probes)
