# SPDX-License-Identifier: Apache-2.0
"""Few rules for many source addresses, and none too wide."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, ip_network

import pytest

from cc_multihome.model import Eni, RoutingPolicyRule
from cc_multihome.numbers import FEW_ADDRESSES
from cc_multihome.plan.sources import source_rules
from tests.unit.builders import eni, instance, plan_for

TABLE = 77


def many(number: int, count: int, **fields: object) -> Eni:
    """Make an ENI with so many addresses in a subnet of its own."""
    addresses = [f"10.0.{number}.{10 + index}" for index in range(count)]
    return eni(
        number,
        *addresses,
        subnet=f"10.0.{number}.0/24",
        **fields,  # type: ignore[arg-type]
    )


def written(*enis: Eni) -> list[str]:
    """Write the rules of the first ENI as `from X [iif lo]`."""
    rules = source_rules(enis[0], enis, TABLE)
    assert {rule.table for rule in rules} == {TABLE}
    return [_write(rule) for rule in rules]


def _write(rule: RoutingPolicyRule) -> str:
    return f"{rule.src}" + (f" iif {rule.iif}" if rule.iif else "")


def test_a_few_addresses_have_a_rule_each() -> None:
    """As in the seed: easiest to read in `ip rule`."""
    assert written(many(1, FEW_ADDRESSES)) == [
        "10.0.1.10/32",
        "10.0.1.11/32",
        "10.0.1.12/32",
    ]


def test_many_addresses_in_a_subnet_alone_have_one_rule() -> None:
    """Of the host's own traffic only: neighbours may be forwarded."""
    assert written(many(1, FEW_ADDRESSES + 1)) == ["10.0.1.0/24 iif lo"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(
            eni(2, "10.0.1.200", subnet="10.0.1.0/24"), id="an address"
        ),
        pytest.param(
            eni(2, ipv4_prefixes=(ip_network("10.0.1.64/28"),)),
            id="a prefix",
        ),
    ],
)
def test_with_another_eni_in_the_subnet_rules_are_exact(other: Eni) -> None:
    """The smallest set of prefixes that holds its addresses and no more."""
    assert written(many(1, 6), other) == ["10.0.1.10/31", "10.0.1.12/30"]


def test_an_eni_that_is_left_alone_counts_as_another() -> None:
    """Its sources are not to come into our tables."""
    theirs = eni(1, "10.0.0.200", subnet="10.0.0.0/24")
    key = {"interfaces": {"pods": {"device_number": 1, "manage": False}}}
    (only,) = plan_for(key, instance(many(0, 8), theirs)).interfaces
    assert "10.0.0.0/24" not in [str(rule.src) for rule in only.rules]


def test_delegated_prefixes_are_ruled_also_for_what_is_forwarded() -> None:
    """Containers have them, and their packets come in by a bridge."""
    prefixes = (ip_network("10.0.1.64/28"), ip_network("10.0.1.80/28"))
    found = many(1, 5, ipv4_prefixes=prefixes)
    assert written(found) == [
        "10.0.1.0/24 iif lo",
        "10.0.1.64/28",
        "10.0.1.80/28",
    ]


def test_many_delegated_prefixes_are_joined() -> None:
    """Four neighbours of /28 are one /26."""
    prefixes = tuple(
        ip_network(f"10.0.1.{at}/28") for at in range(64, 128, 16)
    )
    found = many(1, 1, ipv4_prefixes=prefixes)
    assert written(found) == ["10.0.1.10/32", "10.0.1.64/26"]


def test_exact_rules_hold_the_addresses_and_nothing_else() -> None:
    """Two ENIs that interleave in one subnet."""
    first = eni(
        0, *(f"10.0.0.{it}" for it in range(10, 90, 2)), subnet="10.0.0.0/24"
    )
    second = eni(
        1, *(f"10.0.0.{it}" for it in range(11, 91, 4)), subnet="10.0.0.0/24"
    )
    for one in (first, second):
        rules = source_rules(one, (first, second), TABLE)
        held = [
            address for rule in rules for address in IPv4Network(str(rule.src))
        ]
        assert sorted(held) == sorted(one.local_ipv4s)
        assert {rule.iif for rule in rules} == {None}


def test_fifteen_enis_with_fifty_addresses_need_seventeen_rules() -> None:
    """One for each ENI, one for what is no ENI's, one for the policy."""
    enis = [many(number, 50) for number in range(15)]
    key = {"policy": [{"to": "192.0.2.1", "via": "ens6"}]}
    assert len(plan_for(key, instance(*enis)).rules()) == 15 + 2


def test_another_address_beyond_the_few_moves_no_priority() -> None:
    """An ENI has one priority, however its rules are compiled."""
    few, more = many(1, FEW_ADDRESSES), many(1, FEW_ADDRESSES + 1)
    assert {rule.priority for rule in source_rules(few, [few], TABLE)} == {
        rule.priority for rule in source_rules(more, [more], TABLE)
    }


def test_addresses_outside_of_the_crowded_subnet_keep_their_rules() -> None:
    """A subnet has one CIDR today; nothing here depends on it."""
    found = eni(
        0,
        *(f"10.0.0.{it}" for it in range(10, 15)),
        "10.9.0.4",
        subnet="10.0.0.0/24",
    )
    assert IPv4Address("10.9.0.4") in found.local_ipv4s
    assert written(found) == ["10.0.0.0/24 iif lo", "10.9.0.4/32"]
