# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, one class for each person who has to act on it."""

from __future__ import annotations

from dataclasses import dataclass, field


class MultihomeError(Exception):
    """Base of every error that this package raises on purpose."""


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in the configuration.

    Attributes:
        path: where it stands, for example ``multihome.policy[0].via``.
        found: what was found there, as the person wrote it.
        expected: what would have been right, with the choices there are.
        origin: the file and line where it was written; empty for user-data.
        may_pass: it may be none any more without a change of the text: what
            the host lacks, an ENI or a user, may still come.
    """

    path: str
    found: str
    expected: str
    origin: str = ""
    may_pass: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        origin = f" ({self.origin})" if self.origin else ""
        return (
            f"{self.path}{origin}: found {self.found}, expected"
            f" {self.expected}"
        )


class ConfigError(MultihomeError, ValueError):
    """The `multihome` key is wrong: whoever wrote it must mend it.

    Carries every mistake, so that one boot shows them all.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        count = len(problems)
        head = (
            f"{count} mistake{'' if count == 1 else 's'} in the configuration"
        )
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(f"{head}; nothing was changed:{lines}")


class ImdsError(MultihomeError):
    """The instance metadata service gave no complete answer."""


class LinkError(MultihomeError):
    """An ENI has no network device here, or a device cannot be used."""


class CommandError(MultihomeError):
    """A command failed, was not found, or took longer than it may."""


class ApplyError(MultihomeError):
    """The host refused a change; the former state was put back."""


class RefusedError(ApplyError):
    """The plan was refused before anything was changed."""


class TimeIsUp(BaseException):
    """The run takes longer than it may, and ends here (apply/deadman.py).

    No Exception: what goes on after an error must not go on after this.
    """


class BusyError(ApplyError):
    """Another run goes on; nothing was changed."""


class VerifyError(ApplyError):
    """The kernel did not come to hold the plan in time."""


class RollbackError(MultihomeError):
    """Putting the former state back failed: a person must look at the host."""


class RecordError(MultihomeError):
    """What was kept of the former state cannot be read."""


class IntegrationError(MultihomeError):
    """cloud-init's configuration or schema could not be extended."""


def hidden_failure(error: BaseException) -> RollbackError | None:
    """Return the failed undoing that an interrupt took the place of.

    A signal that came in an undoing was held until it was through.
    """
    if isinstance(error, Exception):
        return None
    before = error.__context__
    return before if isinstance(before, RollbackError) else None
