# SPDX-License-Identifier: Apache-2.0
"""What a guest looks like from inside, as data that can be compared."""

from __future__ import annotations

from ipaddress import collapse_addresses, ip_network
from typing import Any

from cc_multihome.numbers import (
    ENI_IFGROUP,
    FEW_ADDRESSES,
    POLICY_TABLE,
    PRIORITY_MAIN_SPECIFIC,
    PRIORITY_POLICY,
    from_priority,
)
from tests.lab.instance import LabInstance
from tests.lab.report import render
from tests.lab.shape import LabEni, Shape
from tests.lab.user_data import Intent

BUILT_IN = [(0, "all", 255), (32766, "all", 254), (32767, "all", 253)]
RUN_AGAIN = "cloud-init single --name multihome --frequency always"
LOG = "/var/log/cloud-init.log"
OWN_FILES = (
    "/run/netplan /run/systemd/network /etc/iproute2/rt_tables.d"
    " /etc/resolv.conf /etc/netplan"
)


def planned_rules(intent: Intent) -> list[tuple[int, str, int]]:
    """Return all rules, in order, that the intent's host must have."""
    rules = [(PRIORITY_MAIN_SPECIFIC, "all", 254)]
    for name, table in intent.tables.items():
        eni = intent.shape.eni(name)
        priority = from_priority(eni.network_card, eni.device_number)
        rules += [
            (priority, source, table) for source in sources(intent.shape, eni)
        ]
    if intent.policy:
        rules.append((PRIORITY_POLICY, "all", POLICY_TABLE))
    return sorted(BUILT_IN + rules)


def sources(shape: Shape, eni: LabEni) -> list[str]:
    """Return the sources that an ENI's rules name: few, in `ip`'s words.

    Not how the module finds them: from the shape, one subnet an ENI.
    """
    alone = [it.subnet for it in shape.enis].count(eni.subnet) == 1
    cidr = shape.subnet(eni.subnet).cidr
    if len(eni.ipv4s) > FEW_ADDRESSES and alone and cidr:
        return [cidr, *eni.ipv4_prefixes]
    exact = [ip_network(text) for text in (*eni.ipv4s, *eni.ipv4_prefixes)]
    if len(exact) > FEW_ADDRESSES:
        exact = list(collapse_addresses(exact))  # type: ignore[type-var]
    return [str(net).removesuffix("/32") for net in exact]


def read_state(instance: LabInstance) -> dict[str, Any]:
    """Return names, addresses, rules, routes and resolver of the guest."""
    links = instance.ip_json("link show")
    return {
        "links": {item["ifname"]: item["address"] for item in links},
        "groups": {item["ifname"]: item["group"] for item in links},
        "mtu": {item["ifname"]: item["mtu"] for item in links},
        "addresses": sorted(
            (item["ifname"], info["local"], info["prefixlen"])
            for item in instance.ip_json("-4 addr show")
            for info in item.get("addr_info", ())
        ),
        "rules": instance.priorities(),
        "routes": sorted(
            str(sorted((key, str(value)) for key, value in item.items()))
            for item in instance.ip_json("-4 route show table all")
        ),
        "resolv.conf": instance.vm.run("cat /etc/resolv.conf").out,
        "resolved": instance.vm.run(
            "systemctl is-active systemd-resolved", check=False
        ).out.strip(),
    }


def file_stamps(instance: LabInstance) -> str:
    """Return inode, mode and time of every file that a run could write."""
    command = f"find {OWN_FILES} -type f -printf '%p %i %m %T@\\n' | sort"
    return instance.vm.run(command).out


def suppressor_group() -> str:
    """Return the device group of every ENI, as `ip -N` prints it."""
    return str(ENI_IFGROUP)


def assert_flows(instance: LabInstance, intent: Intent) -> None:
    """Every flow right, nothing dropped."""
    column = instance.column("with multihome", intent)
    print(render([column]))

    assert [] == [
        f"{item.flow.id}: {item.detail}"
        for item in column.verdicts
        if not item.ok
    ]
    assert 0 == sum(drops.src for drops in column.drops.values())
