# SPDX-License-Identifier: Apache-2.0
"""What DHCP told the host, which has to last when DHCP is off.

The first run of a boot finds the name servers in networkd's record of each
link. From then on the overlay has them, as the link has its MTU.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from cc_multihome.discover.netplan_files import NetplanFile, matched_mac
from cc_multihome.discover.networkd import read_link_state
from cc_multihome.model import Address, Link, Plan

LOG = logging.getLogger(__name__)

# By MAC: `mtu` in bytes, `nameservers` and `search`, as plain JSON.
Leases = Mapping[str, Mapping[str, Any]]


def leases_of(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return what a boot without DHCP has to know of the plan's links."""
    return {
        item.mac: {
            "mtu": item.mtu,
            "nameservers": [str(server) for server in item.nameservers],
            "search": list(item.search),
        }
        for item in plan.interfaces
    }


def with_leases(
    links: Iterable[Link], overlay: Iterable[NetplanFile], leases: Leases
) -> tuple[Link, ...]:
    """Return the links with their MTU, name servers and search domains.

    Args:
        overlay: this package's own file, if there is one.
        leases: of links that have not been configured in this boot.
    """
    written = {
        mac: netdef.get("nameservers") or {}
        for file in overlay
        for netdef in file.ethernets().values()
        if (mac := matched_mac(netdef))
    }
    return tuple(_with_lease(link, written, leases) for link in links)


def _with_lease(link: Link, written: Leases, leases: Leases) -> Link:
    lease = leases.get(link.mac, {})
    if link.mac in written:
        found = written[link.mac]
        servers, search = found.get("addresses", ()), found.get("search", ())
    elif lease:
        servers, search = lease["nameservers"], lease["search"]
    else:
        servers, search = _of_networkd(link)
    return replace(
        link,
        mtu=lease.get("mtu", link.mtu),
        nameservers=_addresses(servers),
        search=tuple(search),
    )


def _of_networkd(link: Link) -> tuple[list[str], list[str]]:
    """Read its record (sd_network_link_get_dns(3)), where there is one."""
    try:
        record = read_link_state(link.ifindex)[1]
    except OSError:
        return [], []
    return record.get("DNS", "").split(), record.get("DOMAINS", "").split()


def _addresses(words: Iterable[str]) -> tuple[Address, ...]:
    """Leave out what netplan cannot say: a port, a zone, a server's name."""
    found = []
    for word in words:
        try:
            address = ip_address(word)
        except ValueError:
            LOG.debug("the name server %s is left out", word)
            continue
        # Those of IPv6 need a zone to be of use.
        if address.version == 4 or not address.is_link_local:
            found.append(address)
    return tuple(dict.fromkeys(found))
