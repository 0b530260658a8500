# SPDX-License-Identifier: Apache-2.0
"""The user-data of the columns that the demo and the VM tests compare.

- stock: what cloud-init does by itself,
- the seed by hand: the article's write_files and runcmd, Puppet's overlay,
- two default routes and no policy: the article's "this won't work",
- with multihome: the same intent as one key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

import yaml

from tests.lab.shape import POLICY, SEED, UNNAMED, LabEni, Shape


@dataclass(frozen=True)
class Intent:
    """What a person wants of an instance, however it is then written.

    Attributes:
        tables: interface name -> routing table; the names are those of the
            shape's ENIs.
        default: who holds the main table's default route.
        policy: destination -> interface name.
        unnamed: an address on both sides that the policy does not name.
        unnamed_ipv6: another one, where `unnamed` is IPv4.
    """

    shape: Shape
    tables: Mapping[str, int]
    default: str
    policy: Mapping[str, str]
    unnamed: str
    unnamed_ipv6: str | None = None


def cloud_config(content: Mapping[str, Any]) -> str:
    """Write user-data in cloud-init's cloud-config format."""
    return "#cloud-config\n" + yaml.safe_dump(dict(content), sort_keys=False)


def interfaces(intent: Intent) -> dict[str, dict[str, Any]]:
    """The key's part of the ENIs that have a table."""
    return {
        name: {
            "device_number": intent.shape.eni(name).device_number,
            "network_card": intent.shape.eni(name).network_card,
            "table": table,
        }
        for name, table in intent.tables.items()
    }


def multihome(intent: Intent, **changes: Any) -> str:
    """The key, with some entries replaced by `changes`; None: left out."""
    key: dict[str, Any] = {
        "interfaces": interfaces(intent),
        "default": intent.default,
        "policy": [
            {
                "to": [to for to, by in intent.policy.items() if by == name],
                "via": name,
            }
            for name in dict.fromkeys(intent.policy.values())
        ],
        "resolver": "vpc",
    }
    wanted = {**key, **changes}.items()
    return cloud_config(
        {"multihome": {name: it for name, it in wanted if it is not None}}
    )


def seed_by_hand(intent: Intent) -> str:
    """The article's way: its netplan file, Puppet's overlay, its runcmd."""
    first = kernel_name(intent.shape, intent.shape.enis[0])
    return cloud_config(
        {
            "write_files": [
                _file("55-terraform.yaml", seed_netplan(intent)),
                _file("60-policy-routes.yaml", puppet_overlay(intent)),
            ],
            "runcmd": [
                "rm /etc/resolv.conf",
                "echo 'nameserver 169.254.169.253' > /etc/resolv.conf",
                "systemctl stop systemd-resolved.service",
                "systemctl disable systemd-resolved.service",
                f"ip link set {first} down; netplan apply",
            ],
        }
    )


def two_defaults(intent: Intent) -> str:
    """Both ENIs with a default route in main, and no policy routing."""
    ethernets: dict[str, Any] = {}
    for name in intent.tables:
        eni = intent.shape.eni(name)
        metric = 100 if name == intent.default else 200
        ethernets[kernel_name(intent.shape, eni)] = {
            "match": {"macaddress": eni.mac},
            "dhcp4": False,
            "addresses": [_with_prefix(intent.shape, eni)],
            "routes": [
                {
                    "to": "0.0.0.0/0",
                    "via": gateway(intent.shape, eni),
                    "metric": metric,
                }
            ],
        }
    return cloud_config(
        {
            "write_files": [
                _file("55-two-defaults.yaml", _network(ethernets))
            ],
            "runcmd": ["rm /etc/netplan/50-cloud-init.yaml", "netplan apply"],
        }
    )


def seed_netplan(intent: Intent) -> dict[str, Any]:
    """What the article's Terraform writes to 55-terraform.yaml."""
    shape, ethernets = intent.shape, {}
    for name, table in intent.tables.items():
        eni = shape.eni(name)
        router = gateway(shape, eni)
        main = [{"to": "0.0.0.0/0", "via": router}]
        ethernets[kernel_name(shape, eni)] = {
            "addresses": [_with_prefix(shape, eni)],
            "dhcp4": False,
            "dhcp6": False,
            "match": {"macaddress": eni.mac},
            "routes": [
                *(main if name == intent.default else []),
                {"table": table, "to": "0.0.0.0/0", "via": router},
                {
                    "scope": "link",
                    "table": table,
                    "to": shape.subnet(eni.subnet).cidr,
                    "via": "0.0.0.0",
                },
            ],
            "routing-policy": [{"from": eni.ipv4s[0], "table": table}],
            "set-name": name,
        }
    return _network(ethernets)


def puppet_overlay(intent: Intent) -> dict[str, Any]:
    """What the article's Puppet class writes to 60-policy-routes.yaml."""
    ethernets: dict[str, Any] = {}
    for name in dict.fromkeys(intent.policy.values()):
        eni, table = intent.shape.eni(name), intent.tables[name]
        ethernets[kernel_name(intent.shape, eni)] = {
            "routing-policy": [
                *(
                    {"to": to, "table": table}
                    for to, by in intent.policy.items()
                    if by == name
                ),
                {"from": eni.ipv4s[0], "table": table},
            ]
        }
    return _network(ethernets)


def _network(ethernets: Mapping[str, Any]) -> dict[str, Any]:
    return {"network": {"version": 2, "ethernets": dict(ethernets)}}


def _file(name: str, content: Mapping[str, Any]) -> dict[str, str]:
    return {
        "path": f"/etc/netplan/{name}",
        "permissions": "0600",
        "content": yaml.safe_dump(dict(content), sort_keys=False),
    }


def kernel_name(shape: Shape, eni: LabEni) -> str:
    """Return the name that the kernel gives the ENI, and netplan's id."""
    # The lab puts ENIs into PCI slots 5, 6, ... as EC2 does on Nitro.
    return f"ens{5 + shape.enis.index(eni)}"


def gateway(shape: Shape, eni: LabEni) -> str:
    """Return the VPC router's address in the ENI's subnet."""
    return str(_ipv4_subnet(shape, eni)[1])


def _with_prefix(shape: Shape, eni: LabEni) -> str:
    return f"{eni.ipv4s[0]}/{_ipv4_subnet(shape, eni).prefixlen}"


def _ipv4_subnet(shape: Shape, eni: LabEni) -> IPv4Network:
    return IPv4Network(shape.subnet(eni.subnet).cidr or "")


SEED_INTENT = Intent(
    shape=SEED,
    tables={"private": 10, "public": 20},
    default="public",
    policy=dict.fromkeys(POLICY, "private"),
    unnamed=UNNAMED,
)
