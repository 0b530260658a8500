# SPDX-License-Identifier: Apache-2.0
"""What EC2's metadata service says about a Shape: all that cloud-init reads.

The keys: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html
"""

from __future__ import annotations

import json
from ipaddress import IPv6Network
from typing import Any

from tests.lab.shape import LabEni, Shape

OWNER = "123456789012"
AMI = "ami-0abcdef0123456789"

# Of all ENIs, each below its MAC.
MACS = "/latest/meta-data/network/interfaces/macs/"

Tree = dict[str, Any]


def host_name(shape: Shape, ipv4: str) -> str:
    """Return the private DNS name of an address: ip-a-b-c-d.<domain>."""
    return f"ip-{ipv4.replace('.', '-')}.{shape.domain}"


def resource_name(shape: Shape) -> str:
    """Return the name that an instance has where it has no IPv4 address."""
    return f"{shape.instance_id}.{shape.domain}"


def eni_name(shape: Shape, eni: LabEni) -> str:
    """Return the private DNS name of an ENI's primary address.

    EC2 names by IPv4 address where there is one:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/hostname-types.html
    """
    if eni.ipv4s:
        return host_name(shape, eni.ipv4s[0])
    return resource_name(shape)


def public_name(shape: Shape, ipv4: str) -> str:
    """Return the public DNS name of an address."""
    zone = (
        "compute-1"
        if shape.region == "us-east-1"
        else f"{shape.region}.compute"
    )
    return f"ec2-{ipv4.replace('.', '-')}.{zone}.amazonaws.com"


def primary_eni(shape: Shape) -> LabEni:
    """Return the ENI with device number 0 on network card 0.

    Raises:
        ValueError: there is none, and EC2 has no such instance.
    """
    for eni in shape.enis:
        if (eni.network_card, eni.device_number) == (0, 0):
            return eni
    raise ValueError("no ENI of the shape has device_number 0 on card 0")


def imds_tree(shape: Shape, *, public_key: str = "") -> Tree:
    """Return what is below /latest/, without the user-data."""
    return {
        "dynamic": {"instance-identity": _identity(shape)},
        "meta-data": _meta_data(shape, public_key),
    }


def _meta_data(shape: Shape, public_key: str) -> Tree:
    eni = primary_eni(shape)
    name = eni_name(shape, eni)
    tree: Tree = {
        "ami-id": AMI,
        "ami-launch-index": "0",
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": {"ami": "/dev/xvda", "root": "/dev/xvda"},
        "hostname": name,
        "instance-action": "none",
        "instance-id": shape.instance_id,
        "instance-life-cycle": "on-demand",
        "instance-type": shape.instance_type,
        "local-hostname": name,
        "mac": eni.mac,
        "metrics": {"vhostmd": '<?xml version="1.0" encoding="UTF-8"?>'},
        "network": {
            "interfaces": {
                "macs": {item.mac: _eni(shape, item) for item in shape.enis}
            }
        },
        "placement": {
            "availability-zone": f"{shape.region}a",
            "availability-zone-id": "lab1-az1",
            "region": shape.region,
        },
        "profile": "default-hvm",
        "reservation-id": "r-0123456789abcdef0",
        "security-groups": "default",
        "services": {"domain": "amazonaws.com", "partition": "aws"},
        "system": "nitro",
    }
    if eni.ipv4s:
        tree["local-ipv4"] = eni.ipv4s[0]
    public = eni.public.get(eni.ipv4s[0]) if eni.ipv4s else None
    if public:
        tree["public-ipv4"] = public
        tree["public-hostname"] = public_name(shape, public)
    if eni.ipv6s:
        tree["ipv6"] = eni.ipv6s[0]
    if public_key:
        tree["public-keys"] = {"0": {"openssh-key": public_key}}
    return tree


def _eni(shape: Shape, eni: LabEni) -> Tree:
    subnet = shape.subnet(eni.subnet)
    tree: Tree = {
        "device-number": str(eni.device_number),
        "interface-id": eni.eni_id,
        "local-hostname": eni_name(shape, eni),
        "mac": eni.mac,
        "network-card": str(eni.network_card),
        "owner-id": OWNER,
        "security-group-ids": "sg-0123456789abcdef0",
        "security-groups": "default",
        "subnet-id": subnet.subnet_id,
        "vpc-id": shape.vpc_id,
        "vpc-ipv4-cidr-block": shape.vpc_cidrs[0],
        "vpc-ipv4-cidr-blocks": "\n".join(shape.vpc_cidrs),
    }
    # Every VPC has IPv4 blocks, also where none of its subnets has.
    if subnet.cidr:
        tree["subnet-ipv4-cidr-block"] = subnet.cidr
    if eni.public:
        publics = list(eni.public.values())
        tree["public-ipv4s"] = "\n".join(publics)
        tree["public-hostname"] = public_name(shape, publics[0])
        tree["ipv4-associations"] = {
            public: private for private, public in eni.public.items()
        }
    for key, values in (
        ("local-ipv4s", eni.ipv4s),
        ("ipv4-prefix", eni.ipv4_prefixes),
        ("ipv6s", eni.ipv6s),
        ("ipv6-prefix", eni.ipv6_prefixes),
    ):
        if values:
            tree[key] = "\n".join(values)
    if subnet.ipv6_cidr:
        tree["subnet-ipv6-cidr-blocks"] = "\n".join(subnet.ipv6_cidrs)
        tree["vpc-ipv6-cidr-blocks"] = "\n".join(_vpc_ipv6(shape))
    for key, value in eni.imds.items():
        if value is None:
            tree.pop(key, None)
        else:
            tree[key] = value
    return tree


def _vpc_ipv6(shape: Shape) -> list[str]:
    """Return the /56 blocks that a VPC gets for its IPv6 subnets, and more."""
    blocks = set(map(IPv6Network, shape.vpc_ipv6_cidrs))
    for subnet in shape.subnets:
        for block in map(IPv6Network, subnet.ipv6_cidrs):
            blocks.add(block.supernet(new_prefix=min(56, block.prefixlen)))
    return [str(block) for block in sorted(blocks)]


def _identity(shape: Shape) -> Tree:
    ipv4s = primary_eni(shape).ipv4s
    document = {
        "accountId": OWNER,
        "architecture": "x86_64",
        "availabilityZone": f"{shape.region}a",
        "imageId": AMI,
        "instanceId": shape.instance_id,
        "instanceType": shape.instance_type,
        "kernelId": None,
        "pendingTime": "2026-01-01T00:00:00Z",
        "privateIp": ipv4s[0] if ipv4s else None,
        "ramdiskId": None,
        "region": shape.region,
        "version": "2017-09-30",
    }
    return {
        "document": json.dumps(document, indent=2),
        "pkcs7": "MII",
        "rsa2048": "MII",
        "signature": "sig",
    }
