# SPDX-License-Identifier: Apache-2.0
"""What the picture of a plan shows, without where: pure.

The plan is sorted by ENI; a person asks in the order in which the kernel
does: which rule, which table, which ENI, and where to.
"""

from __future__ import annotations

from dataclasses import dataclass

from cc_multihome.apply.diff import built_in_rules, selectors, suppressors
from cc_multihome.model import (
    Network,
    Plan,
    PlannedInterface,
    Route,
    RoutingPolicyRule,
)
from cc_multihome.numbers import DEFAULT_TABLE, MAIN_TABLE, PRIORITY_DEFAULT
from cc_multihome.render.rt_tables import table_names


@dataclass(frozen=True)
class Rule:
    """A rule, in the order in which the kernel looks at them.

    Attributes:
        selector: as ip-rule(8) writes it, `from all` for every source.
        table_name: as iproute2 knows the table; its number if it has none.
        suppress: what of the table does not count, `()` mostly.
        by: `plan` or `kernel`.
    """

    priority: int
    selector: str
    table: int
    table_name: str
    suppress: tuple[str, ...]
    by: str


@dataclass(frozen=True)
class TableRoute:
    """A route of a table; `via` None: on the link (`_ipv6ra`: learned)."""

    to: str
    via: str | None
    prefsrc: str | None
    interface: str


@dataclass(frozen=True)
class Table:
    """A routing table; `interface` is the ENI whose own table it is."""

    table: int
    table_name: str
    interface: str | None
    routes: tuple[TableRoute, ...]


@dataclass(frozen=True)
class EniView:
    """An ENI of the plan.

    Attributes:
        ifname: the device's name when it was planned.
        subnet: that of the first address, or None without one.
        addresses: without prefix length, the first one first.
        prefixes: those that are delegated to it, as far as rules show them:
            adjacent ones are joined.
        mtu: bytes.
    """

    name: str
    ifname: str
    eni_id: str
    mac: str
    subnet: str | None
    addresses: tuple[str, ...]
    prefixes: tuple[str, ...]
    is_primary: bool
    is_default: bool
    shares_subnet: bool
    mtu: int


@dataclass(frozen=True)
class Destination:
    """Where traffic goes that leaves by an ENI.

    Attributes:
        default: all else does, too.
        bound: so does what has a source address of the ENI.
        policy: destinations, as the routes of the policy's table.
    """

    interface: str
    default: bool
    bound: bool
    policy: tuple[str, ...]


@dataclass(frozen=True)
class Content:
    """All of it. ENIs and destinations are in order of attachment."""

    rules: tuple[Rule, ...]
    tables: tuple[Table, ...]
    interfaces: tuple[EniView, ...]
    destinations: tuple[Destination, ...]


def content_of(plan: Plan) -> Content:
    """Sort a plan by what a packet meets."""
    names = table_names(plan)
    planned = [(rule, "plan") for rule in plan.rules()]
    # The kernel's third rule looks into a table that is empty.
    kernel = [
        (rule, "kernel")
        for rule in built_in_rules(plan)
        if rule.table != DEFAULT_TABLE
    ]
    ordered = sorted((*planned, *kernel), key=lambda it: it[0].priority)
    return Content(
        # A rule that both families have is drawn once.
        rules=tuple(
            dict.fromkeys(_rule(rule, names, by) for rule, by in ordered)
        ),
        tables=_tables(plan, names),
        interfaces=tuple(_eni(item) for item in plan.interfaces),
        destinations=tuple(
            _destination(item, plan.policy_table) for item in plan.interfaces
        ),
    )


def _rule(rule: RoutingPolicyRule, names: dict[int, str], by: str) -> Rule:
    return Rule(
        priority=rule.priority,
        selector=_selector(rule),
        table=rule.table,
        table_name=names.get(rule.table, str(rule.table)),
        suppress=suppressors(rule),
        by=by,
    )


def _selector(rule: RoutingPolicyRule) -> str:
    text = "from all" if _is_any(rule.src) else f"from {short(rule.src)}"
    return " ".join((text, *selectors(rule)))


def _is_any(network: Network) -> bool:
    return network.prefixlen == 0


def short(network: Network) -> str:
    """Write a network as iproute2 does: a host without its length."""
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)


def _tables(plan: Plan, names: dict[int, str]) -> tuple[Table, ...]:
    """Give the ENIs' own tables, then those that ENIs share."""
    owners = {item.table: item.name for item in plan.interfaces}
    found: dict[int, list[TableRoute]] = {number: [] for number in owners}
    if plan.policy_table is not None:
        found[plan.policy_table] = []
    found.setdefault(MAIN_TABLE, [])
    for rule in plan.rules():
        found.setdefault(rule.table, [])
    for item in plan.interfaces:
        for route in item.routes:
            line = _route(route, item.name)
            found.setdefault(route.table, []).append(line)
    return tuple(
        Table(
            table=number,
            table_name=names.get(number, str(number)),
            interface=owners.get(number),
            routes=tuple(routes),
        )
        for number, routes in found.items()
    )


def _route(route: Route, interface: str) -> TableRoute:
    return TableRoute(
        to="default" if _is_any(route.to) else short(route.to),
        via=str(route.via) if route.via else None,
        prefsrc=str(route.prefsrc) if route.prefsrc else None,
        interface=interface,
    )


def _eni(item: PlannedInterface) -> EniView:
    return EniView(
        name=item.name,
        ifname=item.ifname,
        eni_id=item.eni_id,
        mac=item.mac,
        subnet=_subnet(item),
        addresses=tuple(str(each.ip) for each in item.addresses),
        prefixes=_prefixes(item),
        is_primary=not item.optional,
        is_default=_has_default(item),
        shares_subnet=item.shares_subnet,
        mtu=item.mtu,
    )


def _subnet(item: PlannedInterface) -> str | None:
    """Find the subnet of the first address; IPv6 has it as a route alone."""
    if not item.addresses:
        return None
    first = item.addresses[0]
    subnets = (
        route.to
        for route in item.routes
        if route.table == item.table
        and route.via is None
        and first.ip in route.to
    )
    return str(first.network if first.version == 4 else next(subnets, first))


def _prefixes(item: PlannedInterface) -> tuple[str, ...]:
    """Find the delegated prefixes: a plan has them as rules alone.

    A rule with `iif` is for a subnet (see plan/sources.py), and one whose
    source holds an address of the ENI is for addresses, joined or not.
    """
    return tuple(
        short(rule.src)
        for rule in item.rules
        if rule.table == item.table
        and rule.iif is None
        and not _is_any(rule.src)
        and not any(each.ip in rule.src for each in item.addresses)
    )


def _has_default(item: PlannedInterface) -> bool:
    """Is what nothing else names its, by main or by a rule?"""
    return any(
        route.table == MAIN_TABLE and _is_any(route.to)
        for route in item.routes
    ) or any(
        rule.priority == PRIORITY_DEFAULT and rule.table == item.table
        for rule in item.rules
    )


def _destination(item: PlannedInterface, policy: int | None) -> Destination:
    return Destination(
        interface=item.name,
        default=_has_default(item),
        bound=any(
            route.table == item.table and _is_any(route.to)
            for route in item.routes
        ),
        policy=tuple(
            short(route.to) for route in item.routes if route.table == policy
        ),
    )
