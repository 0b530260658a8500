# SPDX-License-Identifier: Apache-2.0
"""The metadata that was last read in full, for as long as it may serve.

It is below /run, so that it is never another boot's. Every run takes it away
and puts it back at a good end, so that after a failure all is read in full;
so it is when a device came or went (an ENI that was detached and attached
anew has another ifindex), and after an hour.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from cc_multihome import state
from cc_multihome.discover.imds_tree import instance_from_tree, tree_of
from cc_multihome.discover.links import read_links
from cc_multihome.errors import MultihomeError
from cc_multihome.model import Instance

LOG = logging.getLogger(__name__)

SEEN = "seen.json"
# Seconds.
SERVES_S = 3600.0


@dataclass(frozen=True)
class Seen:
    """What was read, and when (seconds of the monotonic clock)."""

    instance: Instance
    at: float


def take() -> Seen | None:
    """Take the metadata away; None where it must be read in full."""
    value = state.load(SEEN)
    if value is None:
        return None
    state.forget(SEEN)
    try:
        found = Seen(instance_from_tree(value["metadata"]), value["at"])
        serves = 0 <= time.monotonic() - found.at < SERVES_S
        return found if serves and value["links"] == _links() else None
    except (MultihomeError, KeyError, TypeError) as err:
        LOG.warning("%s is ignored: %r", SEEN, err)
        return None


def keep(instance: Instance, former: Seen | None) -> None:
    """Keep what was read; a short look does not make it younger."""
    is_former = former is not None and former.instance is instance
    try:
        links = _links()
    except MultihomeError as err:
        LOG.warning("the metadata is read in full the next time: %s", err)
        return
    value = {
        "at": former.at if former and is_former else time.monotonic(),
        "links": links,
        "metadata": tree_of(instance),
    }
    state.save_for_boot(SEEN, value)


def _links() -> dict[str, int]:
    return {link.mac: link.ifindex for link in read_links({}).links}
