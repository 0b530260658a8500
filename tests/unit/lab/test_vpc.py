# SPDX-License-Identifier: Apache-2.0
"""What the simulated VPC is told to do, made from a shape alone."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address
from pathlib import Path

import pytest

from tests.lab.imds_tree import imds_tree, primary_eni
from tests.lab.netns import device_name
from tests.lab.shape import SEED, SIX, Subnet
from tests.lab.vpc_dns import dhcp_ports, dns_records, dnsmasq_config
from tests.lab.vpc_router import (
    gateway_ipv6,
    gateway_mac,
    services_ruleset,
    subnet_routes,
)
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
FRONT, BACK = SIX.enis
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


def test_arp_requests_can_be_shown_to_all() -> None:
    """The other checks stay, also those of ARP that is sent."""
    lines = eni_ruleset(SEED).splitlines()
    flooded = eni_ruleset(SEED, floods_arp=True).splitlines()
    missing = [line for line in lines if line not in flooded]
    assert len(SEED.enis) == len(missing)
    assert all("arp operation request" in line for line in missing)


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
        replace(SEED.subnets[0], ipv6_cidr="2001:db8:1::/64"),
        SEED.subnets[1],
    )
    eni = replace(PRIVATE, ipv6s=("2001:db8:1::5", "2001:db8:1::6"))
    lines = dnsmasq_config(
        replace(SEED, subnets=subnets, enis=(eni, PUBLIC)), LEASES
    ).splitlines()
    assert "enable-ra" in lines
    assert "dhcp-range=2001:db8:1::,static,64,1h" in lines
    assert (
        f"dhcp-host={eni.mac},10.224.184.51,[2001:db8:1::5],"
        "ip-10-224-184-51,1h"
    ) in lines


def test_the_resolver_knows_no_instance_data() -> None:
    """A name that cloud-init asks for and that must not exist."""
    names = dns_records(SEED)
    assert names["ip-10-224-186-43.ec2.internal"] == ("10.224.186.43",)
    assert not [name for name in names if "instance-data" in name]
    assert "address=/#/" in dnsmasq_config(SEED, LEASES)


def test_metadata_of_ipv6_and_prefixes() -> None:
    """They are there where the shape has them, and not where it has not."""
    subnet = Subnet("six", "subnet-6", "10.224.187.0/26", None,
                    ipv6_cidr="2001:db8:1:a::/64")  # fmt: skip
    eni = replace(
        PUBLIC,
        subnet="six",
        ipv6s=("2001:db8:1:a::5", "2001:db8:1:a::6"),
        ipv4_prefixes=("10.224.187.16/28",),
    )
    shape = replace(SEED, subnets=(*SEED.subnets, subnet), enis=(PRIVATE, eni))
    macs = imds_tree(shape)["meta-data"]["network"]["interfaces"]["macs"]
    seen = macs[eni.mac]
    assert seen["ipv6s"] == "2001:db8:1:a::5\n2001:db8:1:a::6"
    assert seen["subnet-ipv6-cidr-blocks"] == "2001:db8:1:a::/64"
    assert seen["vpc-ipv6-cidr-blocks"] == "2001:db8:1::/56"
    assert seen["ipv4-prefix"] == "10.224.187.16/28"
    assert not [key for key in macs[PRIVATE.mac] if "ipv6" in key]
    more = imds_tree(replace(shape, vpc_ipv6_cidrs=("2001:db8:2::/56",)))
    seen = more["meta-data"]["network"]["interfaces"]["macs"][eni.mac]
    assert seen["vpc-ipv6-cidr-blocks"] == "2001:db8:1::/56\n2001:db8:2::/56"


def test_a_subnet_may_have_several_blocks_of_ipv6() -> None:
    """In the metadata, at the router, in what it advertises."""
    more = ("2001:db8:2::/64",)
    subnet = Subnet("six", "subnet-6", "10.224.187.0/26", None,
                    "2001:db8:1:a::/64", more)  # fmt: skip
    eni = replace(PUBLIC, subnet="six", ipv6s=("2001:db8:2::5",))
    shape = replace(SEED, subnets=(*SEED.subnets, subnet), enis=(PRIVATE, eni))
    macs = imds_tree(shape)["meta-data"]["network"]["interfaces"]["macs"]
    seen = macs[eni.mac]
    assert seen["subnet-ipv6-cidr-blocks"].split() == [
        "2001:db8:1:a::/64",
        *more,
    ]
    assert seen["vpc-ipv6-cidr-blocks"].split() == [
        "2001:db8:1::/56",
        "2001:db8:2::/56",
    ]
    assert [
        "dhcp-range=2001:db8:1:a::,static,64,1h",
        "dhcp-range=2001:db8:2::,static,64,1h",
    ] == [
        line
        for line in dnsmasq_config(shape, LEASES).splitlines()
        if line.startswith("dhcp-range=2001:")
    ]


def test_metadata_without_any_ipv4() -> None:
    """Keys of IPv4 are not listed; the VPC has its blocks all the same."""
    tree = imds_tree(SIX)["meta-data"]
    macs = tree["network"]["interfaces"]["macs"]
    expected = {
        "local-hostname": f"{SIX.instance_id}.{SIX.domain}",
        "ipv6s": "2001:db8:60:1::10\n2001:db8:60:1::11",
        "ipv6-prefix": "2001:db8:60:1:c::/80",
        "subnet-ipv6-cidr-blocks": "2001:db8:60:1::/64",
        "vpc-ipv6-cidr-blocks": "2001:db8:60::/56",
        "vpc-ipv4-cidr-blocks": "10.224.184.0/22",
    }
    seen = macs[FRONT.mac]
    assert expected == {key: seen.get(key) for key in expected}
    for key in ("local-ipv4s", "subnet-ipv4-cidr-block", "public-ipv4s"):
        assert key not in seen
    assert "local-ipv4" not in tree
    assert tree["ipv6"] == "2001:db8:60:1::10"


def test_an_eni_of_ipv6_alone_may_use_no_ipv4_at_all() -> None:
    """But it may ask for some; its prefix is a source of its own."""
    text = eni_ruleset(SIX)
    drop = f"counter name {counter_name('src', BACK.mac)} drop"
    assert f'iifname "tap-back" ether type ip  {drop}' in text
    assert (
        "ip6 saddr != { ::, fe80::/10, 2001:db8:60:1::10,"
        " 2001:db8:60:1::11, 2001:db8:60:1:c::/80 }"
    ) in text
    assert "{  }" not in text


def test_neighbours_are_asked_and_answer_for_their_own() -> None:
    """One match for each address and for link-local ones, then a drop."""
    lines = [it.strip() for it in eni_ruleset(SIX).splitlines()]
    own = f"== {int(IPv6Address(BACK.ipv6s[0])):#034x} accept"
    for way, kind in (("iif", "advert"), ("oif", "solicit")):
        match = f'{way}name "tap-back" icmpv6 type nd-neighbor-{kind}'
        found = [it for it in lines if it.startswith(match)]
        assert len(found) == 3
        assert found[1].endswith(own)
        assert found[2].endswith("drop")


def test_imds_is_deaf_over_ipv6_unless_enabled() -> None:
    """As on EC2, where HttpProtocolIpv6 is off by default."""
    assert "ip6 daddr fd00:ec2::254 drop" in services_ruleset(SEED)
    assert "drop" not in services_ruleset(SIX)


def test_the_router_has_a_link_local_address_in_each_subnet() -> None:
    """It follows from its MAC there (RFC 4291, appendix A)."""
    found = {gateway_ipv6(subnet) for subnet in SIX.subnets}
    assert len(found) == 2
    assert all(it.startswith("fe80::") for it in found)
    mac = gateway_mac(SIX.subnets[0]).split(":")
    assert gateway_ipv6(SIX.subnets[0]) == str(
        IPv6Address(f"fe80::00{mac[1]}:{mac[2]}ff:fe{mac[3]}:{mac[4]}{mac[5]}")
    )


def test_a_subnet_of_ipv6_alone_has_no_ipv4_routes_of_its_own() -> None:
    """Only the last resort, so that nothing leaks to another subnet."""
    front, _ = SIX.subnets
    lines = list(subnet_routes(front, SIX.subnets, transfer_nets(SIX)))
    assert "2001:db8:60:2::/64 dev gw-back" in lines
    assert "::/0 via fe80::2 dev igw" in lines
    assert [it for it in lines if "." in it] == [
        "unreachable 0.0.0.0/0 metric 9999"
    ]


def test_dhcp_of_ipv6_alone() -> None:
    """No range and no name of IPv4, and no port for it."""
    lines = dnsmasq_config(SIX, LEASES).splitlines()
    assert [it for it in lines if it.startswith(("dhcp-host", "dhcp-ra"))] == [
        "dhcp-range=2001:db8:60:1::,static,64,1h",
        "dhcp-range=2001:db8:60:2::,static,64,1h",
        f"dhcp-host={FRONT.mac},[2001:db8:60:1::10],1h",
        f"dhcp-host={BACK.mac},[2001:db8:60:2::20],1h",
    ]
    assert "listen-address=fd00:ec2::253" in lines
    assert (547,) == dhcp_ports(SIX)
    assert (67,) == dhcp_ports(SEED)


def test_names_have_addresses_of_both_families() -> None:
    """The far hosts, and the instance by its resource name."""
    names = dns_records(SIX)
    assert names["internet.example.test"] == (
        "198.51.100.200",
        "2001:db8:e1::1",
    )
    assert names[f"{SIX.instance_id}.{SIX.domain}"] == (FRONT.ipv6s[0],)


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
    assert dict(prefix_routes(SIX)) == {
        "2001:db8:60:1:c::/80": (
            "2001:db8:60:1:c::/80 via 2001:db8:60:1::10 dev gw-front"
        )
    }
