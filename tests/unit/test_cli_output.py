# SPDX-License-Identifier: Apache-2.0
"""The exit status is the verb's own, whoever reads what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cc_multihome.cli import core, output
from cc_multihome.cli.main import main
from tests.lab.host import REPO

pytestmark = pytest.mark.touches("programs")

EXAMPLES = REPO / "docs/examples"
RENDER = (
    *("render", "--metadata", str(EXAMPLES / "metadata.json")),
    *("--config", str(EXAMPLES / "user-data.yaml")),
)
WRONG = "multihome: {default: 5}"
FALSE = "multihome: false"
# More than what Python writes in one piece.
LONG = "policy:\n" + "- {to: no, via: no}\n" * 1000
FULL = "standard output: No space left on device"


def run(
    *argv: str, where: str = "", text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command; `where` is what a shell has after it."""
    command = f'exec "$0" -m cc_multihome "$@" {where}'
    return subprocess.run(
        ["sh", "-c", command, sys.executable, *argv],
        input=text,
        capture_output=True,
        text=True,
        cwd=REPO,
        check=False,
    )


def run_unread(*argv: str, text: str) -> tuple[int, str]:
    """Run the command with a standard output whose reader is gone."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-m", "cc_multihome", *argv],
        input=text,
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPO,
        check=False,
    )
    os.close(write_end)
    return done.returncode, done.stderr


def test_a_reader_that_has_enough_is_no_error() -> None:
    """As in `multihome render | head -1`."""
    assert run_unread("validate", "-", text="{}") == (0, "")


@pytest.mark.parametrize(
    ("argv", "text", "status"),
    [
        pytest.param(("validate", "-"), "{}", 0, id="right"),
        pytest.param(("validate", "-", "--json"), WRONG, 1, id="wrong"),
        pytest.param(("validate", "-", "--json"), LONG, 1, id="long"),
        pytest.param((*RENDER[:3], "--config", "-"), FALSE, 3, id="none"),
        pytest.param(
            (*RENDER[:3], "--config", "-", "--json"), FALSE, 3, id="none, JSON"
        ),
        pytest.param(("--help",), "", 0, id="help"),
    ],
)
def test_a_reader_that_is_gone_changes_no_status(
    argv: tuple[str, ...], text: str, status: int
) -> None:
    """As in `multihome validate - --json | head -1`."""
    found, said = run_unread(*argv, text=text)
    assert found == status
    assert "Traceback" not in said
    assert "Broken pipe" not in said


@pytest.mark.parametrize(
    "argv", [RENDER, (*RENDER, "--json"), ("--help",), ("--version",)]
)
def test_a_full_disk_is_one_clear_error(argv: tuple[str, ...]) -> None:
    """What was asked for is not there."""
    done = run(*argv, where=">/dev/full")
    assert done.returncode == 1
    head, remedy = done.stderr.splitlines()
    assert head.endswith(FULL)
    assert remedy.startswith("What to do: ")


def test_an_error_that_a_program_is_not_told_is_told_a_person() -> None:
    """Standard error first; the status is the error's."""
    argv = (*RENDER[:3], "--config", "-", "--json")
    done = run(*argv, where=">/dev/full", text=FALSE)
    assert done.returncode == 3
    head, _ = done.stderr.splitlines()
    assert "the configuration says false" in head


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
@pytest.mark.parametrize(
    ("argv", "status"),
    [
        pytest.param((*RENDER[:3], "--config", "-"), 3, id="error"),
        pytest.param(("nonsense",), 2, id="usage"),
    ],
)
def test_an_error_that_cannot_be_told_keeps_its_status(
    where: str, argv: tuple[str, ...], status: int
) -> None:
    """And does not come on standard output in its place."""
    done = run(*argv, where=where, text=FALSE)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


def test_a_closed_output_is_like_the_null_device() -> None:
    """Who closes it asks for nothing."""
    done = run(*RENDER, where=">&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_input_is_said() -> None:
    """As a file that is not there."""
    done = run("validate", "-", where="<&-")
    assert done.returncode == 1
    assert "standard input is closed" in done.stderr


def test_an_error_leaves_nothing_half_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard output has one JSON value, or none."""

    def fail() -> None:
        print("half of it")
        raise OSError(5, "Input/output error", "/x")

    monkeypatch.setattr(core, "read_status", fail)
    assert main(["status"]) == 1
    assert capsys.readouterr().out == ""


def test_what_is_held_back_is_for_the_same_reader(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Colour and columns go by what standard output is."""
    with (tmp_path / "x").open("w", encoding="utf-8") as stream:
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(sys, "stdout", stream)
        with output.held_back():
            assert sys.stdout is not stream
            assert sys.stdout.isatty()


def test_what_an_encoding_lacks_is_an_escape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no traceback, as on a console that knows ASCII alone."""
    path = tmp_path / "f\u00fcr.yaml"
    path.write_text("multihome: {}")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = run("validate", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "f\\xfcr.yaml: right" in done.stdout
