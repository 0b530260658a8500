# SPDX-License-Identifier: Apache-2.0
"""A scope that takes back what was really done when it ends in an error."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType

from cc_multihome.errors import RollbackError

LOG = logging.getLogger(__name__)


class Checkpoint:
    """Collects how to undo each step; on an error it undoes them in reverse.

    Used as a context manager. The original error goes on to the caller; where
    undoing failed too, RollbackError is raised from it and says which steps.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[str, Callable[[], None]]] = []

    def add(self, label: str, undo: Callable[[], None]) -> None:
        """Register the undoing of a step, before the step is taken."""
        self._steps.append((label, undo))

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            return
        LOG.warning("putting the former state back")
        failed = self._undo()
        if failed:
            raise RollbackError(
                f"{error}\nThe former state could not be put back whole;"
                f" look at the host. What failed: {'; '.join(failed)}"
            ) from error
        LOG.warning("the former state is back")

    def _undo(self) -> list[str]:
        failed = []
        for label, undo in reversed(self._steps):
            LOG.info("undoing: %s", label)
            try:
                undo()
            # A step that cannot be undone must not stop the other ones.
            except Exception as err:
                failed.append(f"{label}: {err}")
        return failed
