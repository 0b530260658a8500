# SPDX-License-Identifier: Apache-2.0
"""Bring links back to their former device group.

networkd puts a link into the group that its file names, and leaves it there
when the file no longer names one (seen with systemd 257).
The kernel shows it in /sys/class/net/<name>/netdev_group, as a number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from socket import if_indextoname, if_nametoindex

from cc_multihome.apply.checkpoint import Checkpoint, Undo
from cc_multihome.files import read_text
from cc_multihome.run import run

SYS_NET = Path("/sys/class/net")


@dataclass(frozen=True)
class PutGroupBack(Undo):
    """Bring a link to the group that it was in.

    Attributes:
        ifindex: the link's index, which it keeps when it is renamed.
        group: a number; 0 is the kernel's default.
    """

    kind = "group"
    ifindex: int
    group: int

    @property
    def label(self) -> str:
        """What it does."""
        return f"put link {self.ifindex} back into group {self.group}"

    def run(self) -> None:
        """Set the group, where the link is still there and in another."""
        try:
            name = if_indextoname(self.ifindex)
        except OSError:
            return
        set_group(name, self.group)


def remember_groups(names: Iterable[str], checkpoint: Checkpoint) -> None:
    """Have the checkpoint put these links back into their groups.

    Add it before the networkd that shall no longer set the group: steps are
    undone in reverse, and this one must come last.
    """
    for name in names:
        group = _read_group(name)
        if group is not None:
            checkpoint.add(PutGroupBack(if_nametoindex(name), group))


def set_group(name: str, group: int) -> None:
    """Put a link into a group, unless it is in it.

    Raises:
        CommandError: the kernel refused.
    """
    if _read_group(name) != group:
        run(["ip", "link", "set", "dev", name, "group", str(group)])


def _read_group(name: str) -> int | None:
    text = read_text(SYS_NET / name / "netdev_group")
    return None if text is None else int(text)
