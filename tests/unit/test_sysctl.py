# SPDX-License-Identifier: Apache-2.0
"""What ENIs in one subnet need of the kernel; the rest is tests/netns's."""

from __future__ import annotations

import pytest

from cc_multihome.apply.sysctl import KEYS, needed_value
from tests.unit.builders import eni, instance, plan_for

SUBNET = "10.0.0.0/24"


@pytest.mark.parametrize(
    ("key", "own", "for_all", "expected"),
    [
        pytest.param("arp_ignore", 0, 0, 1, id="answers for all"),
        pytest.param("arp_ignore", 1, 0, None, id="ignores already"),
        pytest.param("arp_ignore", 0, 2, None, id="all links ignore more"),
        pytest.param("arp_announce", 0, 0, 2, id="announces anything"),
        pytest.param("arp_announce", 1, 1, 2, id="announces the subnet's"),
        pytest.param("arp_announce", 0, 2, None, id="announces the best"),
        pytest.param("rp_filter", 1, 0, 2, id="strict"),
        pytest.param("rp_filter", 0, 1, 2, id="strict for all"),
        pytest.param("rp_filter", 1, 2, None, id="loose for all"),
        pytest.param("rp_filter", 2, 1, None, id="loose already"),
        pytest.param("rp_filter", 0, 0, None, id="off stays off"),
    ],
)
def test_a_value_changes_only_where_it_would_break_something(
    key: str, own: int, for_all: int, expected: int | None
) -> None:
    """The kernel uses the larger of the link's own and that for all."""
    assert key in KEYS
    assert needed_value(key, own, for_all) == expected


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        pytest.param(eni(1, "10.0.0.11", subnet=SUBNET), True, id="same"),
        pytest.param(eni(1), False, id="another"),
        pytest.param(
            eni(1, "10.0.0.11", subnet=SUBNET, local_ipv4s=()),
            False,
            id="same, but EFA-only",
        ),
    ],
)
def test_the_plan_says_who_shares_a_subnet(
    second: object, expected: bool
) -> None:
    """Only ENIs over which IP runs count."""
    first = eni(0, "10.0.0.10", subnet=SUBNET)
    key = {"interfaces": {"one": {"device_number": 0}}}
    found = plan_for(key, instance(first, second))  # type: ignore[arg-type]
    assert {item.shares_subnet for item in found.interfaces} == {expected}


def test_an_eni_of_somebody_elses_shares_the_subnet_too() -> None:
    """Both answer ARP on this host, whoever owns them."""
    key = {"interfaces": {"pods": {"device_number": 1, "manage": False}}}
    enis = (
        eni(0, "10.0.0.10", subnet=SUBNET),
        eni(1, "10.0.0.11", subnet=SUBNET),
    )
    (only,) = plan_for(key, instance(*enis)).interfaces
    assert only.shares_subnet
