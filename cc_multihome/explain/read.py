# SPDX-License-Identifier: Apache-2.0
"""Read the rules and routes that can matter to one destination."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from cc_multihome.discover.kernel import ALL_BITS, ip_json
from cc_multihome.explain.routing import (
    ANYCAST,
    BROADCAST,
    EVERYWHERE,
    KERNEL,
    LOCAL,
    MADE_BY_KERNEL,
    MULTICAST,
    OTHERS,
    THROW,
    UNICAST,
    Entry,
    Hop,
    Host,
    Rule,
)
from cc_multihome.model import Address, Network
from cc_multihome.numbers import MAIN_TABLE

# rtnetlink(7), rtm_type: RTN_UNICAST and so on.
KINDS = {
    1: UNICAST,
    2: LOCAL,
    3: BROADCAST,
    4: ANYCAST,
    5: MULTICAST,
    6: "blackhole",
    7: "unreachable",
    8: "prohibit",
    9: THROW,
}
# Selectors of rules that `ip route get TO [from ADDR]` cannot meet: it asks
# for a packet without mark, type of service, ports or VRF.
_NEVER_MET = (
    *("oif", "tos", "dsfield", "ipproto", "sport", "sport_start", "dport"),
    *("dport_start", "tun_id", "l3mdev", "flowlabel"),
)


def read_host(to: Address) -> Host:
    """Read from the kernel what can matter to a destination.

    Raises:
        CommandError: `ip` failed.
    """
    family = f"-{to.version}"
    routes = ip_json(family, "route", "show", "table", "all", "match", str(to))
    devices = ip_json("addr", "show")
    return Host(
        rules=tuple(
            parse_rule(item, to.version)
            for item in ip_json(family, "rule", "show")
        ),
        entries=tuple(parse_entries(routes, to.version)),
        groups={it["ifname"]: _number(it.get("group")) for it in devices},
        addresses=tuple(
            (it["ifname"], ip_interface(f"{info['local']}/{length}"))
            for it in devices
            for info in it.get("addr_info", ())
            if "local" in info and (length := info["prefixlen"]) is not None
        ),
    )


def parse_entries(
    items: list[dict[str, Any]], version: int
) -> Iterator[Entry]:
    """Read what `ip -N -j -d route show` lists: pure."""
    for place, item in enumerate(items):
        kind = KINDS.get(int(item.get("type", 1)))
        # A device that went down; another type of service than none.
        is_dead = "dead" in item.get("flags", ()) or "tos" in item
        if kind is None or is_dead:
            continue
        by_kernel = _number(item.get("protocol")) == MADE_BY_KERNEL
        yield Entry(
            to=_network(item["dst"], version),
            table=int(item.get("table", MAIN_TABLE)),
            kind=kind,
            hops=tuple(_hops(item)),
            prefsrc=_address(item.get("prefsrc")),
            metric=item.get("metric"),
            owner=KERNEL if by_kernel else OTHERS,
            place=place,
        )


def parse_rule(item: Mapping[str, Any], version: int) -> Rule:
    """Read a rule of `ip -N -j -d rule show`: pure."""
    action = KINDS.get(_number(item.get("action")))
    return Rule(
        priority=int(item["priority"]),
        src=_selected(item, "src", version),
        dst=_selected(item, "dst", version),
        table=int(item["table"]) if "table" in item else None,
        refusal=action,
        goto=item["goto"] if isinstance(item.get("goto"), int) else None,
        uids=_uids(item),
        mark=_mark(item),
        unmet=_unmet(item),
        is_inverted="not" in item,
        suppress_prefixlength=item.get("suppress_prefixlen"),
        suppress_ifgroup=_optional(item.get("suppress_ifgroup")),
        text=_text(item, action),
    )


def _hops(item: Mapping[str, Any]) -> Iterator[Hop]:
    for each in item.get("nexthops", (item,)):
        gateway = each.get("gateway") or each.get("via", {}).get("host")
        if "dev" in each and "dead" not in each.get("flags", ()):
            yield Hop(each["dev"], _address(gateway))


def _unmet(item: Mapping[str, Any]) -> str:
    if item.get("iif", "lo") != "lo":
        return f"iif {item['iif']}"
    for name in _NEVER_MET:
        if name in item:
            return f"{name} {item[name] or ''}".strip()
    return ""


def _uids(item: Mapping[str, Any]) -> tuple[int, int] | None:
    if "uid_start" not in item:
        return None
    return int(item["uid_start"]), int(item["uid_end"])


def _mark(item: Mapping[str, Any]) -> tuple[int, int] | None:
    if "fwmark" not in item:
        return None
    # The mask is left out where all bits count.
    return _number(item["fwmark"]), _number(item.get("fwmask", ALL_BITS))


def _text(item: Mapping[str, Any], action: str | None) -> str:
    """Write a rule as ip-rule(8) does, without what it never prints."""
    words = ["not"] if "not" in item else []
    for name, word in (("src", "from"), ("dst", "to")):
        if name in item:
            length = f"/{item[name + 'len']}" if name + "len" in item else ""
            words.append(f"{word} {item[name]}{length}")
    for name in ("fwmark", "fwmask", "iif", *_NEVER_MET):
        if name in item:
            words.append(f"{name} {item[name]}" if item[name] else name)
    if "uid_start" in item:
        words.append(f"uidrange {item['uid_start']}-{item['uid_end']}")
    if "table" in item:
        words.append(f"lookup {item['table']}")
    words += [f"goto {item['goto']}"] if "goto" in item else []
    words += [action] if action else []
    for name in ("suppress_prefixlen", "suppress_ifgroup"):
        if name in item:
            shown = name.replace("prefixlen", "prefixlength")
            words.append(f"{shown} {item[name]}")
    return " ".join(words)


def _selected(item: Mapping[str, Any], name: str, version: int) -> Network:
    if name not in item:
        return EVERYWHERE[version]
    length = f"/{item[name + 'len']}" if name + "len" in item else ""
    return _network(f"{item[name]}{length}", version)


def _network(text: str, version: int) -> Network:
    if text in ("default", "all"):
        return EVERYWHERE[version]
    return ip_network(text)


def _address(text: str | None) -> Address | None:
    return ip_address(text) if text else None


def _optional(value: Any) -> int | None:
    return None if value is None else _number(value)


def _number(value: Any) -> int:
    """Read 5, "5", "0x5" or nothing at all."""
    return int(str(value), 0) if value is not None else 0
