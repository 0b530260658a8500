# SPDX-License-Identifier: Apache-2.0
"""Look a destination up in rules and routes as the kernel does: pure.

The kernel takes the rules in order of priority. A rule that matches looks
into its table, where the longest prefix wins; a route that the rule
suppresses, or none, sends it on to the next rule (ip-rule(8), and
fib_rules_lookup(), fib4_rule_suppress() and fib_table_lookup() of the
kernel).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cc_multihome.explain.question import ANYBODY, Question, Sender
from cc_multihome.explain.routing import (
    BROADCAST,
    KERNEL,
    MULTICAST,
    NO_METRIC,
    OTHERS,
    PLAN,
    REFUSALS,
    THROW,
    Entry,
    Host,
    Routing,
    Rule,
    planned_routing,
    whole_routing,
)
from cc_multihome.explain.way import LIMITED_BROADCAST, Way, ways_of
from cc_multihome.explain.words import route_text, rule_text, why
from cc_multihome.model import Address, Network, Plan
from cc_multihome.numbers import PRIORITY_LEFT_ALONE, PRIORITY_LEFT_ALONE_MAIN


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
    """An answer.

    Attributes:
        steps: the rules in the order in which they were looked at; the last
            one decided, if there is a way.
        ways: more than one where the kernel may take any of them; () where
            no table has a route.
        route: the prefix that matched, if one did.
        owner: whose rule and route decide: `plan`, `kernel` (its own) or
            `others`; None where nothing does.
        eni_id: None where the plan has no part in it.
        missing: what decides, and the kernel has not got.
    """

    steps: tuple[Step, ...]
    ways: tuple[Way, ...]
    route: Network | None
    owner: str | None
    eni_id: str | None
    why: str
    missing: tuple[str, ...] = ()

    @property
    def way(self) -> Way | None:
        """The way, or the first of several."""
        return self.ways[0] if self.ways else None


def explain(
    plan: Plan,
    to: Address,
    source: Address | None = None,
    host: Host | None = None,
    *,
    sender: Sender = ANYBODY,
) -> Explanation:
    """Say which way a packet of this host's own ought to go, and why.

    Args:
        source: the address that the socket is bound to; None for none.
        host: what the kernel holds; without it only the plan is known, and
            what the kernel adds to it by itself.
        sender: whose socket it is.
    """
    asked = Question(plan, host, to, source, sender)
    device = asked.device_of_source()
    if host is not None and source is not None and device is None:
        text = f"{source} is an address of no link of this host"
        return Explanation((), (), None, None, None, text, (text,))
    if device is not None and to.version == 4 and _is_to_many(to):
        return _by_address(device, asked)
    if host is None:
        routing = planned_routing(plan, to.version)
    else:
        routing = whole_routing(plan, host, to.version)
    return _walk(routing, asked)


def _is_to_many(to: Address) -> bool:
    return to.is_multicast or to == LIMITED_BROADCAST


def _by_address(device: str, asked: Question) -> Explanation:
    """Send it as ip_route_output_key_hash_rcu() sends it: by the source."""
    kind = BROADCAST if asked.to == LIMITED_BROADCAST else MULTICAST
    text = (
        f"the kernel sends a {kind} of a socket that is bound to"
        f" {asked.source} by the link that has this address, and asks no rule"
    )
    way = Way(device, None, None, asked.source, kind)
    return Explanation((), (way,), None, KERNEL, None, text)


def _walk(routing: Routing, asked: Question) -> Explanation:
    steps: list[Step] = []
    goto: int | None = None
    for rule in routing.rules:
        if goto is not None and rule.priority < goto:
            continue
        told, best = _try(rule, routing, asked)
        steps.append(Step(rule.priority, rule_text(rule, asked.plan), told))
        if best:
            return _found(tuple(steps), rule, best, asked)
        if _is_the_owners(rule, asked):
            text = (
                f"{asked.source} is of an ENI that is left alone, so the way"
                f" is its owner's: by table {rule.table}, else by main, whose"
                " routes the plan does not have"
            )
            return Explanation(tuple(steps), (), None, OTHERS, None, text)
        matched = rule.goto is not None and not _mismatch(rule, asked)
        goto = rule.goto if matched else None
    text = "no table has a route to it: the kernel says network unreachable"
    if asked.to.version == 6 and asked.host is None:
        text = "the plan has no route to it: IPv6 is left to the routers"
    return Explanation(tuple(steps), (), None, None, None, text)


def _is_the_owners(rule: Rule, asked: Question) -> bool:
    """Does the plan hand the packet to somebody whose routes it lacks?"""
    first, last = PRIORITY_LEFT_ALONE, PRIORITY_LEFT_ALONE_MAIN
    repeated = first <= rule.priority <= last
    return asked.host is None and repeated and not _mismatch(rule, asked)


def _try(
    rule: Rule, routing: Routing, asked: Question
) -> tuple[str, tuple[Entry, ...]]:
    """Return what comes of a rule, in words, and the routes that decide."""
    mismatch = _mismatch(rule, asked)
    if mismatch:
        return f"does not match: {mismatch}", ()
    if rule.refusal is not None:
        refused = Entry(rule.dst, rule.table or 0, rule.refusal)
        return f"decides: {rule.refusal}", (refused,)
    if rule.table is None:
        onward = "nothing" if rule.goto is None else f"go to {rule.goto}"
        return f"matches: {onward}", ()
    best = _best(rule.table, routing, asked)
    if not best:
        return f"matches, but its table has no route to {asked.to}", ()
    shown = route_text(best[0])
    left_out = _suppressed(rule, best[0], routing)
    if left_out:
        return f"matches, but leaves out the route {shown}: {left_out}", ()
    if best[0].kind == THROW:
        return f"matches, and the route {shown} sends it on", ()
    lacks = _is_lacking(best[0], asked) or not rule.is_there
    missing = ", which is missing" if lacks else ""
    return f"decides: the route {shown}{missing}", best


def _mismatch(rule: Rule, asked: Question) -> str:
    """Say why a rule does not match; "" where it does."""
    why_not = ""
    if rule.mark and (rule.mark[0] ^ asked.sender.mark) & rule.mark[1]:
        mark = asked.sender.mark
        why_not = f"the packet has {f'mark {mark:#x}' if mark else 'no mark'}"
    elif rule.unmet:
        why_not = f"the packet has no {rule.unmet}"
    elif rule.src.prefixlen and asked.source is None:
        why_not = "the packet is bound to no address"
    elif asked.source is not None and asked.source not in rule.src:
        why_not = f"the packet is from {asked.source}"
    elif rule.uids and not _is_between(asked.sender.number, rule.uids):
        whose = "-".join(map(str, sorted({*rule.uids})))
        why_not = f"it is for user {whose} alone"
    elif asked.to not in rule.dst:
        why_not = f"the packet is to {asked.to}"
    if rule.is_inverted:
        return "" if why_not else "it is for all other packets"
    return why_not


def _is_between(number: int, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= number <= bounds[1]


def _best(table: int, routing: Routing, asked: Question) -> tuple[Entry, ...]:
    """Return the routes that the kernel takes, the likeliest one first."""
    found = [
        it for it in routing.entries if it.table == table and asked.to in it.to
    ]
    if not found:
        return ()
    length = max(it.to.prefixlen for it in found)
    ordered = sorted(
        (it for it in found if it.to.prefixlen == length),
        key=lambda it: (_metric(it), _place(it)),
    )
    first = ordered[0]
    if asked.to.version == 4 or _is_lacking(first, asked):
        return (first,)
    # rt6_select(): of equals, any.
    return tuple(it for it in ordered if _metric(it) == _metric(first))


def _place(entry: Entry) -> float:
    """Sort what is planned and missing before its equals that are there.

    The kernel's own routes to a subnet that ENIs share are in the order in
    which the addresses came, which nobody plans: one that is missing is last.
    """
    if entry.place is not None:
        return entry.place
    return -1 if entry.owner == PLAN else math.inf


def _metric(entry: Entry) -> int:
    if entry.metric is None:
        return NO_METRIC[entry.to.version]
    return entry.metric


def _is_lacking(entry: Entry, asked: Question) -> bool:
    is_route = entry.kind not in REFUSALS or entry.table
    return bool(asked.host and is_route and entry.place is None)


def _suppressed(rule: Rule, entry: Entry, routing: Routing) -> str:
    if entry.kind in REFUSALS or entry.kind == THROW:
        return ""
    length = rule.suppress_prefixlength
    if length is not None and entry.to.prefixlen <= length:
        return "too short"
    group = rule.suppress_ifgroup
    devices = [hop.device for hop in entry.hops[:1]]
    if group is not None and group in map(routing.groups.get, devices):
        return "an ENI's"
    return ""


def _found(
    steps: tuple[Step, ...],
    rule: Rule,
    best: tuple[Entry, ...],
    asked: Question,
) -> Explanation:
    entry = best[0]
    owner = entry.owner if rule.owner != OTHERS else OTHERS
    ways = [
        way
        for each in best
        for way in ways_of(each, asked.to, asked.source, asked.usable)
    ]
    missing = []
    if not rule.is_there:
        shown = rule_text(rule, asked.plan)
        missing.append(f"rule {rule.priority}: {shown} is missing")
    if _is_lacking(entry, asked):
        missing.append(
            f"route {route_text(entry)} in table {entry.table} is missing"
        )
    return Explanation(
        steps=steps,
        ways=tuple(ways),
        route=entry.to if entry.kind not in REFUSALS or entry.table else None,
        owner=owner,
        eni_id=entry.eni_id,
        why=why(rule, entry, owner, asked.to, asked.source),
        missing=tuple(missing),
    )
