# SPDX-License-Identifier: Apache-2.0
"""What the simulated VPC is told to do, made from a shape alone."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from tests.lab.imds_tree import imds_tree, primary_eni
from tests.lab.netns import device_name
from tests.lab.shape import SEED, Subnet
from tests.lab.vpc_dns import dns_records, dnsmasq_config
from tests.lab.vpc_rules import (
    Drops,
    counter_name,
    drops_at,
    eni_ruleset,
    igw_ruleset,
    prefix_routes,
    tap_name,
    transfer_nets,
)

PRIVATE, PUBLIC = SEED.enis
LEASES = Path("leases")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("public", "tap-public", id="short"),
        pytest.param("elevenbytes", "tap-elevenbytes", id="just-fits"),
    ],
)
def test_a_device_is_named_after_its_eni(name: str, expected: str) -> None:
    """As it is, where the kernel takes it."""
    assert expected == tap_name(replace(PRIVATE, name=name))


def test_long_names_stay_apart() -> None:
    """Names that begin alike must not become one device."""
    names = {device_name("tap", f"a-very-long-name-{n}") for n in range(50)}
    assert len(names) == 50
    assert {len(name) for name in names} == {15}


def test_each_eni_may_use_its_own_addresses_only() -> None:
    """The source check knows MAC, addresses and prefixes of the ENI."""
    prefixed = replace(PRIVATE, ipv4_prefixes=("10.224.184.32/28",))
    text = eni_ruleset(replace(SEED, enis=(prefixed, PUBLIC)))
    counter = counter_name("src", PRIVATE.mac)
    assert (
        'iifname "tap-private" ether type ip ip saddr !='
        f" {{ 10.224.184.51, 10.224.184.32/28 }} counter name {counter} drop"
    ) in text
    assert f'iifname "tap-public" ether saddr != {PUBLIC.mac}' in text


def test_loading_the_rules_again_keeps_the_counters() -> None:
    """The table is flushed, which spares counters, and never deleted."""
    text = eni_ruleset(SEED)
    assert text.index("flush table bridge eni") < text.index("counter src_")
    assert "delete" not in text


def test_the_internet_gateway_knows_public_addresses_only() -> None:
    """1:1 both ways; a shape without public addresses lets nothing out."""
    text = igw_ruleset(SEED)
    assert "ip daddr 198.51.100.177 dnat to 10.224.186.43" in text
    assert "ip saddr 10.224.186.43 snat to 198.51.100.177" in text
    bare = replace(SEED, enis=(PRIVATE, replace(PUBLIC, public={})))
    assert "nat to" not in igw_ruleset(bare)
    assert "ip saddr != { 0.0.0.0 }" in igw_ruleset(bare)


def test_transfer_networks_avoid_the_shape() -> None:
    """Whatever a shape uses, also a whole pool, is not taken."""
    assert transfer_nets(SEED) == (
        IPv4Network("198.18.0.0/30"),
        IPv4Network("198.18.0.4/30"),
    )
    shape = replace(SEED, internet="198.18.0.1", company="198.18.0.9")
    assert transfer_nets(shape)[1] == IPv4Network("198.18.0.12/30")
    shape = replace(SEED, vpc_cidrs=("198.18.0.0/15", "100.64.0.0/10"))
    assert transfer_nets(shape)[0] == IPv4Network("172.31.0.0/30")


def test_drops_are_those_of_the_eni_since_the_reset() -> None:
    """Counters of other ENIs do not count, missing ones are 0."""
    counts = {counter_name("src", PUBLIC.mac): 5, "arp_000000000000": 9}
    assert drops_at(counts, PUBLIC.mac) == Drops(src=5)
    assert Drops(5, 1, 2) - Drops(3, 1, 0) == Drops(2, 0, 2)


def test_dhcp_gives_primary_addresses_by_mac() -> None:
    """Secondary addresses are for IMDS to tell."""
    more = replace(PRIVATE, ipv4s=("10.224.184.51", "10.224.184.52"))
    lines = dnsmasq_config(
        replace(SEED, enis=(more, PUBLIC)), LEASES
    ).splitlines()
    assert [line for line in lines if line.startswith("dhcp-host")] == [
        f"dhcp-host={PRIVATE.mac},10.224.184.51,ip-10-224-184-51,1h",
        f"dhcp-host={PUBLIC.mac},10.224.186.43,ip-10-224-186-43,1h",
    ]
    assert f"dhcp-option=option:dns-server,{SEED.dns}" in lines
    assert "enable-ra" not in lines


def test_ipv6_is_advertised_where_there_is_some() -> None:
    """Only subnets with IPv6; a host's line bears both families."""
    subnets = (
        replace(SEED.subnets[0], ipv6_cidr="2600:1f18:1::/64"),
        SEED.subnets[1],
    )
    eni = replace(PRIVATE, ipv6s=("2600:1f18:1::5", "2600:1f18:1::6"))
    lines = dnsmasq_config(
        replace(SEED, subnets=subnets, enis=(eni, PUBLIC)), LEASES
    ).splitlines()
    assert "enable-ra" in lines
    assert "dhcp-range=2600:1f18:1::,static,64,1h" in lines
    assert (
        f"dhcp-host={eni.mac},10.224.184.51,[2600:1f18:1::5],"
        "ip-10-224-184-51,1h"
    ) in lines


def test_the_resolver_knows_no_instance_data() -> None:
    """A name that cloud-init asks for and that must not exist."""
    names = dns_records(SEED)
    assert names["ip-10-224-186-43.ec2.internal"] == "10.224.186.43"
    assert not [name for name in names if "instance-data" in name]
    assert "address=/#/" in dnsmasq_config(SEED, LEASES)


def test_metadata_of_ipv6_and_prefixes() -> None:
    """They are there where the shape has them, and not where it has not."""
    subnet = Subnet("six", "subnet-6", "10.224.187.0/26", None,
                    ipv6_cidr="2600:1f18:1:a::/64")  # fmt: skip
    eni = replace(
        PUBLIC,
        subnet="six",
        ipv6s=("2600:1f18:1:a::5", "2600:1f18:1:a::6"),
        ipv4_prefixes=("10.224.187.16/28",),
    )
    shape = replace(SEED, subnets=(*SEED.subnets, subnet), enis=(PRIVATE, eni))
    macs = imds_tree(shape)["meta-data"]["network"]["interfaces"]["macs"]
    seen = macs[eni.mac]
    assert seen["ipv6s"] == "2600:1f18:1:a::5\n2600:1f18:1:a::6"
    assert seen["subnet-ipv6-cidr-blocks"] == "2600:1f18:1:a::/64"
    assert seen["vpc-ipv6-cidr-blocks"] == "2600:1f18:1::/56"
    assert seen["ipv4-prefix"] == "10.224.187.16/28"
    assert not [key for key in macs[PRIVATE.mac] if "ipv6" in key]


def test_the_primary_eni_is_device_0_on_card_0() -> None:
    """A second card has a device 0 too; without a primary there is none."""
    carded = replace(PUBLIC, device_number=0, network_card=1)
    assert primary_eni(replace(SEED, enis=(carded, PRIVATE))) == PRIVATE
    with pytest.raises(ValueError, match="device_number 0 on card 0"):
        primary_eni(replace(SEED, enis=(PUBLIC,)))


def test_a_delegated_prefix_is_routed_to_its_eni() -> None:
    """By its primary address: nobody answers ARP for the prefix."""
    prefixed = replace(PUBLIC, ipv4_prefixes=("10.224.186.32/28",))
    shape = replace(SEED, enis=(PRIVATE, prefixed))
    assert dict(prefix_routes(shape)) == {
        "10.224.186.32/28": (
            "10.224.186.32/28 via 10.224.186.43 dev gw-public"
        )
    }
