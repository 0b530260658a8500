# SPDX-License-Identifier: Apache-2.0
"""Configuration beside user-data: /etc/multihome.d/*.yaml, merged over it.

The files are taken in the order of their names. Mappings are merged, `policy`
grows, anything else is replaced. Where each value was written is kept, so
that a mistake is told with its file and line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cc_multihome.config.drop_in_file import (
    problem,
    read_drop_in,
    require_roots,
    said,
    shown,
)
from cc_multihome.config.schema import path_text, plain
from cc_multihome.config.text import KEY, ConfigText, parent_path
from cc_multihome.errors import ConfigError, Problem

DROP_INS = Path("/etc/multihome.d")
APPENDED = "policy"


@dataclass(frozen=True)
class Sources:
    """The merged configuration.

    Attributes:
        raw: for config.parse.parse().
        files: the drop-ins that were read, in order.
        origins: path of a value -> file and line; what is only in
            user-data is not in it.
        given: the paths of what user-data says.
    """

    raw: object
    files: tuple[Path, ...] = ()
    origins: Mapping[str, str] | None = None
    given: frozenset[str] = frozenset()

    def locate(self, err: ConfigError) -> ConfigError:
        """Say of each mistake in which file it was written."""
        return ConfigError(
            tuple(
                replace(item, origin=item.origin or self._origin(item.path))
                for item in err.problems
            )
        )

    def _origin(self, path: str) -> str:
        while path and self.origins:
            if path in self.origins:
                return self.origins[path]
            if path in self.given:
                return ""
            path = parent_path(path)
        return ""


def read_sources(base: object, directory: Path = DROP_INS) -> Sources:
    """Merge the drop-ins over what user-data says; reads files only.

    `false` in user-data stays: the module is off. A base that is no mapping
    stays too, and is a mistake of its own.

    Raises:
        ConfigError: a file cannot be read, or is no YAML mapping; says the
            file and, where it is known, the line.
    """
    if base is False or not isinstance(base, (dict, type(None), bool)):
        return Sources(base)
    files = _files(directory)
    if not files:
        return Sources(base)
    # A copy: YAML's aliases can make a value contain itself.
    merged: Any = plain(base) if isinstance(base, dict) else {}
    given = frozenset(_paths(merged, ()))
    origins: dict[str, str] = {}
    for path, text in _read_all(directory, files):
        if text.raw is None:
            continue
        origins.update(_origins(path, text, merged))
        merged = merge(merged, plain(text.raw))
    return Sources(merged, files, origins, given)


def merge(base: Any, over: Any, *, appended: bool = False) -> Any:
    """Merge two values: pure, neither is changed."""
    if isinstance(base, dict) and isinstance(over, dict):
        merged = dict(base)
        for key, value in over.items():
            if key in base:
                value = merge(base[key], value, appended=key == APPENDED)
            merged[key] = value
        return merged
    if appended and isinstance(over, list):
        # A list over what is none would cover up a mistake, and with it
        # all destinations from before.
        return [*base, *over] if isinstance(base, list) else base
    return over


def with_the_rest(over: object) -> object:
    """Add what must be somewhere, and may be in user-data or another file.

    What is wrong with the result is wrong with `over`, whatever the others
    say. Pure.
    """
    over = plain(over)
    if not isinstance(over, dict):
        return over
    base: dict[str, Any] = {}
    if isinstance(over.get("interfaces"), dict):
        base["interfaces"] = {
            name: {"device_number": 0} for name in over["interfaces"]
        }
    if isinstance(over.get("resolver"), dict):
        base["resolver"] = {"nameservers": ["192.0.2.53"]}
    return merge(base, over)


def _files(directory: Path) -> tuple[Path, ...]:
    """Give the files in order; not hidden ones, nor editors' backups.

    Only what is not there at all has none: were anything else taken for
    that, the next run would take the destinations of all files away.

    Raises:
        ConfigError: something else than a directory that can be listed.
    """
    expected = (
        "a directory that can be listed; put it back, or take the name away"
        " if there are to be no files"
    )
    try:
        directory.lstat()
    except FileNotFoundError:
        return ()
    except OSError as err:
        raise problem(directory, said(err), expected) from err
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError as err:
        found = "a link to what is not there"
        raise problem(directory, found, expected) from err
    except NotADirectoryError as err:
        found = "a file that is no directory"
        raise problem(directory, found, expected) from err
    except OSError as err:
        raise problem(directory, said(err), expected) from err
    return tuple(
        directory / name
        for name in names
        if name.endswith(".yaml") and not name.startswith(".")
    )


def _read_all(
    directory: Path, files: tuple[Path, ...]
) -> list[tuple[Path, ConfigText]]:
    """Read every file, so that the mistakes of all come at once."""
    texts: list[tuple[Path, ConfigText]] = []
    problems: list[Problem] = []
    try:
        # Who may write there may put another file of root's in its place.
        require_roots(directory, directory.stat(), "a directory")
    except ConfigError as err:
        problems += err.problems
    for path in files:
        try:
            texts.append((path, read_drop_in(path)))
        except ConfigError as err:
            problems += err.problems
    if problems:
        raise ConfigError(tuple(problems))
    return texts


def _origins(path: Path, text: ConfigText, merged: Any) -> dict[str, str]:
    """Map the paths of a file, as they are after the merge, to its lines."""
    before = merged.get(APPENDED, [])
    shift = len(before) if isinstance(before, list) else 0
    appends = isinstance(text.raw, dict) and isinstance(
        text.raw.get(APPENDED), list
    )
    is_kept = appends and not isinstance(before, list)
    idle = frozenset(_idle(plain(text.raw), merged, ()))
    return {
        _shifted(where, shift): f"{shown(path)}, line {line}"
        for where, (line, _) in text.places.items()
        # The root is everybody's; a wrong policy stays its writer's.
        if where != KEY
        and where not in idle
        and not (is_kept and _is_in_policy(where))
    }


def _idle(over: Any, base: Any, steps: tuple[str | int, ...]) -> Iterator[str]:
    """Find the empty mappings over others, which add nothing to them."""
    if isinstance(over, dict) and isinstance(base, dict):
        if not over:
            yield path_text(steps)
        for key in over.keys() & base.keys():
            yield from _idle(over[key], base[key], (*steps, str(key)))


def _is_in_policy(where: str) -> bool:
    start = f"{KEY}.{APPENDED}"
    return where == start or where.startswith(f"{start}[")


def _shifted(where: str, shift: int) -> str:
    """Count an element of `policy` on from those that were there before."""
    start = f"{KEY}.{APPENDED}["
    if not where.startswith(start):
        return where
    number, rest = where.removeprefix(start).split("]", 1)
    return f"{start}{int(number) + shift}]{rest}"


def _paths(value: Any, steps: tuple[str | int, ...]) -> Iterator[str]:
    items: Any = ()
    if isinstance(value, dict):
        items = ((str(key), child) for key, child in value.items())
    elif isinstance(value, list):
        items = enumerate(value)
    for step, child in items:
        yield path_text((*steps, step))
        yield from _paths(child, (*steps, step))
