# SPDX-License-Identifier: Apache-2.0
"""What IPv6 has otherwise than IPv4: pure.

The metadata service has the addresses, so DHCPv6 is not needed. It does not
have the VPC router's address: that is link-local, and the router tells it in
its advertisements. networkd puts it into the routes that ask for it
(`Gateway=_ipv6ra`); here it is LEARNED.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv6Network, ip_interface

from cc_multihome.model import LEARNED, Eni, Instance, Interface, Route
from cc_multihome.numbers import MAIN_TABLE, ipv6_metric
from cc_multihome.plan.bound import BoundInterface
from cc_multihome.plan.policy import EVERYTHING, Exit

LINK_LOCAL = IPv6Network("fe80::/64")


def without_ipv6(instance: Instance) -> Instance:
    """Leave the IPv6 addresses out, for a kernel that has no IPv6."""
    enis = (replace(it, ipv6s=(), ipv6_prefixes=()) for it in instance.enis)
    return replace(instance, enis=tuple(enis))


def ipv6_addresses(eni: Eni) -> tuple[Interface, ...]:
    """Give each address its own length, as DHCPv6 does in a VPC.

    With the subnet's length the kernel would add a route to the subnet to
    main by itself, with one metric for all ENIs in it.
    """
    return tuple(ip_interface(f"{address}/128") for address in eni.ipv6s)


def ipv6_routes(
    item: BoundInterface, holder: BoundInterface | None
) -> tuple[Route, ...]:
    """Make the routes of an ENI's own table and its part of main.

    Link-local neighbours are on the link for bound traffic, too: the default
    route would send what is for them to the router.
    """
    eni = item.eni
    if not eni.ipv6s:
        return ()
    is_default = item == holder
    metric = ipv6_metric(
        eni.network_card, eni.device_number, is_default=is_default
    )
    tables = (MAIN_TABLE, item.table) if is_default else (item.table,)
    return (
        *(Route(EVERYTHING[6], LEARNED, table) for table in tables),
        *(Route(net, None, item.table) for net in eni.subnet_ipv6s),
        Route(LINK_LOCAL, None, item.table),
        *(
            Route(net, None, MAIN_TABLE, metric=metric)
            for net in eni.subnet_ipv6s
        ),
    )


def ipv6_exit(item: BoundInterface) -> Exit | None:
    """Say how IPv6 leaves by an ENI; None for one that has none.

    No source address: of several the first is the only one that is not
    deprecated, and the kernel avoids those (RFC 6724, rule 3).
    """
    if not item.eni.ipv6s:
        return None
    return Exit(item.name, item.eni.subnet_ipv6s, LEARNED)


def accept_ra(eni: Eni, enis: Sequence[Eni]) -> bool | None:
    """Say whether router advertisements are for this ENI.

    One without IPv6 must not hear them where others have some: its subnet's
    router would become a default route of main.
    """
    if eni.ipv6s:
        return True
    return False if any(other.ipv6s for other in enis) else None
