# SPDX-License-Identifier: Apache-2.0
"""Addresses that another host had are tried anew.

The kernel asks the link once, when an address comes (RFC 4862, 5.4). It does
not ask again where networkd configures the same one once more (seen on Linux
6.18, also with NLM_F_REPLACE): the address has to go first.
"""

from __future__ import annotations

import logging

from cc_multihome.discover.kernel import read_addresses
from cc_multihome.errors import CommandError
from cc_multihome.model import Plan
from cc_multihome.run import run

LOG = logging.getLogger(__name__)


def retry_duplicates(plan: Plan) -> None:
    """Take the plan's duplicates off their links, which do not work anyway.

    networkd adds them when it configures the link, which it is told next.

    Raises:
        CommandError: they cannot be read.
    """
    # IPv4 as networkd has it asks nobody.
    asked = [
        (item, address)
        for item in plan.interfaces
        for address in item.addresses
        if address.version == 6
    ]
    if not asked:
        return
    _, _, duplicates = read_addresses()
    for item, address in asked:
        if (item.ifname, address) in duplicates:
            where = f"{item.ifname} ({item.eni_id})"
            LOG.warning("a duplicate is tried anew: %s on %s", address, where)
            _delete(str(address), item.ifname)


def _delete(address: str, device: str) -> None:
    try:
        run(["ip", "-6", "addr", "del", address, "dev", device])
    except CommandError as err:
        # It may be gone by now; whether it comes shows at the end.
        LOG.debug("%s", err)
