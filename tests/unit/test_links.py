# SPDX-License-Identifier: Apache-2.0
"""Which devices of the host can be an ENI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cc_multihome.discover import kernel, links
from cc_multihome.discover.links import HostLinks, read_addresses, read_links
from cc_multihome.model import Link
from tests.unit.builders import FakeRun

AF_LINK = 17


class FakeNetifaces:
    """Devices by name, with the MAC in use (None: no hardware address)."""

    AF_LINK = AF_LINK

    def __init__(self, macs: dict[str, str | None]) -> None:
        self.macs = macs
        self.gone: set[str] = set()

    def interfaces(self) -> list[str]:
        """Return all names."""
        return list(self.macs)

    def ifaddresses(self, name: str) -> dict[int, list[dict[str, str]]]:
        """Return the hardware address of a device."""
        if name in self.gone:
            raise ValueError("You must specify a valid interface name.")
        mac = self.macs[name]
        return {} if mac is None else {AF_LINK: [{"addr": mac}]}


class Host:
    """A host made of devices."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, sys: Path) -> None:
        self.fake = FakeRun()
        self.macs: dict[str, str | None] = {}
        self.described: list[dict[str, Any]] = []
        self.sys = sys
        monkeypatch.setattr(links, "run", self.fake)
        monkeypatch.setattr(links, "SYS_CLASS_NET", sys)
        self.netifaces = FakeNetifaces(self.macs)
        monkeypatch.setattr(links, "netifaces", self.netifaces)

    def add(
        self, name: str, mac: str | None, *, real: bool = True, **more: Any
    ) -> None:
        """Add a device, with hardware behind it or without."""
        folder = self.sys / name
        folder.mkdir()
        if real:
            (folder / "device").mkdir()
        self.macs[name] = mac
        index = len(self.described) + 1
        item = {"ifname": name, "ifindex": index, "mtu": 1500}
        self.described.append({**item, **more})

    def read(self, ids: dict[str, str] | None = None) -> HostLinks:
        """Read them."""
        text = json.dumps(self.described)
        self.fake.outputs = {"ip -N -j -d link show": text}
        return read_links(ids or {})


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    """A host with a loopback alone."""
    made = Host(monkeypatch, tmp_path)
    made.add("lo", "00:00:00:00:00:00", real=False)
    return made


def test_a_device_with_hardware_is_a_link(host: Host) -> None:
    """With its number, MAC, MTU and netplan's id."""
    host.add("ens5", "0a:00:00:00:00:01", mtu=9001)
    found = host.read({"0a:00:00:00:00:01": "id0"})
    assert found.links == (
        Link("ens5", 2, "0a:00:00:00:00:01", 9001, "id0", has_netdef=True),
    )


def test_a_device_that_netplan_does_not_know_has_no_id(host: Host) -> None:
    """None, and not an empty one."""
    host.add("ens5", "0a:00:00:00:00:01")
    assert host.read().links[0].netdef_id is None


def test_a_device_without_hardware_is_no_link(host: Host) -> None:
    """A VLAN, a bridge and a macvlan copy their parent's MAC."""
    host.add("ens5", "0a:00:00:00:00:01")
    host.add("ens5.7", "0a:00:00:00:00:01", real=False)
    found = host.read()
    assert [each.ifname for each in found.links] == ["ens5"]
    assert found.other_names == {"lo", "ens5.7"}


def test_the_permanent_mac_counts(host: Host) -> None:
    """A bond gives its ports one MAC in use."""
    host.add("ens5", "0a:00:00:00:00:09", permaddr="0A:00:00:00:00:01")
    assert host.read().links[0].mac == "0a:00:00:00:00:01"


def test_a_mac_is_in_lower_case(host: Host) -> None:
    """As IMDS has it."""
    host.add("ens5", "0A:00:00:00:00:0B")
    assert host.read().links[0].mac == "0a:00:00:00:00:0b"


def test_alternative_names_are_taken_too(host: Host) -> None:
    """The kernel refuses a name that is some device's second one."""
    host.add("ens5", "0a:00:00:00:00:01", altnames=["enp0s5"])
    assert host.read().other_names == {"lo", "enp0s5"}


def test_a_device_without_a_hardware_address_is_no_link(host: Host) -> None:
    """There is nothing to match it by."""
    host.add("tun0", None)
    assert host.read().links == ()


def test_a_device_that_came_in_between_is_left_out(host: Host) -> None:
    """ip did not see it yet; its number and MTU are not known."""
    host.add("ens5", "0a:00:00:00:00:01")
    host.macs["ens6"] = "0a:00:00:00:00:02"
    assert [each.ifname for each in host.read().links] == ["ens5"]


def test_a_device_that_goes_in_between_is_left_out(host: Host) -> None:
    """An ENI is detached while it is looked at."""
    host.add("ens5", "0a:00:00:00:00:01")
    host.add("ens6", "0a:00:00:00:00:02")
    host.netifaces.gone.add("ens6")
    assert [each.ifname for each in host.read().links] == ["ens5"]


def test_addresses_are_those_of_hardware(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loopback and a bridge have some, too; one of them has a label."""
    for name in ("ens5", "ens6"):
        host.add(name, "0a:00:00:00:00:05")
    host.add("docker0", "0a:00:00:00:00:08", real=False)
    # With their labels, as `ip addr add ... label ens5:1` has the kernel say.
    addresses = [
        ("lo", "lo", "127.0.0.1"),
        ("ens5", "ens5", "10.0.0.5"),
        ("ens5", "ens5:1", "10.0.0.6"),
        ("ens5", None, "fe80::5"),
        ("ens5", None, "2001:db8::5"),
        ("ens6", "ens6", "169.254.3.4"),
        ("ens6", "ens6", "10.0.1.5"),
        ("docker0", "docker0", "172.17.0.1"),
    ]
    shown = [
        {"ifname": name, "addr_info": [{"local": each, "label": label}]}
        for name, label, each in addresses
    ]
    answer = FakeRun()
    answer.outputs = {"ip -N -j -d addr show": json.dumps([*shown, {}])}
    monkeypatch.setattr(kernel, "run", answer)
    assert ["10.0.0.5", "10.0.0.6", "10.0.1.5"] == read_addresses(4)
    assert ["2001:db8::5"] == read_addresses(6)
