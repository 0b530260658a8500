# SPDX-License-Identifier: Apache-2.0
"""The rules on source addresses that netplan's files have for each ENI.

cloud-init 25.1 has one for each address of a secondary ENI, and a table of
the ENI's. For IPv4 that table has a default route, for IPv6 the subnet alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Any

from cc_multihome.discover.netplan_files import (
    NetplanFile,
    matched_mac,
    netdef_ids,
)
from cc_multihome.model import Network
from cc_multihome.numbers import MAIN_TABLE

LOG = logging.getLogger(__name__)

# More of a selector, by which a rule is not on the source alone.
_SELECTORS = ("to", "mark", "type-of-service")
_DEFAULTS = {"0.0.0.0/0": 4, "0/0": 4, "::/0": 6}
# A family and a table.
Way = tuple[int, int]


@dataclass(frozen=True)
class SourceRule:
    """A rule of somebody's on the source alone.

    Attributes:
        priority: None where networkd chooses it.
        has_default: netplan's files have a default route in the table.
    """

    src: Network
    table: int
    priority: int | None
    has_default: bool = True


def rules_of_netplan(
    files: Sequence[NetplanFile], names: Mapping[str, str]
) -> dict[str, tuple[SourceRule, ...]]:
    """Map MAC (lower case) to its rules, in the order of the files.

    netplan merges what several files say of one id. A MAC of which no file
    says anything is not in it.

    Args:
        names: the kernel's name of each device -> its MAC.
    """
    macs = {netdef_id: mac for mac, netdef_id in netdef_ids(files).items()}
    found: dict[str, list[SourceRule]] = {}
    ways: dict[str, set[Way]] = {}
    for file in files:
        for netdef_id, netdef in file.ethernets().items():
            for mac in _macs_of(netdef_id, netdef, macs, names):
                found.setdefault(mac, []).extend(_rules(netdef))
                ways.setdefault(mac, set()).update(_default_routes(netdef))
    return {
        mac: tuple(
            replace(it, has_default=(it.src.version, it.table) in ways[mac])
            for it in dict.fromkeys(rules)
        )
        for mac, rules in found.items()
    }


def _macs_of(
    netdef_id: str,
    netdef: Mapping[str, Any],
    macs: Mapping[str, str],
    names: Mapping[str, str],
) -> list[str]:
    """Return whose netdef it is; one by the driver alone is everybody's."""
    mac = matched_mac(netdef) or macs.get(netdef_id)
    if mac:
        return [mac]
    match = netdef.get("match")
    pattern = netdef_id if match is None else str(match.get("name", "*"))
    return [mac for name, mac in names.items() if fnmatchcase(name, pattern)]


def _default_routes(netdef: Mapping[str, Any]) -> Iterator[Way]:
    for entry in netdef.get("routes") or ():
        try:
            to, table = str(entry["to"]), int(entry.get("table", MAIN_TABLE))
            if to == "default":
                yield ip_address(str(entry["via"])).version, table
            elif to in _DEFAULTS:
                yield _DEFAULTS[to], table
        except (AttributeError, KeyError, TypeError, ValueError):
            LOG.debug("no route that is understood: %s", entry)


def _rules(netdef: Mapping[str, Any]) -> Iterator[SourceRule]:
    for entry in netdef.get("routing-policy") or ():
        if any(word in entry for word in _SELECTORS):
            continue
        try:
            src = ip_network(str(entry["from"]), strict=False)
            table, priority = int(entry["table"]), entry.get("priority")
            number = None if priority is None else int(priority)
            if src.prefixlen:
                yield SourceRule(src, table, number)
        except (KeyError, TypeError, ValueError):
            LOG.debug("no rule on the source alone: %s", entry)
