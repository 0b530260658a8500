# SPDX-License-Identifier: Apache-2.0
"""The network devices of this host that can be an ENI.

netifaces is used here and nowhere else, so that it can be replaced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netifaces

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
    real = [
        name for name in names if (SYS_CLASS_NET / name / "device").exists()
    ]
    links = tuple(
        _link(name, described[name], netdef_ids)
        for name in real
        if netifaces.AF_LINK in netifaces.ifaddresses(name)
    )
    taken = set(described) - {link.ifname for link in links}
    for item in described.values():
        taken.update(item.get("altnames", ()))
    return HostLinks(links, frozenset(taken))


def _link(
    ifname: str, described: Mapping[str, Any], netdef_ids: Mapping[str, str]
) -> Link:
    # ip shows the permanent MAC only where it differs from the one in use.
    current = netifaces.ifaddresses(ifname)[netifaces.AF_LINK][0]["addr"]
    mac = str(described.get("permaddr") or current).lower()
    return Link(
        ifname=ifname,
        ifindex=int(described["ifindex"]),
        mac=mac,
        mtu=int(described["mtu"]),
        netdef_id=netdef_ids.get(mac),
    )
