# SPDX-License-Identifier: Apache-2.0
"""Choose who holds main's default route of each family: pure."""

from __future__ import annotations

from collections.abc import Sequence

from cc_multihome.model import Eni
from cc_multihome.plan.bound import Bound, BoundInterface


def default_holder(
    bound: Bound, enis: Sequence[Eni], version: int
) -> BoundInterface | None:
    """Choose the holder for one family.

    The holder of the default route, if it has the family, else the primary
    ENI, else the first that has. None where the primary ENI is left alone, no
    other was named, and it has the family: then it keeps its default route.

    Args:
        enis: all of the instance, also those that are left alone.
        version: 4 or 6.
    """
    primary = next((eni for eni in enis if eni.is_primary), None)
    if bound.default is None and primary and _has(primary, version):
        return None
    ordered = sorted(
        bound.interfaces,
        key=lambda item: (
            item != bound.default,
            not item.eni.is_primary,
            item.eni.sort_key(),
        ),
    )
    return next((it for it in ordered if _has(it.eni, version)), None)


def _has(eni: Eni, version: int) -> bool:
    return bool(eni.local_ipv4s if version == 4 else eni.ipv6s)
