# SPDX-License-Identifier: Apache-2.0
"""Let systemd-networkd take up what was written, links renamed on the way.

In cloud-init's first stages there is no D-Bus, so networkctl does not reach
networkd. From systemd 257 on its unit is of the type notify-reload, which
needs only a signal. Before that a restart is all there is; that early in the
boot no connection is lost by it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import if_nametoindex

from cc_multihome.apply.checkpoint import Checkpoint, Undo
from cc_multihome.apply.networkd_files import (
    keeping_networkd_files,
    networkd_has_read,
)
from cc_multihome.apply.rename import rename_links
from cc_multihome.discover.networkd import read_link_state
from cc_multihome.discover.systemd import read_unit
from cc_multihome.errors import CommandError
from cc_multihome.run import run

LOG = logging.getLogger(__name__)

SYSTEM_BUS = Path("/run/dbus/system_bus_socket")
NETWORKD = "systemd-networkd.service"
# Any change of a link starts the service again through it.
NETWORKD_SOCKET = "systemd-networkd.socket"
SETTLE_TIMEOUT_S = 10.0
SETTLE_INTERVAL_S = 0.1
# Told of a scratch root, netplan 1.0 and 1.1 have systemd read its units anew,
# and with that write all files of the running host. Their generator does not;
# from 1.2 on `configure` belongs to it, and netplan itself leaves the host
# alone (netplan_cli/cli/commands/generate.py).
GENERATOR = Path("/usr/libexec/netplan/generate")
CONFIGURE = GENERATOR.with_name("configure")
# networkctl(1), the column SETUP
BUSY_STATES = ("pending", "initialized", "configuring")


@dataclass(frozen=True)
class ReloadAgain(Undo):
    """Let networkd read the files that were put back."""

    kind = "reload"

    @property
    def label(self) -> str:
        """What it does."""
        return "let networkd read the former files"

    def run(self) -> None:
        """Reload it, or start it anew where that fails."""
        reload_networkd()


def take_up(
    names: Mapping[str, str], checkpoint: Checkpoint, *, every: bool = False
) -> None:
    """Let netplan and networkd read their files, then rename links.

    The files must match a link by its old name and by its new one: otherwise
    networkd lets go of the link in between. `names` maps the name now to the
    name that it gets.

    Args:
        every: is no link of the plan left whose name stays?

    Raises:
        CommandError: netplan, networkd or the kernel refused.
    """
    generate()
    is_alone = every or not SYSTEM_BUS.exists()
    if names and is_alone and _restarts():
        # While networkd configures a link it must not be renamed: before
        # Linux 6.2 it goes down for that, and networkd gives it up when a
        # route is refused then. Where other links keep their names, though,
        # a networkd that stands still would be felt by them.
        run(["systemctl", "stop", NETWORKD_SOCKET, NETWORKD])
        rename_links(names, checkpoint)
        _start()
        return
    reloaded = time.time()
    _reload()
    if names:
        _wait_until_settled(names, reloaded)
        rename_links(names, checkpoint)


def reload_networkd() -> None:
    """Let netplan write networkd's files, and networkd read them.

    A reload touches only links whose files changed; `netplan apply` would
    reconfigure every link of the host. Where networkd does not answer, a
    restart is what is left to have the files in force: systemctl asks systemd
    itself and needs no D-Bus.

    Raises:
        CommandError: netplan refused, or networkd does not start.
    """
    generate()
    try:
        _reload()
    except CommandError as err:
        LOG.warning("networkd is started anew, since %s", err)
        run(["systemctl", "restart", NETWORKD])
        networkd_has_read()


@contextmanager
def taken_back() -> Iterator[None]:
    """Let a block take names and files back, then networkd what is left.

    An old networkd stands still meanwhile: told to reload, that of systemd
    252 left this package's rules in the kernel, and the host was not reached
    any more (seen on Debian 12). At its start it drops rules of others.
    """
    if not _restarts():
        yield
        reload_networkd()
        return
    run(["systemctl", "stop", NETWORKD_SOCKET, NETWORKD])
    try:
        yield
        generate()
    finally:
        _start()


def generate(root: Path | None = None) -> None:
    """Let netplan write networkd's files; those that stay the same are kept.

    netplan writes all of them anew. networkd takes a file with another inode
    or time for a changed one, and would configure every link again (seen with
    netplan 1.1 and systemd 257).

    Args:
        root: a scratch root to read and write below.

    Raises:
        CommandError: netplan refused.
    """
    argv = ["netplan", "generate"]
    if root is not None:
        if GENERATOR.exists() and not CONFIGURE.exists():
            argv = [str(GENERATOR)]
        argv += ["--root-dir", str(root)]
    with keeping_networkd_files():
        run(argv)


def _reload() -> None:
    if SYSTEM_BUS.exists():
        run(["networkctl", "reload"])
    else:
        verb = "restart" if _restarts() else "reload"
        run(["systemctl", verb, NETWORKD])
    networkd_has_read()


def _start() -> None:
    run(["systemctl", "start", NETWORKD_SOCKET, NETWORKD])
    networkd_has_read()


def _restarts() -> bool:
    """Is it an old one, which without D-Bus a restart alone reaches?"""
    return read_unit(NETWORKD, "Type").get("Type") != "notify-reload"


def _wait_until_settled(names: Iterable[str], reloaded: float) -> None:
    """Wait until networkd is through with the links, for a bounded time.

    A link that is renamed while networkd configures it may lose its subnet's
    route in main, and fails then (seen with systemd 257).
    """
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while busy := [name for name in names if is_busy(name, reloaded)]:
        if time.monotonic() > deadline:
            LOG.info("networkd still configures %s", ", ".join(busy))
            return
        time.sleep(SETTLE_INTERVAL_S)


def is_busy(name: str, reloaded: float = 0.0) -> bool:
    """Has networkd not come to the link yet, or not come to an end?

    Args:
        reloaded: a record that is older than this (in seconds since 1970) is
            one of before; 0 takes any.
    """
    try:
        written, state = read_link_state(if_nametoindex(name))
    except OSError:
        return False
    return written < reloaded or state.get("ADMIN_STATE") in BUSY_STATES
