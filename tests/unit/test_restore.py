# SPDX-License-Identifier: Apache-2.0
"""All is taken back: the network first, then each of the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
import yaml

from cc_multihome.apply import host as apply_host
from cc_multihome.apply import restore
from cc_multihome.apply.rollback import undo_journal
from cc_multihome.discover.links import HostLinks
from cc_multihome.discover.netplan_files import OVERLAY_NAME, read_own_overlay
from cc_multihome.errors import CommandError, RollbackError
from cc_multihome.files import HEADER, File, write
from cc_multihome.render import RT_TABLES, RUN_NETPLAN, render
from tests.unit.builders import (
    PRIVATE_MAC,
    PUBLIC_MAC,
    link,
    observed_of,
    plan_for,
)
from tests.unit.fake_host import CLOUD_INIT, JOURNAL, NOBODYS, FakeHost


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """The seed's host, as cloud-init left it."""
    made = FakeHost(tmp_path, plan_for())
    made.use(monkeypatch)
    return made


def knows_its_links(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let restore() see the links and the overlay that the host has now."""
    monkeypatch.setattr(
        restore, "read_own_overlay", lambda: read_own_overlay(host.root)
    )
    monkeypatch.setattr(restore, "read_links", lambda _: links_now(host))


def refusing(error: Exception) -> Callable[..., NoReturn]:
    """Stand in for a function that raises this, whatever it is given."""

    def refuse(*_: object) -> NoReturn:
        raise error

    return refuse


def test_restore_takes_every_trace_away(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files, names and the resolver, as cloud-init left them."""
    before = host.state()
    host.apply()
    knows_its_links(host, monkeypatch)
    told = restore.find_restore()
    assert {"private": "ens5", "public": "ens6"} == told.names
    assert told.files
    assert {None} == {file.text for file in told.files}
    assert told.resolver
    restore.restore()
    assert restore.find_restore().is_empty()
    assert host.state() == before
    assert host.kernel == observed_of(NOBODYS)
    for name in host.links:
        assert f"ip link set dev {name} group 0" in host.calls


def test_an_old_networkd_stands_still_while_all_is_taken_back(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload leaves the rules behind."""
    host.networkd_type = "notify"
    host.apply()
    knows_its_links(host, monkeypatch)
    host.calls.clear()
    restore.restore()
    units = "systemd-networkd.socket systemd-networkd.service"
    acts = [it for it in host.calls if it.split()[0] in ("netplan", "ip")]
    first = host.calls.index(f"systemctl stop {units}")
    last = host.calls.index(f"systemctl start {units}")
    names = [it for it in acts if " name " in it]
    assert len(names) == 2
    for act in (*names, "netplan generate"):
        assert first < host.calls.index(act) < last
    assert "networkctl reload" not in host.calls
    assert host.kernel == observed_of(NOBODYS)


def links_now(host: FakeHost) -> HostLinks:
    """Make the links that the host has now."""
    made = [
        link(name, item.mac, ifindex=index)
        for index, (name, item) in enumerate(
            zip(host.links, host.plan.interfaces, strict=True)
        )
    ]
    return HostLinks(tuple(made), frozenset())


def test_restoring_an_untouched_host_reloads_nothing(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing of ours."""
    monkeypatch.setattr(restore, "read_own_overlay", lambda: ())
    monkeypatch.setattr(restore, "read_links", lambda _: links_now(host))
    restore.restore()
    assert host.calls == []


def test_what_cannot_be_put_back_does_not_stop_the_rest(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses a value: the resolver comes back all the same."""
    before = host.state()
    host.apply()
    knows_its_links(host, monkeypatch)

    refuse = refusing(OSError("the kernel refuses"))
    monkeypatch.setattr(restore, "restore_sysctls", refuse)
    with pytest.raises(RollbackError, match="the kernel's settings: the ker"):
        restore.restore()
    assert host.state() == before


def test_without_the_network_nothing_else_is_taken_back(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd-resolved has no server while DHCP is off."""
    host.apply()
    after = host.state()
    knows_its_links(host, monkeypatch)

    refuse = refusing(CommandError("ip refuses"))
    monkeypatch.setattr(restore, "rename_links", refuse)
    with pytest.raises(CommandError, match="ip refuses"):
        restore.restore()
    assert host.state() == after


def test_the_names_of_the_tables_do_not_hold_the_network_back(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/etc is read-only, and its file would be the first to go."""
    before = host.state()
    host.apply()
    knows_its_links(host, monkeypatch)

    def write_below_run(file: File) -> None:
        if "rt_tables.d" in file.path.parts:
            raise OSError("read-only file system")
        write(file)

    monkeypatch.setattr(restore, "write", write_below_run)
    with pytest.raises(RollbackError, match="tables without names: read-on"):
        restore.restore()
    (host.root / RT_TABLES).unlink()
    assert host.state() == before


@pytest.mark.parametrize("networkd_type", ["notify", "notify-reload"])
def test_a_restore_that_is_killed_leaves_a_journal_and_a_timer(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, networkd_type: str
) -> None:
    """From which the timer puts the plan back; networkd runs then."""
    host.networkd_type = networkd_type
    host.apply()
    after = host.state()
    knows_its_links(host, monkeypatch)
    host.calls.clear()
    killed: list[str] = []

    def kill(file: File) -> None:
        if killed:
            # Dead: nothing of what follows is done by it.
            raise SystemExit
        write(file)
        journal = host.root / JOURNAL
        killed.append(journal.read_text(encoding="utf-8"))
        assert host.armed

    monkeypatch.setattr(restore, "write", kill)
    with pytest.raises(SystemExit):
        restore.restore()
    assert host.state() == after
    journal = host.root / "left"
    journal.write_text(killed[0], encoding="utf-8")
    assert undo_journal(journal)
    assert not host.armed
    assert host.state() == after


def test_a_restore_goes_on_where_no_timer_can_be_set(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leads to the safe state."""
    before = host.state()
    host.apply()
    knows_its_links(host, monkeypatch)
    host.failing = {"systemd-run": 1}
    restore.restore()
    assert host.state() == before


@pytest.mark.parametrize("text", [None, "network: {{"])
def test_without_the_overlay_devices_get_the_names_of_netplans_files(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """By `set-name` cloud-init's file matches the former name alone."""
    macs = {"ens5": PRIVATE_MAC, "ens6": PUBLIC_MAC}
    ethernets = {
        name: {"match": {"macaddress": mac}, "set-name": name}
        for name, mac in macs.items()
    }
    content = yaml.safe_dump({"network": {"ethernets": ethernets}})
    write(File(host.root / CLOUD_INIT, content))
    before = host.state()
    host.apply()
    knows_its_links(host, monkeypatch)
    overlay = host.root / RUN_NETPLAN / OVERLAY_NAME
    write(File(overlay, None if text is None else f"{HEADER}\n{text}\n"))
    assert restore.find_restore().names == {
        "private": "ens5",
        "public": "ens6",
    }
    restore.restore()
    assert host.state() == before


def test_an_eni_that_is_let_go_gets_its_former_name_back(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the new one no file of cloud-init's matches it (`set-name`)."""
    host.apply()
    monkeypatch.setattr(apply_host, "read_links", lambda _: links_now(host))
    first, _second = host.plan.interfaces
    less = replace(host.plan, interfaces=(replace(first, ifname=first.name),))
    changes = apply_host.find_changes(less, render(less, ()))
    assert changes.names == {"public": "ens6"}


def test_rules_of_others_stop_nothing(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel does not take one, or does not tell which there are."""
    before = host.state()
    host.apply()
    after = host.state()
    knows_its_links(host, monkeypatch)

    refuse = refusing(OSError("no buffer space"))
    with monkeypatch.context() as patch:
        patch.setattr(restore, "keep_foreign", refuse)
        with pytest.raises(RollbackError, match="rules of others: no buffer"):
            restore.restore()
    assert host.state() == before
    host.apply()
    assert host.state() == after
    monkeypatch.setattr(restore, "remember_foreign", refuse)
    restore.restore()
    assert host.state() == before


def test_one_that_is_let_go_does_not_make_networkd_stand_still(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ENI that stays keeps its name, and would feel it."""
    host.apply()
    kept = replace(host.plan.interfaces[0], ifname="private")
    less = replace(host.plan, interfaces=(kept,))
    links = links_now(host)
    monkeypatch.setattr(apply_host, "read_links", lambda _: links)
    host.networkd_type = "notify"
    host.plan = less
    host.calls.clear()
    apply_host.apply_plan(less, render(less, ()), prove=False)
    assert "ip link set dev public name ens6" in host.calls
    assert not any(
        "systemctl stop systemd-networkd" in it for it in host.calls
    )


def test_the_overlay_is_not_read_where_no_file_changes(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is long with many destinations, and the timer looks for ever."""
    host.apply()
    items = [replace(it, ifname=it.name) for it in host.plan.interfaces]
    host.plan = replace(host.plan, interfaces=tuple(items))
    refuse = refusing(AssertionError("it was read"))
    monkeypatch.setattr(apply_host, "read_own_overlay", refuse)
    assert apply_host.find_changes(host.plan, host.rendered()).is_empty()
