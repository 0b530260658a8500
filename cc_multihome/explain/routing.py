# SPDX-License-Identifier: Apache-2.0
"""Rules and routes that a packet meets, and whose they are: pure.

A plan is not alone on a host: the kernel itself has local addresses and
routes to subnets; containers, VPNs and persons add rules and routes. What is
to happen to a packet follows from all of them: the plan's part as it is to
be, the rest as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from cc_multihome.apply.diff import (
    BUILT_IN_RULES,
    BUILT_IN_RULES_IPV6,
    selectors,
    source_text,
    suppressors,
)
from cc_multihome.model import (
    LEARNED,
    Address,
    Gateway,
    Interface,
    Network,
    Plan,
    PlannedInterface,
    Route,
    RoutingPolicyRule,
)
from cc_multihome.numbers import LOCAL_TABLE, MAIN_TABLE

LOOPBACK = "lo"
LOOPBACKS = (
    (ip_network("127.0.0.0/8"), ip_address("127.0.0.1")),
    (ip_network("::1/128"), None),
)
EVERYWHERE = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
# What a route without a metric has: 0, and IP6_RT_PRIO_USER for IPv6.
NO_METRIC = {4: 0, 6: 1024}

# Whose a rule or a route is.
PLAN, KERNEL, OTHERS = "plan", "kernel", "others"

# rtnetlink(7), rtm_type: those that a packet can be sent by.
UNICAST, LOCAL, BROADCAST = "unicast", "local", "broadcast"
ANYCAST, MULTICAST, THROW = "anycast", "multicast", "throw"
REFUSALS = ("blackhole", "unreachable", "prohibit")
# rtnetlink(7), rtm_protocol: RTPROT_KERNEL.
MADE_BY_KERNEL = 2


@dataclass(frozen=True)
class Hop:
    """Where a route leads."""

    device: str
    gateway: Gateway | None


@dataclass(frozen=True)
class Entry:
    """A route of any type.

    Attributes:
        kind: its type, as of ip-route(8).
        hops: more than one where the route has several; () for a refusal.
        metric: None where the plan leaves it to the kernel.
        owner: `plan`, `kernel` or `others`.
        eni_id: of a planned interface.
        place: where the kernel lists it among its equals; None where the
            kernel was not asked, or has not got it.
    """

    to: Network
    table: int
    kind: str = UNICAST
    hops: tuple[Hop, ...] = ()
    prefsrc: Address | None = None
    metric: int | None = None
    owner: str = OTHERS
    eni_id: str | None = None
    place: int | None = None


@dataclass(frozen=True)
class Rule:
    """A rule of any kind (ip-rule(8)).

    Attributes:
        text: as ip-rule(8) prints it, with numbers for tables.
        table: None for a rule that does something else than look up.
        refusal: `blackhole`, `unreachable` or `prohibit`.
        goto: the priority at which the look-up goes on.
        uids: the first and the last of the users whose sockets it is for.
        mark: the packet's, and the bits of it that count.
        unmet: a selector that no packet meets of which no more is known
            than its addresses and its sender; "" where there is none.
        is_inverted: it matches what its selectors do not (`not`).
        is_there: False where the kernel was asked and has not got it.
    """

    priority: int
    src: Network
    dst: Network
    table: int | None = None
    refusal: str | None = None
    goto: int | None = None
    uids: tuple[int, int] | None = None
    mark: tuple[int, int] | None = None
    unmet: str = ""
    is_inverted: bool = False
    suppress_prefixlength: int | None = None
    suppress_ifgroup: int | None = None
    text: str = field(default="", compare=False)
    owner: str = field(default=OTHERS, compare=False)
    is_there: bool = field(default=True, compare=False)


@dataclass(frozen=True)
class Host:
    """What the kernel holds that can matter to one destination.

    Attributes:
        rules: in the kernel's order; entries: routes that match.
        groups: the device group of each device.
        addresses: each with the name of its device.
    """

    rules: tuple[Rule, ...]
    entries: tuple[Entry, ...]
    groups: dict[str, int]
    addresses: tuple[tuple[str, Interface], ...]

    def device_of(self, address: Address) -> str | None:
        """Return the device that has an address."""
        found = [name for name, each in self.addresses if each.ip == address]
        return found[0] if found else None


@dataclass(frozen=True)
class Routing:
    """All rules, in order, and all routes, of one family."""

    rules: tuple[Rule, ...]
    entries: tuple[Entry, ...]
    groups: dict[str, int]


def planned_routing(plan: Plan, version: int) -> Routing:
    """Return what a plan says, with what the kernel adds to it by itself."""
    rules = [_rule(item, PLAN) for item in plan.rules()]
    entries = [
        entry
        for item in plan.interfaces
        for entry in (
            *(_planned(item, route) for route in item.routes),
            *_of_addresses(item),
        )
    ]
    hop = (Hop(LOOPBACK, None),)
    loopback = [
        Entry(net, LOCAL_TABLE, LOCAL, hop, own, owner=KERNEL)
        for net, own in LOOPBACKS
    ]
    return Routing(
        rules=_sorted(
            it
            for it in (*_built_in(version), *rules)
            if it.src.version == version
        ),
        entries=tuple(
            it for it in (*loopback, *entries) if it.to.version == version
        ),
        groups=_groups(plan),
    )


def whole_routing(plan: Plan, host: Host, version: int) -> Routing:
    """Return what a plan says together with what the host has besides.

    What is planned and the host has not got is in it all the same: it is
    what ought to decide.
    """
    planned = planned_routing(plan, version)
    rules = [
        replace(rule, is_there=rule in host.rules) for rule in planned.rules
    ]
    more = [rule for rule in host.rules if rule not in planned.rules]
    found, taken = [], set()
    for entry in planned.entries:
        have = next((it for it in host.entries if _is_same(entry, it)), None)
        found.append(entry if have is None else _settled(entry, have))
        taken.add(have)
    rest = [entry for entry in host.entries if entry not in taken]
    return Routing(
        rules=_sorted((*rules, *more)),
        entries=(*found, *rest),
        groups=host.groups | planned.groups,
    )


def rule_text(rule: RoutingPolicyRule) -> str:
    """Write a rule as ip-rule(8) prints it, with the table's number."""
    lookup = f"lookup {rule.table}"
    words = (source_text(rule), *selectors(rule), lookup, *suppressors(rule))
    return " ".join(words)


def _sorted(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(sorted(rules, key=lambda rule: rule.priority))


def _built_in(version: int) -> Iterator[Rule]:
    for rule in BUILT_IN_RULES if version == 4 else BUILT_IN_RULES_IPV6:
        yield _rule(rule, KERNEL)


def _rule(rule: RoutingPolicyRule, owner: str) -> Rule:
    return Rule(
        priority=rule.priority,
        src=rule.src,
        dst=EVERYWHERE[rule.src.version],
        table=rule.table,
        suppress_prefixlength=rule.suppress_prefixlength,
        suppress_ifgroup=rule.suppress_ifgroup,
        uids=None if rule.uid is None else (rule.uid, rule.uid),
        mark=None if rule.fwmark is None else (rule.fwmark, rule.fwmask or 0),
        # `iif lo`, the only one of a plan: every packet of the host's own.
        text=rule_text(rule),
        owner=owner,
    )


def _groups(plan: Plan) -> dict[str, int]:
    group = plan.ifgroup
    return {it.name: group for it in plan.interfaces if group is not None}


def _planned(item: PlannedInterface, route: Route) -> Entry:
    return Entry(
        to=route.to,
        table=route.table,
        hops=(Hop(item.name, route.via),),
        prefsrc=route.prefsrc,
        metric=route.metric,
        owner=PLAN,
        eni_id=item.eni_id,
    )


def _of_addresses(item: PlannedInterface) -> Iterator[Entry]:
    """Give what the kernel adds for each address: fib_add_ifaddr()."""
    for each in item.addresses:
        net, hop = each.network, (Hop(item.name, None),)
        yield Entry(ip_network(each.ip), LOCAL_TABLE, LOCAL, hop, owner=KERNEL)
        if each.version == 4 and net.prefixlen < 31:
            last = ip_network(net.broadcast_address)
            yield Entry(
                last, LOCAL_TABLE, BROADCAST, hop, each.ip, owner=KERNEL
            )
        if net.prefixlen < each.ip.max_prefixlen:
            yield Entry(
                net,
                MAIN_TABLE,
                hops=hop,
                prefsrc=each.ip if each.version == 4 else None,
                owner=KERNEL,
                eni_id=item.eni_id,
            )


def _is_same(want: Entry, have: Entry) -> bool:
    """None in the plan is a wildcard for what the kernel fills in."""
    same = (want.to, want.table, want.kind) == (have.to, have.table, have.kind)
    return (
        same
        # What is local is on `lo` for some kernels and address families.
        and (want.kind == LOCAL or _lead_alike(want.hops, have.hops))
        and want.prefsrc in (None, have.prefsrc)
        and want.metric in (None, have.metric)
    )


def _lead_alike(want: tuple[Hop, ...], have: tuple[Hop, ...]) -> bool:
    """LEARNED is a wildcard for any gateway."""
    learned = [
        replace(ours, gateway=theirs.gateway or None)
        if ours.gateway == LEARNED and theirs.gateway
        else ours
        for ours, theirs in zip(want, have, strict=False)
    ]
    return len(want) == len(have) and learned == [*have]


def _settled(want: Entry, have: Entry) -> Entry:
    return replace(have, owner=want.owner, eni_id=want.eni_id)
