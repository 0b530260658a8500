# SPDX-License-Identifier: Apache-2.0
"""An answer in words: pure."""

from __future__ import annotations

from cc_multihome.apply.diff import prefix_text
from cc_multihome.explain.routing import (
    ANYCAST,
    BROADCAST,
    KERNEL,
    LOCAL,
    OTHERS,
    REFUSALS,
    UNICAST,
    Entry,
    Rule,
)
from cc_multihome.explain.way import kind_of, takes_gateway
from cc_multihome.model import LEARNED, Address, Plan
from cc_multihome.numbers import POLICY_TABLE
from cc_multihome.render.rt_tables import table_names

SAID = {
    "blackhole": "invalid argument",
    "prohibit": "permission denied",
    "unreachable": "no route to host",
}


def table_name(table: int, plan: Plan) -> str:
    """Return what iproute2 calls a table, else its number."""
    return table_names(plan).get(table, str(table))


def rule_text(rule: Rule, plan: Plan) -> str:
    """Write a rule as ip-rule(8) prints it, with the name of its table."""
    if rule.table is None:
        return rule.text
    name = table_name(rule.table, plan)
    return rule.text.replace(f"lookup {rule.table}", f"lookup {name}", 1)


def route_text(entry: Entry) -> str:
    """Write a route in short."""
    kind = "" if entry.kind == UNICAST else f"{entry.kind} "
    by = " or ".join(hop.device for hop in entry.hops)
    shown = f"{kind}{prefix_text(entry.to)}"
    return f"{shown} by {by}" if by and entry.kind not in REFUSALS else shown


def why(
    rule: Rule,
    entry: Entry,
    owner: str,
    to: Address,
    source: Address | None,
) -> str:
    """Say why a packet goes the way that this rule and this route say."""
    if owner == OTHERS:
        return _others(rule, entry)
    if entry.kind == LOCAL:
        return f"{to} is an address of this host's own, on {_devices(entry)}"
    if entry.kind in (BROADCAST, ANYCAST):
        return f"{to} is the {entry.kind} address of {_devices(entry)}"
    if owner == KERNEL and not (entry.eni_id and rule.src.prefixlen == 0):
        return f"the kernel itself has the route {route_text(entry)}"
    return _planned(rule, entry, to, source)


def _others(rule: Rule, entry: Entry) -> str:
    if entry.kind in REFUSALS:
        told = f"the kernel says {SAID[entry.kind]}"
    else:
        told = "which is right for a container, a VPN or a route by hand"
    if rule.owner == OTHERS:
        return f"rule {rule.priority} decides, which is not the plan's; {told}"
    return f"a route decides that is not the plan's; {told}"


def _planned(
    rule: Rule, entry: Entry, to: Address, source: Address | None
) -> str:
    name, prefix = _devices(entry), entry.to
    gateway = entry.hops[0].gateway
    if gateway is None:
        where = f"{to} is in {prefix}, the subnet of {name}"
    elif not takes_gateway(entry, to):
        where = f"a {kind_of(entry, to)} goes to no gateway"
    elif gateway == LEARNED or gateway.is_link_local:
        where = "its gateway is the router that advertises itself there"
    else:
        where = f"its gateway is {gateway}"
    if rule.src.prefixlen:
        return f"what comes from {source} leaves by {name}; {where}"
    if rule.mark is not None:
        return f"its mark {rule.mark[0]:#x} is that of {name}; {where}"
    if rule.uids is not None:
        return f"user {rule.uids[0]} is pinned to {name}; {where}"
    if rule.table == POLICY_TABLE:
        return f"the policy sends {prefix} via {name}; {where}"
    if prefix.prefixlen:
        return where
    return (
        "no rule names its source and no policy its destination, so it"
        f" takes the default route, which {name} has; {where}"
    )


def _devices(entry: Entry) -> str:
    return " or ".join(hop.device for hop in entry.hops)
