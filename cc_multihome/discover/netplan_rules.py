# SPDX-License-Identifier: Apache-2.0
"""What netplan's files have networkd route beside this package's.

cloud-init 25.1 has a rule for each address of a secondary ENI, and a table of
the ENI's. For IPv4 that table has a default route, for IPv6 the subnet alone.
networkd's rules are the host's, whichever netdef they stand in.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from ipaddress import ip_network
from typing import Any

from cc_multihome.discover.netplan_files import NetplanFile, matched_mac
from cc_multihome.model import Network
from cc_multihome.numbers import MAIN_TABLE

LOG = logging.getLogger(__name__)

# More of a selector, by which a rule is not on the source alone.
_SELECTORS = ("to", "mark", "type-of-service")
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


@dataclass(frozen=True)
class NetplanRouting:
    """The rules, and whose default routes are in main.

    Attributes:
        rules: in the order of the files.
        main: MAC (lower case) -> the families for which main gets a default
            route by that device. Has every MAC of a netdef.
    """

    rules: tuple[SourceRule, ...] = ()
    main: Mapping[str, frozenset[int]] = field(default_factory=dict)


def netplan_routing(
    files: Sequence[NetplanFile], names: Mapping[str, str]
) -> NetplanRouting:
    """Read it; netplan merges what several files say of one id.

    Args:
        names: the kernel's name of each device -> its MAC.
    """
    rules: dict[SourceRule, None] = {}
    ways: set[Way] = set()
    main: dict[str, frozenset[int]] = {}
    for section, netdefs in _merged(files).items():
        for netdef_id, netdef in _mappings(netdefs):
            rules |= dict.fromkeys(_rules(netdef))
            ways.update(_default_routes(netdef))
            if section == "ethernets":
                for mac in _macs_of(netdef_id, netdef, names):
                    families = main.get(mac, frozenset())
                    main[mac] = families | _families_in_main(netdef)
    return NetplanRouting(
        tuple(
            replace(it, has_default=(it.src.version, it.table) in ways)
            for it in rules
        ),
        main,
    )


def _merged(files: Iterable[NetplanFile]) -> Mapping[str, Any]:
    merged: Any = {}
    for file in files:
        merged = _merge(merged, file.content.get("network"))
    return merged if isinstance(merged, dict) else {}


def _merge(base: Any, over: Any) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        more = {key: _merge(base.get(key), over[key]) for key in over}
        return {**base, **more}
    if isinstance(base, list) and isinstance(over, list):
        return [*base, *over]
    return base if over is None else over


def _mappings(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give the mappings of a mapping; netplan refuses what else is there."""
    if isinstance(value, dict):
        for key, each in value.items():
            if isinstance(each, dict):
                yield str(key), each


def _entries(netdef: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = netdef.get(key)
    entries = value if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, dict)]


def _macs_of(
    netdef_id: str, netdef: Mapping[str, Any], names: Mapping[str, str]
) -> list[str]:
    """Return whose netdef it is; one by the driver alone is everybody's."""
    mac = matched_mac(netdef)
    if mac:
        return [mac]
    match = netdef.get("match")
    pattern = netdef_id if match is None else str(match.get("name", "*"))
    given = netdef.get("set-name")
    return [
        mac
        for name, mac in names.items()
        if name == given or fnmatchcase(name, pattern)
    ]


def _families_in_main(netdef: Mapping[str, Any]) -> frozenset[int]:
    """Return the families for which main gets a default route by it.

    By DHCP, by a router's advertisements, which networkd heeds where nothing
    is said of them, or written down.
    """
    ways = {
        version
        for version, table in _default_routes(netdef)
        if table == MAIN_TABLE
    }
    overrides = netdef.get("dhcp4-overrides")
    told = overrides if isinstance(overrides, dict) else {}
    by_dhcp = netdef.get("dhcp4") and told.get("use-routes") is not False
    if by_dhcp or "gateway4" in netdef:
        ways.add(4)
    if "gateway6" in netdef or netdef.get("accept-ra") is not False:
        ways.add(6)
    return frozenset(ways)


def _default_routes(netdef: Mapping[str, Any]) -> Iterator[Way]:
    for entry in _entries(netdef, "routes"):
        to, via = str(entry.get("to")), str(entry.get("via"))
        try:
            table = int(entry.get("table", MAIN_TABLE))
            # Of which family `default` is, the gateway says.
            net = ip_network(via if to == "default" else to, strict=False)
        except (TypeError, ValueError):
            LOG.debug("no route that is understood: %s", entry)
            continue
        is_default = to == "default" or not net.prefixlen
        if is_default and entry.get("type", "unicast") == "unicast":
            yield net.version, table


def _rules(netdef: Mapping[str, Any]) -> Iterator[SourceRule]:
    for entry in _entries(netdef, "routing-policy"):
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
