# SPDX-License-Identifier: Apache-2.0
"""Say what went wrong: one clear error, no traceback.

The error's own text says what, where, wanted and seen; what to do is added
here, by the class of the error.
"""

from __future__ import annotations

import os
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cc_multihome.cli.output import complain, held_back
from cc_multihome.cli.verb import (
    EXIT_BROKEN,
    EXIT_INACTIVE,
    EXIT_WRONG,
    FileError,
    InactiveError,
    QuestionError,
    RootError,
    command_of,
    print_json,
)
from cc_multihome.errors import (
    ApplyError,
    CommandError,
    ConfigError,
    ImdsError,
    IntegrationError,
    LinkError,
    MultihomeError,
    Problem,
    RefusedError,
    RollbackError,
    VerifyError,
)

# Any value but the empty one: errors come with the traceback.
DEBUG = "MULTIHOME_DEBUG"


@dataclass(frozen=True)
class _Kind:
    """Errors of one class: the name in JSON, what to do, the exit status."""

    error: type[Exception]
    name: str
    remedy: str
    status: int = EXIT_WRONG


AS_ROOT = "run it as root, for example with sudo"
# The first that fits decides: those that others derive from come last.
_KINDS = (
    _Kind(RootError, "root", AS_ROOT),
    _Kind(
        InactiveError,
        "inactive",
        "give the instance the key multihome and reboot it, or run `multihome"
        " apply` where it has one; `multihome status` says what is in force",
        EXIT_INACTIVE,
    ),
    _Kind(
        QuestionError, "question", "ask with another address, user or service"
    ),
    _Kind(FileError, "file", "mend the file, or give another one"),
    _Kind(
        ConfigError,
        "config",
        "mend each of them; `multihome validate FILE` checks a file",
    ),
    _Kind(
        ImdsError,
        "metadata",
        "see that 169.254.169.254 answers on the primary ENI and that the"
        " instance's metadata options allow it, then try again",
    ),
    _Kind(
        LinkError,
        "link",
        "compare `ip -d link` with the ENIs of the instance; try again when"
        " no ENI is being attached or detached",
    ),
    _Kind(
        RefusedError,
        "refused",
        "mend what it names, then `multihome apply`",
    ),
    _Kind(
        VerifyError,
        "verify",
        "look at `networkctl status` and `journalctl -u systemd-networkd`,"
        " then `multihome apply`",
    ),
    _Kind(
        ApplyError,
        "apply",
        "`multihome status` has the plan that failed and why",
    ),
    _Kind(
        RollbackError,
        "rollback",
        "look at the host now; a reboot brings cloud-init's networking back",
        EXIT_BROKEN,
    ),
    _Kind(
        CommandError,
        "command",
        "run that command by hand, and mend what it complains about",
    ),
    _Kind(
        IntegrationError,
        "integration",
        "mend it, then `multihome integrate` again",
    ),
    _Kind(MultihomeError, "error", "see multihome(8)"),
    _Kind(
        OSError,
        "file",
        "see that it is there, that it may be read or written, and that its"
        " disk is neither full nor read-only",
    ),
)
_BUG = _Kind(
    Exception,
    "internal",
    f"this is a mistake in cc_multihome: run it again with {DEBUG}=1 and"
    " report what it prints",
)


def report(err: Exception, verb: str | None, *, as_json: bool) -> int:
    """Tell the person, and with `as_json` the program; return the status.

    The status is the same where nobody can be told.
    """
    kind, text = _kind_of(err), _text(err)
    if os.environ.get(DEBUG):
        complain("".join(traceback.format_exception(err)).rstrip())
    complain(f"{command_of(verb)}: {text}\nWhat to do: {kind.remedy}.")
    if as_json:
        with suppress(OSError), held_back():
            print_json({"error": _as_dict(err, kind, text)})
    return kind.status


def _kind_of(err: Exception) -> _Kind:
    if isinstance(err, PermissionError) and os.geteuid() != 0:
        return _Kind(PermissionError, "root", AS_ROOT)
    fitting = (kind for kind in _KINDS if isinstance(err, kind.error))
    return next(fitting, _BUG)


def _text(err: Exception) -> str:
    if isinstance(err, OSError) and err.strerror and err.filename:
        return f"{err.filename}: {err.strerror}"
    if isinstance(err, (MultihomeError, OSError)):
        return str(err)
    return f"internal error: {type(err).__name__}: {err}"


def _as_dict(err: Exception, kind: _Kind, text: str) -> dict[str, Any]:
    problems = err.problems if isinstance(err, ConfigError) else ()
    return {
        "kind": kind.name,
        "message": text,
        "remedy": kind.remedy,
        "problems": [_mistake(item) for item in problems],
    }


def _mistake(problem: Problem) -> dict[str, str]:
    """Return what a person can make use of, as docs/cli.md has it."""
    names = ("path", "found", "expected", "origin")
    return {name: getattr(problem, name) for name in names}
