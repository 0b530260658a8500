# SPDX-License-Identifier: Apache-2.0
"""Decide what the host shall be: pure, no clock, no files, no processes.

The order of the rules is the heart of it (ip-rule(8)):

    31000   main, but only routes more specific than the default and only
            through devices that are not ENIs: containers, VPNs and bridges
            of this host keep working from every source address
    311xx   from an ENI's own address: that ENI's table
    326xx   of a user that is pinned to an ENI: that ENI's table
    32700   destinations of the policy: one table of routes
    32766   the kernel's own look-up of main: the chosen default route
            (before it where an ENI left alone needs main's: default.py)

IPv6 has the same rules with the same numbers; plan/ipv6.py has the rest.
"""

from __future__ import annotations

from ipaddress import ip_interface

from cc_multihome.config.parse import Config
from cc_multihome.errors import LinkError
from cc_multihome.model import (
    Address,
    Eni,
    Instance,
    Interface,
    Network,
    Plan,
    PlannedInterface,
    Route,
    RoutingPolicyRule,
)
from cc_multihome.numbers import (
    ENI_IFGROUP,
    MAIN_TABLE,
    POLICY_TABLE,
    PRIORITY_MAIN_SPECIFIC,
    PRIORITY_POLICY,
    PRIORITY_POLICY_LAST,
    SUPPRESS_IFGROUP_SYSTEMD,
)
from cc_multihome.plan.bind import Bound, BoundInterface
from cc_multihome.plan.choose import has_address
from cc_multihome.plan.default import default_holder
from cc_multihome.plan.ipv6 import (
    accept_ra,
    ipv6_addresses,
    ipv6_exit,
    ipv6_routes,
)
from cc_multihome.plan.mtu import planned_mtu
from cc_multihome.plan.pins import with_pins
from cc_multihome.plan.policy import EVERYTHING, Exit, compile_destinations
from cc_multihome.plan.resolver import kept_resolver, plan_resolver
from cc_multihome.plan.sources import source_rules


def build_plan(
    config: Config, bound: Bound, instance: Instance, *, systemd_version: int
) -> Plan:
    """Derive the plan for this host from what was asked and what is there.

    Raises:
        LinkError: an ENI lacks something that its routing needs.
    """
    resolver = plan_resolver(config, instance)
    # An EFA-only interface beside it has no part in IP.
    if sum(map(has_address, instance.enis)) == 1 and config.asks_nothing:
        # One ENI routes right as it is: only the resolver is ours.
        return Plan((), resolver, policy_table=None, ifgroup=None)
    suppress = systemd_version >= SUPPRESS_IFGROUP_SYSTEMD
    policy_table = POLICY_TABLE if bound.policy else None
    shared = _shared_rules(bound, instance, suppress=suppress)
    holder, holder_ipv6 = (
        default_holder(bound, instance.enis, version) for version in (4, 6)
    )
    destinations = _policy_routes(bound)
    interfaces = tuple(
        _plan_interface(
            item,
            instance.enis,
            mtu=planned_mtu(item, bound.interfaces),
            is_default=item == holder,
            more_routes=ipv6_routes(item, holder_ipv6)
            + tuple(
                route for name, route in destinations if name == item.name
            ),
            # The first ENI cannot be detached while the instance lives, so
            # the rules that belong to no ENI stay as long as it does.
            more_rules=shared if index == 0 else (),
        )
        for index, item in enumerate(_in_order(bound))
    )
    _require_own_netdefs(interfaces)
    ifgroup = ENI_IFGROUP if suppress and interfaces else None
    plan = Plan(interfaces, resolver, policy_table, ifgroup)
    plan = kept_resolver(plan, config, bound, instance)
    return with_pins(plan, bound, instance.enis, containers=config.containers)


def gateway_of(subnet: Network) -> Address:
    """Return the VPC router's address: the subnet's first host.

    https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
    """
    return subnet.network_address + 1


def _in_order(bound: Bound) -> list[BoundInterface]:
    return sorted(bound.interfaces, key=lambda item: item.eni.sort_key())


def _shared_rules(
    bound: Bound, instance: Instance, *, suppress: bool
) -> tuple[RoutingPolicyRule, ...]:
    has_ipv6 = any(item.eni.ipv6s for item in bound.interfaces)
    versions = (4, 6) if has_ipv6 else (4,)
    everything = [EVERYTHING[version] for version in versions]
    routed = {entry.to.version for entry in bound.policy}
    managed = {item.eni.mac for item in bound.interfaces}
    alone = any(
        has_address(eni) and eni.mac not in managed for eni in instance.enis
    )
    priority = PRIORITY_POLICY_LAST if alone else PRIORITY_POLICY
    return (
        *(
            RoutingPolicyRule(
                priority=PRIORITY_MAIN_SPECIFIC,
                table=MAIN_TABLE,
                src=src,
                suppress_prefixlength=0,
                suppress_ifgroup=ENI_IFGROUP,
            )
            for src in everything
            if suppress
        ),
        *(
            RoutingPolicyRule(priority, POLICY_TABLE, src)
            for src in everything
            if src.version in routed
        ),
    )


def _require_own_netdefs(interfaces: tuple[PlannedInterface, ...]) -> None:
    """Refuse two ENIs under one id: netplan would merge them into one.

    Seen where eth0 was renamed and the next device to come got its name.
    """
    by_id: dict[str, PlannedInterface] = {}
    for item in interfaces:
        other = by_id.setdefault(item.netdef_id, item)
        if other is not item:
            raise LinkError(
                f"{item.eni_id} ({item.mac}) has the name {item.netdef_id},"
                f" under which netplan knows {other.eni_id} ({other.mac});"
                " a reboot, or net.ifnames=1, gives it one of its own"
            )


def _policy_routes(bound: Bound) -> tuple[tuple[str, Route], ...]:
    exits = {
        (item.name, version): make(item)
        for item in bound.interfaces
        for version, make in ((4, _exit), (6, ipv6_exit))
    }
    destinations = [
        (entry.to, exits[entry.via, entry.to.version])
        for entry in bound.policy
    ]
    routes = compile_destinations(
        [(to, exit_) for to, exit_ in destinations if exit_], POLICY_TABLE
    )
    return tuple((exit_.name, route) for exit_, route in routes)


def _exit(item: BoundInterface) -> Exit | None:
    if not item.eni.local_ipv4s:
        return None
    subnets = item.eni.subnet_ipv4s
    return Exit(
        name=item.name,
        subnets=subnets,
        gateway=gateway_of(_subnet_of(item.eni)),
        prefsrc=_prefsrc(item.eni),
    )


def _plan_interface(
    item: BoundInterface,
    enis: tuple[Eni, ...],
    *,
    mtu: int,
    is_default: bool,
    more_routes: tuple[Route, ...],
    more_rules: tuple[RoutingPolicyRule, ...],
) -> PlannedInterface:
    ifname = item.link.ifname
    netdef_id = item.link.netdef_id or ifname
    own_rules = source_rules(item.eni, enis, item.table)
    return PlannedInterface(
        mac=item.eni.mac,
        eni_id=item.eni.eni_id,
        netdef_id=netdef_id,
        ifname=ifname,
        name=item.name if item.rename else netdef_id,
        table=item.table,
        table_name=item.name,
        addresses=_addresses(item.eni) + ipv6_addresses(item.eni),
        routes=(*_own_routes(item, is_default=is_default), *more_routes),
        rules=(*more_rules, *own_rules),
        mtu=mtu,
        optional=not item.eni.is_primary,
        shares_subnet=_shares_subnet(item.eni, enis),
        accept_ra=accept_ra(item.eni, enis),
    )


def _shares_subnet(eni: Eni, enis: tuple[Eni, ...]) -> bool:
    """Is another ENI, whose IP runs on this host too, in its subnet?"""
    others = (it for it in enis if it.mac != eni.mac and it.local_ipv4s)
    return bool(eni.local_ipv4s) and any(
        set(eni.subnet_ipv4s) & set(other.subnet_ipv4s) for other in others
    )


def _addresses(eni: Eni) -> tuple[Interface, ...]:
    """Give the first address its subnet's length, and the others their own.

    So the kernel's route to the subnet is the first one's whenever which
    address comes or goes: it takes the source from the oldest address of the
    same length, and when that goes another one takes its place.
    """
    return tuple(
        ip_interface(
            f"{address}/{_subnet_of(eni, address).prefixlen}"
            if index == 0
            else f"{address}/{address.max_prefixlen}"
        )
        for index, address in enumerate(eni.local_ipv4s)
    )


def _own_routes(
    item: BoundInterface, *, is_default: bool
) -> tuple[Route, ...]:
    eni = item.eni
    if not eni.local_ipv4s:
        return ()
    gateway, prefsrc = gateway_of(_subnet_of(eni)), _prefsrc(eni)
    tables = (MAIN_TABLE, item.table) if is_default else (item.table,)
    return (
        *(Route(EVERYTHING[4], gateway, table, prefsrc) for table in tables),
        # Without it a neighbour would be reached through the VPC router.
        *(Route(net, None, item.table, prefsrc) for net in eni.subnet_ipv4s),
    )


def _subnet_of(eni: Eni, address: Address | None = None) -> Network:
    """Return the subnet that holds the address (the ENI's first address)."""
    wanted = address or eni.local_ipv4s[0]
    for subnet in eni.subnet_ipv4s:
        if wanted in subnet:
            return subnet
    raise LinkError(
        f"{eni.describe()}: its address {wanted} is in none of its subnets"
        f" ({', '.join(map(str, eni.subnet_ipv4s)) or 'none'})"
    )


def _prefsrc(eni: Eni) -> Address | None:
    """Keep the ENI's first address the source where there is a choice."""
    return eni.local_ipv4s[0] if len(eni.local_ipv4s) > 1 else None
