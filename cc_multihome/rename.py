# SPDX-License-Identifier: Apache-2.0
"""Rename network devices, swaps and chains included."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from itertools import count
from socket import if_nametoindex

from cc_multihome.checkpoint import Checkpoint
from cc_multihome.errors import CommandError
from cc_multihome.run import run

LOG = logging.getLogger(__name__)

TEMPORARY = "mh-rename"


def rename_order(names: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Order renames so that each name is free when it is taken: pure.

    `names` maps the name now to the name that it gets. Devices that wait for
    each other in a ring go by a temporary name.
    """
    waiting = {old: new for old, new in names.items() if old != new}
    steps: list[tuple[str, str]] = []
    # A run that was killed may have left a device with such a name.
    taken = {*names, *names.values()}
    temporaries = (f"{TEMPORARY}{number}" for number in count())
    unused = (name for name in temporaries if name not in taken)
    while waiting:
        free = [old for old, new in waiting.items() if new not in waiting]
        if free:
            steps.append((free[0], waiting.pop(free[0])))
            continue
        old, new = next(iter(waiting.items()))
        temporary = next(unused)
        steps.append((old, temporary))
        del waiting[old]
        waiting[temporary] = new
    return tuple(steps)


def rename_links(names: Mapping[str, str], checkpoint: Checkpoint) -> None:
    """Rename the devices; the checkpoint takes it back.

    Raises:
        CommandError: the kernel refused.
    """
    for old, new in rename_order(names):
        ifindex = _ifindex_of(old)
        checkpoint.add(
            f"rename {new} back to {old}",
            partial(_rename_back, ifindex, new, old),
        )
        _rename(old, new)
        LOG.info("renamed %s to %s", old, new)


def _rename_back(ifindex: int | None, new: str, old: str) -> None:
    """Undo a rename, if it came to that: the kernel may have refused it."""
    if ifindex is not None and _ifindex_of(new) == ifindex:
        _rename(new, old)


def _ifindex_of(name: str) -> int | None:
    try:
        return if_nametoindex(name)
    except OSError:
        return None


def _rename(old: str, new: str) -> None:
    try:
        run(["ip", "link", "set", "dev", old, "name", new])
    except CommandError:
        # Before Linux 6.2 a device that is up cannot be renamed.
        run(["ip", "link", "set", "dev", old, "down"])
        try:
            run(["ip", "link", "set", "dev", old, "name", new])
        except CommandError:
            run(["ip", "link", "set", "dev", old, "up"])
            raise
        run(["ip", "link", "set", "dev", new, "up"])
