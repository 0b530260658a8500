# SPDX-License-Identifier: Apache-2.0
"""What is asked, and of what: pure."""

from __future__ import annotations

from dataclasses import dataclass

from cc_multihome.explain.routing import Host
from cc_multihome.model import Address, Interface, Plan

# One whom no rule names, we hope; of the kernel the same is asked.
NOBODY = 65534


@dataclass(frozen=True)
class Sender:
    """Whose socket sends a packet.

    Attributes:
        uid: of the user; None: of one that no rule names.
        mark: of the socket.
    """

    uid: int | None = None
    mark: int = 0

    @property
    def number(self) -> int:
        """The user that is looked for in rules."""
        return NOBODY if self.uid is None else self.uid


ANYBODY = Sender()


@dataclass(frozen=True)
class Question:
    """What is asked, and what it is asked of."""

    plan: Plan
    host: Host | None
    to: Address
    source: Address | None
    sender: Sender = ANYBODY

    def device_of_source(self) -> str | None:
        """Return the device that has the source; None for none."""
        if self.source is None:
            return None
        if self.host is not None:
            return self.host.device_of(self.source)
        for item in self.plan.interfaces:
            if self.source in [each.ip for each in item.addresses]:
                return item.name
        return None

    def usable(self, device: str) -> tuple[Interface, ...]:
        """Return the planned addresses; () where there are more of IPv6."""
        planned = tuple(
            each
            for item in self.plan.interfaces
            if item.name == device
            for each in item.addresses
            if each.version == self.to.version
        )
        if self.to.version == 4 or self.host is None:
            return planned
        there = {it for name, it in self.host.addresses if name == device}
        more = {it for it in there if it.version == 6} - {*planned}
        return planned if all(it.is_link_local for it in more) else ()
