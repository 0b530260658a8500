# SPDX-License-Identifier: Apache-2.0
"""Rename network devices, swaps and chains included."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from socket import if_nametoindex

from cc_multihome.apply.checkpoint import Checkpoint, Undo
from cc_multihome.errors import CommandError
from cc_multihome.model import Link
from cc_multihome.run import run

LOG = logging.getLogger(__name__)

TEMPORARY = "mh-rename"
# networkd sets a link up a few times at most, when it configures it.
TRIES = 8
PAUSE_S = 0.05


@dataclass(frozen=True)
class RenameBack(Undo):
    """Give a device its former name, if it came to have the new one."""

    kind = "rename"
    ifindex: int
    new: str
    old: str

    @property
    def label(self) -> str:
        """What it does."""
        return f"rename {self.new} back to {self.old}"

    def run(self) -> None:
        """Rename it; the kernel may have refused the first rename."""
        if _ifindex_of(self.new) == self.ifindex:
            _rename(self.new, self.old)


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


def names_back(
    links: Iterable[Link], former: Mapping[str, str]
) -> dict[str, str]:
    """Map a device's name now to the one that its MAC had before: pure."""
    return {
        link.ifname: former[link.mac]
        for link in links
        if former.get(link.mac, link.ifname) != link.ifname
    }


def rename_links(names: Mapping[str, str], checkpoint: Checkpoint) -> None:
    """Rename the devices; the checkpoint takes it back.

    Raises:
        CommandError: the kernel refused.
    """
    for old, new in rename_order(names):
        ifindex = _ifindex_of(old)
        if ifindex is not None:
            checkpoint.add(RenameBack(ifindex, new, old))
        _rename(old, new)
        LOG.info("renamed %s to %s", old, new)


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
        _rename_while_down(old, new)


def _rename_while_down(old: str, new: str) -> None:
    """Put it down, rename it, put it up, in one process to be quick.

    A networkd that has just started sets links up: when that comes in
    between, the kernel says busy, and the next try is likely to do it.
    """
    # Without `dev` iproute2 takes a name such as "a" or "up" for a keyword.
    batch = (
        f"link set dev {old} down\n"
        f"link set dev {old} name {new}\n"
        f"link set dev {new} up\n"
    )
    for tried in range(1, TRIES + 1):
        try:
            run(["ip", "-batch", "-"], stdin=batch)
            return
        except CommandError as err:
            if tried == TRIES or "busy" not in str(err):
                for name in (old, new):
                    with suppress(CommandError):
                        run(["ip", "link", "set", "dev", name, "up"])
                raise
            LOG.debug("%s is busy, try %d: %s", old, tried, err)
            time.sleep(PAUSE_S * tried)
