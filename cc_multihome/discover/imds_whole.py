# SPDX-License-Identifier: Apache-2.0
"""Does the metadata show less than this instance is known to have? Pure.

The metadata service is behind at times, also for ENIs that have been there
for long. What is missing there and cannot be missing here takes nothing away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cc_multihome.errors import ImdsError
from cc_multihome.model import Instance, Link


def require_whole(
    instance: Instance,
    before: Instance,
    links: Iterable[Link],
    *,
    left_alone: Collection[str] = (),
) -> None:
    """Refuse metadata that lacks what cannot have gone.

    A device does not outlive its ENI, an ENI keeps its primary IPv4 address
    for life, and one that has an address does not become an EFA-only one.

    Args:
        before: what the last plan that was proved was made from.
        left_alone: the MACs of ENIs with `manage: false`; whether those
            have an address is nobody's business here.

    Raises:
        ImdsError: names the ENI and what is missing.
    """
    if instance.instance_id != before.instance_id:
        return
    now = {eni.mac: eni for eni in instance.enis}
    here = {link.mac: link.ifname for link in links}
    for eni in before.enis:
        found = now.get(eni.mac)
        if found is None and eni.mac in here:
            raise _incomplete(
                f"does not list {eni.describe()}, whose device"
                f" {here[eni.mac]} this host has"
            )
        if found and eni.local_ipv4s and not found.local_ipv4s:
            raise _incomplete(
                f"lists no local-ipv4s for {eni.describe()}, which had"
                f" {eni.local_ipv4s[0]} and keeps that while it exists"
            )
        if eni.mac in left_alone or not found or not eni.ipv6s:
            continue
        if not found.local_ipv4s and not found.ipv6s:
            raise _incomplete(
                f"lists no address for {eni.describe()}, which had"
                f" {eni.ipv6s[0]} (if its last address was unassigned on"
                " purpose, say manage: false for it)"
            )


def _incomplete(what: str) -> ImdsError:
    return ImdsError(
        f"the metadata service {what}; nothing was changed. Is the ENI being"
        " attached or detached? Run this again when that is done"
    )
