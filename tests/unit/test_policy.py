# SPDX-License-Identifier: Apache-2.0
"""Destinations become routes of one table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cc_multihome.model import Network, Route
from cc_multihome.plan.policy import (
    Exit,
    compile_destinations,
    contains,
    covering,
    sort_key,
)
from tests.unit.builders import address, network

TABLE = 30999
PRIVATE = Exit("private", (network("10.0.0.0/24"),), address("10.0.0.1"))
PUBLIC = Exit("public", (network("10.0.1.0/24"),), address("10.0.1.1"))

prefixes = st.builds(
    lambda number, length: network(
        f"{address_of(number >> (32 - length) << (32 - length))}/{length}"
    ),
    st.integers(0, 2**32 - 1),
    st.integers(1, 32),
)


def address_of(number: int) -> str:
    """Write a number as an IPv4 address."""
    return ".".join(str(byte) for byte in number.to_bytes(4, "big"))


def compiled(*pairs: tuple[str, Exit]) -> dict[str, str]:
    """Compile destinations; map each route to 'ENI via gateway'."""
    destinations = [(network(to), exit_) for to, exit_ in pairs]
    return {
        str(route.to): f"{exit_.name} via {route.via or 'link'}"
        for exit_, route in compile_destinations(destinations, TABLE)
    }


def test_no_destination_makes_no_route() -> None:
    """An empty policy has an empty table."""
    assert compile_destinations([], TABLE) == ()


def test_a_destination_outside_leaves_by_the_gateway() -> None:
    """The route says destination, gateway and the policy's table."""
    route = Route(network("192.0.2.14/32"), address("10.0.0.1"), TABLE)
    routes = compile_destinations([(network("192.0.2.14"), PRIVATE)], TABLE)
    assert routes == ((PRIVATE, route),)


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        pytest.param("10.0.0.7", "private via link", id="a host in it"),
        pytest.param("10.0.0.128/25", "private via link", id="a part of it"),
        pytest.param("10.0.0.0/24", "private via link", id="the subnet"),
        pytest.param("10.0.1.9", "private via 10.0.0.1", id="another's"),
    ],
)
def test_a_destination_in_the_enis_subnet_is_on_the_link(
    to: str, expected: str
) -> None:
    """The VPC router is not asked to reach a neighbour."""
    assert list(compiled((to, PRIVATE)).values()) == [expected]


def test_a_destination_around_the_enis_subnet_keeps_it_on_the_link() -> None:
    """Neighbours are reached directly, all else of it by the gateway."""
    assert compiled(("10.0.0.0/8", PRIVATE)) == {
        "10.0.0.0/8": "private via 10.0.0.1",
        "10.0.0.0/24": "private via link",
    }


def test_the_other_enis_subnet_in_a_destination_goes_by_gateway() -> None:
    """The seed's rule finds no link route to it in the ENI's own table."""
    routes = compiled(("10.0.0.0/16", PUBLIC))
    assert "10.0.0.0/24" not in routes
    assert routes["10.0.1.0/24"] == "public via link"


def test_a_longer_destination_of_another_eni_covers_the_subnet() -> None:
    """The subnet follows the longest destination that holds it."""
    routes = compiled(("10.0.0.0/8", PRIVATE), ("10.0.0.0/23", PUBLIC))
    assert routes == {
        "10.0.0.0/8": "private via 10.0.0.1",
        "10.0.0.0/23": "public via 10.0.1.1",
        "10.0.1.0/24": "public via link",
    }


def test_overlapping_destinations_all_have_their_route() -> None:
    """The kernel takes the longest, as the seed's rules in order do."""
    routes = compiled(
        ("192.0.2.0/24", PUBLIC),
        ("192.0.2.0/25", PRIVATE),
        ("192.0.2.1", PUBLIC),
    )
    assert routes == {
        "192.0.2.0/24": "public via 10.0.1.1",
        "192.0.2.0/25": "private via 10.0.0.1",
        "192.0.2.1/32": "public via 10.0.1.1",
    }


def test_a_destination_given_twice_has_one_route() -> None:
    """The kernel refuses the second of two equal routes."""
    twice = [(network("192.0.2.1"), PRIVATE)] * 2
    assert len(compile_destinations(twice, TABLE)) == 1


def test_a_subnet_that_is_a_destination_itself_has_one_route() -> None:
    """A wider destination adds no second route to it."""
    pairs = [(network(to), PRIVATE) for to in ("10.0.0.0/8", "10.0.0.0/24")]
    targets = [route.to for _, route in compile_destinations(pairs, TABLE)]
    assert sorted(map(str, targets)) == ["10.0.0.0/24", "10.0.0.0/8"]


def test_the_order_of_the_destinations_does_not_matter() -> None:
    """Equal policies give equal files, so that nothing is reloaded."""
    pairs = [
        (network("10.0.0.0/8"), PRIVATE),
        (network("10.0.0.0/16"), PUBLIC),
        (network("192.0.2.1"), PRIVATE),
    ]
    one = compile_destinations(pairs, TABLE)
    assert one == compile_destinations(pairs[::-1], TABLE)


def test_the_source_of_an_exit_is_on_each_of_its_routes() -> None:
    """Also on the subnet that a wider destination adds."""
    exit_ = Exit(
        "many", PRIVATE.subnets, PRIVATE.gateway, address("10.0.0.10")
    )
    routes = compile_destinations([(network("10.0.0.0/8"), exit_)], TABLE)
    sources = {str(route.prefsrc) for _, route in routes}
    assert (len(routes), sources) == (2, {"10.0.0.10"})


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        pytest.param("10.0.0.0/8", "10.1.0.0/16", True, id="inside"),
        pytest.param("10.1.0.0/16", "10.0.0.0/8", False, id="wider"),
        pytest.param("10.0.0.0/8", "11.0.0.0/8", False, id="beside"),
        pytest.param("0.0.0.0/0", "0.0.0.0/0", True, id="everything"),
        pytest.param("::/0", "10.0.0.0/8", False, id="another family"),
        pytest.param("2001:db8::/32", "2001:db8:1::/48", True, id="IPv6"),
    ],
)
def test_contains_says_whether_one_prefix_holds_the_other(
    outer: str, inner: str, expected: bool
) -> None:
    """Never across families."""
    assert contains(network(outer), network(inner)) is expected


@given(prefixes, prefixes)
def test_contains_agrees_with_the_standard_library(
    outer: Network, inner: Network
) -> None:
    """subnet_of is the same question, asked at ten times the cost."""
    assert contains(outer, inner) == inner.subnet_of(outer)  # type: ignore[arg-type]


@given(st.lists(prefixes, unique=True), prefixes)
def test_the_longest_destination_covers(
    destinations: list[Network], inner: Network
) -> None:
    """Or none, where none holds the whole of it."""
    found = covering([(to, PRIVATE) for to in destinations], inner)
    holders = [to for to in destinations if contains(to, inner)]
    longest = max((to.prefixlen for to in holders), default=None)
    assert (found[0].prefixlen if found else None) == longest


def test_both_families_can_be_ordered_together() -> None:
    """Python refuses to compare them; the files need an order."""
    mixed = [network("::/0"), network("10.0.0.0/8"), network("10.0.0.0/16")]
    ordered = sorted(mixed, key=sort_key)
    assert list(map(str, ordered)) == ["10.0.0.0/8", "10.0.0.0/16", "::/0"]
