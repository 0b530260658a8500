# SPDX-License-Identifier: Apache-2.0
"""Put the table of connection marks into the kernel, and take it away."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from cc_multihome.apply.checkpoint import Checkpoint, PutFileBack, Undo
from cc_multihome.errors import CommandError
from cc_multihome.files import File, read_text, write
from cc_multihome.model import Plan
from cc_multihome.render.nftables import (
    FAMILY,
    NAME,
    PRIORITY,
    table,
    wanted_comments,
)
from cc_multihome.run import run

LOG = logging.getLogger(__name__)

ROOT = Path("/")
# What is in the kernel; below /run, for it goes with a reboot as that does.
IN_FORCE = Path("run/multihome/nftables")


@dataclass(frozen=True)
class TableChange:
    """What the table shall be; `text` None: away."""

    text: str | None


@dataclass(frozen=True)
class PutTableBack(Undo):
    """Make the table what it was; `text` None: there was none."""

    kind = "nftables"
    text: str | None

    @property
    def label(self) -> str:
        """What it does."""
        verb = "put back" if self.text else "take away"
        return f"{verb} the table {FAMILY} {NAME} of nftables"

    def run(self) -> None:
        """Replace it."""
        _replace(self.text)


def find_table_change(plan: Plan) -> TableChange | None:
    """Compare the kernel's table with the plan's; None: it is right.

    Reads only. Where this package has no table, and wants none, nftables is
    not asked, and need not be there.
    """
    wanted, before = table(plan), read_text(ROOT / IN_FORCE)
    if wanted is None:
        return None if before is None else TableChange(None)
    if wanted == before and _seen_comments() == wanted_comments(plan):
        return None
    return TableChange(wanted)


def apply_table(change: TableChange | None, checkpoint: Checkpoint) -> None:
    """Make the change that was found, if any; the checkpoint takes it back.

    Raises:
        CommandError: nftables refused.
        OSError: what is in force could not be written down.
    """
    if change is None:
        return
    checkpoint.add(PutFileBack.of(ROOT / IN_FORCE))
    checkpoint.add(PutTableBack(read_text(ROOT / IN_FORCE)))
    _replace(change.text)
    write(File(ROOT / IN_FORCE, change.text))
    verb = "is in force" if change.text else "is gone"
    LOG.info("the table %s %s of nftables %s", FAMILY, NAME, verb)


def restore_table() -> None:
    """Take the table away, if there is one of this package's.

    Raises:
        CommandError: nftables refused.
    """
    if read_text(ROOT / IN_FORCE) is not None:
        _replace(None)
        write(File(ROOT / IN_FORCE, None))


def _replace(text: str | None) -> None:
    """Do it in one step; nothing is lost when it is refused (nft(8))."""
    # To delete what is not there is an error, to add what is, none.
    away = f"table {FAMILY} {NAME}\ndelete table {FAMILY} {NAME}\n"
    run(["nft", "-f", "-"], stdin=away + (text or ""))


def _seen_comments() -> list[str]:
    """Return the comments of our chain's rules; [] where it is not there."""
    try:
        shown = run(["nft", "-j", "list", "table", FAMILY, NAME])
    except CommandError as err:
        LOG.debug("no table: %s", err)
        return []
    items = json.loads(shown)["nftables"]
    chains = [item["chain"] for item in items if "chain" in item]
    if not any(it.get("prio") == PRIORITY for it in chains):
        return []
    rules = (item["rule"] for item in items if "rule" in item)
    return [rule.get("comment", "") for rule in rules]
