# SPDX-License-Identifier: Apache-2.0
"""What netplan's files have networkd route, as far as it concerns others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cc_multihome.discover.netplan_files import NetplanFile, read_netplan_files
from cc_multihome.discover.netplan_rules import SourceRule, netplan_routing
from cc_multihome.errors import LinkError
from tests.unit.builders import eni, netplan_file, network

THEIRS = eni(1)


def test_rules_are_read_of_every_file_of_netplans() -> None:
    """By MAC, or by the id that another file gives the MAC."""
    match = {"match": {"macaddress": "0A:00:00:00:00:01"}}
    first = {"from": "10.0.1.10", "table": 101}
    files = (
        netplan_file(
            "50-cloud-init.yaml",
            {"ens6": {**match, "routing-policy": [first]}, "ens5": {}},
        ),
        netplan_file(
            "60-more.yaml",
            {
                "ens6": {
                    "routing-policy": [
                        {"from": "10.0.1.0/28", "table": 7, "priority": 9},
                        {"from": "10.0.1.9", "to": "10.9.0.0/16", "table": 7},
                        {"to": "10.9.0.0/16", "table": 7},
                        {"from": "10.0.1.8", "table": 7, "mark": 1},
                        {"from": "10.0.1.7"},
                        {"from": "0.0.0.0/0", "table": 7},
                        {"from": "nonsense", "table": 7},
                        {"from": "10.0.1.6", "table": None},
                    ]
                },
                "ens5": {"routing-policy": None},
            },
        ),
    )
    names = {"ens5": "0a:00:00:00:00:00"}
    assert netplan_routing(files, names).rules == (
        SourceRule(network("10.0.1.10"), 101, None, has_default=False),
        SourceRule(network("10.0.1.0/28"), 7, 9, has_default=False),
    )


def test_a_tables_default_routes_are_read() -> None:
    """In netplan's words, and whatever else may be there is none."""
    routes = [
        {"to": "default", "via": "10.0.1.1", "table": 1},
        {"to": "0.0.0.0/0", "via": "10.0.1.1", "table": 2},
        {"to": "default", "via": "fe80::1", "table": 3},
        {"to": "10.0.0.0/8", "via": "10.0.1.1", "table": 4},
        {"to": "default", "table": 5},
        {"via": "10.0.1.1", "table": 6},
        {"to": "0.0.0.0/0", "type": "throw", "table": 7},
        {"to": "default", "via": "10.0.1.1", "table": "x"},
        "nonsense",
    ]
    policy = [{"from": "10.0.1.10", "table": it} for it in range(1, 8)]
    netdef = {"ens6": {"routes": routes, "routing-policy": policy}}
    found = netplan_routing([netplan_file("a.yaml", netdef)], {}).rules
    assert [it.table for it in found if it.has_default] == [1, 2]


@pytest.mark.parametrize(
    ("said", "families"),
    [
        pytest.param({"dhcp4": True}, {4, 6}, id="as cloud-init"),
        pytest.param({"dhcp4": False}, {6}, id="advertisements"),
        pytest.param({"accept-ra": False}, set(), id="none"),
        pytest.param(
            {"dhcp4": True, "dhcp4-overrides": {"use-routes": False}},
            {6},
            id="an address alone",
        ),
        pytest.param(
            {"accept-ra": False, "gateway4": "10.0.1.1"}, {4}, id="gateway"
        ),
        pytest.param(
            {
                "accept-ra": False,
                "routes": [{"to": "::/0", "via": "fe80::1"}],
            },
            {6},
            id="written down",
        ),
    ],
)
def test_what_main_has_by_a_device_is_read(
    said: dict[str, Any], families: set[int]
) -> None:
    """One that has nothing there does not need it either."""
    files = [
        netplan_file("a.yaml", {"ens6": said}),
        netplan_file("b.yaml", {"ens6": {"optional": True}}),
    ]
    found = netplan_routing(files, {"ens6": THEIRS.mac})
    assert found.main == {THEIRS.mac: families}


def test_a_vlan_of_a_devices_name_is_not_that_device() -> None:
    """Rules count wherever they stand; a default in main is a device's."""
    content = {"network": {"vlans": {"ens6": {"dhcp4": True}}}}
    file = NetplanFile("a.yaml", Path("a.yaml"), content)
    assert netplan_routing([file], {"ens6": THEIRS.mac}).main == {}


@pytest.mark.parametrize(
    ("said", "whose"),
    [
        pytest.param({}, {"b"}, id="by the id"),
        pytest.param({"match": {"name": "ens*"}}, {"a", "b"}, id="by names"),
        pytest.param({"match": {"driver": "ena"}}, {"a", "b", "c"}, id="all"),
        pytest.param({"match": {"macaddress": "A"}}, {"a"}, id="by MAC"),
        pytest.param(
            {"match": {"name": "x"}, "set-name": "eth0"}, {"c"}, id="given"
        ),
    ],
)
def test_a_netdef_is_of_every_device_that_it_matches(
    said: dict[str, Any], whose: set[str]
) -> None:
    """One by the driver alone may be anybody's."""
    files = [
        netplan_file("a.yaml", {"ens6": {"dhcp4": True}}),
        netplan_file("b.yaml", {"ens6": said}),
    ]
    names = {"ens5": "a", "ens6": "b", "eth0": "c"}
    assert netplan_routing(files, names).main.keys() == whose


@pytest.mark.parametrize(
    "network_said",
    [
        5,
        {"ethernets": ["ens6"]},
        {"ethernets": {"ens6": "dhcp"}},
        {"ethernets": {"ens6": {"match": "ens6"}}},
    ],
)
def test_a_file_of_another_shape_is_told(
    tmp_path: Path, network_said: object
) -> None:
    """netplan refuses it, too."""
    (tmp_path / "etc/netplan").mkdir(parents=True)
    path = tmp_path / "etc/netplan/a.yaml"
    path.write_text(json.dumps({"network": network_said}))
    with pytest.raises(LinkError, match=r"a\.yaml: network.* is no mapping"):
        read_netplan_files(tmp_path)
