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
from cc_multihome.apply.group import PutGroupBack
from cc_multihome.apply.networkd import ReloadAgain
from cc_multihome.apply.rename import RenameBack
from cc_multihome.apply.resolver import PutUnitsBack
from cc_multihome.apply.sysctl import PutSysctlBack
from cc_multihome.errors import RollbackError
from cc_multihome.files import read_text

LOG = logging.getLogger(__name__)

KINDS: dict[str, type[Undo]] = {
    undo.kind: undo
    for undo in (
        PutFileBack,
        PutGroupBack,
        ReloadAgain,
        RenameBack,
        PutSysctlBack,
        PutUnitsBack,
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
    failed = undo_all(_parse(text))
    journal.unlink(missing_ok=True)
    if failed:
        raise RollbackError(
            "the former state could not be put back whole; look at the"
            f" host. What failed: {'; '.join(failed)}"
        )
    return True


def _parse(text: str) -> list[Undo]:
    """Read the steps; a last line that was cut short was never taken."""
    steps = []
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            fields = json.loads(line)
            steps.append(KINDS[fields.pop("kind")](**fields))
    return steps
