# SPDX-License-Identifier: Apache-2.0
"""One file of /etc/multihome.d: who may write it, and what may be in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cc_multihome.config.schema import plain, show
from cc_multihome.config.text import (
    KEY,
    ConfigText,
    EmptyTextError,
    TextError,
    read_config_text,
)
from cc_multihome.errors import ConfigError, Problem

SIZE_MAX_BYTES = 1 << 20
# Line and column.
Place = tuple[int, int]


def require_roots(path: Path, found: os.stat_result, what: str) -> None:
    """Refuse what others than root may write.

    Raises:
        ConfigError: says how to mend it.
    """
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise problem(
            path,
            f"owner {found.st_uid}, mode {found.st_mode & 0o7777:o}",
            f"{what} that only root may write (chown root; chmod go-w)",
        )


def read_drop_in(path: Path) -> ConfigText:
    """Read one file; an empty one says nothing.

    Raises:
        ConfigError: every mistake that shows without the other files.
    """
    try:
        return _parse(path, _read(path))
    except OSError as err:
        # A link to nowhere, or taken away since the directory was listed.
        raise problem(path, said(err), "a file that can be read") from err


def _read(path: Path) -> bytes:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise problem(path, "something else", "a regular file")
    require_roots(path, found, "a file")
    if found.st_size > SIZE_MAX_BYTES:
        raise problem(
            path, f"{found.st_size} bytes", f"at most {SIZE_MAX_BYTES} bytes"
        )
    return path.read_bytes()


def _parse(path: Path, content: bytes) -> ConfigText:
    try:
        config = read_drop_in_text(content.decode("utf-8-sig"))
    except TextError as err:
        place = f", line {err.line}" if err.line else ""
        place += f", column {err.column}" if err.column else ""
        raise problem(path, str(err), "a YAML mapping", place) from err
    except UnicodeDecodeError as err:
        raise problem(path, f"byte {err.start}", "UTF-8") from err
    wrong = tuple(
        replace(item, origin=_origin(path, place))
        for item, place in refused(config)
    )
    if wrong:
        raise ConfigError(wrong)
    return config


def read_drop_in_text(text: str) -> ConfigText:
    """Read what stands in a file; an empty one says nothing.

    Raises:
        TextError: as read_config_text() does.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > SIZE_MAX_BYTES:
        raise TextError(f"{size} bytes, expected at most {SIZE_MAX_BYTES}")
    try:
        return read_config_text(text)
    except EmptyTextError:
        return ConfigText(None)


def refused(config: ConfigText) -> Iterator[tuple[Problem, Place | None]]:
    """Find what would be lost without a word, or is none to be merged.

    User-data may have all of it but keys that stand twice.
    """
    for item in config.repeated:
        yield item, config.place(item.path)
    for key, place in config.beside:
        found = f"{show(key)} beside it"
        expected = (
            f"nothing beside it: move {show(key)} below {KEY}, or take {KEY}"
            " away"
        )
        yield Problem(KEY, found, expected), place
    if not isinstance(config.raw, dict | type(None)):
        found = show(plain(config.raw))
        yield Problem(KEY, found, "a mapping"), config.place(KEY)


def _origin(path: Path, place: Place | None) -> str:
    return f"{shown(path)}, line {place[0]}" if place else shown(path)


def problem(
    path: Path, found: str, expected: str, place: str = ""
) -> ConfigError:
    """Make the error about a file as a whole, or a place in it."""
    return ConfigError(
        (Problem(KEY, found, expected, f"{shown(path)}{place}"),)
    )


def shown(path: Path) -> str:
    """Write a path; its names may have newlines and escapes in them."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def said(err: OSError) -> str:
    """Return what the kernel said."""
    return err.strerror or str(err)
