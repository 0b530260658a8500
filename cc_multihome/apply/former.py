# SPDX-License-Identifier: Apache-2.0
"""See that what was put back is in force again.

networkd comes to the files that it was told to read in its own time, and an
address may have to come by DHCP once more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from socket import if_nametoindex

from cc_multihome.apply.checkpoint import Undo
from cc_multihome.discover.kernel import read_kernel
from cc_multihome.errors import RollbackError
from cc_multihome.model import Plan

# As long as for the way there; see verify.VERIFY_TIMEOUT_S.
BACK_TIMEOUT_S = 60.0
BACK_INTERVAL_S = 0.25


@dataclass(frozen=True)
class AwaitAddresses(Undo):
    """Wait until links have the IPv4 addresses that they had.

    Attributes:
        addresses: of a link's name and an address with its prefix length.
    """

    kind = "addresses"
    addresses: list[list[str]]

    @classmethod
    def of(cls, plan: Plan) -> AwaitAddresses:
        """Remember the addresses of the plan's links as they are now.

        Raises:
            CommandError: `ip` failed.
        """
        names = {item.ifname for item in plan.interfaces}
        found = [
            [name, str(address)]
            for name, address in read_kernel().addresses
            if name in names and address.version == 4
        ]
        return cls(sorted(found))

    @property
    def label(self) -> str:
        """What it does."""
        return "wait for the former addresses"

    def run(self) -> None:
        """Wait, for a bounded time; a link that is gone is not waited for.

        Raises:
            RollbackError: some did not come back; says which.
        """
        deadline = time.monotonic() + BACK_TIMEOUT_S
        while missing := self._missing():
            if time.monotonic() > deadline:
                listed = ", ".join(f"{ip} on {name}" for name, ip in missing)
                raise RollbackError(
                    f"{listed} did not come back within {BACK_TIMEOUT_S:.0f} s"
                )
            time.sleep(BACK_INTERVAL_S)

    def _missing(self) -> list[list[str]]:
        now = {(name, str(ip)) for name, ip in read_kernel().addresses}
        return [
            [name, ip]
            for name, ip in self.addresses
            if (name, ip) not in now and _is_there(name)
        ]


def _is_there(name: str) -> bool:
    try:
        if_nametoindex(name)
    except OSError:
        return False
    return True
