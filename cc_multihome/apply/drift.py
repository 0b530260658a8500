# SPDX-License-Identifier: Apache-2.0
"""What others changed of a plan beside addresses, routes and rules.

The next run puts it back. Reads only.
"""

from __future__ import annotations

from dataclasses import replace
from socket import if_indextoname, if_nameindex

from cc_multihome.apply.nftables import find_table_change
from cc_multihome.apply.resolver import (
    RESOLV_CONF,
    WAIT_ONLINE,
    is_replaced,
    wait_online_file,
)
from cc_multihome.apply.sysctl import find_sysctls
from cc_multihome.model import Plan
from cc_multihome.render.nftables import FAMILY, NAME


def changed_settings(plan: Plan) -> tuple[str, ...]:
    """Say which of the kernel's settings are not the planned ones."""
    here = {name for _, name in if_nameindex()}
    links = replace(
        plan,
        interfaces=tuple(
            # By the name of now: a plan has the one from before it.
            replace(item, ifname=item.name)
            for item in plan.interfaces
            if item.name in here
        ),
    )
    lines = [
        f"net.ipv4.conf.{if_indextoname(item.slot[0])}.{item.slot[1]} is"
        f" {item.now}, planned is {item.value}"
        for item in find_sysctls(links)
        if not item.is_former
    ]
    table = find_table_change(plan)
    if table is not None and table.text is not None:
        lines.append(
            f"the table {FAMILY} {NAME} of nftables is missing or was changed"
        )
    return tuple(lines)


def changed_resolver(plan: Plan) -> tuple[str, ...]:
    """Say whether the resolver is not the planned one."""
    if not plan.resolver.nameservers:
        return ()
    if is_replaced(plan.resolver):
        file = wait_online_file()
        if file is None:
            return ()
        what = f"{WAIT_ONLINE} waits at boot for systemd-resolved"
        return (f"{what}, which is off: {file.path} is missing",)
    servers = ", ".join(map(str, plan.resolver.nameservers))
    what = f"{RESOLV_CONF} is not the planned one ({servers})"
    return (f"{what}, or systemd-resolved is not off",)
