# SPDX-License-Identifier: Apache-2.0
"""Routes by a learned router go when no file asks for them any more.

networkd keeps what it has made of an advertisement when it takes up another
file, for the router's lifetime, which is half an hour (seen with systemd 257):
a destination went on by its former ENI, and unbound traffic by the former
default, beside the one that was planned.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cc_multihome.apply.checkpoint import Checkpoint, Undo
from cc_multihome.apply.foreign import LEAST_S, MOST_S
from cc_multihome.apply.networkd import is_busy
from cc_multihome.discover.kernel import ip_json, read_route
from cc_multihome.errors import CommandError
from cc_multihome.files import File, read_text
from cc_multihome.model import LEARNED, Plan
from cc_multihome.numbers import MAIN_TABLE
from cc_multihome.render.networkd import learned_routes, netdef_of
from cc_multihome.run import run

LOG = logging.getLogger(__name__)

# rtnetlink(7): RTPROT_RA
PROTOCOL = "9"
LEARNED_INTERVAL_S = 0.25

# A device's name, a destination and a table.
Learned = tuple[str, str, int]


@dataclass(frozen=True)
class DropLearned(Undo):
    """Delete such routes, where they are.

    Attributes:
        routes: each as Learned.
    """

    kind = "learned"
    routes: list[list[str | int]]

    @classmethod
    def of(cls, routes: Iterable[Learned]) -> DropLearned:
        """Write them as JSON has them."""
        return cls([list(route) for route in sorted(routes)])

    @property
    def label(self) -> str:
        """What it does."""
        return f"drop {len(self.routes)} routes by learned routers"

    def run(self) -> None:
        """Delete them, until networkd is through.

        Raises:
            CommandError: they cannot be read.
        """
        self.once_there_are(frozenset())

    def once_there_are(self, planned: frozenset[Learned]) -> None:
        """Delete them as soon as these have come, until networkd is through.

        One that goes before networkd has come to its link is set again by it
        (seen with systemd 257). At most for 15 s: whether all that is planned
        is there, the proof says.

        Raises:
            CommandError: they cannot be read.
        """
        started, names = time.monotonic(), {str(it[0]) for it in self.routes}
        while self.routes:
            there, since = read_learned(), time.monotonic() - started
            has_come, is_late = planned <= there, since > MOST_S
            if has_come or is_late:
                self._delete_from(there)
            busy = not has_come or any(map(is_busy, names))
            if is_late or (since > LEAST_S and not busy):
                break
            time.sleep(LEARNED_INTERVAL_S)

    def _delete_from(self, there: frozenset[Learned]) -> None:
        for device, to, table in self.routes:
            if (device, to, table) in there:
                _delete(str(device), str(to), str(table))


def remember_learned(
    plan: Plan, files: Iterable[File], checkpoint: Checkpoint
) -> DropLearned:
    """Compare what is to be written with what is there, before it is.

    The checkpoint drops what the new files ask for and the former did not.
    Add it before the networkd that shall no longer ask for it: steps are
    undone in reverse, and this one must come last.

    Returns:
        what drops the opposite, once networkd has read the new files.
    """
    outdated: set[Learned] = set()
    back: set[Learned] = set()
    items = {item.netdef_id: item for item in plan.interfaces}
    for file in files:
        netdef_id = netdef_of(file.path)
        if netdef_id is not None:
            item, former = items.get(netdef_id), read_text(file.path)
            # One that is released goes by the id of cloud-init's netdef.
            now = item.name if item else netdef_id
            then = item.ifname if item else now
            outdated.update((now, *it) for it in _only(former, file.text))
            back.update((then, *it) for it in _only(file.text, former))
    if back:
        checkpoint.add(DropLearned.of(back))
    return DropLearned.of(outdated)


def drop_outdated(outdated: DropLearned, plan: Plan) -> None:
    """Delete what is outdated, once what is planned has come.

    Raises:
        CommandError: the routes cannot be read.
    """
    outdated.once_there_are(_planned(plan))


def read_learned() -> frozenset[Learned]:
    """Read the routes by learned routers.

    Raises:
        CommandError: `ip` failed.
    """
    words = ("-6", "route", "show", "table", "all", "proto", PROTOCOL)
    found = (read_route(item, "-6") for item in ip_json(*words))
    return frozenset((name, str(it.to), it.table) for name, it in found)


def _planned(plan: Plan) -> frozenset[Learned]:
    return frozenset(
        (item.name, str(route.to), route.table)
        for item in plan.interfaces
        for route in item.routes
        if route.via == LEARNED
    )


def _only(this: str | None, other: str | None) -> Iterator[tuple[str, int]]:
    """Yield what this text of a drop-in asks for, and the other one does not.

    Without a drop-in of ours the link is cloud-init's, for which networkd
    makes a default route in main by itself.
    """
    for to, table in learned_routes(this or "") - learned_routes(other or ""):
        if other is not None or table != MAIN_TABLE:
            yield to, table


def _delete(device: str, to: str, table: str) -> None:
    words = ("table", table, "proto", PROTOCOL)
    try:
        run(["ip", "-6", "route", "del", to, "dev", device, *words])
    except CommandError as err:
        # It may be gone by now.
        LOG.debug("%s", err)
