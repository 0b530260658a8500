# SPDX-License-Identifier: Apache-2.0
"""Take back what a run that was killed, or hangs, had begun."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from cc_multihome.apply.checkpoint import (
    JOURNAL,
    PutFileBack,
    Undo,
    undo_all,
)
from cc_multihome.apply.foreign import PutForeignBack
from cc_multihome.apply.former import AwaitAddresses
from cc_multihome.apply.group import PutGroupBack
from cc_multihome.apply.learned import DropLearned
from cc_multihome.apply.networkd import ReloadAgain
from cc_multihome.apply.nftables import PutTableBack
from cc_multihome.apply.rename import RenameBack
from cc_multihome.apply.resolver import PutUnitsBack
from cc_multihome.apply.services import TakeUpAgain
from cc_multihome.apply.sysctl import PutSysctlBack
from cc_multihome.errors import RollbackError
from cc_multihome.files import read_text

LOG = logging.getLogger(__name__)

KINDS: dict[str, type[Undo]] = {
    undo.kind: undo
    for undo in (
        AwaitAddresses,
        DropLearned,
        PutFileBack,
        PutForeignBack,
        PutGroupBack,
        ReloadAgain,
        RenameBack,
        PutSysctlBack,
        PutTableBack,
        PutUnitsBack,
        TakeUpAgain,
    )
}


def undo_journal(journal: Path = JOURNAL) -> bool:
    """Undo what an unfinished run wrote down; say whether there was any.

    The caller holds the lock.

    Raises:
        RollbackError: some steps failed; says which.
    """
    text = read_text(journal)
    if text is None:
        return False
    LOG.warning("an earlier run did not end; what it changed is undone")
    steps, failed = _parse(text)
    failed += undo_all(steps)
    journal.unlink(missing_ok=True)
    if failed:
        raise RollbackError(
            "the former state could not be put back whole; look at the"
            f" host. What failed: {'; '.join(failed)}"
        )
    return True


def _parse(text: str) -> tuple[list[Undo], list[str]]:
    """Read the steps, and say which lines cannot be read.

    A last line that was cut short was never taken. A line of another version
    of this package must not keep the other steps from being undone.
    """
    steps, unreadable = [], []
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if not line.endswith("\n"):
            continue
        try:
            fields = json.loads(line)
            steps.append(KINDS[fields.pop("kind")](**fields))
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            unreadable.append(f"line {number} of the journal: {err!r}")
    return steps, unreadable
