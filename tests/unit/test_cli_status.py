# SPDX-License-Identifier: Apache-2.0
"""`multihome status` tells the truth, and its exit status sums it up."""

from __future__ import annotations

import os
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from cc_multihome import state
from cc_multihome.apply import host as apply_host
from cc_multihome.cli import core, status
from cc_multihome.cli.main import main
from cc_multihome.cli.style import Style
from cc_multihome.discover.imds_tree import tree_of
from cc_multihome.errors import ImdsError
from cc_multihome.plan.as_dict import plan_as_dict
from cc_multihome.render import RT_TABLES
from tests.unit.builders import SEED_KEY, instance, observed_of, plan_for
from tests.unit.cli_host import CliHost, make, read_json, record


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliHost:
    """A healthy host."""
    return make(monkeypatch, tmp_path)


def test_a_healthy_host_exits_0(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its plan, its run and its interfaces."""
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    for part in (
        *("multihome: healthy", "2026-11-24T03:00:00Z", "2.5 s"),
        *("cloud-init at boot", "applied", "i-0123", "eni-00000001"),
        *("private", "public", "10 (private)", "10.224.186.43"),
        *("kernel ok, neighbours ok, services ok", "169.254.169.253"),
        "3 routes",
    ):
        assert part in said, part
    assert "missing" not in said


def test_the_json_has_its_documented_keys(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the last run, of the plan in force, of the kernel."""
    data = read_json(capsys, "status")
    assert list(data) == [
        *("version", "health", "in_force_by", "running"),
        *("last", "plan", "missing", "pending", "failed"),
    ]
    assert data["health"] == "healthy"
    assert data["plan"] == plan_as_dict(host.plan)
    assert data["last"]["trigger"] == "boot"
    assert "failed" not in data["last"]


def test_a_kernel_that_lost_something_exits_1(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the interface that it is of is named."""
    rules = frozenset(r for r in host.kernel.rules if r.table != 20)
    host.kernel = replace(host.kernel, rules=rules)
    assert main(["status"]) == 1
    said = capsys.readouterr().out
    assert "multihome: differs (the host is not what was planned)" in said
    assert "rule 31101: from 10.224.186.43 lookup 20 is missing" in said
    public, private = (
        next(line for line in said.splitlines() if line.startswith(name))
        for name in ("public", "private")
    )
    assert public.endswith("1 missing")
    assert private.endswith("ok")
    data = read_json(capsys, "status", status=1)
    assert (data["health"], len(data["missing"])) == ("differs", 1)


def test_a_lost_rule_is_counted_for_its_own_table(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """10 is not 100."""
    interfaces = {
        "a": {"device_number": 0, "table": 10},
        "b": {"device_number": 1, "table": 100},
    }
    host.force = core.InForce("boot", plan_for({"interfaces": interfaces}))
    host.kernel = observed_of(host.force.plan or host.plan)
    rules = frozenset(r for r in host.kernel.rules if r.table != 100)
    host.kernel = replace(host.kernel, rules=rules)
    main(["status"])
    rows = capsys.readouterr().out.splitlines()
    (row,) = (line for line in rows if line.startswith("a\t"))
    assert row.endswith("ok")


def test_a_failed_run_exits_1_and_says_why(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though the former plan is in force and whole."""
    failed: dict[str, Any] = {
        "time": "2026-11-24T04:00:00Z",
        "input": "cd34",
        "earlier": [],
        "error": "rule X is missing",
        "plan": None,
        "kernel": {"addresses": [], "routes": [], "rules": []},
    }
    host.status = record(
        None,
        outcome="rolled_back",
        error="the gateway is silent\nput back",
        verification=[],
        failed=failed,
    )
    assert main(["status"]) == 1
    said = capsys.readouterr().out
    assert "multihome: failed" in said
    assert "  the gateway is silent\n  put back" in said
    assert "taken back at 2026-11-24T04:00:00Z" in said
    assert "rule X is missing" in said
    data = read_json(capsys, "status", status=1)
    assert data["failed"] == failed
    assert data["last"]["error"].startswith("the gateway")


@pytest.mark.parametrize("outcome", ["off", "restored"])
def test_what_is_not_in_force_exits_3(
    host: CliHost, capsys: pytest.CaptureFixture[str], outcome: str
) -> None:
    """It is neither right nor wrong."""
    host.status = record(None, outcome=outcome)
    host.force = core.InForce(None, None)
    assert main(["status"]) == 3
    assert "inactive" in capsys.readouterr().out


def test_a_host_that_never_ran_exits_3(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """And has little to say."""
    host.status, host.force = None, core.InForce(None, None)
    data = read_json(capsys, "status", status=3)
    assert (data["health"], data["last"], data["plan"]) == (
        *("never", None, None),
    )
    assert main(["status"]) == 3
    assert "has never run" in capsys.readouterr().out


def test_a_plan_that_cannot_be_told_is_no_good_health(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error is not an empty answer."""
    host.force = core.InForce("boot", None, "status.json is unreadable")
    assert main(["status"]) == 1
    assert "status.json is unreadable" in capsys.readouterr().out


def test_a_run_that_goes_on_is_said(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing may be on its way."""
    host.running = 4711
    main(["status"])
    assert "process 4711 applies" in capsys.readouterr().out


def test_what_no_run_has_taken_up_is_said(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """The host is healthy; only where a plan is in force is there more."""
    host.pending = "50-puppet.yaml, line 2: wrong"
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert "Not in force yet:\n  50-puppet.yaml, line 2: wrong" in said
    assert read_json(capsys, "status")["pending"] == host.pending
    host.force = core.InForce(None, None)
    main(["status"])
    assert "Not in force yet" not in capsys.readouterr().out


def test_a_level_that_failed_without_an_error_is_shown(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """It did not answer before the change either."""
    levels = [
        {
            "level": "services",
            "state": "failed",
            "seconds": 1.0,
            "details": ["resolver 10.0.0.2: no answer"],
        }
    ]
    host.status = record(host.plan, verification=levels)
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert "services failed" in said
    assert "services: resolver 10.0.0.2: no answer" in said


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What is remembered on a host whose plan was proved."""
    values: dict[str, object] = {
        state.KEY: {"default": "private"},
        state.KEPT: {"key": {"default": "private"}},
    }
    monkeypatch.setattr(
        state, "load", lambda name, default=None: values.get(name, default)
    )
    return values


@pytest.fixture
def drop_in(
    known: dict[str, object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Path:
    """A file beside user-data, which no run has read."""
    monkeypatch.setattr(core, "DROP_INS", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid)
    return tmp_path / "50-puppet.yaml"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="no file"),
        pytest.param("# nothing\n", id="a file that says nothing"),
        pytest.param("default: private\n", id="the same again"),
    ],
)
def test_the_configuration_that_was_proved_is_not_pending(
    drop_in: Path, text: str | None
) -> None:
    """Nor are files that change nothing of it."""
    if text is not None:
        drop_in.write_text(text)
    assert core.pending() is None


@pytest.mark.parametrize("text", ["", "# x\n", "multihome:\n", "{}\n"])
@pytest.mark.parametrize("key", [None, True, {}], ids=str)
def test_a_file_that_says_nothing_is_not_pending(
    drop_in: Path, known: dict[str, object], key: object, text: str
) -> None:
    """Whichever way user-data asks for all defaults: a run kept it so."""
    known[state.KEY], known[state.KEPT] = key, {"key": key}
    drop_in.write_text(text)
    assert core.pending() is None
    drop_in.write_text("default: private\n")
    assert core.pending() is not None


def test_a_file_that_no_run_has_read_is_pending(drop_in: Path) -> None:
    """With its mistakes, or with what to do."""
    drop_in.write_text("policy: [{to: 10.0.0.0/8, via: private}]\n")
    assert "multihome apply" in str(core.pending())
    drop_in.write_text("policy: [\n")
    assert f"{drop_in}, line 2" in str(core.pending())
    # YAML that no run can take up.
    drop_in.write_text("default: private\npolicy: {}\n")
    assert f"{drop_in}, line 2" in str(core.pending())
    assert "multihome apply" not in str(core.pending())


def test_the_timer_is_not_said_to_repeat_what_was_taken_back(
    drop_in: Path, known: dict[str, object]
) -> None:
    """As after `multihome rollback`: the configuration asks for it yet."""
    drop_in.write_text("default: public\n")
    assert "only if" not in str(core.pending())
    known[state.FAILED] = {"input": "one", "error": "no route"}
    assert "the timer only if it was not taken back" in str(core.pending())


class Kept:
    """What in_force() reads, as values."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.active: str | None = "boot"
        self.files: tuple[Path, ...] = ()
        self.kept: dict[str, Any] | None = None
        self.error: Exception | None = None
        patch.setattr(state, "active", lambda: self.active)
        patch.setattr(state, "load", lambda _: self.kept)
        patch.setattr(apply_host, "own_files", lambda: self.files)
        patch.setattr(core, "decide", self.decide)

    def decide(self, raw: object, *, known: object, runtime: bool) -> Any:
        """Decide from what was kept."""
        if self.error:
            raise self.error
        assert (raw, known, runtime) == (SEED_KEY, instance(), True)
        return type("Decision", (), {"plan": plan_for()})


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """A host in whose boot cloud-init ran the module."""
    return Kept(monkeypatch)


def test_the_plan_of_a_good_run_is_in_force(kept: Kept) -> None:
    """It comes from the record, whole."""
    found = core.in_force(record(plan_for()))
    assert found == core.InForce("boot", plan_for())


def test_after_a_failed_run_the_kept_plan_is_in_force(kept: Kept) -> None:
    """The plan of the record is the one that was taken back."""
    kept.kept = {"key": SEED_KEY, "metadata": tree_of(instance())}
    other = record(plan_for({}), error="no", outcome="rolled_back")
    assert core.in_force(other).plan == plan_for()


def test_a_failed_run_and_nothing_kept_is_no_plan(kept: Kept) -> None:
    """The first run of a host failed."""
    found = core.in_force(record(plan_for(), error="no"))
    assert found == core.InForce("boot", None)


def test_a_kept_plan_that_cannot_be_read_is_said(kept: Kept) -> None:
    """And not taken for none."""
    kept.kept = {"key": SEED_KEY, "metadata": tree_of(instance())}
    kept.error = ImdsError("cut short")
    found = core.in_force(record(None, error="no"))
    assert found.plan is None
    assert found.why_not == "the kept plan cannot be read: cut short"


def test_a_record_of_another_shape_is_said(kept: Kept) -> None:
    """It may be a later version's."""
    status = {**record(None), "plan": {"interfaces": 1}}
    found = core.in_force(status)
    assert found.why_not is not None
    assert "unreadable" in found.why_not


@pytest.mark.parametrize("outcome", ["off", "restored"])
def test_what_was_taken_away_is_not_in_force(kept: Kept, outcome: str) -> None:
    """Whatever plan the record has."""
    status = record(plan_for(), outcome=outcome)
    assert core.in_force(status) == core.InForce(None, None)


def test_the_record_of_an_earlier_boot_is_not_in_force(kept: Kept) -> None:
    """It is in /var; what is in force is in /run."""
    kept.active = None
    assert core.in_force(record(plan_for())).plan is None
    kept.files = (apply_host.ROOT / RT_TABLES,)
    assert core.in_force(record(plan_for())).plan is None
    kept.files = (Path("/run/netplan/55-multihome.yaml"),)
    assert core.in_force(record(plan_for())).plan == plan_for()


def test_before_the_first_run_nothing_is_in_force(kept: Kept) -> None:
    """Not even where the early unit has said so."""
    assert core.in_force(None) == core.InForce("boot", None)


def test_many_addresses_take_one_line(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """An ENI can have 50 of them; two are named, the JSON has all."""
    first, *others = host.plan.interfaces
    many = tuple(ip_interface(f"10.9.0.{it}/32") for it in range(1, 51))
    host.plan = replace(
        host.plan, interfaces=(replace(first, addresses=many), *others)
    )
    view = status.View(plan=host.plan)
    text = status._interfaces(host.plan, view.missing, Style())
    assert "10.9.0.1, 10.9.0.2, 48 more" in text
    assert "10.9.0.3" not in text
