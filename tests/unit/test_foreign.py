# SPDX-License-Identifier: Apache-2.0
"""Rules and routes of others come through whatever an apply does."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from cc_multihome.apply import foreign
from cc_multihome.apply.checkpoint import Checkpoint
from cc_multihome.apply.foreign import PutForeignBack, keep_foreign
from cc_multihome.apply.restore import restore
from cc_multihome.apply.rollback import undo_journal
from cc_multihome.discover.foreign import (
    CACHEINFO,
    FRA_PRIORITY,
    FRA_PROTOCOL,
    RTA_CACHEINFO,
    RTA_DST,
    RTM_NEWROUTE,
    RTM_NEWRULE,
    TABLE,
    Foreign,
    parse,
)
from cc_multihome.errors import ApplyError
from tests.unit.builders import plan_for
from tests.unit.fake_host import FakeHost
from tests.unit.test_restore import knows_its_links

BOOT, STATIC, KERNEL = 3, 4, 2
UP, LINKDOWN, ONLINK = 0, 0x10, 0x4


def attribute(number: int, value: bytes) -> bytes:
    """Return an attribute, padded."""
    head = struct.pack("=HH", 4 + len(value), number)
    return head + value + bytes(-len(value) % 4)


def route(
    *, protocol: int = BOOT, flags: int = UP, more: bytes = b""
) -> bytes:
    """Return the message of 10.99.0.0/16 in table 77."""
    head = (socket.AF_INET, 16, 0, 0, 77, protocol, 0, 1, flags)
    to = attribute(RTA_DST, socket.inet_aton("10.99.0.0"))
    return struct.pack("=8BI", *head) + to + number(TABLE, 77) + more


def rule(*, protocol: int = BOOT, priority: int = 1024) -> bytes:
    """Return the message of a rule for table 77."""
    head = (socket.AF_INET, 0, 0, 0, 77, 0, 0, 1, 0x10)
    made = struct.pack("=8BI", *head) + number(FRA_PRIORITY, priority)
    made += attribute(FRA_PROTOCOL, bytes([protocol]))
    return made + number(TABLE, 77)


def number(kind: int, value: int) -> bytes:
    """Return an attribute of 32 bits."""
    return attribute(kind, struct.pack("=I", value))


CNI = Foreign(RTM_NEWRULE, rule(priority=512))
VPN = Foreign(RTM_NEWROUTE, route())


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """A host on which others have been, too."""
    made = FakeHost(tmp_path, plan_for())
    made.use(monkeypatch)
    made.foreign.update((CNI, VPN))
    knows_its_links(made, monkeypatch)
    return made


@pytest.mark.touches("files")
def test_an_apply_a_rollback_and_a_restore_keep_them(host: FakeHost) -> None:
    """networkd drops them each time that it reads files."""
    assert host.apply()
    assert {CNI, VPN} == host.foreign
    restore()
    assert {CNI, VPN} == host.foreign


@pytest.mark.touches("files")
def test_a_change_that_is_taken_back_keeps_them(host: FakeHost) -> None:
    """Undone in reverse: they come after networkd's reload."""
    host.failing = {"systemctl disable": 1}

    with pytest.raises(ApplyError):
        host.apply()

    assert {CNI, VPN} == host.foreign


@pytest.mark.touches("files")
def test_a_journal_gives_them_back(host: FakeHost, tmp_path: Path) -> None:
    """By another process, from what the killed one wrote down."""
    journal = tmp_path / "journal"
    checkpoint = Checkpoint(journal)
    checkpoint.add(PutForeignBack.of(["ens5"], host.foreign))
    host.foreign.clear()

    assert undo_journal(journal)
    assert {CNI, VPN} == host.foreign


@pytest.mark.touches("files")
def test_before_d_bus_there_are_no_others(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cloud-init's own DHCP client left there shall go."""
    monkeypatch.setattr(foreign, "SYSTEM_BUS", host.root / "absent")
    host.apply()

    assert not host.foreign


def test_what_the_kernel_refuses_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A route by a link that is gone; the others come back."""
    given = []

    def add(item: Foreign) -> None:
        if item == VPN:
            raise OSError(101, "Network is unreachable")
        given.append(item)

    monkeypatch.setattr(foreign, "read_foreign", lambda: frozenset(given))
    monkeypatch.setattr(foreign, "add_foreign", add)
    monkeypatch.setattr(foreign, "LEAST_S", 0.0)
    keep_foreign(frozenset({CNI, VPN}), ())

    assert [CNI] == given
    assert "route 10.99.0.0/16 (table 77)" in caplog.text
    assert "unreachable" in caplog.text


@pytest.mark.parametrize("protocol", [KERNEL, STATIC, 16, 9, 1])
def test_networkds_and_the_kernels_are_not_foreign(protocol: int) -> None:
    """networkd says "static", "dhcp" or "ra" of all that it makes."""
    assert parse(RTM_NEWROUTE, route(protocol=protocol)) is None
    assert parse(RTM_NEWRULE, rule(protocol=protocol)) is None


def test_a_rule_of_no_protocol_is_foreign() -> None:
    """So are those of the Amazon VPC CNI."""
    found = parse(RTM_NEWRULE, rule(protocol=0))

    assert found is not None
    assert "rule 1024 (table 77)" == str(found)


def test_what_changes_by_itself_is_left_out() -> None:
    """Flags of the moment and counters; what was asked for stays."""
    used = attribute(RTA_CACHEINFO, CACHEINFO.pack(1, 7, 0, 0, 3, 0, 0, 0))
    found = parse(RTM_NEWROUTE, route(flags=LINKDOWN | ONLINK, more=used))

    assert Foreign(RTM_NEWROUTE, route(flags=ONLINK)) == found


def test_a_route_that_is_to_vanish_is_not_kept() -> None:
    """It would come back for good."""
    soon = attribute(RTA_CACHEINFO, CACHEINFO.pack(0, 0, 500, 0, 0, 0, 0, 0))

    assert parse(RTM_NEWROUTE, route(more=soon)) is None
