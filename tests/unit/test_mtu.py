# SPDX-License-Identifier: Apache-2.0
"""A link that nobody has told its MTU takes that of the others."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from cc_multihome.discover.leases import leases_of, with_leases
from cc_multihome.model import Instance, Link
from tests.unit.builders import eni, instance, links_of, plan_for

JUMBO, LESS, DEFAULT = 9001, 8001, 1500
TOLD: dict[str, Any] = {"has_netdef": True}
NEVER_TOLD: dict[str, Any] = {"has_netdef": False}
VPC, OTHER_VPC = IPv4Network("10.0.0.0/16"), IPv4Network("10.9.0.0/16")
HOST = instance(
    *(replace(eni(number), vpc_ipv4s=(VPC,)) for number in range(3))
)


def links(
    *facts: tuple[int, dict[str, Any]], host: Instance = HOST
) -> tuple[Link, ...]:
    """Make the instance's links, each with an MTU and what is known of it."""
    found = zip(links_of(host), facts, strict=True)
    return tuple(replace(link, mtu=mtu, **more) for link, (mtu, more) in found)


def planned(
    links: tuple[Link, ...], host: Instance = HOST, key: object = None
) -> list[int]:
    """Return the planned MTUs, in order of attachment."""
    plan = plan_for({} if key is None else key, host, links)
    return [item.mtu for item in plan.interfaces]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(
            [(JUMBO, TOLD), (JUMBO, TOLD), (DEFAULT, NEVER_TOLD)],
            [JUMBO, JUMBO, JUMBO],
            id="attached to the running host",
        ),
        pytest.param(
            [(LESS, TOLD), (JUMBO, TOLD), (DEFAULT, NEVER_TOLD)],
            [LESS, JUMBO, JUMBO],
            id="the largest, and nobody else is raised",
        ),
        pytest.param(
            [(JUMBO, TOLD), (DEFAULT, TOLD), (JUMBO, TOLD)],
            [JUMBO, DEFAULT, JUMBO],
            id="somebody told it the default",
        ),
        pytest.param(
            [(JUMBO, TOLD), (1400, NEVER_TOLD), (LESS, NEVER_TOLD)],
            [JUMBO, 1400, LESS],
            id="somebody gave it another one",
        ),
        pytest.param(
            [(DEFAULT, TOLD), (1400, TOLD), (DEFAULT, NEVER_TOLD)],
            [DEFAULT, 1400, DEFAULT],
            id="never lower",
        ),
    ],
)
def test_only_what_was_never_told_takes_the_others_mtu(
    facts: list[tuple[int, dict[str, Any]]], expected: list[int]
) -> None:
    """Who configured a link knows why."""
    assert expected == planned(links(*facts))


@pytest.mark.parametrize(
    ("vpcs", "expected"),
    [
        pytest.param((VPC, OTHER_VPC, VPC), LESS, id="that of its own VPC"),
        pytest.param((VPC, VPC, OTHER_VPC), JUMBO, id="alone in its VPC"),
    ],
)
def test_its_own_vpc_is_asked_first(
    vpcs: tuple[IPv4Network, ...], expected: int
) -> None:
    """An instance can have ENIs in several."""
    enis = (
        replace(it, vpc_ipv4s=(vpc,))
        for it, vpc in zip(HOST.enis, vpcs, strict=True)
    )
    facts = ((LESS, TOLD), (JUMBO, TOLD), (DEFAULT, NEVER_TOLD))
    assert expected == planned(links(*facts), instance(*enis))[2]


def test_an_eni_that_is_left_alone_is_no_example() -> None:
    """Its owner may want jumbo frames for it alone."""
    facts = ((DEFAULT, TOLD), (JUMBO, TOLD), (DEFAULT, NEVER_TOLD))
    key = {"interfaces": {"theirs": {"device_number": 1, "manage": False}}}
    assert [DEFAULT, DEFAULT] == planned(links(*facts), key=key)


def test_the_next_run_plans_the_same() -> None:
    """Then the overlay names the link, and it has what was planned."""
    first = planned(links((JUMBO, TOLD), (JUMBO, TOLD), (DEFAULT, NEVER_TOLD)))
    assert first == planned(links(*((mtu, TOLD) for mtu in first)))


def test_a_boot_before_networkd_plans_the_same() -> None:
    """No link has been told anything then: what is kept has it."""
    former = links((LESS, TOLD), (JUMBO, TOLD), (DEFAULT, NEVER_TOLD))
    plan = plan_for({}, HOST, former)
    fresh = links((DEFAULT, TOLD), (DEFAULT, TOLD), (DEFAULT, NEVER_TOLD))
    again = with_leases(fresh, (), leases_of(plan))
    assert [LESS, JUMBO, JUMBO] == planned(again)
