# SPDX-License-Identifier: Apache-2.0
"""The network devices of this host that can be an ENI.

netifaces is used here and nowhere else, so that it can be replaced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import netifaces

from cc_multihome.discover.kernel import ip_json
from cc_multihome.model import Link
from cc_multihome.run import run

SYS_CLASS_NET = Path("/sys/class/net")


@dataclass(frozen=True)
class HostLinks:
    """Attributes:
    links: devices with hardware behind them.
    other_names: names and alternative names of every other device, and the
        alternative names of these: not free for an interface to take.
    """

    links: tuple[Link, ...]
    other_names: frozenset[str]


def read_links(netdef_ids: Mapping[str, str]) -> HostLinks:
    """Read the devices; `netdef_ids` maps MAC to netplan's id.

    A VLAN, bond, bridge or macvlan copies its parent's MAC: only a device
    with hardware behind it (/sys/class/net/*/device) counts, by its permanent
    MAC, which a bond does not change.

    Raises:
        CommandError: `ip` failed.
    """
    described = {
        item["ifname"]: item
        for item in json.loads(run(["ip", "-N", "-j", "-d", "link", "show"]))
    }
    names = [name for name in netifaces.interfaces() if name in described]
    real = filter(_is_real, names)
    macs = {name: mac for name in real if (mac := _mac_in_use(name))}
    links = tuple(
        _link(described[name], mac, netdef_ids) for name, mac in macs.items()
    )
    taken = set(described) - {link.ifname for link in links}
    for item in described.values():
        taken.update(item.get("altnames", ()))
    return HostLinks(links, frozenset(taken))


def read_addresses(version: int) -> list[str]:
    """List the addresses of such devices, of IP version 4 or 6.

    Without link-local ones, from which nothing beyond the link is reached.

    Raises:
        CommandError: `ip` failed.
    """
    # Not by netifaces, which takes an address with a label of its own
    # (eth0:1) for that of another device.
    found = (
        ip_address(info["local"])
        for item in ip_json("addr", "show")
        if _is_real(item["ifname"])
        for info in item.get("addr_info", ())
    )
    return [
        str(each)
        for each in found
        if each.version == version and not each.is_link_local
    ]


def _is_real(ifname: str) -> bool:
    return (SYS_CLASS_NET / ifname / "device").exists()


def _mac_in_use(ifname: str) -> str | None:
    """Return it; None for a device that has none, or is gone by now."""
    try:
        found = netifaces.ifaddresses(ifname).get(netifaces.AF_LINK)
    except ValueError:
        return None
    return str(found[0]["addr"]) if found else None


def _link(
    described: Mapping[str, Any], current: str, netdef_ids: Mapping[str, str]
) -> Link:
    # ip shows the permanent MAC only where it differs from the one in use.
    mac = str(described.get("permaddr") or current).lower()
    return Link(
        ifname=str(described["ifname"]),
        ifindex=int(described["ifindex"]),
        mac=mac,
        mtu=int(described["mtu"]),
        netdef_id=netdef_ids.get(mac),
        has_netdef=mac in netdef_ids,
    )
