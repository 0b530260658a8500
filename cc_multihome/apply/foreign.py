# SPDX-License-Identifier: Apache-2.0
"""Keep what others have put into the kernel: their rules, their routes.

Whenever networkd configures a link, it drops every rule of the host and every
route of that link that it does not know (seen with systemd 252 and 257; so do
`netplan apply` and a restart). Its switches against that
(ManageForeignRoutingPolicyRules=, ManageForeignRoutes=, networkd.conf(5)) are
no help here: it reads them when it starts, and with them it forgets, at a
restart, which rules are its own, and leaves those behind for good (seen with
systemd 257: after `multihome restore` the plan's rules were still there).

So they are remembered before a change, and given back as they were.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from cc_multihome.apply.checkpoint import Undo
from cc_multihome.apply.networkd import SYSTEM_BUS, is_busy
from cc_multihome.discover.foreign import Foreign, add_foreign, read_foreign

LOG = logging.getLogger(__name__)

NOBODY: frozenset[Foreign] = frozenset()
# Within this networkd begins with a link after a reload has ended.
LEAST_S = 2.0
MOST_S = 15.0
INTERVAL_S = 0.05


@dataclass(frozen=True)
class PutForeignBack(Undo):
    """Give others their rules and routes back.

    Attributes:
        names: of the links that networkd may be busy with.
        items: (kind, message in hexadecimal) of each.
    """

    kind = "foreign"
    names: tuple[str, ...]
    items: tuple[tuple[int, str], ...]

    @classmethod
    def of(
        cls, names: Iterable[str], items: Iterable[Foreign]
    ) -> PutForeignBack:
        """Remember them."""
        plain = ((item.kind, item.message.hex()) for item in sorted(items))
        return cls(tuple(names), tuple(plain))

    @property
    def label(self) -> str:
        """What it does."""
        return f"give back {len(self.items)} rules and routes of others"

    def run(self) -> None:
        """Give back what is missing, until networkd is through."""
        items = (
            Foreign(kind, bytes.fromhex(text)) for kind, text in self.items
        )
        keep_foreign(frozenset(items), self.names)


def remember_foreign() -> frozenset[Foreign]:
    """Read what others have put there.

    In cloud-init's stage, before D-Bus, there are no others yet: what is
    there is left over from cloud-init's own asking for leases, and networkd
    shall drop it.

    Raises:
        OSError: the kernel did not answer.
    """
    return read_foreign() if SYSTEM_BUS.exists() else NOBODY


def keep_foreign(items: frozenset[Foreign], names: Iterable[str]) -> None:
    """Give back what is missing of these until networkd is through.

    At most for 15 s. What the kernel refuses (a route by a link or an
    address that is gone) is said in the log.

    Args:
        names: of the links that networkd may be busy with.
    """
    if not items:
        return
    links, started = tuple(names), time.monotonic()
    while True:
        refused = give_back(items)
        since = time.monotonic() - started
        busy = any(is_busy(name) for name in links)
        if since > MOST_S or (since > LEAST_S and not busy):
            break
        time.sleep(INTERVAL_S)
    for item, err in refused.items():
        LOG.warning("a rule or route of others is lost: %s (%s)", item, err)


def give_back(items: frozenset[Foreign]) -> dict[Foreign, OSError]:
    """Give back what is missing; return what the kernel refused."""
    refused = {}
    for item in sorted(items - read_foreign()):
        try:
            add_foreign(item)
        except OSError as err:
            refused[item] = err
    return refused
