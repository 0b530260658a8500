# SPDX-License-Identifier: Apache-2.0
"""Turn a plan into the files that say it: pure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cc_multihome.discover.netplan_files import OVERLAY_NAME, NetplanFile
from cc_multihome.files import File
from cc_multihome.model import Plan
from cc_multihome.render import netplan, networkd, rt_tables, services

# All of it under /run: the config that survives a reboot is the safe one.
RUN_NETPLAN = Path("run/netplan")
RUN_NETWORKD = Path("run/systemd/network")
# ip-route(8) reads every *.conf there, in every iproute2 since 3.7.
# For systemd's own units: the drop-ins of services.
RUN_SYSTEM = Path("run/systemd/system")
SERVICE_DROP_IN = services.DROP_IN_NAME
RT_TABLES = Path("etc/iproute2/rt_tables.d/multihome.conf")


def render(
    plan: Plan, netplan_files: Iterable[NetplanFile]
) -> tuple[File, ...]:
    """Render every file but the resolver's, by paths relative to the root.

    `netplan_files` is what the host has without this package.
    """
    if not plan.interfaces:
        return ()
    # netplan warns about a file that others may read (pitfall 17).
    overlay = [
        File(RUN_NETPLAN / name, text, 0o600)
        for name, text in (
            (OVERLAY_NAME, netplan.overlay(plan)),
            *netplan.shadows(plan, netplan_files),
        )
    ]
    drop_ins = [
        File(RUN_NETWORKD / networkd.drop_in_path(item), text)
        for item in plan.interfaces
        if (text := networkd.drop_in(item, plan.ifgroup))
    ]
    drop_ins += [
        File(
            RUN_SYSTEM / services.service_drop_in_path(it),
            services.service_drop_in(it),
        )
        for it in plan.services
    ]
    return (*overlay, *drop_ins, File(RT_TABLES, rt_tables.names(plan)))
