# SPDX-License-Identifier: Apache-2.0
"""Instances with both families, with IPv6 alone, and with one on each ENI.

private, twin   one subnet, both families, two      tgw
                blocks of IPv6; twin has an
                address of each
public          both families, two IPv6 addresses   igw
                and a delegated /80
plain           IPv4 alone                          tgw
"""

from __future__ import annotations

from dataclasses import replace

from tests.lab.shape import (
    POLICY,
    SEED,
    SIX,
    SIX_POLICY,
    SIX_UNNAMED,
    UNNAMED,
    LabEni,
    Subnet,
)
from tests.lab.user_data import Intent

PRIVATE, PUBLIC = SEED.enis
PREFIX = "2001:db8:60:1:c::/80"
CONTAINER = "2001:db8:60:1:c::7"
TWIN = LabEni(
    "twin",
    "eni-0e0000000000000003",
    "06:00:00:00:06:03",
    2,
    "private",
    ("10.224.184.60",),
    # The second one is of another block.
    ipv6s=("2001:db8:60:2::60", "2001:db8:61::60"),
)
PLAIN = LabEni(
    "plain",
    "eni-0e0000000000000004",
    "06:00:00:00:06:04",
    3,
    "plain",
    ("10.224.187.7",),
)
DUAL = Intent(
    shape=replace(
        SEED,
        subnets=(
            replace(
                SEED.subnets[0],
                ipv6_cidr="2001:db8:60:2::/64",
                more_ipv6_cidrs=("2001:db8:61::/64",),
            ),
            replace(SEED.subnets[1], ipv6_cidr="2001:db8:60:1::/64"),
            Subnet(
                "plain", "subnet-0eeeeeeeeeeeeeee3", "10.224.187.0/26", "tgw"
            ),
        ),
        enis=(
            replace(PRIVATE, ipv6s=("2001:db8:60:2::51",)),
            replace(
                PUBLIC,
                ipv6s=("2001:db8:60:1::43", "2001:db8:60:1::44"),
                ipv6_prefixes=(PREFIX,),
            ),
            TWIN,
            PLAIN,
        ),
        both_sides=(*SEED.both_sides, *SIX.both_sides),
        internet_ipv6=SIX.internet_ipv6,
        company_ipv6=SIX.company_ipv6,
        imds_ipv6=True,
    ),
    tables={"private": 10, "public": 20, "twin": 30, "plain": 40},
    default="public",
    policy={
        **dict.fromkeys(POLICY, "private"),
        **dict.fromkeys(SIX_POLICY, "twin"),
    },
    unnamed=UNNAMED,
    unnamed_ipv6=SIX_UNNAMED,
)
ONLY = Intent(
    shape=SIX,
    tables={"front": 10, "back": 20},
    default="front",
    policy=SIX_POLICY,
    unnamed=SIX_UNNAMED,
)
# The primary has IPv6 alone, and the other one IPv4 alone: each holds main's
# default route of its family, also where nobody is named.
BESIDE = Intent(
    shape=replace(
        SIX,
        subnets=(SIX.subnets[0], SEED.subnets[1]),
        enis=(SIX.enis[0], PUBLIC),
        both_sides=(*SEED.both_sides, *SIX.both_sides),
        vpc_cidrs=SEED.vpc_cidrs,
        dns=SEED.dns,
    ),
    tables={"front": 10, "public": 20},
    default="public",
    policy=dict.fromkeys(POLICY, "public"),
    unnamed=UNNAMED,
)
