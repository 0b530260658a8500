# SPDX-License-Identifier: Apache-2.0
"""The compiled policy routes as one rule for each destination would.

Each family is asked the same.

The same ENIs stand in two namespaces. One has the plan: destinations are
routes of one table behind one rule. The other has what the seed writes by
hand: a rule for each destination, the longest prefix first, which looks into
the ENI's own table. Both are asked where they would send the same packets.

          compiled                            naive
    31000 main, specific                31000 main, specific
    311xx from own address              311xx from own address
    32700 one table of destinations     32600 to X1 lookup <table of its ENI>
                                        32601 to X2 lookup ...
    32766 main                          32766 main
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, ip_network

import pytest

from cc_multihome.model import Eni, Instance, Network, Plan
from cc_multihome.numbers import POLICY_TABLE
from tests.lab.netns import Netns
from tests.netns.embedded import embed_eni, embed_network, embed_query
from tests.netns.namespace import Answer, Query, ask, install, reset
from tests.unit.builders import eni, instance, plan_for

pytestmark = pytest.mark.netns

SEED_VARIABLE = "MULTIHOME_TEST_SEED"
CASES = 60
QUERIES = 100
TIME_LIMIT_S = 50.0
# Narrow, so that subnets, destinations and packets meet all the time.
WORLD = ip_network("10.0.0.0/12")
NAIVE_PRIORITY = 32600


@dataclass(frozen=True)
class Case:
    """A host, and what it shall send where.

    Attributes:
        policy: (destination, number of the ENI that it leaves by).
    """

    host: Instance
    default: int
    policy: tuple[tuple[Network, int], ...]

    def plan(self, *, with_policy: bool) -> Plan:
        """Plan it; without the policy the rest is the same."""
        policy = [
            {"to": str(to), "via": name_of(number)}
            for to, number in self.policy
        ]
        names = {
            name_of(each.device_number): {"device_number": each.device_number}
            for each in self.host.enis
        }
        return plan_for(
            {
                "interfaces": names,
                "default": name_of(self.default),
                "policy": policy if with_policy else [],
                "resolver": "keep",
            },
            self.host,
        )

    def embedded(self) -> Case:
        """Return the same in IPv6."""
        return Case(
            instance(*map(embed_eni, self.host.enis)),
            self.default,
            tuple((embed_network(to), via) for to, via in self.policy),
        )

    def naive_rules(self) -> Iterator[str]:
        """Write the seed's rules, the longest destination first."""
        tables = {
            item.name: item.table
            for item in self.plan(with_policy=False).interfaces
        }
        ordered = sorted(self.policy, key=lambda item: -item[0].prefixlen)
        for index, (to, number) in enumerate(ordered):
            yield (
                f"rule add to {to} table {tables[name_of(number)]}"
                f" priority {NAIVE_PRIORITY + index}"
            )


def name_of(number: int) -> str:
    """Name an ENI's device."""
    return f"eni{number}"


def address_in(chance: random.Random, network: Network) -> IPv4Address:
    """Pick an address of a network, its first and last ones more often."""
    last = network.num_addresses - 1
    offset = chance.choice((0, 1, last, chance.randint(0, last)))
    return IPv4Address(int(network.network_address) + min(offset, last))


def random_subnet(chance: random.Random) -> IPv4Network:
    """Pick a subnet of a size that EC2 allows: /28 to /20 here."""
    length = chance.randint(20, 28)
    first = address_in(chance, WORLD)
    return IPv4Network((int(first), length), strict=False)


def random_enis(chance: random.Random) -> tuple[Eni, ...]:
    """Make two to four ENIs; now and then two in one subnet."""
    count = chance.randint(2, 4)
    subnets: list[IPv4Network] = []
    while len(subnets) < count:
        subnet = random_subnet(chance)
        if subnets and chance.random() < 0.15:
            subnets.append(chance.choice(subnets))
        elif not any(subnet.overlaps(other) for other in subnets):
            subnets.append(subnet)
    taken: set[IPv4Address] = set()
    return tuple(
        _random_eni(chance, number, subnet, taken)
        for number, subnet in enumerate(subnets)
    )


def _random_eni(
    chance: random.Random,
    number: int,
    subnet: IPv4Network,
    taken: set[IPv4Address],
) -> Eni:
    # The first four addresses and the last are the VPC's own.
    free = [
        subnet[index]
        for index in range(4, min(subnet.num_addresses - 1, 30))
        if subnet[index] not in taken
    ]
    found = chance.sample(free, chance.choice((1, 1, 1, 2, 3)))
    taken.update(found)
    return eni(number, *map(str, found), subnet=str(subnet))


def random_destination(
    chance: random.Random, enis: tuple[Eni, ...]
) -> Network:
    """Pick a prefix: around, in or equal to a subnet, or anywhere."""
    subnet = chance.choice(enis).subnet_ipv4s[0]
    kind = chance.randrange(4)
    if kind == 0:
        return subnet
    if kind == 1:
        return subnet.supernet(new_prefix=chance.randint(8, subnet.prefixlen))
    inside = subnet if kind == 2 else WORLD
    length = chance.randint(inside.prefixlen, 32)
    first = int(address_in(chance, inside))
    return IPv4Network((first, length), strict=False)


def random_case(chance: random.Random) -> Case:
    """Make a host with a policy of one to twelve destinations."""
    enis = random_enis(chance)
    policy: dict[Network, int] = {}
    for _ in range(chance.randint(1, 12)):
        to = random_destination(chance, enis)
        policy[to] = chance.choice(enis).device_number
    default = chance.choice(enis).device_number
    return Case(instance(*enis), default, tuple(policy.items()))


def random_query(chance: random.Random, case: Case) -> Query:
    """Make a packet, bound or not, to somewhere that matters."""
    enis = case.host.enis
    subnets = [each.subnet_ipv4s[0] for each in enis]
    policy = [to for to, _ in case.policy]
    to = address_in(chance, chance.choice((*subnets, *policy, WORLD)))
    if chance.random() < 0.5:
        return Query(to)
    return Query(to, chance.choice(chance.choice(enis).local_ipv4s))


def answers(
    netns: Netns, plan: Plan, more: list[str], queries: list[Query]
) -> tuple[Answer, ...]:
    """Put a plan in, ask, and take it out again."""
    install(netns, plan)
    netns.ip(more, f"-{queries[0].to.version}")
    found = ask(netns, queries)
    reset(netns, plan)
    return found


def explain(case: Case, seed: int, number: int) -> str:
    """Say how to see it again."""
    enis = "; ".join(
        f"{name_of(each.device_number)}"
        f" {', '.join(map(str, (*each.local_ipv4s, *each.ipv6s)))}"
        f" in {[*map(str, (*each.subnet_ipv4s, *each.subnet_ipv6s))]}"
        for each in case.host.enis
    )
    policy = ", ".join(f"{to} via {name_of(via)}" for to, via in case.policy)
    return (
        f"case {number} of {SEED_VARIABLE}={seed}: {enis};"
        f" default {name_of(case.default)}; policy {policy}"
    )


@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_routes_the_same_by_one_table_as_by_a_rule_each(
    new_netns: Callable[[], Netns], version: int
) -> None:
    """Device, gateway and source of thousands of random packets."""
    seed = int(os.environ.get(SEED_VARIABLE) or random.randrange(10**9))
    chance = random.Random(seed)
    compiled, naive = new_netns(), new_netns()
    began, seen = time.monotonic(), 0
    by_policy = 0
    for number in range(CASES):
        if time.monotonic() - began > TIME_LIMIT_S:
            break
        case = random_case(chance)
        queries = [random_query(chance, case) for _ in range(QUERIES)]
        if version == 6:
            case = case.embedded()
            queries = [*map(embed_query, queries)]
        one = answers(compiled, case.plan(with_policy=True), [], queries)
        plain = case.plan(with_policy=False)
        two = answers(naive, plain, [*case.naive_rules()], queries)
        none = answers(naive, plain, [], queries)
        differing = [
            f"{query.words()}: compiled {have}, naive {want}"
            for query, have, want in zip(queries, one, two, strict=True)
            if have != want
        ]
        assert not differing, "\n".join(
            (explain(case, seed, number), *differing)
        )
        seen += len(queries)
        by_policy += sum(a != b for a, b in zip(one, none, strict=True))
    assert seen >= 2000, f"only {seen} packets in {TIME_LIMIT_S:.0f} s"
    # Or the policy decided about nothing and the test says nothing.
    assert by_policy > seen / 20, f"{by_policy} of {seen}"


def test_the_comparison_sees_a_policy_that_is_compiled_wrongly(
    new_netns: Callable[[], Netns],
) -> None:
    """Negative twin: the route to the ENI's own subnet is left out."""
    case = Case(instance(eni(0), eni(1)), 0, ((ip_network("10.0.0.0/8"), 1),))
    queries = [Query(IPv4Address("10.0.1.77"))]
    plan = case.plan(with_policy=True)
    wrong = replace(
        plan,
        interfaces=tuple(
            replace(
                item,
                routes=tuple(
                    route
                    for route in item.routes
                    if route.table != POLICY_TABLE or route.to.prefixlen == 8
                ),
            )
            for item in plan.interfaces
        ),
    )
    plain = case.plan(with_policy=False)
    rules = [*case.naive_rules()]
    right = answers(new_netns(), plan, [], queries)
    bad = answers(new_netns(), wrong, [], queries)
    naive = answers(new_netns(), plain, rules, queries)
    assert right == naive == (Answer("eni1", None, "10.0.1.10"),)
    assert bad == (Answer("eni1", "10.0.1.1", "10.0.1.10"),)
