# SPDX-License-Identifier: Apache-2.0
"""The shapes that the matrix and the VM tests boot, each with its intent.

Here, and nowhere else, so that a shape means the same to everybody.
"""

from __future__ import annotations

from tests.lab.shape import POLICY, SEED, UNNAMED, LabEni, Shape, Subnet
from tests.lab.shapes_ipv6 import DUAL, ONLY
from tests.lab.user_data import SEED_INTENT, Intent

ALL_SIDES = ("192.0.2.200", "203.0.113.5", "203.0.113.77")

# The seed's host, the other way round: the company's side by default.
PRIMARY = Intent(
    shape=SEED,
    tables={"private": 10, "public": 20},
    default="private",
    policy=dict.fromkeys(POLICY, "public"),
    unnamed=UNNAMED,
)

# Two ENIs in one subnet and nothing else; the secondary is the default.
SAME_SUBNET = Intent(
    shape=Shape(
        subnets=(
            Subnet("one", "subnet-0e000000000000001", "10.40.0.0/24", "igw"),
        ),
        enis=(
            LabEni(
                "left",
                "eni-0e0000000000000001",
                "06:30:20:30:40:01",
                0,
                "one",
                ("10.40.0.10", "10.40.0.12"),
                public={
                    "10.40.0.10": "198.51.100.90",
                    "10.40.0.12": "198.51.100.92",
                },
            ),
            LabEni(
                "right",
                "eni-0e0000000000000002",
                "06:30:20:30:40:02",
                1,
                "one",
                ("10.40.0.11",),
                public={"10.40.0.11": "198.51.100.91"},
            ),
        ),
        both_sides=ALL_SIDES,
        vpc_cidrs=("10.40.0.0/16",),
        dns="10.40.0.2",
        instance_id="i-0e00000000000cafe",
    ),
    tables={"left": 10, "right": 20},
    default="right",
    policy={"192.0.2.200": "left"},
    unnamed="203.0.113.77",
)

# The primary is public and holds the default; a second network card, whose
# ENI has the device number of another; those two share a company subnet; a
# secondary address with a public one each; an EFA-only interface.
COLLECTOR = Intent(
    shape=Shape(
        subnets=(
            Subnet("dmz", "subnet-0c000000000000001", "172.31.16.0/20", "igw"),
            Subnet(
                "core", "subnet-0c000000000000002", "10.77.8.128/25", "tgw"
            ),
        ),
        enis=(
            LabEni(
                "edge",
                "eni-0c0000000000000001",
                "06:10:20:30:40:01",
                0,
                "dmz",
                ("172.31.20.9", "172.31.20.77"),
                public={
                    "172.31.20.9": "198.51.100.80",
                    "172.31.20.77": "198.51.100.81",
                },
            ),
            LabEni(
                "mgmt",
                "eni-0c0000000000000002",
                "06:10:20:30:40:02",
                1,
                "core",
                ("10.77.8.140",),
            ),
            LabEni(
                "flows",
                "eni-0c0000000000000003",
                "06:10:20:30:40:03",
                1,
                "core",
                ("10.77.8.150",),
                network_card=1,
            ),
            # EFA-only: in the metadata, without an address, and no device
            # of the network on the host.
            LabEni(
                "efa",
                "eni-0c0000000000000004",
                "06:10:20:30:40:04",
                2,
                "core",
                (),
                network_card=1,
                at_boot=False,
            ),
        ),
        both_sides=ALL_SIDES,
        vpc_cidrs=("172.31.0.0/16", "10.77.8.0/24"),
        dns="172.31.0.2",
        region="eu-west-1",
        domain="eu-west-1.compute.internal",
        instance_id="i-0c00000000000cafe",
    ),
    tables={"edge": 100, "mgmt": 2147483647, "flows": 77},
    default="edge",
    policy={"192.0.2.200": "flows", "203.0.113.5": "mgmt"},
    unnamed="203.0.113.77",
)

# `app` has its subnet to itself and more addresses than have rules of their
# own; `web` has two public addresses; `east` and `west` share a subnet, many
# addresses each. app and west have a delegated prefix.
APP_PREFIX, WEST_PREFIX = "10.30.0.64/28", "10.30.8.96/28"
CROWDED = Intent(
    shape=Shape(
        subnets=(
            Subnet("app", "subnet-0d000000000000001", "10.30.0.0/24", "tgw"),
            Subnet("web", "subnet-0d000000000000002", "10.30.4.0/24", "igw"),
            Subnet("both", "subnet-0d000000000000003", "10.30.8.0/24", "tgw"),
        ),
        enis=(
            LabEni(
                "app",
                "eni-0d0000000000000001",
                "06:20:20:30:40:01",
                0,
                "app",
                # The primary address is not the lowest one.
                ("10.30.0.50", *(f"10.30.0.{it}" for it in range(20, 26))),
                ipv4_prefixes=(APP_PREFIX,),
            ),
            LabEni(
                "web",
                "eni-0d0000000000000002",
                "06:20:20:30:40:02",
                1,
                "web",
                ("10.30.4.9", "10.30.4.8"),
                public={
                    "10.30.4.9": "198.51.100.80",
                    "10.30.4.8": "198.51.100.81",
                },
            ),
            LabEni(
                "east",
                "eni-0d0000000000000003",
                "06:20:20:30:40:03",
                2,
                "both",
                tuple(f"10.30.8.{it}" for it in (10, 12, 13, 14, 15)),
            ),
            LabEni(
                "west",
                "eni-0d0000000000000004",
                "06:20:20:30:40:04",
                3,
                "both",
                ("10.30.8.11", "10.30.8.40"),
                ipv4_prefixes=(WEST_PREFIX,),
            ),
        ),
        both_sides=("192.0.2.200", "203.0.113.77"),
        vpc_cidrs=("10.30.0.0/16",),
        dns="10.30.0.2",
        instance_id="i-0d00000000000cafe",
    ),
    tables={"app": 10, "web": 20, "east": 30, "west": 40},
    default="web",
    policy={"192.0.2.200": "east"},
    unnamed="203.0.113.77",
)


def _one_of_many(number: int) -> LabEni:
    """Return one of fifteen ENIs: numbers 0 and 5 have many addresses."""
    count = {0: 20, 5: 10}.get(number, 1)
    ipv4s = tuple(f"10.50.{number}.{10 + it}" for it in range(count))
    # Every third one faces the internet.
    is_public = number % 3 == 1
    return LabEni(
        f"n{number:02}",
        f"eni-0f000000000000000{number:x}",
        f"06:40:20:30:40:{number:02x}",
        number,
        f"n{number:02}",
        ipv4s,
        public={ipv4s[0]: f"198.51.100.{100 + number}"} if is_public else {},
    )


def _fifteen() -> Intent:
    """As many ENIs as EC2 attaches, in subnets of their own."""
    enis = tuple(_one_of_many(number) for number in range(15))
    return Intent(
        shape=Shape(
            subnets=tuple(
                Subnet(
                    eni.subnet,
                    f"subnet-0f00000000000000{eni.device_number:x}",
                    f"10.50.{eni.device_number}.0/24",
                    "igw" if eni.public else "tgw",
                )
                for eni in enis
            ),
            enis=enis,
            both_sides=ALL_SIDES,
            vpc_cidrs=("10.50.0.0/16",),
            dns="10.50.0.2",
            instance_id="i-0f00000000000cafe",
        ),
        tables={eni.name: 100 + eni.device_number for eni in enis},
        default="n04",
        policy={"192.0.2.200": "n14", "203.0.113.5": "n00"},
        unnamed="203.0.113.77",
    )


FIFTEEN = _fifteen()

# What `script/matrix` boots on each suite, in the order of its columns.
SHAPES = {
    "seed": SEED_INTENT,
    "primary": PRIMARY,
    "same-subnet": SAME_SUBNET,
    "addresses": CROWDED,
    "cards": COLLECTOR,
    "fifteen": FIFTEEN,
    "dual-stack": DUAL,
    "ipv6-only": ONLY,
}
