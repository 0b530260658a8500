# SPDX-License-Identifier: Apache-2.0
"""What a guest looks like from inside, as data that can be compared."""

from __future__ import annotations

from typing import Any

from cc_multihome.numbers import ENI_IFGROUP
from tests.lab.expected import planned_rules, wrong_flows
from tests.lab.instance import LabInstance
from tests.lab.report import render
from tests.lab.user_data import Intent

__all__ = ["planned_rules"]

RUN_AGAIN = "cloud-init single --name multihome --frequency always"
LOG = "/var/log/cloud-init.log"
OWN_FILES = (
    "/run/netplan /run/systemd/network /etc/iproute2/rt_tables.d"
    " /etc/resolv.conf /etc/netplan"
)


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

    assert [] == wrong_flows(column)
