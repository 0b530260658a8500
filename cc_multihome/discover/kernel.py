# SPDX-License-Identifier: Apache-2.0
"""What the kernel holds now, read as numbers with `ip -N -j -d`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

from cc_multihome.model import (
    Interface,
    Network,
    Observed,
    Route,
    RoutingPolicyRule,
)
from cc_multihome.run import run

# It is not there where the kernel was started with ipv6.disable=1. Where
# IPv6 is off by disable_ipv6 alone, networkd switches it on for its links.
IPV6 = Path("/proc/sys/net/ipv6")
# Of devices, by name.
Addresses = frozenset[tuple[str, Interface]]
# rtnetlink(7): RTN_UNICAST
UNICAST = "1"
ALL_BITS = 0xFFFFFFFF


def read_has_ipv6() -> bool:
    """Say whether this kernel has IPv6 at all."""
    return IPV6.is_dir()


def families() -> tuple[str, ...]:
    """Return the families that this kernel has, as `ip` takes them.

    Where it has no IPv6, `ip -6 rule` is an error and not an empty list.
    """
    return ("-4", "-6") if read_has_ipv6() else ("-4",)


def read_kernel() -> Observed:
    """Read addresses, routes and rules of the families that there are.

    Raises:
        CommandError: `ip` failed.
    """
    routes: set[tuple[str, Route]] = set()
    rules: set[RoutingPolicyRule] = set()
    for family in families():
        shown = ip_json(family, "route", "show", "table", "all")
        routes.update(
            read_route(item, family) for item in shown if _is_unicast(item)
        )
        for item in ip_json(family, "rule", "show"):
            rule = _rule(item, family)
            if rule is not None:
                rules.add(rule)
    usable, tentative, duplicates = read_addresses()
    return Observed(
        usable, frozenset(routes), frozenset(rules), tentative, duplicates
    )


def ip_json(*words: str) -> list[dict[str, Any]]:
    """Return what `ip -N -j -d` lists.

    Raises:
        CommandError: it failed.
    """
    text = run(["ip", "-N", "-j", "-d", *words]).strip()
    # Older iproute2 prints nothing at all for an empty list, and empty
    # objects for what a device filter left out.
    return [item for item in json.loads(text or "[]") if item]


def read_addresses() -> tuple[Addresses, Addresses, Addresses]:
    """Return those that are the host's, those in doubt, and the duplicates.

    IPv6 asks the link first (RFC 4862, 5.4).

    Raises:
        CommandError: `ip` failed.
    """
    found: dict[str, set[tuple[str, Interface]]] = {
        state: set() for state in ("usable", "tentative", "dadfailed")
    }
    for item in ip_json("addr", "show"):
        for info in item.get("addr_info", ()):
            address = ip_interface(f"{info['local']}/{info['prefixlen']}")
            found[_state(info)].add((item["ifname"], address))
    usable, tentative, duplicates = map(frozenset, found.values())
    return usable, tentative, duplicates


def _state(info: Mapping[str, Any]) -> str:
    # One that failed keeps the flag of one that waits.
    flags = ("dadfailed", "tentative")
    return next((flag for flag in flags if info.get(flag)), "usable")


def _is_unicast(item: Mapping[str, Any]) -> bool:
    return str(item.get("type", UNICAST)) == UNICAST and "dev" in item


def read_route(item: Mapping[str, Any], family: str) -> tuple[str, Route]:
    """Return (device, route); `item` is one of those that `ip` lists."""
    gateway, prefsrc = item.get("gateway"), item.get("prefsrc")
    return item["dev"], Route(
        to=_network(item["dst"], family),
        via=ip_address(gateway) if gateway else None,
        table=int(item.get("table", 254)),
        prefsrc=ip_address(prefsrc) if prefsrc else None,
        metric=item.get("metric"),
    )


def _rule(item: Mapping[str, Any], family: str) -> RoutingPolicyRule | None:
    """Return the rule, or None for one that no plan can hold.

    Rules with selectors that this package never writes (another iif than lo,
    several uids, destination and so on) belong to others.
    """
    known = {"priority", "src", "srclen", "iif", "table", "protocol"}
    known |= {"suppress_prefixlen", "suppress_ifgroup", "action", "flags"}
    known |= {"fwmark", "fwmask", "uid_start", "uid_end"}
    is_foreign = set(item) - known or item.get("iif", "lo") != "lo"
    uid = item.get("uid_start")
    if is_foreign or "table" not in item or uid != item.get("uid_end"):
        return None
    src = item["src"]
    if "srclen" in item:
        src = f"{src}/{item['srclen']}"
    group = item.get("suppress_ifgroup")
    return RoutingPolicyRule(
        priority=int(item["priority"]),
        table=int(item["table"]),
        src=_network(src, family),
        suppress_prefixlength=item.get("suppress_prefixlen"),
        suppress_ifgroup=None if group is None else int(group),
        iif=item.get("iif"),
        fwmark=_mark(item, "fwmark"),
        # Left out where all bits count.
        fwmask=_mark(item, "fwmask", ALL_BITS) if "fwmark" in item else None,
        uid=uid,
    )


def _mark(
    item: Mapping[str, Any], key: str, absent: int | None = None
) -> int | None:
    """Read a number that is printed as text, hexadecimal."""
    return int(item[key], 16) if key in item else absent


def _network(text: str, family: str) -> Network:
    if text in ("default", "all"):
        text = "0.0.0.0/0" if family == "-4" else "::/0"
    return ip_network(text)
