# SPDX-License-Identifier: Apache-2.0
"""What DHCP told a link lasts when DHCP is off."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cc_multihome.discover import networkd
from cc_multihome.discover.leases import leases_of, with_leases
from cc_multihome.model import Plan, Resolver
from tests.unit.builders import (
    PRIVATE_MAC,
    address,
    link,
    netplan_file,
    planned,
)

ENS5 = link("ens5", PRIVATE_MAC)
RECORD = (
    "ADMIN_STATE=configured\nDNS=10.9.0.2 2001:db8::53\nDOMAINS=a.example\n"
)
SERVERS = (address("10.9.0.2"), address("2001:db8::53"))


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The record that networkd keeps of the link."""
    monkeypatch.setattr(networkd, "LINK_STATES", tmp_path)
    path = tmp_path / str(ENS5.ifindex)
    path.write_text(RECORD)
    return path


def overlay(netdef: dict[str, Any]) -> Any:
    """This package's file, with one netdef."""
    match = {"match": {"macaddress": PRIVATE_MAC}}
    return netplan_file("55-multihome.yaml", {"ens5": {**match, **netdef}})


def test_the_first_run_finds_what_dhcp_said(record: Path) -> None:
    """In networkd's record of the link."""
    (found,) = with_leases([ENS5], (), {})

    assert (SERVERS, ("a.example",)) == (found.nameservers, found.search)


def test_a_later_run_finds_it_in_the_overlay(record: Path) -> None:
    """Whatever networkd says meanwhile: a restart must not change a plan."""
    dns = {"addresses": ["10.9.0.7"], "search": ["b.example"]}

    (found,) = with_leases([ENS5], [overlay({"nameservers": dns})], {})

    assert (address("10.9.0.7"),) == found.nameservers
    assert ("b.example",) == found.search
    (none,) = with_leases([ENS5], [overlay({})], {})
    assert () == none.nameservers


def test_a_boot_without_dhcp_has_what_was_kept(record: Path) -> None:
    """Name servers, search domains and MTU come back as they were."""
    item = planned(
        "ens5", mtu=8999, nameservers=SERVERS, search=("a.example",)
    )
    kept = leases_of(Plan((item,), Resolver((), ()), None, None))
    os.unlink(record)

    (found,) = with_leases([ENS5], (), kept)

    assert (SERVERS, ("a.example",)) == (found.nameservers, found.search)
    assert 8999 == found.mtu


def test_no_record_is_no_name_server(record: Path) -> None:
    """networkd has just started."""
    os.unlink(record)

    assert [ENS5] == list(with_leases([ENS5], (), {}))


@pytest.mark.parametrize(
    "word",
    [
        pytest.param("10.9.0.2:5353", id="port"),
        pytest.param("fe80::1", id="zone left out"),
        pytest.param("10.9.0.2#dns.example", id="name"),
    ],
)
def test_what_netplan_cannot_say_is_left_out(record: Path, word: str) -> None:
    """One server like that must not make netplan refuse it all."""
    record.write_text(f"DNS=10.9.0.9 {word}\n")

    (found,) = with_leases([ENS5], (), {})

    assert (address("10.9.0.9"),) == found.nameservers
