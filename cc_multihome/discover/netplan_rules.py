# SPDX-License-Identifier: Apache-2.0
"""The rules on source addresses that netplan's files have for each ENI."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from cc_multihome.discover.netplan_files import (
    NetplanFile,
    matched_mac,
    netdef_ids,
)
from cc_multihome.model import Network

LOG = logging.getLogger(__name__)

# More of a selector, by which a rule is not on the source alone.
_SELECTORS = ("to", "mark", "type-of-service")


@dataclass(frozen=True)
class SourceRule:
    """A rule of somebody's on the source alone.

    Attributes:
        priority: None where networkd chooses it.
    """

    src: Network
    table: int
    priority: int | None


def rules_of_netplan(
    files: Sequence[NetplanFile],
) -> dict[str, tuple[SourceRule, ...]]:
    """Map MAC (lower case) to its rules, in the order of the files.

    netplan merges what several files say of one id.
    """
    macs = {netdef_id: mac for mac, netdef_id in netdef_ids(files).items()}
    found: dict[str, list[SourceRule]] = {}
    for file in files:
        for netdef_id, netdef in file.ethernets().items():
            mac = matched_mac(netdef) or macs.get(netdef_id)
            if mac:
                found.setdefault(mac, []).extend(_rules(netdef))
    return {mac: tuple(dict.fromkeys(it)) for mac, it in found.items()}


def _rules(netdef: Mapping[str, Any]) -> Iterator[SourceRule]:
    for entry in netdef.get("routing-policy") or ():
        if any(word in entry for word in _SELECTORS):
            continue
        try:
            src = ip_network(str(entry["from"]), strict=False)
            table, priority = int(entry["table"]), entry.get("priority")
            number = None if priority is None else int(priority)
            yield SourceRule(src, table, number)
        except (KeyError, TypeError, ValueError):
            LOG.debug("no rule on the source alone: %s", entry)
