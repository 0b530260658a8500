# SPDX-License-Identifier: Apache-2.0
"""A short look at the metadata: cheap, and never fooled."""

from __future__ import annotations

import pytest

from cc_multihome.discover.imds_tree import instance_from_tree, tree_of
from cc_multihome.errors import ImdsError
from cc_multihome.model import Instance
from tests.unit.imds_read import IPV6, read
from tests.unit.imds_stub import (
    MACS,
    PRIMARY,
    SECONDARY,
    THIRD,
    Stub,
    answer,
    eni_keys,
)


def with_enis(stub: Stub, count: int, **changes: str) -> None:
    """Serve so many ENIs."""
    for number in range(count):
        mac = f"0a:00:00:00:00:{number + 1:02x}"
        stub.put_eni(mac, eni_keys(number, **changes))


def looked(stub: Stub, seen: Instance) -> tuple[bool, int]:
    """Look; say whether that was all, and how many requests it took."""
    before = len(stub.seen)
    found = read(stub.url, seen=seen)
    return found is seen, len(stub.seen) - before


@pytest.mark.parametrize(
    ("count", "changes", "full", "short"),
    [
        pytest.param(2, {}, 22, 8, id="two ENIs"),
        pytest.param(15, {}, 126, 34, id="15 ENIs"),
        pytest.param(2, IPV6, 28, 13, id="two with IPv6"),
        pytest.param(
            15, {"ipv4_prefix": "10.1.0.0/28"}, 141, 49, id="15 with prefixes"
        ),
    ],
)
def test_how_many_requests_it_takes(
    stub: Stub, count: int, changes: dict[str, str], full: int, short: int
) -> None:
    """docs/how-it-works.md has these numbers."""
    with_enis(stub, count, **changes)
    seen = read(stub.url)
    assert full == len(stub.seen)
    connections = stub.connections
    assert (True, short) == looked(stub, seen)
    assert connections + 1 == stub.connections
    # As it is after it was kept as JSON.
    assert looked(stub, instance_from_tree(tree_of(seen)))[0]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"local_ipv4s": "10.0.1.10"}, id="an address less"),
        pytest.param(
            {"local_ipv4s": "10.0.1.10\n10.0.1.9\n10.0.1.8"}, id="one more"
        ),
        pytest.param(
            {"local_ipv4s": "10.0.1.9\n10.0.1.10"}, id="another first"
        ),
        pytest.param({"ipv4_prefix": "10.0.1.32/28"}, id="a prefix"),
        pytest.param(IPV6, id="IPv6"),
        pytest.param(
            {"subnet_ipv6_cidr_blocks": "2001:db8:0:1::/64"},
            id="the subnet gets IPv6",
        ),
    ],
)
def test_what_changed_is_read_in_full(
    stub: Stub, changes: dict[str, str]
) -> None:
    """On one ENI, to and fro."""
    seen = read(stub.url)
    stub.put_eni(SECONDARY, eni_keys(1, **changes))
    changed = read(stub.url, seen=seen)
    assert changed == read(stub.url) != seen
    stub.leaves = {
        path: text
        for path, text in stub.leaves.items()
        if not path.startswith(f"{MACS}{SECONDARY}")
    }
    stub.put_eni(SECONDARY, eni_keys(1))
    assert read(stub.url, seen=changed) == seen


def test_an_eni_that_came_and_one_that_went(stub: Stub) -> None:
    """Both are in the first listing."""
    seen = read(stub.url)
    stub.put_eni(THIRD, eni_keys(2))
    three = read(stub.url, seen=seen)
    assert [it.device_number for it in three.enis] == [0, 1, 2]
    assert looked(stub, three)[0]
    for path in [it for it in stub.leaves if THIRD in it]:
        del stub.leaves[path]
    assert read(stub.url, seen=three) == seen


def test_a_block_that_the_vpc_got_is_seen(stub: Stub) -> None:
    """It is asked for at one ENI of each VPC alone."""
    seen = read(stub.url)
    more = "10.0.0.0/16\n100.64.0.0/16\n100.65.0.0/16"
    with_enis(stub, 2, vpc_ipv4_cidr_blocks=more)
    assert read(stub.url, seen=seen) != seen


def test_another_search_domain_is_seen(stub: Stub) -> None:
    """Of `local-hostname`."""
    seen = read(stub.url)
    stub.leaves["local-hostname"] = "ip-10-0-0-10.other.example"
    assert ("other.example",) == read(stub.url, seen=seen).search


def test_another_instances_record_is_of_no_use(stub: Stub) -> None:
    """Its MACs are others."""
    stub.put_eni(THIRD, eni_keys(2))
    seen = read(stub.url)
    for path in [it for it in stub.leaves if THIRD in it]:
        del stub.leaves[path]
    assert not looked(stub, seen)[0]


def test_a_refusal_is_an_error_as_in_a_full_read(stub: Stub) -> None:
    """And never "as before"."""
    seen = read(stub.url)
    stub.for_ever[f"GET {MACS}{PRIMARY}/local-ipv4s"] = answer(403)
    with pytest.raises(ImdsError, match="403"):
        read(stub.url, seen=seen)
