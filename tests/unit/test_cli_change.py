# SPDX-License-Identifier: Apache-2.0
"""apply, rollback, restore and verify: what they ask for and say."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from cc_multihome import pipeline, state
from cc_multihome.cli import core
from cc_multihome.cli.main import main
from cc_multihome.errors import RollbackError, VerifyError
from cc_multihome.pipeline import Result
from tests.unit.builders import SEED_KEY
from tests.unit.cli_host import GOOD, CliHost, make, read_json, record


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliHost:
    """A healthy host."""
    return make(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        pytest.param([], ("person", True), id="by a person, proved"),
        pytest.param(["--no-verify"], ("person", False), id="not proved"),
        pytest.param(["--trigger", "refresh"], ("refresh", True), id="timer"),
    ],
)
def test_apply_asks_for_a_run(
    host: CliHost, options: list[str], asked: object
) -> None:
    """Proved, unless it is told not to."""
    assert main(["apply", *options]) == 0
    assert host.asked == [asked]


def test_apply_says_what_came_of_it(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line for a person, as data for a program."""
    main(["apply"])
    said = capsys.readouterr().out
    assert said.startswith("applied: the host is what")
    assert "kernel ok, neighbours ok, services ok" in said
    assert read_json(capsys, "apply") == {
        "version": 1,
        "outcome": "applied",
        "changed": True,
        "verification": [item.as_dict() for item in GOOD],
    }


@pytest.mark.parametrize("outcome", ["unchanged", "off", "rolled_back"])
def test_every_outcome_has_a_sentence(
    host: CliHost, capsys: pytest.CaptureFixture[str], outcome: str
) -> None:
    """Not only its word."""
    host.result = Result(outcome)
    assert main(["apply"]) == 0
    assert len(capsys.readouterr().out.split()) > 4


def test_quiet_says_nothing_when_it_went_well(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """For Ansible and Puppet."""
    assert main(["apply", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(VerifyError("the gateway is silent"), 1, id="undone"),
        pytest.param(RollbackError("half undone"), 5, id="half undone"),
    ],
)
def test_a_failed_apply_exits_by_what_state_the_host_is_in(
    host: CliHost,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    status: int,
) -> None:
    """1: it is as before; 5: a person must look."""
    host.error = error
    assert main(["apply", "--quiet"]) == status
    assert str(error) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "asked"), [("rollback", "roll_back"), ("restore", "take_away")]
)
def test_rollback_and_restore(
    host: CliHost, capsys: pytest.CaptureFixture[str], verb: str, asked: str
) -> None:
    """Each asks for its own way back."""
    host.result = Result("restored", True)
    assert main([verb]) == 0
    assert host.asked == [asked]
    assert "cloud-init's own networking" in capsys.readouterr().out
    assert read_json(capsys, verb)["outcome"] == "restored"


def test_a_lost_connection_does_not_end_an_apply(
    host: CliHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very change may be what cuts it; afterwards all is as before."""

    def hang_up(**_: object) -> Result:
        os.kill(os.getpid(), signal.SIGHUP)
        return host.result

    before = signal.getsignal(signal.SIGHUP)
    monkeypatch.setattr(core, "apply", hang_up)
    assert main(["apply"]) == 0
    assert signal.getsignal(signal.SIGHUP) == before


def test_an_end_from_outside_undoes_first(
    host: CliHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM becomes an exception, so that the checkpoint sees it."""
    undone: list[bool] = []

    def end(**_: object) -> Result:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            return host.result
        except BaseException:
            undone.append(True)
            raise

    monkeypatch.setattr(core, "apply", end)
    assert main(["apply"]) == 130
    assert undone == [True]


def test_the_core_is_asked_with_the_hosts_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The one place where its functions are named."""
    asked: list[object] = []

    def configure(raw: object, **options: object) -> Result:
        asked.append((raw, options))
        return Result("applied")

    monkeypatch.setattr(pipeline, "read_key", lambda: SEED_KEY)
    monkeypatch.setattr(pipeline, "configure", configure)
    core.apply(trigger="person", prove=False)
    assert asked == [(SEED_KEY, {"trigger": "person", "prove": False})]


def test_no_configuration_is_not_one_that_asks_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`multihome:` with nothing after it does."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(state, "STATE", tmp_path)
    monkeypatch.setattr(state, "RUN", tmp_path / "run")
    monkeypatch.setattr(pipeline, "configure", pytest.fail)
    assert main(["apply"]) == 3
    assert "has no configuration" in capsys.readouterr().err
    (tmp_path / state.KEY).write_text("null\n")
    assert core.read_key() is None


def test_a_restore_by_a_person_is_recorded_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not as one by the timer."""
    asked: list[object] = []
    monkeypatch.setattr(pipeline, "take_away", asked.append)
    core.take_away()
    assert asked == ["person"]


def test_verify_proves_the_plan_in_force(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a table, a row for each level."""
    assert main(["verify", "--timeout", "2.5"]) == 0
    assert host.asked == [(host.plan, 2.5)]
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split() == ["LEVEL", "STATE", "TIME"]
    assert rows[2].split() == ["neighbours", "ok", "0.5", "s"]
    data = read_json(capsys, "verify")
    assert list(data) == ["version", "ok", "verification"]
    assert data["ok"] is True


def test_a_failed_level_exits_1(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what is wrong, also when it is to be quiet."""
    silent = replace(GOOD[1], state="failed", details=("gateway: silent",))
    host.levels = (GOOD[0], silent, GOOD[2])
    assert main(["verify", "--quiet"]) == 1
    assert "neighbours: gateway: silent" in capsys.readouterr().out
    assert read_json(capsys, "verify", status=1)["ok"] is False


def test_without_a_plan_there_is_nothing_to_verify(
    host: CliHost,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit status 3, as status has it."""
    host.force = core.InForce(None, None)
    data = read_json(capsys, "verify", status=3)
    assert data["error"]["kind"] == "inactive"
    assert host.asked == []


@pytest.mark.parametrize("text", ["-1", "soon", "1e9", "nan"])
def test_a_time_that_is_none_is_bad_usage(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """Not a traceback."""
    with pytest.raises(SystemExit) as ended:
        main(["verify", f"--timeout={text}"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"found '{text}', expected seconds, from 0 to 3600" in said


def test_the_record_is_what_the_state_file_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`failed` lies in a file of its own."""
    files = {state.STATUS: record(None), state.FAILED: {"error": "x"}}
    monkeypatch.setattr(state, "load", files.get)
    status = core.read_status()
    assert status is not None
    assert status["failed"] == {"error": "x"}
