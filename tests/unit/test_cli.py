# SPDX-License-Identifier: Apache-2.0
"""The command as a whole: quick to start, and clear when something fails."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cc_multihome.cli import core, report, verb
from cc_multihome.cli import main as command
from cc_multihome.cli.main import build_parser, main
from cc_multihome.errors import (
    ApplyError,
    CommandError,
    ConfigError,
    ImdsError,
    LinkError,
    MultihomeError,
    Problem,
    RollbackError,
    VerifyError,
)
from tests.lab.host import REPO

HEAVY = ("requests", "yaml", "jsonschema", "netifaces", "difflib")
# One line: what is loaded when the command has said its version.
LOADED = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    "from cc_multihome.cli.main import main\n"
    "try: main(sys.argv[1:])\n"
    "except SystemExit: pass\n"
    "print(*sys.modules)"
)
PROBLEM = Problem("multihome.default", "'x'", "one of private, public")


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let `multihome status` end in an error."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(core, "read_status", fail)


@pytest.mark.touches("programs")
@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_starting_the_command_imports_nothing_heavy(argument: str) -> None:
    """The shell's completion asks for the help at every key press."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED, str(REPO), argument],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & set(HEAVY)
    assert "cc_multihome.cli.main" in loaded


def test_without_a_verb_the_usage_is_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit status 2, and the verbs are named."""
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == verb.EXIT_USAGE
    assert "usage: multihome" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "usage", "message"),
    [
        pytest.param(["stauts"], "multihome [-h]", "'stauts'", id="verb"),
        pytest.param(
            ["plan", "--nope", "x"],
            "multihome plan [-h]",
            "unrecognized arguments: --nope x",
            id="option",
        ),
        pytest.param(
            ["explain"], "multihome explain [-h]", "DEST", id="no argument"
        ),
    ],
)
def test_a_wrong_command_line_gets_the_usage_of_its_verb(
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    usage: str,
    message: str,
) -> None:
    """Exit status 2, what is wrong, and where to look."""
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == verb.EXIT_USAGE
    said = capsys.readouterr()
    assert "" == said.out
    assert said.err.startswith(f"usage: {usage}")
    assert message in said.err
    assert "What to do: see `multihome" in said.err


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["plan", "--config", ""], id="plan"),
        pytest.param(["render", "--config="], id="render"),
        pytest.param(["render", "--metadata", ""], id="render metadata"),
        pytest.param(["explain", "--metadata", "", "::1"], id="explain"),
        pytest.param(["diagram", "--output", ""], id="diagram"),
        pytest.param(["validate", ""], id="validate"),
        pytest.param(["validate", "--metadata=", "x"], id="validate metadata"),
        pytest.param(["integrate", "--root", ""], id="integrate"),
    ],
)
def test_a_name_that_is_empty_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
) -> None:
    """`--root "$ROOT"` of a script is not to become this host's own root."""
    fail_with(monkeypatch, ZeroDivisionError("it was begun"))
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == verb.EXIT_USAGE
    assert "found no name, expected one" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--remove", "--check"])
def test_a_root_that_is_not_there_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """An image that is not mounted is not one with nothing to do."""
    (tmp_path / "file").touch()
    for name in ("none", "file"):
        root = str(tmp_path / name)
        assert main(["integrate", option, "--root", root]) == 1
        assert f"found no folder {root}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        pytest.param(ConfigError((PROBLEM,)), "config", 1, id="config"),
        pytest.param(ImdsError("no answer"), "metadata", 1, id="metadata"),
        pytest.param(LinkError("no device"), "link", 1, id="link"),
        pytest.param(CommandError("ip failed"), "command", 1, id="command"),
        pytest.param(ApplyError("refused"), "apply", 1, id="apply"),
        pytest.param(VerifyError("missing"), "verify", 1, id="verify"),
        pytest.param(RollbackError("half"), "rollback", 5, id="rollback"),
        pytest.param(verb.InactiveError("none"), "inactive", 3, id="none"),
        pytest.param(verb.RootError("no"), "root", 1, id="root"),
        pytest.param(verb.FileError("no"), "file", 1, id="file"),
        pytest.param(MultihomeError("other"), "error", 1, id="other"),
        pytest.param(OSError(28, "full", "/run/x"), "file", 1, id="full"),
        pytest.param(ZeroDivisionError("oops"), "internal", 1, id="bug"),
    ],
)
def test_an_error_is_said_once_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    kind: str,
    status: int,
) -> None:
    """On standard error for a person, on standard output for a program."""
    fail_with(monkeypatch, error)
    assert main(["status"]) == status
    plain = capsys.readouterr()
    assert plain.out == ""
    assert plain.err.startswith("multihome status: ")
    assert "What to do: " in plain.err
    assert "Traceback" not in plain.err

    assert main(["status", "--json"]) == status
    said = capsys.readouterr()
    assert said.err == plain.err
    error_data = json.loads(said.out)["error"]
    assert error_data["kind"] == kind
    assert set(error_data) == {"kind", "message", "remedy", "problems"}


def test_every_mistake_of_the_configuration_is_in_the_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Path, found and expected, as in the text."""
    fail_with(monkeypatch, ConfigError((PROBLEM,)))
    main(["status", "--json"])
    (problem,) = json.loads(capsys.readouterr().out)["error"]["problems"]
    assert problem == {
        "path": "multihome.default",
        "found": "'x'",
        "expected": "one of private, public",
        "origin": "",
    }


def test_a_file_that_may_not_be_read_asks_for_root(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """netplan's files and the status are root's."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    path = "/var/lib/multihome/status.json"
    fail_with(monkeypatch, PermissionError(13, "Permission denied", path))
    assert main(["status"]) == 1
    said = capsys.readouterr().err
    assert f"{path}: Permission denied" in said
    assert "as root" in said


def test_the_traceback_is_there_for_whoever_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the variable that the message names."""
    monkeypatch.setenv(report.DEBUG, "1")
    fail_with(monkeypatch, ZeroDivisionError("oops"))
    assert main(["status"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And has the status that shells give it."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(core, "read_status", interrupt)
    assert main(["status"]) == 130
    assert capsys.readouterr().err == "multihome status: interrupted\n"


def test_a_second_interrupt_is_none_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """timeout(1) sends one to the process and one to its group."""

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            os.kill(os.getpid(), signal.SIGINT)
            return super().write(text)

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(core, "read_status", interrupt)
    monkeypatch.setattr(sys, "stderr", Slow())
    assert main(["status"]) == 130


@pytest.mark.parametrize(
    "name", ["apply", "rollback", "restore", "verify"], ids=str
)
def test_what_needs_root_says_so_before_anything_else(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    """Not half-way through."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main([name]) == 1
    said = capsys.readouterr().err
    assert f"`multihome {name}` must be run by root, this is user 1000" in said


def test_every_verb_has_a_summary_and_its_own_name() -> None:
    """The error names the verb, and the help all of them."""
    parser = build_parser()
    actions = [
        each
        for each in parser._actions
        if isinstance(each, argparse._SubParsersAction)
    ]
    (subparsers,) = actions
    assert len(subparsers.choices) == len(command.VERBS)
    for name, each in subparsers.choices.items():
        assert each.get_default("verb") == name
        assert each.description
