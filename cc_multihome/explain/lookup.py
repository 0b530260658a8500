# SPDX-License-Identifier: Apache-2.0
"""Look a destination up in a plan as the kernel does: pure.

The kernel takes the rules in order of priority. A rule that matches the
source looks into its table, where the longest prefix wins; a route that the
rule suppresses, or none, sends it on to the next rule (ip-rule(8), and
fib_rules_lookup() and fib4_rule_suppress() of the kernel).

Only what a plan says is known here: not the routes of containers or VPNs,
nor the rules of others. The kernel knows them (explain/ask.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from cc_multihome.apply.diff import (
    BUILT_IN_RULES,
    BUILT_IN_RULES_IPV6,
    selectors,
    suppressors,
)
from cc_multihome.model import (
    LEARNED,
    Address,
    Gateway,
    Network,
    Plan,
    PlannedInterface,
    Route,
    RoutingPolicyRule,
)
from cc_multihome.numbers import LOCAL_TABLE, MAIN_TABLE, PRIORITY_POLICY
from cc_multihome.render.rt_tables import table_names

LOOPBACK = "lo"


@dataclass(frozen=True)
class Way:
    """How a packet is sent.

    Attributes:
        interface: its name; "lo" for an address of this host.
        table: the routing table that has the route.
        gateway: None for a destination on the link; LEARNED where the plan
            leaves it to router advertisements.
        source: the address that the packet carries.
    """

    interface: str
    table: int
    gateway: Gateway | None
    source: Address | None


@dataclass(frozen=True)
class Sender:
    """Whose socket sends a packet.

    Attributes:
        uid: of the user; None: of one that no rule names.
    """

    uid: int | None = None


ANYBODY = Sender()


@dataclass(frozen=True)
class Step:
    """A rule that was looked at, and what came of it.

    Attributes:
        rule: as ip-rule(8) prints it.
    """

    priority: int
    rule: str
    result: str


@dataclass(frozen=True)
class Explanation:
    """The plan's answer.

    Attributes:
        steps: the rules in the order in which they were looked at; the last
            one decided, if `way` is not None.
        route: the prefix that matched; None where `way` is None.
        eni_id: None for an address of this host.
    """

    steps: tuple[Step, ...]
    way: Way | None
    route: Network | None
    eni_id: str | None
    why: str


@dataclass(frozen=True)
class _Entry:
    item: PlannedInterface
    route: Route


def explain(
    plan: Plan,
    to: Address,
    source: Address | None = None,
    *,
    sender: Sender = ANYBODY,
) -> Explanation:
    """Say which way the plan sends a packet of this host's own, and why.

    Args:
        source: the address that the socket is bound to; None for none.
        sender: whose socket it is.
    """
    tables = _tables(plan, to.version)
    steps: list[Step] = []
    for rule in _rules(plan, to.version):
        told, entry = (
            (why_not, None)
            if (why_not := _other_sender(rule, sender))
            else _try(plan, rule, tables, to, source)
        )
        steps.append(Step(rule.priority, rule_text(rule, plan), told))
        if entry is not None:
            return _found(tuple(steps), rule, entry, to, source)
    why = "no table has a route to it: the kernel says network unreachable"
    return Explanation(tuple(steps), None, None, None, why)


def rule_text(rule: RoutingPolicyRule, plan: Plan) -> str:
    """Write a rule as ip-rule(8) prints it."""
    source = f"from {rule.src if rule.src.prefixlen else 'all'}"
    lookup = f"lookup {table_name(rule.table, plan)}"
    words = (source, *selectors(rule), lookup, *suppressors(rule))
    return " ".join(words)


def table_name(table: int, plan: Plan) -> str:
    """Return what iproute2 calls a table, else its number."""
    return table_names(plan).get(table, str(table))


def _rules(plan: Plan, version: int) -> list[RoutingPolicyRule]:
    built_in = BUILT_IN_RULES if version == 4 else BUILT_IN_RULES_IPV6
    planned = [it for it in plan.rules() if it.src.version == version]
    return sorted([*built_in, *planned], key=lambda rule: rule.priority)


def _tables(plan: Plan, version: int) -> dict[int, list[_Entry]]:
    tables: dict[int, list[_Entry]] = {}
    for item in plan.interfaces:
        for route in (*item.routes, *_routes_of_addresses(item)):
            if route.to.version == version:
                tables.setdefault(route.table, []).append(_Entry(item, route))
    return tables


def _routes_of_addresses(item: PlannedInterface) -> Iterator[Route]:
    """Give what the kernel itself adds for each address of a link."""
    for address in item.addresses:
        yield Route(address.network, None, MAIN_TABLE, address.ip)
        yield Route(ip_network(address.ip), None, LOCAL_TABLE, address.ip)


def _other_sender(rule: RoutingPolicyRule, sender: Sender) -> str | None:
    """Say why a rule on the sender does not match, None if it may."""
    if rule.uid not in (None, sender.uid):
        return f"does not match: it is for user {rule.uid} alone"
    return None


def _try(
    plan: Plan,
    rule: RoutingPolicyRule,
    tables: dict[int, list[_Entry]],
    to: Address,
    source: Address | None,
) -> tuple[str, _Entry | None]:
    """Return what comes of a rule, in words, and the route if it decides."""
    if rule.src.prefixlen and (source is None or source not in rule.src):
        bound = "bound to no address" if source is None else f"from {source}"
        return f"does not match: the packet is {bound}", None
    entries = [it for it in tables.get(rule.table, ()) if to in it.route.to]
    name = table_name(rule.table, plan)
    if not entries:
        return f"matches, but table {name} has no route to {to}", None
    # The first of equals: the kernel keeps the order in which they came.
    entry = max(
        entries,
        key=lambda it: (it.route.to.prefixlen, -(it.route.metric or 0)),
    )
    shown = f"{_prefix_text(entry.route.to)} by {entry.item.name}"
    length = rule.suppress_prefixlength
    if length is not None and entry.route.to.prefixlen <= length:
        return f"matches, but leaves out the route {shown}: too short", None
    if rule.suppress_ifgroup is not None and plan.ifgroup is not None:
        return f"matches, but leaves out the route {shown}: an ENI's", None
    return f"decides: the route {shown}", entry


def _prefix_text(prefix: Network) -> str:
    return str(prefix) if prefix.prefixlen else "default"


def _found(
    steps: tuple[Step, ...],
    rule: RoutingPolicyRule,
    entry: _Entry,
    to: Address,
    source: Address | None,
) -> Explanation:
    route, item = entry.route, entry.item
    if rule.table == LOCAL_TABLE:
        way = Way(LOOPBACK, LOCAL_TABLE, None, source or to)
        why = f"{to} is an address of this host's own, on {item.name}"
        return Explanation(steps, way, route.to, None, why)
    way = Way(item.name, route.table, route.via, source or _source(entry, to))
    why = _why(rule, entry, to, source)
    return Explanation(steps, way, route.to, item.eni_id, why)


def _source(entry: _Entry, to: Address) -> Address | None:
    """Choose the address as the kernel does: inet_select_addr().

    Of IPv6 addresses all but the first are deprecated: RFC 6724, rule 3.
    """
    if entry.route.prefsrc is not None:
        return entry.route.prefsrc
    if to.version == 6:
        own = (it.ip for it in entry.item.addresses if it.version == 6)
        return next(own, None)
    near = entry.route.via or to
    usable = [it for it in entry.item.addresses if it.version == 4]
    fitting = [it for it in usable if near in it.network] or usable
    return fitting[0].ip if fitting else None


def _why(
    rule: RoutingPolicyRule,
    entry: _Entry,
    to: Address,
    source: Address | None,
) -> str:
    item, prefix = entry.item, entry.route.to
    if entry.route.via is None:
        where = f"{to} is in {prefix}, the subnet of {item.name}"
    elif entry.route.via == LEARNED:
        where = "its gateway is the router that advertises itself there"
    else:
        where = f"its gateway is {entry.route.via}"
    if rule.src.prefixlen:
        return f"what comes from {source} leaves by {item.name}; {where}"
    if rule.uid is not None:
        return f"user {rule.uid} is pinned to {item.name}; {where}"
    if rule.priority == PRIORITY_POLICY:
        return f"the policy sends {prefix} via {item.name}; {where}"
    if prefix.prefixlen:
        return where
    return (
        "no rule names its source and no policy its destination, so it"
        f" takes the default route, which {item.name} has; {where}"
    )
