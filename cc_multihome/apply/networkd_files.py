# SPDX-License-Identifier: Apache-2.0
"""networkd's files, kept over what only writes the same anew.

netplan writes all of them at once, and systemd has it do so whenever it reads
its units again: after `systemctl daemon-reload`, `enable` or `disable`, and so
in every upgrade of packages. networkd takes a file with another inode or time
for a changed one, and would configure its link again at the next reload, for
which that of systemd 252 takes the addresses away for a second (seen on
Debian 12). So networkd's own view is kept: a hard link to each file as it
read it, which goes back in place of one that says the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cc_multihome.files import (
    files_in,
    is_alike,
    keeping_unchanged,
    make_directory,
    put_hard_link,
    was_read,
)

LOG = logging.getLogger(__name__)

NETWORKD_FILES = Path("/run/systemd/network")
NETPLANS = "10-netplan-*"
# Of the same file system.
RUN_MULTIHOME = Path("/run/multihome")
AS_READ = "networkd"


@contextmanager
def keeping_networkd_files() -> Iterator[None]:
    """Let a block have netplan's generator run; files that stay are kept.

    Also those that somebody else's had written anew before.
    """
    with keeping_unchanged(NETWORKD_FILES, NETPLANS, RUN_MULTIHOME):
        yield
    with _told():
        _put_back()


def networkd_has_read() -> None:
    """Keep the files, which networkd was just told to read."""
    with _told():
        found = {path.name: path for path in _files()}
        for kept in _as_read().iterdir():
            if kept.name not in found:
                kept.unlink()
        for name, path in found.items():
            put_hard_link(_as_read() / name, path)


def keep_what_was_read() -> None:
    """Keep what somebody else told networkd to read, as at its restart.

    A `daemon-reload` may write it anew before our next change.
    """
    with _told():
        for path in _files():
            if was_read(path):
                put_hard_link(_as_read() / path.name, path)


def _put_back() -> None:
    """Undo a writing that changed nothing.

    Where somebody has read the file it was networkd, told by somebody else:
    it is the one that networkd knows then.
    """
    for path in _files():
        kept = _as_read() / path.name
        if was_read(path) or not kept.exists():
            put_hard_link(kept, path)
        elif is_alike(path, kept):
            put_hard_link(path, kept)


def _as_read() -> Path:
    make_directory(RUN_MULTIHOME / AS_READ)
    return RUN_MULTIHOME / AS_READ


def _files() -> list[Path]:
    return files_in(NETWORKD_FILES, NETPLANS)


@contextmanager
def _told() -> Iterator[None]:
    """Let no run fail: all that it costs is what it was to spare."""
    try:
        yield
    except OSError as err:
        LOG.warning("networkd will configure each link again: %s", err)
