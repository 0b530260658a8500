# SPDX-License-Identifier: Apache-2.0
"""The MTU of an ENI that nobody has configured.

DHCP tells it, and the module takes the one that a link has, since DHCP goes
off. A link that no netdef of netplan's matches, as that of an ENI that was
attached to the running host, was never told: it has the kernel's default
beside ENIs with jumbo frames, and would keep it.
"""

from __future__ import annotations

from collections.abc import Iterable

from cc_multihome.model import Eni
from cc_multihome.numbers import DEFAULT_MTU
from cc_multihome.plan.bound import BoundInterface


def planned_mtu(
    item: BoundInterface, managed: Iterable[BoundInterface]
) -> int:
    """Return the link's own MTU (bytes), or the one that it was never told.

    EC2 tells every ENI of an instance the same; those of its own VPC are
    asked first all the same. The next run finds the link under this package's
    overlay, with the MTU that it has by then, and plans that.
    """
    own = item.link.mtu
    if item.link.has_netdef or own != DEFAULT_MTU:
        return own
    others = tuple(managed)
    near = [it.link.mtu for it in others if _same_vpc(it.eni, item.eni)]
    far = [it.link.mtu for it in others]
    return next((most for most in (max(near), max(far)) if most > own), own)


def _same_vpc(one: Eni, other: Eni) -> bool:
    """Are both in one VPC, as far as its blocks tell?"""
    return (one.vpc_ipv4s, one.vpc_ipv6s) == (other.vpc_ipv4s, other.vpc_ipv6s)
