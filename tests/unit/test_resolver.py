# SPDX-License-Identifier: Apache-2.0
"""The resolver is replaced, and what was there is kept and put back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cc_multihome.apply.checkpoint import Checkpoint
from cc_multihome.apply.drift import changed_resolver
from cc_multihome.apply.resolver import (
    apply_resolver,
    needs_resolver,
    resolved_units,
    restore_resolver,
)
from cc_multihome.apply.services import take_up_units
from cc_multihome.errors import ApplyError, CommandError
from cc_multihome.files import HEADER
from cc_multihome.model import Resolver
from cc_multihome.render import RUN_NETWORKD
from tests.unit.builders import address, plan
from tests.unit.fake_host import (
    RESOLVED,
    STUB,
    WAIT_ONLINE_FILE,
    FakeHost,
    FakeUnit,
)

VPC = Resolver((address("169.254.169.253"),), ("ec2.internal",))
KEEP = Resolver((), ())
TEXT = f"{HEADER}\nsearch ec2.internal\nnameserver 169.254.169.253\n"
VARLINK = "systemd-resolved-varlink.socket"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """A host with systemd-resolved running."""
    made = FakeHost(tmp_path, plan())
    made.use(monkeypatch)
    return made


def set_resolver(resolver: Resolver) -> None:
    """Apply it for good."""
    with Checkpoint() as checkpoint:
        apply_resolver(resolver, checkpoint)


def resolv_conf(host: FakeHost) -> str:
    """Return resolv.conf, which must be a file now."""
    path = host.root / "etc/resolv.conf"
    assert not path.is_symlink()
    return path.read_text()


def test_the_vpcs_resolver_takes_the_place_of_resolved(
    host: FakeHost,
) -> None:
    """A file in place of the link, and the service off for good."""
    assert needs_resolver(VPC)
    set_resolver(VPC)
    assert resolv_conf(host) == TEXT
    assert host.units == {RESOLVED: FakeUnit(active=False, enabled=False)}
    assert not needs_resolver(VPC)


def test_networkds_files_stay_when_systemd_reads_its_units(
    host: FakeHost,
) -> None:
    """Else networkd would take each link for changed at its next reload."""
    for name in ("ens5.network", "ens6.network", "ens5.link"):
        host.put(f"{RUN_NETWORKD}/10-netplan-{name}", name)
    inodes = host.inodes()
    set_resolver(VPC)
    assert inodes == host.inodes()
    restore_resolver()
    assert host.units == {RESOLVED: FakeUnit()}
    assert inodes == host.inodes()
    take_up_units(["none.service"])
    assert "systemctl daemon-reload" in host.calls
    assert inodes == host.inodes()


def test_a_second_run_changes_nothing(host: FakeHost) -> None:
    """Only systemd is asked."""
    set_resolver(VPC)
    host.calls.clear()
    assert not needs_resolver(VPC)
    assert all(call.startswith("systemctl show") for call in host.calls)


def test_a_boot_does_not_wait_for_a_resolved_that_is_off(
    host: FakeHost,
) -> None:
    """netplan 1.2 has it wait for name servers, as resolved tells them."""
    before = host.state()
    host.wait_online += "ExecStart={ argv[]=wait-online --any --dns ; }\n"
    set_resolver(VPC)
    made = (host.root / WAIT_ONLINE_FILE).read_text()
    assert made.startswith(HEADER)
    assert "--dns" not in made
    assert ("-o degraded", "-o routable") == tuple(
        line[-len("-o degraded") :] for line in made.splitlines()[-2:]
    )
    assert not needs_resolver(VPC)
    restore_resolver()
    assert before == host.state()
    with pytest.raises(ApplyError), Checkpoint() as checkpoint:
        apply_resolver(VPC, checkpoint)
        raise ApplyError("no")
    assert before == host.state()


def test_status_says_what_is_missing_for_boots(host: FakeHost) -> None:
    """And not that resolv.conf is wrong, which is right."""
    set_resolver(VPC)
    wanted = replace(plan(), resolver=VPC)
    assert () == changed_resolver(wanted)
    host.wait_online = "ExecStart={ argv[]=wait-online --any --dns ; }\n"
    (line,) = changed_resolver(wanted)
    assert WAIT_ONLINE_FILE in line
    assert "resolv.conf" not in line


def test_an_upgrade_of_netplan_is_noticed(host: FakeHost) -> None:
    """Also where a drop-in is an administrator's: that one stays."""
    set_resolver(VPC)
    host.wait_online = "ExecStart={ argv[]=wait-online --any --dns ; }\n"
    assert needs_resolver(VPC)
    host.put(WAIT_ONLINE_FILE, "[Service]\n")
    assert not needs_resolver(VPC)
    restore_resolver()
    assert "[Service]\n" == (host.root / WAIT_ONLINE_FILE).read_text()


def test_the_sockets_that_start_the_service_go_with_it(
    host: FakeHost,
) -> None:
    """From systemd 258 on."""
    host.units[VARLINK] = FakeUnit()
    set_resolver(VPC)
    assert not any(unit.active or unit.enabled for unit in host.units.values())


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(FakeUnit(active=True, enabled=False), id="running"),
        pytest.param(FakeUnit(active=False, enabled=True), id="at boot"),
    ],
)
def test_a_service_that_came_back_is_noticed(
    host: FakeHost, unit: FakeUnit
) -> None:
    """Somebody started it, or an upgrade enabled it."""
    set_resolver(VPC)
    host.units[RESOLVED] = unit
    assert needs_resolver(VPC)
    set_resolver(VPC)
    assert not needs_resolver(VPC)


def test_a_host_without_resolved_gets_the_file_alone(host: FakeHost) -> None:
    """Debian installs without it."""
    host.units.clear()
    set_resolver(VPC)
    assert resolv_conf(host) == TEXT
    assert not any("disable" in call for call in host.calls)


def test_restoring_gives_back_link_and_service(host: FakeHost) -> None:
    """All of it as it was, and no trace."""
    before = host.state()
    set_resolver(VPC)
    restore_resolver()
    assert host.state() == before


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(FakeUnit(active=True, enabled=False), id="running"),
        pytest.param(FakeUnit(active=False, enabled=True), id="at boot"),
        pytest.param(FakeUnit(active=False, enabled=False), id="off"),
    ],
)
def test_restoring_starts_and_enables_no_more_than_there_was(
    host: FakeHost, unit: FakeUnit
) -> None:
    """Running and enabled are two things."""
    host.units[RESOLVED] = FakeUnit(unit.active, unit.enabled)
    before = host.state()
    set_resolver(VPC)
    restore_resolver()
    assert host.state() == before


def test_restoring_gives_back_a_plain_file(host: FakeHost) -> None:
    """dhclient's, say."""
    path = host.root / "etc/resolv.conf"
    path.unlink()
    path.write_text("nameserver 10.0.0.2\n")
    set_resolver(VPC)
    restore_resolver()
    assert resolv_conf(host) == "nameserver 10.0.0.2\n"


def test_restoring_where_there_was_no_file_leaves_none(
    host: FakeHost,
) -> None:
    """Some minimal images have none."""
    path = host.root / "etc/resolv.conf"
    path.unlink()
    set_resolver(VPC)
    restore_resolver()
    assert not path.exists()


def test_restoring_a_host_that_was_never_changed_does_nothing(
    host: FakeHost,
) -> None:
    """There is nothing to put back."""
    before = host.state()
    restore_resolver()
    assert host.state() == before
    assert host.calls == []


def test_a_file_that_somebody_replaced_meanwhile_stays(
    host: FakeHost,
) -> None:
    """It is theirs; the service comes back all the same."""
    set_resolver(VPC)
    (host.root / "etc/resolv.conf").write_text("nameserver 10.9.9.9\n")
    restore_resolver()
    assert resolv_conf(host) == "nameserver 10.9.9.9\n"
    assert host.units[RESOLVED].active


def test_the_first_state_is_kept_over_several_changes(
    host: FakeHost,
) -> None:
    """And not our own of the time before."""
    before = host.state()
    set_resolver(VPC)
    set_resolver(Resolver((address("10.9.9.9"),), ()))
    assert "nameserver 10.9.9.9" in resolv_conf(host)
    restore_resolver()
    assert host.state() == before


def test_keep_leaves_a_host_alone(host: FakeHost) -> None:
    """It was never changed."""
    before = host.state()
    assert not needs_resolver(KEEP)
    set_resolver(KEEP)
    assert host.state() == before


def test_keep_after_vpc_gives_the_former_one_back(host: FakeHost) -> None:
    """The key was changed."""
    before = host.state()
    set_resolver(VPC)
    assert needs_resolver(KEEP)
    set_resolver(KEEP)
    assert host.state() == before
    assert not needs_resolver(KEEP)


def test_a_later_error_puts_all_of_it_back(host: FakeHost) -> None:
    """The checkpoint's doing."""
    before = host.state()
    with pytest.raises(ApplyError), Checkpoint() as checkpoint:
        apply_resolver(VPC, checkpoint)
        raise ApplyError("later")
    assert host.state() == before


def test_a_refusing_systemd_leaves_the_host_as_it_was(
    host: FakeHost,
) -> None:
    """The file was replaced already."""
    before = host.state()
    host.failing = {"systemctl disable": 1}
    with pytest.raises(CommandError), Checkpoint() as checkpoint:
        apply_resolver(VPC, checkpoint)
    assert host.state() == before
    assert (host.root / "etc/resolv.conf").readlink() == Path(STUB)


def test_an_error_in_a_later_run_gives_the_last_state_back(
    host: FakeHost,
) -> None:
    """The file and the service as they were right before that run."""
    set_resolver(VPC)
    host.units[RESOLVED] = FakeUnit(active=True, enabled=True)
    before = host.state()
    with pytest.raises(ApplyError), Checkpoint() as checkpoint:
        apply_resolver(Resolver((address("10.9.9.9"),), ()), checkpoint)
        raise ApplyError("later")
    assert host.state() == before


def test_units_that_the_host_does_not_have_are_left_out(
    host: FakeHost,
) -> None:
    """systemctl shows them as not found."""
    assert [unit.name for unit in resolved_units()] == [RESOLVED]


def test_a_systemd_that_does_not_answer_has_no_units(host: FakeHost) -> None:
    """In a container, say."""
    host.failing = {"systemctl show": 9}
    assert resolved_units() == ()


def former_state(host: FakeHost) -> Path:
    """Return the record of what was there."""
    return host.root / "var/state.json"


def offline(host: FakeHost, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Let systemctl be in a chroot, or without a systemd to ask."""
    if how == "silent":
        monkeypatch.setattr(host, "_show", lambda _: "")
    else:
        host.failing["systemctl show"] = 9


@pytest.mark.parametrize("how", ["silent", "failing"])
def test_in_an_image_the_service_is_enabled_and_not_started(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Else the next instance would have no resolver at all."""
    set_resolver(VPC)
    offline(host, monkeypatch, how)
    restore_resolver()
    assert host.units == {RESOLVED: FakeUnit(active=False, enabled=True)}
    assert (host.root / "etc/resolv.conf").readlink() == Path(STUB)
    assert not former_state(host).exists()


@pytest.mark.parametrize("how", ["silent", "failing"])
def test_in_an_image_what_was_off_stays_off(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It is not for us to enable it."""
    host.units[RESOLVED] = FakeUnit(active=True, enabled=False)
    set_resolver(VPC)
    offline(host, monkeypatch, how)
    host.calls.clear()
    restore_resolver()
    assert all(call.startswith("systemctl show") for call in host.calls)
    assert not former_state(host).exists()


def test_what_cannot_be_enabled_in_an_image_is_for_another_try(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of what was there stays."""
    set_resolver(VPC)
    offline(host, monkeypatch, "silent")
    host.failing["systemctl enable"] = 1
    with pytest.raises(CommandError):
        restore_resolver()
    assert former_state(host).exists()
    restore_resolver()
    assert host.units[RESOLVED].enabled
    assert not former_state(host).exists()


def test_a_service_that_is_no_more_there_is_not_enabled(
    host: FakeHost,
) -> None:
    """Its package was removed meanwhile: systemd says so."""
    set_resolver(VPC)
    host.units.clear()
    host.calls.clear()
    restore_resolver()
    assert all(call.startswith("systemctl show") for call in host.calls)
    assert not former_state(host).exists()
