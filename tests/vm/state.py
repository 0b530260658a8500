# SPDX-License-Identifier: Apache-2.0
"""What a guest looks like from inside, as data that can be compared."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cc_multihome.numbers import ENI_IFGROUP
from tests.lab.expected import planned_rules, wrong_flows
from tests.lab.instance import LabInstance, priorities
from tests.lab.report import render
from tests.lab.user_data import Intent

__all__ = ["planned_rules"]

# Also after a restore, which drops the key: cloud-init has a copy of it.
RUN_AGAIN = "cloud-init single --name multihome --frequency always"
RT_TABLES = "/etc/iproute2/rt_tables.d/multihome.conf"
LOG = "/var/log/cloud-init.log"
HOTPLUG = "multihome-hotplug.service"
# The derived table of (network_card 0, device_number 2), and its rule.
THIRDS_RULE = (31102, "10.224.187.20", 31002)
# A rollback, or what networkd and udev do, on a busy machine.
SETTLED_WITHIN_S = 240.0
OWN_FILES = (
    "/run/netplan /run/systemd/network /etc/iproute2/rt_tables.d"
    " /etc/resolv.conf /etc/netplan"
)


# What of them, and of the rest that a run writes, can be compared between
# boots: whether a directory, a file or a link, its mode, where it leads to,
# and what it says.
WRITTEN = (
    f"{OWN_FILES} /run/systemd/system /run/multihome/journal"
    " /run/multihome/nftables /run/multihome/sysctl.json"
    " /var/lib/multihome/resolver.json"
)
FILES = "== files"
SHOW_FILES = (
    f"echo {FILES}; find {WRITTEN} -printf '%p %y %m %l\\n' 2>/dev/null"
    " | sort;"
    f" find {WRITTEN} -type f -exec sha256sum {{}} + 2>/dev/null | sort -k 2;"
    " nft list tables"
)

# All at once: each command in the guest costs a good part of a second.
SHOWN = ("link", "-4 addr", "-4 rule", "-4 route show table all")
SHOW = "; ".join(
    (
        *(f"ip -N -j -d {words}" for words in SHOWN),
        "systemctl is-active systemd-resolved",
        "cat /etc/resolv.conf",
    )
)


def read_state(
    instance: LabInstance, *, files: bool = False
) -> dict[str, Any]:
    """Return names, addresses, rules, routes and resolver of the guest.

    Args:
        files: also the names and the contents of what a run writes, and
            the names of nftables' tables.
    """
    show = f"{SHOW}; {SHOW_FILES}" if files else SHOW
    shown, _, written = instance.vm.run(show).out.partition(f"{FILES}\n")
    lines = shown.splitlines(keepends=True)
    links, addresses, rules, routes = map(json.loads, lines[: len(SHOWN)])
    resolved, *resolv_conf = lines[len(SHOWN) :]
    return {
        "files": written.splitlines(),
        "links": {item["ifname"]: item["address"] for item in links},
        "groups": {item["ifname"]: item["group"] for item in links},
        "mtu": {item["ifname"]: item["mtu"] for item in links},
        "addresses": sorted(
            (item["ifname"], info["local"], info["prefixlen"])
            for item in addresses
            for info in item.get("addr_info", ())
        ),
        # Those of one priority exclude each other by their marks, and
        # networkd has no order for them.
        "rules": sorted(priorities(rules)),
        "routes": sorted(
            str(sorted((key, str(value)) for key, value in item.items()))
            for item in routes
        ),
        "resolv.conf": "".join(resolv_conf),
        "resolved": resolved.strip(),
    }


def wait_for(
    holds: Callable[[], bool], what: str, within: float = SETTLED_WITHIN_S
) -> float:
    """Wait until something holds; return how many seconds it took.

    Args:
        what: is said when it did not come.
        within: seconds; a busy machine is no failure.
    """
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < within, what
        time.sleep(0.5)
    return time.monotonic() - started


def wait_for_state(instance: LabInstance, state: dict[str, Any]) -> None:
    """Wait until the guest looks like that, and fail if it never does.

    networkd has its own pace after a reload or a restart.
    """
    wait_for_equal(state, lambda: read_state(instance))


def wait_until_gone(instance: LabInstance, table: int) -> None:
    """Wait until the run for a detached ENI has taken its table away.

    The rules go with the device at once.
    """
    wait_for(
        lambda: str(table) not in instance.vm.run(f"cat {RT_TABLES}").out,
        "the name of its table is still there",
    )


def wait_until_followed(instance: LabInstance) -> None:
    """Wait until no run for an ENI is under way."""
    asked = f"systemctl is-active {HOTPLUG}"
    wait_for(
        lambda: "activating" not in instance.vm.run(asked, check=False).out,
        "the run does not end",
    )


def hotplug_runs(instance: LabInstance) -> list[str]:
    """Return when systemd started each run for an ENI since the boot.

    It forgets a unit that is at rest, and when that ended; its log does not.
    """
    log = "journalctl -b -o short-iso-precise _PID=1 UNIT="
    shown = instance.vm.run(f"journalctl --sync; {log}{HOTPLUG}").out
    return [
        line.split()[0] for line in shown.splitlines() if " Starting " in line
    ]


def wait_for_rules(
    instance: LabInstance, rules: list[tuple[int, str, int]]
) -> None:
    """Wait until the guest has these rules, in order, and no others."""
    wait_for_equal(rules, instance.priorities)


def wait_for_equal(wanted: object, read: Callable[[], object]) -> None:
    """Fail with the difference when it does not come."""
    seen = [read()]

    def is_equal() -> bool:
        seen.append(read())
        return seen[-1] == wanted

    with suppress(AssertionError):
        wait_for(is_equal, "")
    assert wanted == seen[-1]


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
