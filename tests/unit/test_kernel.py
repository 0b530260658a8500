# SPDX-License-Identifier: Apache-2.0
"""What `ip -N -j -d` prints is understood; tests/netns asks a real kernel."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

import pytest

from cc_multihome.discover import kernel
from cc_multihome.discover.kernel import read_kernel
from cc_multihome.errors import CommandError
from cc_multihome.model import Observed, Route, RoutingPolicyRule
from tests.unit.builders import FakeRun, network, route, rule


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    """An `ip` that has nothing to show."""
    made = FakeRun()
    monkeypatch.setattr(kernel, "run", made)
    return made


def read(
    fake: FakeRun,
    *,
    routes: list[dict[str, Any]] | None = None,
    rules: list[dict[str, Any]] | None = None,
    addresses: list[dict[str, Any]] | None = None,
    family: str = "-4",
) -> Observed:
    """Read these objects of one family."""
    fake.outputs = {
        f"ip -N -j -d {family} route": json.dumps(routes or []),
        f"ip -N -j -d {family} rule": json.dumps(rules or []),
        "ip -N -j -d addr": json.dumps(addresses or []),
    }
    return read_kernel()


def read_rules(fake: FakeRun, **item: Any) -> set[RoutingPolicyRule]:
    """Read one rule."""
    base = {"priority": 7, "src": "all", "table": "10", "protocol": "4"}
    return set(read(fake, rules=[base | item]).rules)


def test_numbers_are_asked_for_and_all_tables(fake: FakeRun) -> None:
    """Names are somebody's configuration."""
    read_kernel()
    assert sorted(fake.calls) == [
        "ip -N -j -d -4 route show table all",
        "ip -N -j -d -4 rule show",
        "ip -N -j -d -6 route show table all",
        "ip -N -j -d -6 rule show",
        "ip -N -j -d addr show",
    ]


def test_a_kernel_without_ipv6_is_asked_for_none(
    fake: FakeRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`ip -6 rule` fails there: "Address family not supported"."""
    monkeypatch.setattr(kernel, "IPV6", tmp_path / "ipv6")
    read_kernel()
    assert len(fake.calls) == 3
    assert not [call for call in fake.calls if "-6" in call]


def test_no_output_at_all_is_an_empty_list(fake: FakeRun) -> None:
    """Older iproute2 prints nothing for it."""
    empty: frozenset[Any] = frozenset()
    assert read_kernel() == Observed(empty, empty, empty)


def test_a_failing_ip_is_an_error_and_no_empty_answer(
    fake: FakeRun,
) -> None:
    """Or verify would say that all routes are gone."""
    fake.outputs = {"ip": CommandError("no")}
    with pytest.raises(CommandError):
        read_kernel()


def test_a_route_is_read_whole(fake: FakeRun) -> None:
    """Destination, gateway, table, source and metric."""
    item = {
        "type": "1",
        "dst": "192.0.2.0/24",
        "gateway": "10.0.0.1",
        "dev": "private",
        "table": "10",
        "prefsrc": "10.0.0.10",
        "metric": 100,
    }
    wanted = Route(
        network("192.0.2.0/24"),
        ip_address("10.0.0.1"),
        10,
        ip_address("10.0.0.10"),
        100,
    )
    assert read(fake, routes=[item]).routes == {("private", wanted)}


@pytest.mark.parametrize(
    ("family", "text", "expected"),
    [
        pytest.param("-4", "default", "0.0.0.0/0", id="IPv4's default"),
        pytest.param("-6", "default", "::/0", id="IPv6's default"),
        pytest.param("-4", "192.0.2.1", "192.0.2.1/32", id="a host"),
    ],
)
def test_a_destination_is_a_prefix_of_its_family(
    fake: FakeRun, family: str, text: str, expected: str
) -> None:
    """Without a table in the text it is main's."""
    items = [{"type": "1", "dst": text, "dev": "e"}]
    found = read(fake, routes=items, family=family).routes
    assert found == {("e", route(expected))}


@pytest.mark.parametrize(
    "item",
    [
        pytest.param({"type": "2", "dst": "10.0.0.1", "dev": "e"}, id="local"),
        pytest.param({"type": "3", "dst": "10.0.0.255", "dev": "e"}, id="b"),
        pytest.param({"type": "7", "dst": "default"}, id="unreachable"),
        pytest.param({"dst": "default", "nexthops": []}, id="multipath"),
        pytest.param({}, id="nothing"),
    ],
)
def test_what_is_no_unicast_route_of_one_device_is_left_out(
    fake: FakeRun, item: dict[str, Any]
) -> None:
    """No plan holds such."""
    assert read(fake, routes=[item]).routes == frozenset()


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        pytest.param({}, rule(7, 10), id="all"),
        pytest.param(
            {"src": "10.0.0.10"}, rule(7, 10, "10.0.0.10"), id="a host"
        ),
        pytest.param(
            {"src": "10.0.0.0", "srclen": 24},
            rule(7, 10, "10.0.0.0/24"),
            id="a prefix",
        ),
        pytest.param(
            {"suppress_prefixlen": 0, "suppress_ifgroup": "31000"},
            RoutingPolicyRule(7, 10, network("0.0.0.0/0"), 0, 31000),
            id="suppressors",
        ),
        pytest.param(
            {"fwmark": "0x1001", "fwmask": "0x107f"},
            replace(rule(7, 10), fwmark=0x1001, fwmask=0x107F),
            id="a mark with a mask",
        ),
        pytest.param(
            {"fwmark": "0x5"},
            replace(rule(7, 10), fwmark=5, fwmask=0xFFFFFFFF),
            id="a mark",
        ),
        pytest.param(
            {"iif": "lo", "uid_start": 0, "uid_end": 0},
            replace(rule(7, 10), iif="lo", uid=0),
            id="a user",
        ),
        pytest.param(
            {"src": "10.0.0.0", "srclen": 24, "iif": "lo"},
            replace(rule(7, 10, "10.0.0.0/24"), iif="lo"),
            id="the host's own traffic",
        ),
    ],
)
def test_a_rule_of_a_known_kind_is_read_whole(
    fake: FakeRun, item: dict[str, Any], expected: RoutingPolicyRule
) -> None:
    """Zero is a prefix length and not nothing."""
    assert read_rules(fake, **item) == {expected}


@pytest.mark.parametrize(
    "item",
    [
        pytest.param({"iif": "docker0"}, id="iif"),
        pytest.param({"dst": "192.0.2.1"}, id="destination"),
        pytest.param({"not": None}, id="not"),
        pytest.param({"uid_start": 1, "uid_end": 2}, id="uid"),
        pytest.param({"new_in_some_kernel": 1}, id="unknown"),
    ],
)
def test_a_rule_of_another_kind_is_left_out(
    fake: FakeRun, item: dict[str, Any]
) -> None:
    """It must not count as one of ours with the rest of its selectors."""
    assert read_rules(fake, **item) == set()


def test_a_rule_without_a_table_is_left_out(fake: FakeRun) -> None:
    """A blackhole, a goto."""
    items = [{"priority": 1, "src": "all", "action": "blackhole"}]
    assert read(fake, rules=items).rules == frozenset()


def test_ipv6s_all_is_not_ipv4s(fake: FakeRun) -> None:
    """Both families have rules of the same priorities."""
    items = [{"priority": 0, "src": "all", "table": "255"}]
    found = read(fake, rules=items, family="-6").rules
    assert found == {rule(0, 255, "::/0")}


def test_addresses_are_read_with_their_lengths(fake: FakeRun) -> None:
    """A device without any is there too."""
    items: list[dict[str, Any]] = [
        {"ifname": "lo", "addr_info": []},
        {
            "ifname": "private",
            "addr_info": [
                {"local": "10.0.0.10", "prefixlen": 24},
                {"local": "fe80::1", "prefixlen": 64},
            ],
        },
        {"ifname": "down"},
    ]
    assert read(fake, addresses=items).addresses == {
        ("private", ip_interface("10.0.0.10/24")),
        ("private", ip_interface("fe80::1/64")),
    }


@pytest.mark.parametrize("flag", ["tentative", "dadfailed"])
def test_an_address_that_the_link_has_not_let_through_is_none(
    fake: FakeRun, flag: str
) -> None:
    """Nothing can be sent from it; it counts as not there, and is told.

    One that failed keeps the flag of one that waits.
    """
    info = {"local": "2001:db8::5", "prefixlen": 128}
    usable = {"ifname": "ens5", "addr_info": [info | {"deprecated": True}]}
    found = read(fake, addresses=[usable]).addresses
    assert found == {("ens5", ip_interface("2001:db8::5/128"))}
    flags = {"tentative": True, flag: True}
    waiting = {"ifname": "ens5", "addr_info": [info | flags]}
    seen = read(fake, addresses=[waiting])
    assert seen.addresses == frozenset()
    assert (
        found
        == {"tentative": seen.tentative, "dadfailed": seen.duplicates}[flag]
    )
    assert not seen.tentative & seen.duplicates


def test_a_route_by_a_nexthop_object_is_read(fake: FakeRun) -> None:
    """As networkd makes them from router advertisements since 257."""
    item = {
        "type": "1",
        "dst": "default",
        "nhid": 776017906,
        "gateway": "fe80::1",
        "dev": "ens6",
        "table": "60",
        "metric": 1024,
    }
    found = read(fake, routes=[item], family="-6").routes
    want = replace(route("::/0", "fe80::1", 60), metric=1024)
    assert found == {("ens6", want)}
