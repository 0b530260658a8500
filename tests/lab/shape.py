# SPDX-License-Identifier: Apache-2.0
"""What a simulated VPC looks like: subnets, ENIs and the world around them.

A shape is data only. The VPC (vpc.py), the metadata service (imds_server.py),
the virtual machine (vm.py) and the flows (flows.py) are all made from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Subnet:
    """A subnet, and where its route table sends what is not local.

    Attributes:
        cidr: IPv4; None for a subnet of IPv6 alone.
        default_via: "igw" (internet), "tgw" (company) or None.
        ipv6_cidr: a /64, the only size that EC2 has.
        more_ipv6_cidrs: further ones; the metadata has a list of them.
    """

    name: str
    subnet_id: str
    cidr: str | None
    default_via: str | None
    ipv6_cidr: str | None = None
    more_ipv6_cidrs: tuple[str, ...] = ()

    @property
    def ipv6_cidrs(self) -> tuple[str, ...]:
        """Its blocks of IPv6."""
        first = (self.ipv6_cidr,) if self.ipv6_cidr else ()
        return (*first, *self.more_ipv6_cidrs)

    @property
    def cidrs(self) -> tuple[str, ...]:
        """Its blocks of both families, IPv4 first."""
        return (*((self.cidr,) if self.cidr else ()), *self.ipv6_cidrs)


@dataclass(frozen=True)
class LabEni:
    """An ENI of the instance.

    Attributes:
        name: the lab's name for it; the tap is `tap-<name>`.
        ipv4s: private addresses, the primary one first; none in a subnet
            of IPv6 alone.
        public: private address -> public address (EIP).
        ipv6s: the first one is what DHCPv6 gives; they are global, so that
            there is no NAT for them.
        ipv6_prefixes: delegated ones, each a /80; the ENI needs an address
            of `ipv6s` beside them.
        at_boot: attached when the VM starts, not hot-plugged later.
        imds: keys to add to or override in its metadata (None removes).
    """

    name: str
    eni_id: str
    mac: str
    device_number: int
    subnet: str
    ipv4s: tuple[str, ...]
    network_card: int = 0
    public: dict[str, str] = field(default_factory=dict)
    ipv4_prefixes: tuple[str, ...] = ()
    ipv6s: tuple[str, ...] = ()
    ipv6_prefixes: tuple[str, ...] = ()
    at_boot: bool = True
    imds: dict[str, str | None] = field(default_factory=dict)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its own addresses of both families, IPv4 first."""
        return (*self.ipv4s, *self.ipv6s)

    @property
    def sources(self) -> tuple[str, ...]:
        """What its packets may come from: addresses and prefixes."""
        return (*self.addresses, *self.ipv4_prefixes, *self.ipv6_prefixes)


@dataclass(frozen=True)
class Shape:
    """One VPC with one instance in it.

    Attributes:
        both_sides: addresses that exist on the internet host *and* on the
            company host, each with servers that say which side answered:
            so "left by the right ENI" is a fact.
        internet, company: an address of each host that no policy names and
            that the other side does not have.
        internet_ipv6, company_ipv6: the same, where the shape has IPv6.
        vpc_ipv6_cidrs: the VPC's blocks beside those of its subnets.
        autonomous: names of subnets whose router lets hosts choose addresses
            of their own (the flag A), which no VPC's does.
        imds_ipv6: whether IMDS answers on [fd00:ec2::254] too, which on EC2
            has to be asked for (HttpProtocolIpv6).
    """

    subnets: tuple[Subnet, ...]
    enis: tuple[LabEni, ...]
    both_sides: tuple[str, ...]
    internet: str = "198.51.100.200"
    company: str = "10.64.0.10"
    internet_ipv6: str | None = None
    company_ipv6: str | None = None
    vpc_id: str = "vpc-0a1b2c3d4e5f60718"
    vpc_cidrs: tuple[str, ...] = ("10.224.184.0/22",)
    vpc_ipv6_cidrs: tuple[str, ...] = ()
    dns: str = "10.224.184.2"
    region: str = "us-east-1"
    domain: str = "ec2.internal"
    instance_id: str = "i-0123456789abcdef0"
    instance_type: str = "m6i.large"
    mtu: int = 9001
    autonomous: tuple[str, ...] = ()
    imds_ipv6: bool = False

    def subnet(self, name: str) -> Subnet:
        """Return the subnet of that name."""
        return next(item for item in self.subnets if item.name == name)

    def eni(self, name: str) -> LabEni:
        """Return the ENI of that name."""
        return next(item for item in self.enis if item.name == name)


POLICY = ("192.0.2.14", "198.51.100.42", "203.0.113.22")
UNNAMED = "203.0.113.99"

SEED = Shape(
    subnets=(
        Subnet(
            "private", "subnet-0aaaaaaaaaaaaaaa1", "10.224.184.0/26", "tgw"
        ),
        Subnet("public", "subnet-0bbbbbbbbbbbbbbb2", "10.224.186.0/26", "igw"),
    ),
    enis=(
        LabEni(
            "private",
            "eni-0000000000000000a",
            "0a:93:1b:88:fa:fb",
            0,
            "private",
            ("10.224.184.51",),
        ),
        LabEni(
            "public",
            "eni-0000000000000000b",
            "0a:c9:4e:3c:89:65",
            1,
            "public",
            ("10.224.186.43",),
            public={"10.224.186.43": "198.51.100.177"},
        ),
    ),
    both_sides=(*POLICY, UNNAMED),
)

# What can be attached to the seed's instance while it runs.
THIRD = LabEni(
    "third",
    "eni-0000000000000000c",
    "0a:11:22:33:44:55",
    2,
    "third",
    ("10.224.187.20",),
)
THIRD_SUBNET = Subnet(
    "third", "subnet-0ccccccccccccccc3", "10.224.187.0/26", "tgw"
)
WITH_THIRD = replace(
    SEED, subnets=(*SEED.subnets, THIRD_SUBNET), enis=(*SEED.enis, THIRD)
)

# No IPv4 at all: each subnet is of IPv6 alone.
SIX_POLICY = {"2001:db8:f::14": "back"}
SIX_UNNAMED = "2001:db8:f::99"
SIX = Shape(
    subnets=(
        Subnet(
            "front",
            "subnet-0eeeeeeeeeeeeeee1",
            None,
            "igw",
            "2001:db8:60:1::/64",
        ),
        Subnet(
            "back",
            "subnet-0eeeeeeeeeeeeeee2",
            None,
            "tgw",
            "2001:db8:60:2::/64",
        ),
    ),
    enis=(
        LabEni(
            "front",
            "eni-0e0000000000000001",
            "06:00:00:00:06:01",
            0,
            "front",
            (),
            ipv6s=("2001:db8:60:1::10", "2001:db8:60:1::11"),
            ipv6_prefixes=("2001:db8:60:1:c::/80",),
        ),
        LabEni(
            "back",
            "eni-0e0000000000000002",
            "06:00:00:00:06:02",
            1,
            "back",
            (),
            ipv6s=("2001:db8:60:2::20",),
        ),
    ),
    both_sides=(*SIX_POLICY, SIX_UNNAMED),
    internet_ipv6="2001:db8:e1::1",
    company_ipv6="2001:db8:e2::1",
    imds_ipv6=True,
)
