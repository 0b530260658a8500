# SPDX-License-Identifier: Apache-2.0
"""Which interfaces networkd goes on with as they are while others change.

It configures a link again only where a file of the link's says something else
afterwards, so what the kernel lost of the others it does not give back.
Reads only.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from cc_multihome.discover.netplan_files import (
    OVERLAY_NAME,
    netdefs_in,
    read_own_overlay,
)
from cc_multihome.files import File
from cc_multihome.model import Plan, PlannedInterface
from cc_multihome.render import RUN_NETPLAN, RUN_NETWORKD
from cc_multihome.render.networkd import drop_in_path


def untouched(
    plan: Plan, changed: Collection[File], root: Path
) -> tuple[PlannedInterface, ...]:
    """Return those of the plan whose files stay, and whose names do.

    Args:
        changed: what will be written or removed.
    """
    overlay = root / RUN_NETPLAN / OVERLAY_NAME
    texts = {file.path: file.text for file in changed}
    netplans = {path for path in texts if path.suffix == ".yaml"}
    if netplans - {overlay}:
        # It may say something of any of them.
        return ()
    now = {
        key: netdef
        for file in read_own_overlay(root)
        for key, netdef in file.ethernets().items()
    }
    wanted = netdefs_in(texts[overlay] or "") if netplans else now
    return tuple(
        item
        for item in plan.interfaces
        if item.ifname == item.name
        and item.netdef_id in now
        and now[item.netdef_id] == wanted.get(item.netdef_id)
        and root / RUN_NETWORKD / drop_in_path(item) not in texts
    )
