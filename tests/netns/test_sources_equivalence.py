# SPDX-License-Identifier: Apache-2.0
"""The compiled rules on source address as one rule for each address would.

The same ENIs, with many addresses, stand in two namespaces. One has the plan
(a rule for a subnet, or exact prefixes), the other a rule for each address
and each delegated prefix. Both are asked where they would send packets:

- of the host itself, bound to one of its addresses or to none,
- of a container that has an address of a delegated prefix, forwarded,
- of a neighbour in an ENI's subnet, forwarded: the host is its router.

Each family is asked the same.

Not asked: the host's own packets with a source that it does not have. Only a
transparent proxy could send them, and EC2's source check would drop them.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, ip_interface, ip_network
from typing import Any, TypeVar

import pytest

from cc_multihome.model import Address, Eni, Plan, RoutingPolicyRule
from cc_multihome.numbers import from_priority
from tests.lab.netns import Netns
from tests.netns import embedded
from tests.netns.embedded import (
    embed_address,
    embed_eni,
    embed_network,
    embed_query,
)
from tests.netns.namespace import (
    Answer,
    Query,
    ask,
    install,
    reset,
    veth_commands,
)
from tests.unit.builders import eni, instance, plan_for

pytestmark = pytest.mark.netns

T = TypeVar("T")

SEED_VARIABLE = "MULTIHOME_TEST_SEED"
CASES = 30
QUERIES = 150
TIME_LIMIT_S = 50.0
CONTAINERS = "containers"
BRIDGE = ip_interface("172.17.0.1/16")
POLICY = IPv4Network("198.51.100.0/24")
OUTSIDE = (
    IPv4Address("203.0.113.9"),
    POLICY[7],
    IPv4Address("172.17.0.5"),
)
FORWARDING = (
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    *embedded.FORWARDING,
)


@dataclass(frozen=True)
class Case:
    """A host, compiled and with a rule each."""

    enis: tuple[Eni, ...]
    default: int
    compiled: Plan
    naive: Plan


def make_case(enis: tuple[Eni, ...], default: int) -> Case:
    """Plan it; `naive` differs in its rules on source address alone."""
    key: dict[str, Any] = {
        "interfaces": {
            f"eni{it.device_number}": {"device_number": it.device_number}
            for it in enis
        },
        "default": f"eni{default}",
        "policy": [{"to": str(POLICY), "via": "eni0"}],
        "resolver": "keep",
    }
    if enis[0].ipv6s:
        key["policy"] = [{"to": str(embed_network(POLICY)), "via": "eni0"}]
    plan = plan_for(key, instance(*enis))
    interfaces = tuple(
        replace(item, rules=_rule_each(item.rules, found, item.table))
        for item, found in zip(plan.interfaces, enis, strict=True)
    )
    return Case(enis, default, plan, replace(plan, interfaces=interfaces))


def _rule_each(
    rules: tuple[RoutingPolicyRule, ...], found: Eni, table: int
) -> tuple[RoutingPolicyRule, ...]:
    priority = from_priority(found.network_card, found.device_number)
    shared = [rule for rule in rules if rule.priority != priority]
    addresses: tuple[Address, ...] = (*found.local_ipv4s, *found.ipv6s)
    sources = (
        *(ip_network(it) for it in addresses),
        *found.ipv4_prefixes,
        *found.ipv6_prefixes,
    )
    each = [RoutingPolicyRule(priority, table, net) for net in sources]
    return (*shared, *each)


def random_enis(chance: random.Random) -> tuple[Eni, ...]:
    """Make two to five ENIs with up to 50 addresses in up to three subnets.

    Each subnet is a /23: its upper half is for delegated prefixes.
    """
    free: list[list[IPv4Address]] = []
    spare: list[list[IPv4Network]] = []
    subnets = [IPv4Network(f"10.0.{2 * it}.0/23") for it in range(3)]
    for subnet in subnets:
        lower, upper = subnet.subnets()
        free.append([lower[it] for it in range(4, 240)])
        spare.append([*upper.subnets(new_prefix=28)][:15])
    made = []
    for number in range(chance.randint(2, 5)):
        at = chance.randrange(len(subnets))
        own = _draw(chance, free[at], chance.choice((1, 3, 4, 9, 50)))
        prefixes = _draw(chance, spare[at], chance.choice((0, 0, 1, 3)))
        made.append(
            eni(
                number,
                *map(str, own),
                subnet=str(subnets[at]),
                ipv4_prefixes=tuple(prefixes),
            )
        )
    return tuple(made)


def _draw(chance: random.Random, pool: list[T], count: int) -> list[T]:
    """Take some out of a pool, side by side or apart."""
    if chance.random() < 0.5:
        taken = pool[:count]
    else:
        taken = chance.sample(pool, min(count, len(pool)))
    for item in taken:
        pool.remove(item)
    return taken


def random_query(chance: random.Random, case: Case) -> Query:
    """Make a packet with a source that there really is."""
    found = chance.choice(case.enis)
    subnets = [it.subnet_ipv4s[0] for it in case.enis]
    to = chance.choice(
        (*OUTSIDE, *(net[chance.choice((250, 251))] for net in subnets))
    )
    kind = chance.randrange(5)
    if kind == 0:
        return Query(to)
    if kind == 1 and found.ipv4_prefixes:
        source = chance.choice(found.ipv4_prefixes)[chance.randrange(16)]
        return Query(to, source, CONTAINERS)
    if kind == 2:
        neighbour = found.subnet_ipv4s[0][chance.choice((252, 253))]
        return Query(to, neighbour, f"eni{found.device_number}")
    return Query(to, chance.choice(found.local_ipv4s))


def answers(
    netns: Netns, plan: Plan, queries: list[Query]
) -> tuple[Answer, ...]:
    """Put a plan and a bridge for containers in, ask, take them out."""
    bridge = (
        *veth_commands(CONTAINERS),
        f"address add {BRIDGE} dev {CONTAINERS}",
        f"address add {embed_address(BRIDGE.ip)}/112 dev {CONTAINERS} nodad",
    )
    install(netns, plan, bridge)
    found = ask(netns, queries)
    reset(netns, plan)
    netns.ip([f"link delete {CONTAINERS}"])
    return found


def widened(plan: Plan) -> Plan:
    """Spoil a plan: each rule for a subnet without its `iif`."""
    return replace(
        plan,
        interfaces=tuple(
            replace(
                item,
                rules=tuple(replace(it, iif=None) for it in item.rules),
            )
            for item in plan.interfaces
        ),
    )


@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_routes_the_same_by_few_rules_as_by_a_rule_each(
    new_netns: Callable[[], Netns], version: int
) -> None:
    """Device, gateway and source of thousands of random packets."""
    seed = int(os.environ.get(SEED_VARIABLE) or random.randrange(10**9))
    chance = random.Random(seed)
    one, two = new_netns(), new_netns()
    one.sysctl(*FORWARDING)
    two.sysctl(*FORWARDING)
    began, seen, saved = time.monotonic(), 0, 0
    for number in range(CASES):
        if time.monotonic() - began > TIME_LIMIT_S:
            break
        enis = random_enis(chance)
        case = make_case(enis, chance.randrange(len(enis)))
        queries = [random_query(chance, case) for _ in range(QUERIES)]
        if version == 6:
            case = make_case(tuple(map(embed_eni, enis)), case.default)
            queries = [*map(embed_query, queries)]
        compiled = answers(one, case.compiled, queries)
        naive = answers(two, case.naive, queries)
        differing = [
            f"{query.words()}: compiled {have}, naive {want}"
            for query, have, want in zip(queries, compiled, naive, strict=True)
            if have != want
        ]
        where = f"case {number} of {SEED_VARIABLE}={seed}: {case.enis}"
        assert not differing, "\n".join((where, *differing))
        seen += len(queries)
        saved += len(case.naive.rules()) - len(case.compiled.rules())
    assert seen >= 2000, f"only {seen} packets in {TIME_LIMIT_S:.0f} s"
    # Or nothing was compiled, and the test says nothing.
    assert saved > number * 10, f"{saved} rules saved in {number + 1} cases"


def test_without_iif_a_neighbours_traffic_would_miss_the_default(
    new_netns: Callable[[], Netns],
) -> None:
    """Negative twin: why the rule for a subnet is for the host's own."""
    crowd = [f"10.0.1.{it}" for it in range(10, 15)]
    enis = (eni(0), eni(1, *crowd, subnet="10.0.1.0/24"))
    case = make_case(enis, default=0)
    query = Query(OUTSIDE[0], IPv4Address("10.0.1.250"), "eni1")
    found = []
    for plan in (case.naive, case.compiled, widened(case.compiled)):
        netns = new_netns()
        netns.sysctl(*FORWARDING)
        found.append(answers(netns, plan, [query])[0].dev)
    assert found == ["eni0", "eni0", "eni1"]
