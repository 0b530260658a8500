# SPDX-License-Identifier: Apache-2.0
"""`multihome explain` says what the kernel does.

Random hosts stand in a namespace; for random packets of the host's own the
look-up in the plan is compared with the kernel's: interface, table, gateway
and source address.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address

import pytest

from cc_multihome.explain.ask import differences, parse_route_get
from cc_multihome.explain.lookup import Way, explain
from cc_multihome.model import Plan
from tests.lab.netns import Netns
from tests.netns.embedded import embed_eni, embed_query
from tests.netns.namespace import Query, install, reset, route_get
from tests.netns.test_sources_equivalence import (
    OUTSIDE,
    SEED_VARIABLE,
    Case,
    make_case,
    random_enis,
)

pytestmark = pytest.mark.netns

CASES = 12
QUERIES = 120


def random_query(chance: random.Random, case: Case) -> Query:
    """Make a packet of the host's own, also to itself and to a router."""
    to = chance.choice(
        (
            *OUTSIDE,
            *(it.subnet_ipv4s[0][1] for it in case.enis),
            *(it.subnet_ipv4s[0][251] for it in case.enis),
            *(it.local_ipv4s[0] for it in case.enis),
        )
    )
    bound = chance.choice((None, *(it.local_ipv4s[-1] for it in case.enis)))
    return Query(IPv4Address(to), bound)


def kernel_ways(netns: Netns, queries: Sequence[Query]) -> list[Way]:
    """Ask the kernel for each."""
    found = route_get(netns, queries)
    return [
        parse_route_get(item, query.source)
        for item, query in zip(found, queries, strict=True)
    ]


def wrong(plan: Plan, queries: Sequence[Query], ways: list[Way]) -> list[str]:
    """Return where the plan's answer is not the kernel's."""
    return [
        f"{query.words()}: {line}"
        for query, way in zip(queries, ways, strict=True)
        for line in differences(explain(plan, query.to, query.source).way, way)
    ]


@pytest.mark.parametrize("version", [4, 6])
def test_the_plans_answer_is_the_kernels(
    new_netns: Callable[[], Netns], version: int
) -> None:
    """For more than a thousand random packets."""
    seed = int(os.environ.get(SEED_VARIABLE) or random.randrange(10**9))
    chance = random.Random(seed)
    netns = new_netns()
    decided: set[int] = set()
    for number in range(CASES):
        enis = random_enis(chance)
        case = make_case(enis, chance.randrange(len(enis)))
        queries = [random_query(chance, case) for _ in range(QUERIES)]
        if version == 6:
            case = make_case(tuple(map(embed_eni, enis)), case.default)
            queries = [*map(embed_query, queries)]
        install(netns, case.compiled)
        ways = kernel_ways(netns, queries)
        reset(netns, case.compiled)
        found = wrong(case.compiled, queries, ways)
        where = f"case {number} of {SEED_VARIABLE}={seed}: {enis}"
        assert not found, "\n".join((where, *found))
        decided |= {way.table for way in ways}
    # local, main, the policy's, and tables of ENIs
    assert len(decided) > 4, decided


def test_a_kernel_that_lost_a_rule_is_found_out(
    new_netns: Callable[[], Netns],
) -> None:
    """Negative twin."""
    chance = random.Random(4)
    case = make_case(random_enis(chance), 0)
    netns = new_netns()
    install(netns, case.compiled)
    last = case.enis[-1].local_ipv4s[0]
    query = Query(OUTSIDE[0], last)
    assert [] == wrong(case.compiled, [query], kernel_ways(netns, [query]))
    for rule in case.compiled.rules():
        if last in rule.src and rule.src.prefixlen:
            netns.ip([f"rule del priority {rule.priority}"])
    assert wrong(case.compiled, [query], kernel_ways(netns, [query]))
