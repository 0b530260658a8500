# SPDX-License-Identifier: Apache-2.0
"""The routes that an administrator has in the kernel's main table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cc_multihome.discover.kernel import families, ip_json, read_route
from cc_multihome.model import Route

# rtnetlink(7): by hand with ip(8), or by networkd from its files. What the
# kernel, DHCP, router advertisements and routing daemons add is none.
BY_HAND = "3"
STATIC = "4"


def read_main_routes(
    protocols: tuple[str, ...] = (BY_HAND, STATIC),
) -> tuple[tuple[str, Route], ...]:
    """Return (device, route) of those by a gateway, but no default route.

    Raises:
        CommandError: `ip` failed.
    """
    return tuple(
        read_route(item, family)
        for family in families()
        for item in ip_json(family, "route", "show", "table", "main")
        if str(item.get("protocol")) in protocols and _has_gateway(item)
    )


def _has_gateway(item: Mapping[str, Any]) -> bool:
    """No multipath, no blackhole: one device and one gateway."""
    is_one = "dev" in item and "gateway" in item
    return is_one and item.get("dst") != "default"
