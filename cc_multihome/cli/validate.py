# SPDX-License-Identifier: Apache-2.0
"""`multihome validate`: every mistake in a file, with its line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cc_multihome.cli.source import (
    STDIN,
    offline,
    read_metadata,
    read_source,
)
from cc_multihome.cli.verb import (
    EXIT_OK,
    EXIT_WRONG,
    add_json,
    add_verb,
    name_of_file,
    print_json,
)

if TYPE_CHECKING:
    from cc_multihome.cli.verb import Verbs
    from cc_multihome.config.text import ConfigText
    from cc_multihome.errors import Problem

    Placed = tuple[Problem, tuple[int, int] | None]


@dataclass(frozen=True)
class Mistake:
    """One mistake; line and column count from 1, None: of the whole file."""

    path: str | None
    line: int | None
    column: int | None
    found: str
    expected: str | None

    def say(self, name: str) -> str:
        """Write it as compilers do."""
        where = [name, *(str(it) for it in (self.line, self.column) if it)]
        text = ":".join(where)
        if self.path is None:
            return f"{text}: {self.found}"
        found = f"found {self.found}, expected {self.expected}"
        return f"{text}: {self.path}: {found}"


def add_validate(verbs: Verbs) -> None:
    """Describe `multihome validate`."""
    parser = add_verb(
        verbs,
        "validate",
        run_validate,
        summary="find every mistake in a configuration file",
        description="Check user-data, a mapping with the key multihome, or a"
        " file of /etc/multihome.d. A file in a folder of that name,"
        " multihome.d, is judged by what holds there: it may be empty or a"
        " part, and must be a mapping with nothing beside the key. Exit"
        " status 1 when there is a mistake.",
    )
    parser.add_argument(
        "file",
        type=name_of_file,
        metavar="FILE",
        help="the file; - is standard input",
    )
    parser.add_argument(
        "--metadata",
        type=name_of_file,
        metavar="FILE",
        help="check it against the instance that FILE describes, too: JSON"
        " as below /latest/meta-data/, or cloud-init's instance-data.json",
    )
    add_json(parser)


def run_validate(args: argparse.Namespace) -> int:
    """Do `multihome validate`."""
    mistakes = find_mistakes(args.file, args.metadata)
    if args.json:
        print_json(_as_dict(args.file, mistakes))
    else:
        _print(args.file, mistakes)
    return EXIT_WRONG if mistakes else EXIT_OK


def find_mistakes(name: str, metadata: str | None) -> tuple[Mistake, ...]:
    """Return the mistakes in a file.

    Raises:
        OSError, FileError: it cannot be read at all.
        LinkError: the instance of `metadata` cannot be planned for.
    """
    from cc_multihome.config.drop_in_file import read_drop_in_text
    from cc_multihome.config.text import TextError, read_config_text

    is_drop_in = _is_drop_in(name)
    read = read_drop_in_text if is_drop_in else read_config_text
    text = read_source(name)
    try:
        config = read(text)
    except TextError as err:
        return (Mistake(None, err.line, err.column, str(err), None),)
    judge = _in_drop_in if is_drop_in else _in_config
    found = [_mistake(*each) for each in judge(config, metadata)]
    return tuple(sorted(found, key=lambda it: (it.line or 0, it.column or 0)))


def _is_drop_in(name: str) -> bool:
    """Say whether a file is one of /etc/multihome.d, or will be."""
    from cc_multihome.config.drop_ins import DROP_INS

    return name != STDIN and Path(name).absolute().parent.name == DROP_INS.name


def _in_config(config: ConfigText, metadata: str | None) -> Iterator[Placed]:
    for item in (*config.repeated, *_problems(config.raw, metadata)):
        yield item, config.place(item.path)


def _in_drop_in(config: ConfigText, metadata: str | None) -> Iterator[Placed]:
    from cc_multihome.config.drop_in_file import refused
    from cc_multihome.config.drop_ins import with_the_rest

    yield from refused(config)
    if isinstance(config.raw, dict):
        # On an instance it is judged as if it were all there is.
        raw = config.raw if metadata else with_the_rest(config.raw)
        for item in _problems(raw, metadata):
            yield item, config.place(item.path)


def _problems(raw: object, metadata: str | None) -> tuple[Problem, ...]:
    from cc_multihome.config.parse import parse
    from cc_multihome.errors import ConfigError

    if metadata is None:
        return parse(raw).problems
    try:
        offline(raw, read_metadata(metadata))
    except ConfigError as err:
        return err.problems
    return ()


def _mistake(problem: Problem, place: tuple[int, int] | None) -> Mistake:
    line, column = place or (None, None)
    return Mistake(problem.path, line, column, problem.found, problem.expected)


def _print(name: str, mistakes: tuple[Mistake, ...]) -> None:
    for mistake in mistakes:
        print(mistake.say(name), file=sys.stderr)
    count = len(mistakes)
    if count:
        noun = "mistake" if count == 1 else "mistakes"
        print(f"{name}: {count} {noun}", file=sys.stderr)
    else:
        print(f"{name}: right")


def _as_dict(name: str, mistakes: tuple[Mistake, ...]) -> dict[str, Any]:
    return {
        "file": name,
        "valid": not mistakes,
        "problems": [vars(mistake) for mistake in mistakes],
    }
