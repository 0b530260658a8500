# SPDX-License-Identifier: Apache-2.0
"""A scope that takes back what was really done when it ends in an error.

How to undo a step is data, written to a journal before the step is taken: so
another process can do it when this one was killed (apply/rollback.py). The
journal lives below /run and is gone with a reset, as is all that it undoes
but the resolver.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from cc_multihome.apply.deadman import held_back
from cc_multihome.errors import RollbackError
from cc_multihome.files import File, append_line, snapshot, write

LOG = logging.getLogger(__name__)

JOURNAL = Path("/run/multihome/journal")


class Undo(ABC):
    """How to undo one step: a frozen dataclass of plain JSON values.

    Attributes:
        kind: names the class in the journal.
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def label(self) -> str:
        """What it does, for a person."""

    @abstractmethod
    def run(self) -> None:
        """Undo the step; does no harm when it was never taken."""

    def as_dict(self) -> dict[str, Any]:
        """Return what the journal holds of it."""
        return {"kind": self.kind, **vars(self)}


@dataclass(frozen=True)
class PutFileBack(Undo):
    """Bring a file to what it was; the fields are those of files.File."""

    kind = "file"
    path: str
    text: str | None
    mode: int
    link: str | None

    @classmethod
    def of(cls, path: Path) -> PutFileBack:
        """Remember a file as it is now."""
        file = snapshot(path)
        return cls(str(path), file.text, file.mode, file.link)

    @property
    def label(self) -> str:
        """What it does."""
        return f"put {self.path} back"

    def run(self) -> None:
        """Write the file, or remove it, if it is not as it was."""
        file = File(Path(self.path), self.text, self.mode, self.link)
        if snapshot(file.path) != file:
            write(file)


class Checkpoint:
    """Collects how to undo each step; on an error it undoes them in reverse.

    Used as a context manager. The original error goes on to the caller; where
    undoing failed too, RollbackError is raised from it and says which steps.
    The journal stays then, for another try by the timer. An interrupt that
    came meanwhile is raised after that (errors.hidden_failure).

    Args:
        before_undo: called before anything is undone; what it raises is
            said in the log.
    """

    def __init__(
        self,
        journal: Path | None = None,
        before_undo: Callable[[], None] = lambda: None,
    ) -> None:
        self._journal = journal
        self._before_undo = before_undo
        self._steps: list[Undo] = []

    def is_empty(self) -> bool:
        """Is there nothing to undo, since nothing was done?"""
        return not self._steps

    def add(self, undo: Undo) -> None:
        """Register the undoing of a step, before the step is taken.

        Raises:
            OSError: the journal cannot be written; do not take the step.
        """
        if self._journal:
            append_line(self._journal, json.dumps(undo.as_dict()))
        self._steps.append(undo)

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with held_back():
            failed = []
            if error is not None and self._steps:
                self._note()
                failed = undo_all(self._steps)
            if self._journal and not failed:
                self._journal.unlink(missing_ok=True)
            if failed:
                # In here: a signal that was held then has it as its context.
                raise RollbackError(
                    f"{error}\nThe former state could not be put back whole;"
                    f" look at the host. What failed: {'; '.join(failed)}"
                ) from error

    def _note(self) -> None:
        try:
            self._before_undo()
        # Undoing must not wait for the timer, whatever is wrong here.
        except Exception as err:
            LOG.warning("before the undoing: %r", err)


def undo_all(steps: Iterable[Undo]) -> list[str]:
    """Undo steps, the last one first; return those that failed."""
    LOG.warning("putting the former state back")
    failed = []
    for step in reversed(list(steps)):
        LOG.info("undoing: %s", step.label)
        try:
            step.run()
        # A step that cannot be undone must not stop the other ones.
        except Exception as err:
            failed.append(f"{step.label}: {err}")
    if not failed:
        LOG.warning("the former state is back")
    return failed
