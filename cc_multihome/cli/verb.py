# SPDX-License-Identifier: Apache-2.0
"""What the verbs of the command share: exit statuses, options, JSON.

Imports nothing heavy: the parser is built at every start, `--version` and
the completion of the shell included.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from cc_multihome.cli.output import complain
from cc_multihome.errors import MultihomeError

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction["Parser"]

# Documented in docs/cli.md and multihome(8); never given another meaning.
EXIT_OK = 0
EXIT_WRONG = 1
EXIT_USAGE = 2  # argparse's own
EXIT_INACTIVE = 3
EXIT_CHANGES = 4
EXIT_BROKEN = 5
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it

# Of every mapping that is printed as JSON. It grows when a key goes, or gets
# another meaning; a key that is added does not change it.
JSON_VERSION = 1

Run = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """Says what to do about a command line that is wrong, too."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2; usage and message go to standard error."""
        with suppress(OSError):
            self.print_usage(sys.stderr)
        complain(
            f"{self.prog}: error: {message}\n"
            f"What to do: see `{self.prog} --help`."
        )
        sys.exit(EXIT_USAGE)


class InactiveError(MultihomeError):
    """There is nothing on this host that the verb could be about."""


class FileError(MultihomeError):
    """A file that was given on the command line is not what it should be."""


class QuestionError(MultihomeError):
    """There is no answer to what the command line asks."""


class RootError(MultihomeError):
    """The verb needs root."""


def add_verb(
    verbs: Verbs, name: str, run: Run, *, summary: str, description: str
) -> argparse.ArgumentParser:
    """Describe a verb; `run` takes the arguments, returns the exit status."""
    parser = verbs.add_parser(name, help=summary, description=description)
    parser.set_defaults(run=run, verb=name, json=False, parser=parser)
    return parser


def command_of(verb: str | None) -> str:
    """Return what the person called; None: no verb was made out."""
    return f"multihome {verb}" if verb else "multihome"


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json; the shapes are documented in docs/cli.md."""
    parser.add_argument(
        "--json", action="store_true", help="print JSON (see docs/cli.md)"
    )


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add --quiet."""
    parser.add_argument(
        "--quiet", action="store_true", help="no progress, errors only"
    )


def name_of_file(text: str) -> str:
    """Refuse "", which a script gives whose variable is not set.

    Raises:
        argparse.ArgumentTypeError: it is that.
    """
    if not text:
        raise argparse.ArgumentTypeError("found no name, expected one")
    return text


def print_json(value: Any) -> None:
    """Print a value; a mapping gets the version of its shape."""
    if isinstance(value, dict):
        value = {"version": JSON_VERSION, **value}
    print(json.dumps(value, indent=2, default=str))


def require_root(verb: str) -> None:
    """Refuse early what could only fail half-way.

    Raises:
        RootError: the caller is not root.
    """
    user = os.geteuid()
    if user != 0:
        raise RootError(
            f"`multihome {verb}` must be run by root, this is user {user};"
            " nothing was changed"
        )
