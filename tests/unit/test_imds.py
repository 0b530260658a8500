# SPDX-License-Identifier: Apache-2.0
"""What is read of the metadata, and what it means."""

from __future__ import annotations

import logging
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from cc_multihome.model import Eni
from tests.unit.imds_read import IPV6, RECORD, Clock, places, read
from tests.unit.imds_stub import (
    PRIMARY,
    SECONDARY,
    THIRD,
    Stub,
    eni_keys,
    first,
)


def test_every_needed_key_of_an_eni_arrives_as_a_value(stub: Stub) -> None:
    """Addresses in IMDS's order, the primary one first."""
    stub.put_eni(
        SECONDARY,
        eni_keys(
            1,
            network_card="2",
            ipv4_prefix="10.0.1.32/28\n10.0.1.48/28",
            ipv6_prefix="2001:db8:0:1:5::/80",
            **IPV6,
        ),
    )
    expected = Eni(
        mac=SECONDARY,
        eni_id="eni-0001",
        device_number=1,
        network_card=2,
        subnet_id="subnet-0001",
        is_primary=False,
        local_ipv4s=(IPv4Address("10.0.1.10"), IPv4Address("10.0.1.9")),
        subnet_ipv4s=(IPv4Network("10.0.1.0/24"),),
        vpc_ipv4s=(IPv4Network("10.0.0.0/16"), IPv4Network("100.64.0.0/16")),
        ipv4_prefixes=(
            IPv4Network("10.0.1.32/28"),
            IPv4Network("10.0.1.48/28"),
        ),
        ipv6s=(IPv6Address("2001:db8:0:1::10"),),
        subnet_ipv6s=(IPv6Network("2001:db8:0:1::/64"),),
        vpc_ipv6s=(IPv6Network("2001:db8::/56"),),
        ipv6_prefixes=(IPv6Network("2001:db8:0:1:5::/80"),),
    )
    instance = read(stub.url)
    assert instance.enis[1] == expected
    assert instance.instance_id == "i-0123456789abcdef0"
    assert instance.search == ("corp.example",)
    assert instance.enis[0].is_primary


def test_enis_come_in_order_of_attachment_not_of_the_listing(
    stub: Stub,
) -> None:
    """IMDS lists by MAC, which says nothing about the order."""
    stub.put_eni("02:00:00:00:00:09", eni_keys(3))
    stub.put_eni(THIRD, eni_keys(1, network_card="1"))
    stub.put_eni(SECONDARY, eni_keys(2))
    assert places(read(stub.url)) == [
        (0, 0, PRIMARY),
        (0, 2, SECONDARY),
        (0, 3, "02:00:00:00:00:09"),
        (1, 1, THIRD),
    ]


def test_only_keys_that_are_listed_and_needed_are_asked_for(
    stub: Stub,
) -> None:
    """IMDS drops what comes too fast: ask for little."""
    read(stub.url)
    asked = {
        request.removeprefix(RECORD)
        for request in stub.seen
        if request.startswith(RECORD)
    }
    needed = set(eni_keys(1)) - {
        "local-hostname",
        "ipv4-associations/198.51.100.7",
    }
    assert asked == {"", *needed}
    assert all(stub.count(RECORD + key) == 1 for key in asked)


def test_a_record_is_listed_before_its_keys_are_asked_for(
    stub: Stub,
) -> None:
    """Only the listing tells absent from not ready."""
    read(stub.url)
    record = [seen for seen in stub.seen if seen.startswith(RECORD)]
    assert record[0] == RECORD


def test_a_network_card_that_is_not_listed_is_card_0(stub: Stub) -> None:
    """Most instance types have one card and do not say so."""
    stub.put_eni(SECONDARY, eni_keys(1, network_card=None))
    assert read(stub.url).enis[1].network_card == 0


def test_macs_are_compared_in_lower_case(stub: Stub) -> None:
    """The key `mac` and the listing may differ in case."""
    stub.leaves["mac"] = PRIMARY.upper()
    stub.drop_eni(SECONDARY)
    stub.put_eni(SECONDARY.upper(), eni_keys(1))
    instance = read(stub.url)
    assert [eni.mac for eni in instance.enis] == [PRIMARY, SECONDARY]
    assert [eni.is_primary for eni in instance.enis] == [True, False]


def test_an_eni_in_an_ipv6_only_subnet_is_complete(stub: Stub) -> None:
    """No IPv4 key is listed there."""
    no_ipv4 = {
        "local_ipv4s": None,
        "subnet_ipv4_cidr_block": None,
        "vpc_ipv4_cidr_blocks": None,
    }
    stub.put_eni(SECONDARY, eni_keys(1, **no_ipv4, **IPV6))
    eni = read(stub.url).enis[1]
    assert eni.local_ipv4s == eni.subnet_ipv4s == ()
    assert eni.ipv6s == (IPv6Address("2001:db8:0:1::10"),)
    assert stub.count(RECORD) == 1


def test_an_eni_without_ipv6_in_a_dual_stack_subnet_is_complete(
    stub: Stub,
) -> None:
    """The subnet's IPv6 block is listed, an address is optional."""
    stub.put_eni(SECONDARY, eni_keys(1, **{**IPV6, "ipv6s": None}))
    eni = read(stub.url).enis[1]
    assert eni.ipv6s == ()
    assert eni.subnet_ipv6s == (IPv6Network("2001:db8:0:1::/64"),)
    assert stub.count(RECORD) == 1


@pytest.mark.parametrize("subnet", ["10.0.1.0/24", None])
def test_an_efa_only_interface_is_taken_after_a_while(
    stub: Stub, caplog: pytest.LogCaptureFixture, subnet: str | None
) -> None:
    """It lists no address, for ever; a new ENI does so for a moment."""
    caplog.set_level(logging.INFO)
    keys = eni_keys(1, local_ipv4s=None, subnet_ipv4_cidr_block=subnet)
    stub.put_eni(SECONDARY, keys)
    clock = Clock()
    instance = read(stub.url, settle_s=0.3, clock=clock, sleep=clock.sleep)
    assert clock.now >= 0.3
    assert places(instance)[1] == (0, 1, SECONDARY)
    assert instance.enis[1].local_ipv4s == ()
    assert stub.count(RECORD) > 1
    assert "eni-0001" in caplog.text


def test_an_address_that_comes_late_is_waited_for(stub: Stub) -> None:
    """A hot-plugged ENI is no EFA-only interface."""
    late = eni_keys(1, local_ipv4s=None)
    stub.put_eni(SECONDARY, late)
    stub.fail(
        RECORD,
        first(lambda: None),
        first(lambda: stub.put_eni(SECONDARY, eni_keys(1))),
    )
    assert len(read(stub.url, settle_s=1.0).enis[1].local_ipv4s) == 2
    assert stub.count(RECORD) == 2


@pytest.mark.parametrize(
    ("hostname", "search"),
    [
        (None, ()),
        ("", ()),
        ("ip-10-0-0-10", ()),
        ("ip-10-0-0-10.", ()),
        ("ip-10-0-0-10.ec2.internal", ("ec2.internal",)),
        ("i-0.us-west-2.compute.internal.", ("us-west-2.compute.internal",)),
        ("h.a.example b.example c", ("a.example", "b.example", "c")),
        ("h a.example a.example", ("a.example",)),
        ("h._tcp.x-y.example\n", ("_tcp.x-y.example",)),
    ],
)
def test_search_domains_follow_the_first_label(
    stub: Stub, hostname: str | None, search: tuple[str, ...]
) -> None:
    """DHCP option 15 may hold several names; the host's own goes."""
    del stub.leaves["local-hostname"]
    if hostname is not None:
        stub.leaves["local-hostname"] = hostname
    assert read(stub.url).search == search
