# SPDX-License-Identifier: Apache-2.0
"""Services that are pinned to an ENI: plan, drop-in, and what runs it."""

from __future__ import annotations

import json
import platform
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from cc_multihome import bpf, pin
from cc_multihome.apply import networkd_files, services
from cc_multihome.apply.checkpoint import Checkpoint
from cc_multihome.cli.main import main
from cc_multihome.discover import pinning, systemd
from cc_multihome.errors import ApplyError, ConfigError
from cc_multihome.explain.lookup import explain
from cc_multihome.explain.question import Sender
from cc_multihome.files import HEADER, File
from cc_multihome.model import PinnedService, RoutingPolicyRule
from cc_multihome.numbers import MARK_FLAG, MARK_MASK, MARKS, PRIORITY_MARK
from cc_multihome.plan.as_dict import plan_as_dict
from cc_multihome.plan.bind import bind
from cc_multihome.plan.from_dict import plan_from_dict
from cc_multihome.plan.marks import marks_of
from cc_multihome.render import render
from tests.unit.builders import (
    SEED_KEY,
    FakeRun,
    eni,
    instance,
    links_of,
    plan_for,
    rule,
)
from tests.unit.cli_host import make

PUPPET = "puppet.service"
KEY = {**SEED_KEY, "services": {PUPPET: "private", "a.service": "private"}}
DROP_IN = Path("run/systemd/system/puppet.service.d/50-multihome.conf")
UNNAMED = ip_address("203.0.113.200")


def mark_rule(mark: int, table: int) -> RoutingPolicyRule:
    """Make the rule on a mark."""
    made = rule(PRIORITY_MARK, table)
    return replace(made, fwmark=mark, fwmask=MARK_MASK)


def test_services_of_an_eni_share_its_mark_and_rule() -> None:
    """An ENI without services has no rule."""
    plan = plan_for(KEY)
    marked = [it for it in plan.rules() if it.fwmark is not None]
    assert marked == [mark_rule(0x1001, 10)]
    assert plan.services == (
        PinnedService("a.service", "private", 0x1001),
        PinnedService(PUPPET, "private", 0x1001),
    )


def test_a_plan_with_services_comes_back_from_json() -> None:
    """`multihome status` reads it from the record of the last run."""
    plan = plan_for(KEY)
    assert plan_from_dict(json.loads(json.dumps(plan_as_dict(plan)))) == plan


def test_each_service_has_a_drop_in_that_cannot_hinder_it() -> None:
    """`-`: a failure does not count. `-I`: nothing of the service's runs."""
    files = {file.path: file for file in render(plan_for(KEY), ())}
    lines = (files[DROP_IN].text or "").splitlines()
    assert lines[0] == HEADER
    assert lines[2:] == [
        "[Service]",
        "ExecStartPre=-+/usr/bin/python3 -I -m cc_multihome.pin 0x1001",
    ]
    assert services.units_of(files.values()) == ["a.service", PUPPET]


def test_a_mark_does_not_move_when_an_eni_comes_in_between() -> None:
    """Or services would be started again for it."""
    first, second, third = eni(0), eni(1), eni(2)
    few, more = marks_of([first, third]), marks_of([third, second, first])
    assert few == {mac: more[mac] for mac in few}


def test_marks_are_unique_and_in_their_bits() -> None:
    """Also with 32 cards, where two would have one."""
    enis = [eni(number, card=card) for card in range(32) for number in (0, 1)]
    marks = marks_of(enis).values()
    assert len(set(marks)) == len(enis)
    assert all(it & ~MARK_MASK == 0 and it & MARK_FLAG for it in marks)
    assert marks_of(enis) == marks_of(enis[::-1])


def test_more_enis_than_marks_are_refused() -> None:
    """No instance has so many."""
    enis = [eni(it % 16, card=it // 16) for it in range(MARKS + 1)]
    with pytest.raises(Exception, match="at most 127"):
        marks_of(enis)


@pytest.mark.parametrize(
    ("why", "message"),
    [
        pytest.param(
            None,
            "multihome.services['puppet.service']: found 'nowhere', expected"
            " one of private, public",
            id="no such interface",
        ),
        pytest.param(
            "a newer kernel",
            "multihome.services: found 1 of them, expected a newer kernel",
            id="a host that cannot",
        ),
    ],
)
def test_a_mistake_is_told_with_its_path(
    why: str | None, message: str
) -> None:
    """What is found, and what is needed."""
    from cc_multihome.config.parse import parse

    parsed = parse({**SEED_KEY, "services": {PUPPET: "nowhere"}})
    assert parsed.config is not None
    host = instance()
    lacks = {"services": why} if why else {}
    bound = bind(parsed.config, host, links_of(host), lacks=lacks)
    assert message in [str(problem) for problem in bound.problems]


def test_a_service_of_no_interface_is_no_plan() -> None:
    """Nothing is planned in part."""
    with pytest.raises(ConfigError):
        plan_for({**SEED_KEY, "services": {PUPPET: "nowhere"}})


def test_explain_knows_a_service(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of the plan; a socket with its mark goes by its ENI."""
    host = make(monkeypatch, tmp_path)
    host.plan = plan_for(KEY)
    host.force = replace(host.force, plan=host.plan)
    assert 0 == main(["explain", str(UNNAMED), "--service", PUPPET])
    assert "its mark 0x1001 is that of private" in capsys.readouterr().out
    assert 1 == main(["explain", str(UNNAMED), "--service", "b.service"])
    assert "expected one of the plan: a.service, puppet.service" in (
        capsys.readouterr().err
    )
    unmarked = explain(host.plan, UNNAMED, sender=Sender(mark=0x1002)).way
    assert unmarked is not None
    assert unmarked.interface == "public"


def test_status_names_who_is_pinned(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In one line."""
    host = make(monkeypatch, tmp_path)
    host.plan = plan_for(KEY | {"users": {"u": "public"}}, uids={"u": 7})
    host.force = replace(host.force, plan=host.plan)
    main(["status"])
    said = capsys.readouterr().out
    assert "a.service by private, puppet.service by private, user 7 by" in said


@pytest.fixture
def systemctl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRun:
    """A systemd with a service that runs, one that does not, one unknown."""
    fake = FakeRun()
    show = "systemctl show --property=LoadState,SubState"
    for unit, state in (
        ("runs", "LoadState=loaded\nSubState=running\n"),
        ("ended", "LoadState=loaded\nSubState=exited\n"),
        ("none", "LoadState=not-found\nSubState=dead\n"),
    ):
        fake.outputs[f"{show} {unit}.service"] = state
    monkeypatch.setattr(services, "run", fake)
    monkeypatch.setattr(systemd, "run", fake)
    for name in ("NETWORKD_FILES", "RUN_MULTIHOME"):
        monkeypatch.setattr(networkd_files, name, tmp_path / name)
    return fake


def test_only_what_runs_is_started_again(systemctl: FakeRun) -> None:
    """Not a oneshot that ended: cloud-init's own would run again."""
    services.take_up_units(["ended.service", "none.service", "runs.service"])
    acted = [it for it in systemctl.calls if " show " not in it]
    assert acted == [
        "systemctl daemon-reload",
        "systemctl try-restart --no-block runs.service",
    ]


def test_an_undone_change_is_taken_up_again(
    systemctl: FakeRun, tmp_path: Path
) -> None:
    """By the journal, too: it is plain data."""
    from cc_multihome.apply.rollback import KINDS

    undo = services.TakeUpAgain(["runs.service"])
    fields = json.loads(json.dumps(undo.as_dict()))
    assert KINDS[fields.pop("kind")](**fields) == undo
    with pytest.raises(KeyError), Checkpoint() as checkpoint:
        checkpoint.add(undo)
        raise KeyError("something later")
    assert "systemctl daemon-reload" in systemctl.calls
    assert "runs.service" in undo.label


def test_other_files_are_no_drop_ins_of_services() -> None:
    """networkd's have the same name."""
    path = Path("/run/systemd/network/10-netplan-ens5.network.d")
    files = [File(path / "50-multihome.conf", ""), File(Path("/a.conf"), "")]
    assert [] == services.units_of(files)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param("0::/system.slice/a.service\n", "a.service", id="plain"),
        pytest.param(
            "1:name=x:/\n0::/system.slice/a.service/.control\n",
            "a.service",
            id="a command's own, beside version 1",
        ),
    ],
)
def test_the_control_group_of_the_service_is_found(
    text: str, path: str
) -> None:
    """As cgroups(7) has it."""
    assert pin.own_cgroup(text) == Path("/sys/fs/cgroup/system.slice") / path


def test_a_service_that_cannot_be_pinned_says_so(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On its journal; status 1, which systemd is told to ignore."""
    own = tmp_path / "cgroup"
    own.write_text("4:memory:/\n")
    monkeypatch.setattr(pin, "OWN", own)
    assert 1 == pin.main(["0x1001"])
    assert "not pinned to its ENI" in capsys.readouterr().err
    own.write_text("0::/a.service\n")
    asked: list[Any] = []
    monkeypatch.setattr(pin, "attach_marker", lambda *it: asked.append(it))
    assert 0 == pin.main(["0x1001"])
    assert asked == [(Path("/sys/fs/cgroup/a.service"), 0x1001, MARK_MASK)]


test_a_service_that_cannot_be_pinned_says_so = pytest.mark.touches("files")(
    test_a_service_that_cannot_be_pinned_says_so
)


def test_the_program_keeps_the_other_bits() -> None:
    """Golden: six instructions of eight bytes, little endian."""
    assert bpf.instructions(0x1001, 0x107F).hex(" ", 8) == (
        "6112100000000000 5402000080efffff 4402000001100000"
        " 6321100000000000 b700000001000000 9500000000000000"
    )


def test_an_unknown_machine_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """bpf(2) has a number for each."""
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(ApplyError, match="found a vax, expected one of x86"):
        bpf.load_marker(1, 1)


def test_a_host_that_cannot_mark_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Version 1 of control groups, then a kernel without programs."""
    monkeypatch.setattr(pinning, "CGROUP2", tmp_path / "none")
    assert "version 2" in (pinning.why_no_pins() or "")
    monkeypatch.setattr(pinning, "CGROUP2", tmp_path)

    def refuse(mark: int, mask: int) -> int:
        raise ApplyError("bpf(2) says Invalid argument")

    monkeypatch.setattr(bpf, "load_marker", refuse)
    why = pinning.why_no_pins() or ""
    assert "CONFIG_CGROUP_BPF" in why
    assert "Invalid argument" in why
