# SPDX-License-Identifier: Apache-2.0
"""The host becomes what the plan says, or stays what it was."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

import pytest

from cc_multihome.apply import checkpoint, verify
from cc_multihome.apply import host as apply
from cc_multihome.apply.checkpoint import Checkpoint
from cc_multihome.apply.diff import BUILT_IN_RULES
from cc_multihome.apply.probes import Probe, probes_of
from cc_multihome.apply.rollback import undo_journal
from cc_multihome.discover.netplan_files import OVERLAY_NAME
from cc_multihome.errors import (
    ApplyError,
    RefusedError,
    RollbackError,
    VerifyError,
)
from cc_multihome.files import HEADER
from cc_multihome.model import Plan
from cc_multihome.render import RT_TABLES
from tests.unit.builders import (
    SEED_KEY,
    eni,
    instance,
    observed_of,
    plan,
    plan_for,
    with_ipv6,
)
from tests.unit.fake_host import NOBODYS, TIMER, UNREADABLE, FakeHost

OVERLAY = f"run/netplan/{OVERLAY_NAME}"
GENERATE = "netplan generate"
RELOAD = "networkctl reload"
RESTART = "systemctl restart systemd-networkd.service"
PINS = {**SEED_KEY, "containers": True, "services": {"a.service": "private"}}
NAMES = {item.mac: item.ifname for item in plan_for().interfaces}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """The seed's host, as cloud-init left it."""
    made = FakeHost(tmp_path, plan_for())
    made.use(monkeypatch)
    return made


def renamed(wanted: Plan) -> Plan:
    """Return the plan that a second run makes: the names are given."""
    items = [replace(item, ifname=item.name) for item in wanted.interfaces]
    return replace(wanted, interfaces=tuple(items))


def test_a_fresh_host_becomes_what_the_plan_says(host: FakeHost) -> None:
    """Files, names, kernel and resolver."""
    assert host.apply()
    tree = host.tree()
    for file in host.rendered():
        assert tree[str(file.path)].endswith(file.text or "")
    assert host.links == ["private", "public"]
    assert host.kernel == observed_of(host.plan)
    assert "nameserver 169.254.169.253" in tree["etc/resolv.conf"]


def test_the_steps_come_in_the_order_that_keeps_the_links(
    host: FakeHost,
) -> None:
    """Validated first; renamed once networkd knows both names."""
    host.apply()
    steps = [call for call in host.calls if "systemctl show" not in call]
    scratch = steps.pop(0)
    assert scratch.startswith(f"{GENERATE} --root-dir ")
    disarm, arm = steps.pop(0), steps.pop(0)
    assert disarm == f"systemctl stop {TIMER}"
    assert arm.startswith("systemd-run ")
    assert steps == [
        GENERATE,
        RELOAD,
        "ip link set dev ens5 name private",
        "ip link set dev ens6 name public",
        "systemctl disable --now systemd-resolved.service",
        disarm,
    ]


def test_nothing_that_survives_a_reboot_names_the_network(
    host: FakeHost,
) -> None:
    """cloud-init's own file is shadowed and never edited."""
    before = host.tree()
    host.apply()
    new = {
        name for name in host.tree() if host.tree()[name] != before.get(name)
    }
    assert {name for name in new if not name.startswith("run/")} == {
        str(RT_TABLES),
        "etc/resolv.conf",
        "var/state.json",
    }


def test_the_second_run_finds_nothing_to_do(
    host: FakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is written, reloaded or restarted, and the log says so."""
    host.apply()
    host.plan = renamed(host.plan)
    before = host.state()
    host.calls.clear()
    stamps = {path: path.stat().st_mtime_ns for path in files_of(host)}
    assert apply.find_changes(host.plan, host.rendered()).is_empty()
    with caplog.at_level(logging.INFO):
        assert not host.apply()
    assert "nothing to change" in caplog.text
    assert host.state() == before
    assert {path: path.stat().st_mtime_ns for path in files_of(host)} == stamps
    assert all(call.startswith("systemctl show") for call in host.calls)


def files_of(host: FakeHost) -> list[Path]:
    """List every file of the host."""
    return [path for path in host.root.rglob("*") if path.is_file()]


def test_a_refused_configuration_changes_nothing(host: FakeHost) -> None:
    """netplan said no in the scratch root."""
    host.put("etc/netplan/90-site.yaml", UNREADABLE)
    before = host.state()
    with pytest.raises(ApplyError, match="nothing was changed"):
        host.apply()
    assert host.state() == before
    assert not any("reload" in call for call in host.calls)


def test_a_netdef_that_netplan_makes_no_file_of_changes_nothing(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the file and the ENI."""
    generate = "cc_multihome.apply.validate.generate"
    monkeypatch.setattr(generate, lambda _: None)
    before = host.state()
    eni_id = host.plan.interfaces[0].eni_id
    with pytest.raises(ApplyError, match=rf"10-netplan-ens5.*{eni_id}"):
        host.apply()
    assert host.state() == before


def test_the_scratch_root_is_gone_afterwards(host: FakeHost) -> None:
    """It has copies of all of netplan's files, which are for root alone."""
    host.apply()
    scratch = host.calls[0].split()[-1]
    assert "multihome-" in scratch
    assert not Path(scratch).exists()


@pytest.mark.parametrize(
    "failing",
    [
        pytest.param({f"{GENERATE}$": 1}, id="generate"),
        pytest.param({RELOAD: 1}, id="reload"),
        # Once as it is, once with the device down.
        pytest.param(
            {"ip link set dev ens6 name": 1, "ip -batch": 1},
            id="second rename",
        ),
        pytest.param({"systemctl disable": 1}, id="the resolver"),
    ],
)
def test_a_failure_anywhere_leaves_the_host_as_it_was(
    host: FakeHost, failing: dict[str, int]
) -> None:
    """Files, names, kernel and resolver; the error says so."""
    before = host.state()
    host.failing = failing
    with pytest.raises(ApplyError, match="former state was put back"):
        host.apply()
    assert host.state() == before
    assert host.kernel == observed_of(NOBODYS)


def test_a_kernel_that_does_not_follow_is_put_back_and_explained(
    host: FakeHost,
) -> None:
    """What was wanted, what was seen, and that nothing remains."""
    host.heeds = False
    before = host.state()
    with pytest.raises(VerifyError) as caught:
        host.apply()
    for part in (
        "address 10.224.184.51/26 on private is missing",
        "Seen instead",
        "The former state was put back.",
    ):
        assert part in str(caught.value)
    assert host.state() == before


def test_networkd_reads_the_former_files_last(host: FakeHost) -> None:
    """When all of them are back."""
    host.heeds = False
    with pytest.raises(VerifyError):
        host.apply()
    assert host.calls[-3:] == [GENERATE, RELOAD, f"systemctl stop {TIMER}"]


def test_without_the_timer_nothing_is_changed(host: FakeHost) -> None:
    """Nobody would undo it if this process were killed."""
    before = host.state()
    host.failing = {"systemd-run": 1}
    with pytest.raises(RefusedError, match="timer"):
        host.apply()
    assert host.state() == before
    assert RELOAD not in host.calls


def test_the_timer_and_the_journal_stay_when_the_process_is_killed(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They undo it then, to what was there before."""

    class Killed(BaseException):
        """Stands for SIGKILL: nothing else of the process runs."""

    def kill(*_: object) -> None:
        raise Killed

    journal = host.root / "run/multihome/journal"
    before, kept = host.state(), ""
    monkeypatch.setattr(apply, "apply_resolver", kill)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "undo_all", lambda _: [])
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(Killed):
            host.apply()
        kept = journal.read_text()
    assert host.state() != before
    journal.write_text(kept)
    assert undo_journal(journal)
    assert host.state() == before


@pytest.mark.parametrize("label", ["gateway 10.224.186.1", "IMDS, bound"])
def test_what_worked_before_and_not_after_is_taken_back(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    """The kernel holds the plan, and it does not work."""
    before = host.state()

    def ask_all(probes: Iterable[Probe], timeout: float) -> dict[str, bool]:
        after = "public" in host.links
        return {
            item.label: not (after and item.label.startswith(label))
            for item in probes
        }

    monkeypatch.setattr(verify, "ask_all", ask_all)
    with pytest.raises(VerifyError, match=label):
        host.apply()
    assert host.state() == before


def test_what_did_not_work_before_is_told_and_not_held_against_the_change(
    host: FakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    """Taking it back would mend nothing: a gateway that is down, say."""
    probes = probes_of(host.plan, NAMES)
    host.silent = {probes[0].label}
    done = apply.apply_plan(host.plan, host.rendered())
    assert done.changed
    states = {item.level: item.state for item in done.verification}
    assert states == {
        "kernel": "ok",
        "neighbours": "failed",
        "services": "ok",
    }
    assert "nor did it before" in caplog.text


def test_without_proof_nothing_is_asked(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`multihome apply --no-verify`."""

    def never(*_: object) -> dict[str, bool]:
        raise AssertionError

    host.heeds = False
    monkeypatch.setattr(verify, "ask_all", never)
    done = apply.apply_plan(host.plan, host.rendered(), prove=False)
    assert done == apply.Applied(changed=True)


def test_only_the_interface_that_lost_something_is_touched(
    host: FakeHost,
) -> None:
    """And the kernel's own rules come back by themselves."""
    host.apply()
    host.calls.clear()
    second = host.plan.interfaces[1]
    lost = {second.rules[-1], BUILT_IN_RULES[1]}
    host.kernel = replace(host.kernel, rules=host.kernel.rules - lost)
    again = renamed(host.plan)
    changes = apply.find_changes(again, host.rendered())
    assert changes.drifted == (second.name,)
    assert changes.built_in == (BUILT_IN_RULES[1],)
    apply._change(again, changes, Checkpoint(), frozenset())
    assert host.calls[-2:] == [
        f"networkctl reconfigure {second.name}",
        "ip -4 rule add priority 32766 lookup 254",
    ]


def test_what_the_others_lost_comes_back_with_a_change(
    host: FakeHost,
) -> None:
    """networkd reads a changed file for `private`, and none for `public`.

    Else the proof would fail on what somebody else took away, and the plan
    would count as one that does not work.
    """
    host.apply()
    policy = [*SEED_KEY["policy"], {"to": "203.0.113.99", "via": "private"}]
    more = renamed(plan_for({**SEED_KEY, "policy": policy}))
    lost = {item.rules[-1] for item in more.interfaces}
    host.kernel = replace(host.kernel, rules=host.kernel.rules - lost)
    host.plan = more
    host.calls.clear()
    changes = apply.find_changes(more, host.rendered())
    assert [host.root / OVERLAY] == [file.path for file in changes.files]
    assert ("public",) == changes.drifted
    assert "31101" in "".join(changes.drift)
    apply._change(more, changes, Checkpoint(), frozenset())
    assert host.calls.index(RELOAD) < host.calls.index(
        "networkctl reconfigure public"
    )
    assert "networkctl reconfigure private" not in host.calls


def test_a_rollback_that_fails_says_so(host: FakeHost) -> None:
    """Nobody may believe that the host is as it was."""
    host.failing = {RELOAD: 2, RESTART: 1}
    with pytest.raises(RollbackError, match="look at the host") as caught:
        host.apply()
    assert "let networkd read the former files" in str(caught.value)
    # The files are back all the same.
    assert OVERLAY not in host.tree()


def test_a_rollback_that_fails_is_tried_again_by_the_timer(
    host: FakeHost,
) -> None:
    """It stays armed, and the journal stays for it."""
    before = host.state()
    host.failing = {RELOAD: 2, RESTART: 1}
    with pytest.raises(RollbackError):
        host.apply()
    assert host.armed
    journal = host.root / "run/multihome/journal"
    assert undo_journal(journal)
    assert host.state() == before
    assert not journal.exists()


def test_networkd_that_does_not_answer_is_started_anew_to_undo(
    host: FakeHost,
) -> None:
    """D-Bus is down, say; systemd itself needs none."""
    before = host.state()
    host.failing = {RELOAD: 2}
    with pytest.raises(ApplyError, match="former state was put back"):
        host.apply()
    assert host.state() == before
    assert host.calls.count(RESTART) == 1
    assert not host.armed


def test_an_undoing_that_is_interrupted_is_left_to_the_timer(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control-C, twice."""

    def interrupt(_: object) -> list[str]:
        raise KeyboardInterrupt

    host.heeds = False
    monkeypatch.setattr(checkpoint, "undo_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        host.apply()
    assert host.armed
    assert (host.root / "run/multihome/journal").exists()


def test_a_journal_that_cannot_be_written_changes_nothing(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/run is full: it could not be undone after a kill."""

    def refuse(*_: object) -> None:
        raise OSError("no space left")

    before, told = host.state(), []
    monkeypatch.setattr(checkpoint, "append_line", refuse)
    with pytest.raises(RefusedError, match="nothing was changed"):
        apply.apply_plan(
            host.plan,
            host.rendered(),
            before_undo=lambda: told.append("begun"),
        )
    assert host.state() == before
    assert told == []
    assert not host.armed


def test_whoever_asks_is_called_before_anything_is_undone(
    host: FakeHost,
) -> None:
    """To see what the kernel held when it failed."""
    host.heeds = False
    seen: list[bool] = []
    with pytest.raises(VerifyError):
        apply.apply_plan(
            host.plan,
            host.rendered(),
            before_undo=lambda: seen.append(OVERLAY in host.tree()),
        )
    assert seen == [True]


def test_former_files_come_back_with_their_modes(host: FakeHost) -> None:
    """An older overlay of ours, say."""
    path = host.put(OVERLAY, f"{HEADER}\nnetwork: {{version: 2}}\n")
    path.chmod(0o640)
    before = host.state()
    host.heeds = False
    with pytest.raises(VerifyError):
        host.apply()
    assert host.state() == before


def test_a_file_of_ours_that_is_no_longer_wanted_goes(
    host: FakeHost,
) -> None:
    """An ENI was detached, or cloud-init's file is gone."""
    host.apply()
    host.plan = renamed(host.plan)
    stale = host.put("run/netplan/70-old.yaml", f"{HEADER}\nnetwork: {{}}\n")
    assert host.apply()
    assert not stale.exists()


def test_a_file_that_is_not_ours_stays(host: FakeHost) -> None:
    """Whatever folder it is in."""
    theirs = host.put("run/netplan/60-theirs.yaml", "network: {version: 2}\n")
    host.apply()
    assert theirs.exists()
    assert theirs not in apply.own_files()


def test_what_the_kernel_lost_is_given_back(
    host: FakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody flushed the rules; the log says which."""
    host.apply()
    host.plan = renamed(host.plan)
    gone = host.plan.rules()[1]
    host.kernel = replace(host.kernel, rules=host.kernel.rules - {gone})
    host.calls.clear()
    with caplog.at_level(logging.WARNING):
        assert host.apply()
    assert "31100: from 10.224.184.51 lookup 10" in caplog.text
    assert "networkctl reconfigure private" in host.calls
    assert RELOAD not in host.calls


def test_an_address_in_doubt_is_not_a_lost_one(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its link has just come up: it is waited for, and not set up anew."""
    host.plan = plan_for({}, instance(with_ipv6(eni(0)), with_ipv6(eni(1))))
    host.apply()
    mine = {it for it in host.kernel.addresses if it[1].version == 6}
    doubtful = replace(
        host.kernel,
        addresses=host.kernel.addresses - mine,
        tentative=frozenset(mine),
    )
    readings = iter([doubtful, doubtful])
    monkeypatch.setattr(
        apply, "read_kernel", lambda: next(readings, host.kernel)
    )
    host.calls.clear()
    assert not host.apply()
    assert "networkctl" not in " ".join(host.calls)
    assert [] == list(readings)


def test_an_address_that_another_host_had_is_tried_anew(
    host: FakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel does not ask again, whatever networkd says, while it stays.

    It may be gone by then, and another device's is nobody's concern here.
    """
    host.plan = plan_for({}, instance(with_ipv6(eni(0)), with_ipv6(eni(1))))
    host.apply()
    mine = {it for it in host.kernel.addresses if it[1].version == 6}
    theirs = ("docker0", ip_interface("fd00:d0c::1/64"))
    host.kernel = replace(
        host.kernel,
        addresses=host.kernel.addresses - mine,
        duplicates=frozenset({*mine, theirs}),
    )
    host.calls.clear()
    host.failing = {"ip -6 addr del": 1}
    with caplog.at_level(logging.WARNING):
        assert host.apply()
    for name, address in mine:
        gone = host.calls.index(f"ip -6 addr del {address} dev {name}")
        assert gone < host.calls.index(f"networkctl reconfigure {name}")
        assert f"{address} on {name} (eni-" in caplog.text
    assert "docker0" not in " ".join(host.calls)
    host.calls.clear()
    host.apply()
    assert "addr del" not in " ".join(host.calls)


def test_a_repair_that_fails_is_one_that_was_begun(host: FakeHost) -> None:
    """Or the timer would configure the link anew every five minutes."""
    host.apply()
    host.plan = renamed(host.plan)
    gone = host.plan.rules()[1]
    host.kernel = replace(host.kernel, rules=host.kernel.rules - {gone})
    host.failing = {"networkctl reconfigure private": 1}
    begun: list[str] = []
    with pytest.raises(ApplyError) as caught:
        apply.apply_plan(
            host.plan,
            host.rendered(),
            before_undo=lambda: begun.append("begun"),
        )
    assert not isinstance(caught.value, RefusedError)
    assert begun == ["begun"]


def test_without_interfaces_only_the_resolver_changes(
    host: FakeHost,
) -> None:
    """A single ENI and `multihome: {}`."""
    host.plan = plan(resolver=host.plan.resolver)
    assert host.apply()
    assert not any(call.startswith("ip ") for call in host.calls)
    assert OVERLAY not in host.tree()
    assert "169.254.169.253" in host.tree()["etc/resolv.conf"]


def test_services_and_connection_marks_come_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Services are taken up last, when the rules have proved to work."""
    host = FakeHost(tmp_path, plan_for(PINS))
    host.use(monkeypatch)
    before = host.state()
    host.apply()
    made = host.calls.index("nft -f -")
    assert made < host.calls.index("systemctl daemon-reload")
    assert "run/systemd/system/a.service.d/50-multihome.conf" in host.tree()
    host.plan = replace(renamed(host.plan), services=(), containers=False)
    host.calls.clear()
    host.apply()
    assert "run/systemd/system/a.service.d/50-multihome.conf" not in (
        host.tree()
    )
    assert not (tmp_path / "run/systemd/system/a.service.d").exists()
    for call in ("nft -f -", "systemctl daemon-reload"):
        assert call in host.calls
    assert before != host.state()


@pytest.mark.parametrize(
    "step", ["nft -f", "systemctl daemon-reload", "systemctl disable --now"]
)
def test_pins_that_cannot_be_made_are_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """With all else: the host is as before."""
    host = FakeHost(tmp_path, plan_for(PINS))
    host.use(monkeypatch)
    before = host.state()
    host.failing = {step: 1}
    with pytest.raises(ApplyError):
        host.apply()
    assert before == host.state()


def test_an_old_networkd_stands_still_while_links_are_renamed(
    host: FakeHost,
) -> None:
    """With D-Bus, too: they go down for it."""
    host.networkd_type = "notify"
    assert host.apply()
    units = "systemd-networkd.socket systemd-networkd.service"
    first = host.calls.index(f"systemctl stop {units}")
    last = host.calls.index(f"systemctl start {units}")
    names = [call for call in host.calls if " name " in call]
    assert len(names) == 2
    assert all(first < host.calls.index(name) < last for name in names)
    assert RELOAD not in host.calls
