# SPDX-License-Identifier: Apache-2.0
"""The kernel's settings of each link: for ENIs in one subnet, and containers.

https://www.kernel.org/doc/html/latest/networking/ip-sysctl.html
What each one is for was seen by capture (tests/netns/test_same_subnet.py):

- arp_ignore 0: both ENIs answer ARP for an address of one of them.
- arp_announce 0: an ENI asks in the name of the other one's address.
- rp_filter 1: broadcasts, and what nftables sends on to a container, are
  dropped on the ENI that has no route in main. Replies are not its victims:
  the rules on source address hold for the reverse path, too.
- arp_filter is not needed: arp_ignore says it all.

They are written for all versions of systemd. From 256 on networkd can say
rp_filter, but it leaves the value behind when it no longer says it, and it
has no word for ARP's.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from socket import if_indextoname, if_nametoindex

from cc_multihome.apply.checkpoint import Checkpoint, PutFileBack, Undo
from cc_multihome.files import File, read_text, write, write_kernel_value
from cc_multihome.model import Plan

LOG = logging.getLogger(__name__)

ROOT = Path("/")
CONF = Path("proc/sys/net/ipv4/conf")
# What was there before. Below /run: it goes with a reboot, as values do.
FORMER_VALUES = Path("run/multihome/sysctl.json")
KEYS = ("arp_ignore", "arp_announce", "rp_filter")


Slot = tuple[int, str]


@dataclass(frozen=True)
class Sysctl:
    """A value of a link that has to change.

    Attributes:
        slot: the link's index, which it keeps when it is renamed, and key.
        value: what it shall be; `now`: what it is.
        is_former: the value is the one from before this package's.
    """

    slot: Slot
    value: int
    now: int
    is_former: bool = False


@dataclass(frozen=True)
class Kept:
    """The value that was there before, and the one that took its place."""

    former: int
    ours: int


@dataclass(frozen=True)
class PutSysctlBack(Undo):
    """Write a link's value as it was."""

    kind = "sysctl"
    ifindex: int
    key: str
    value: int

    @property
    def label(self) -> str:
        """What it does."""
        return f"put {self.key} of link {self.ifindex} back to {self.value}"

    def run(self) -> None:
        """Write it, where the link is still there."""
        slot = (self.ifindex, self.key)
        if _read(slot) is not None:
            _write(slot, self.value)


def needed_value(key: str, own: int, for_all: int) -> int | None:
    """Say what a link that shares its subnet needs, None for no change.

    Pure. The kernel uses the larger of the link's own value and that for
    all; a stricter choice of the administrator's stays.
    """
    in_force = max(own, for_all)
    if key == "arp_ignore":
        return 1 if in_force == 0 else None
    if key == "arp_announce":
        return 2 if in_force < 2 else None
    # Strict becomes loose; off stays off.
    return 2 if in_force == 1 else None


def find_sysctls(plan: Plan) -> tuple[Sysctl, ...]:
    """Compare the host with the plan; also find what is to be put back.

    Reads only. A link that is not there is left out, and so is a value that
    somebody has changed since this package no longer needs it.
    """
    kept = _read_kept()
    wanted = dict(_wanted(plan, kept))
    changes = []
    for slot, value in wanted.items():
        now = _read(slot)
        if now is not None and now != value:
            changes.append(Sysctl(slot, value, now))
    for slot, item in kept.items():
        if slot not in wanted and _read(slot) == item.ours:
            changes.append(Sysctl(slot, item.former, item.ours, True))
    return tuple(changes)


def apply_sysctls(changes: Iterable[Sysctl], checkpoint: Checkpoint) -> None:
    """Make the changes that were found; the checkpoint takes them back.

    Raises:
        OSError: the kernel refused a value.
    """
    kept = _read_kept()
    for change in changes:
        if change.is_former:
            del kept[change.slot]
        else:
            former = kept.get(change.slot, Kept(change.now, change.value))
            kept[change.slot] = replace(former, ours=change.value)
    checkpoint.add(PutFileBack.of(ROOT / FORMER_VALUES))
    _write_kept(kept)
    for change in changes:
        checkpoint.add(PutSysctlBack(*change.slot, change.now))
        _write(change.slot, change.value)


def restore_sysctls() -> None:
    """Put back every value that is still this package's.

    Raises:
        OSError: the kernel refused a value.
    """
    for slot, item in _read_kept().items():
        if _read(slot) == item.ours:
            _write(slot, item.former)
    write(File(ROOT / FORMER_VALUES, None))


def _wanted(
    plan: Plan, kept: Mapping[Slot, Kept]
) -> Iterator[tuple[Slot, int]]:
    for item in plan.interfaces:
        keys = KEYS if item.shares_subnet else ()
        # The way back of what is for a container is looked up without mark.
        for key in ("rp_filter",) if plan.containers and not keys else keys:
            slot = (if_nametoindex(item.ifname), key)
            now = _read(slot)
            if now is None:
                continue
            own = kept[slot].former if slot in kept else now
            value = needed_value(key, own, _read_for_all(key))
            if value is not None:
                yield slot, value


def _path(ifname: str, key: str) -> Path:
    return ROOT / CONF / ifname / key


def _read(slot: Slot) -> int | None:
    try:
        text = read_text(_path(if_indextoname(slot[0]), slot[1]))
    except OSError:
        return None
    return None if text is None else int(text)


def _read_for_all(key: str) -> int:
    return int(read_text(_path("all", key)) or 0)


def _write(slot: Slot, value: int) -> None:
    ifindex, key = slot
    name = if_indextoname(ifindex)
    write_kernel_value(_path(name, key), f"{value}\n")
    LOG.info("set net.ipv4.conf.%s.%s to %d", name, key, value)


def _read_kept() -> dict[Slot, Kept]:
    """Read a list of [ifindex, key, former value, our value]."""
    text = read_text(ROOT / FORMER_VALUES)
    rows = json.loads(text) if text else []
    return {(row[0], row[1]): Kept(row[2], row[3]) for row in rows}


def _write_kept(kept: Mapping[Slot, Kept]) -> None:
    rows = [
        [*slot, item.former, item.ours]
        for slot, item in sorted(kept.items(), key=itemgetter(0))
    ]
    text = json.dumps(rows) + "\n" if rows else None
    write(File(ROOT / FORMER_VALUES, text))
