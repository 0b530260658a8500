# SPDX-License-Identifier: Apache-2.0
"""Metadata that was read before, by cloud-init or into a file; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cc_multihome.discover.imds_parse import (
    ENI_KEYS,
    MACS,
    check_together,
    malformed,
    parse_eni,
    parse_identity,
    parse_mac,
)
from cc_multihome.model import Eni, Instance


def instance_from_tree(tree: Mapping[str, Any]) -> Instance:
    """Parse a metadata tree that was read before, without asking IMDS.

    Args:
        tree: nested mappings as below `/latest/meta-data/`: `mac`,
            `instance-id`, `local-hostname` and `network/interfaces/macs`.
            A value is a string, a number, or a list of lines (as in
            cloud-init's `cloud.datasource.metadata`).

    Raises:
        ImdsError: the tree is incomplete or holds something else.
    """
    if not isinstance(tree, Mapping):
        raise malformed("tree", tree, "a mapping of keys to values")
    identity = parse_identity(
        mac=_leaf(tree, "mac"),
        instance_id=_leaf(tree, "instance-id"),
        local_hostname=_leaf(tree, "local-hostname", default=""),
    )
    node: Any = tree
    for name in MACS.strip("/").split("/"):
        node = node.get(name) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping):
        raise malformed(MACS, node, "a mapping of MAC to keys")
    enis = [
        _eni_of_node(mac, keys, identity.mac) for mac, keys in node.items()
    ]
    return Instance(
        instance_id=identity.instance_id,
        search=identity.search,
        enis=check_together(enis, identity.mac),
    )


def tree_of(instance: Instance) -> dict[str, Any]:
    """Write the tree from which `instance_from_tree` makes the instance."""
    primary = next(eni for eni in instance.enis if eni.is_primary)
    return {
        "mac": primary.mac,
        "instance-id": instance.instance_id,
        "local-hostname": f"host.{' '.join(instance.search)}".rstrip("."),
        "network": {
            "interfaces": {
                "macs": {eni.mac: _node_of_eni(eni) for eni in instance.enis}
            }
        },
    }


def _node_of_eni(eni: Eni) -> dict[str, Any]:
    values: dict[str, Any] = {
        "device-number": eni.device_number,
        "network-card": eni.network_card,
        "interface-id": eni.eni_id,
        "subnet-id": eni.subnet_id,
        "local-ipv4s": eni.local_ipv4s,
        "subnet-ipv4-cidr-block": eni.subnet_ipv4s,
        "vpc-ipv4-cidr-blocks": eni.vpc_ipv4s,
        "ipv4-prefix": eni.ipv4_prefixes,
        "ipv6s": eni.ipv6s,
        "subnet-ipv6-cidr-blocks": eni.subnet_ipv6s,
        "vpc-ipv6-cidr-blocks": eni.vpc_ipv6s,
        "ipv6-prefix": eni.ipv6_prefixes,
    }
    return {
        key: [str(each) for each in value]
        if isinstance(value, tuple)
        else value
        for key, value in values.items()
        if value not in ((), "")
    }


def texts_of(eni: Eni) -> dict[str, str]:
    """Write the keys of an ENI as the service does."""
    node = _node_of_eni(eni)
    return {key: _leaf(node, key) for key in node}


def _eni_of_node(name: Any, keys: Any, primary_mac: str) -> Eni:
    mac = parse_mac(MACS, str(name))
    path = f"{MACS}{mac}"
    if not isinstance(keys, Mapping):
        raise malformed(path, keys, "a mapping of keys to values")
    listed = {
        key: _leaf(keys, key, below=f"{path}/")
        for key in ENI_KEYS
        if key in keys
    }
    return parse_eni(mac, listed, primary_mac=primary_mac)


def _leaf(
    node: Mapping[str, Any],
    key: str,
    *,
    below: str = "",
    default: str | None = None,
) -> str:
    value = node.get(key, default)
    if isinstance(value, (list, tuple)):
        return "\n".join(str(line) for line in value)
    if isinstance(value, (str, int)):
        return str(value)
    expected = "text, a number or a list of lines"
    raise malformed(f"{below}{key}", value, expected)
