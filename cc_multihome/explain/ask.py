# SPDX-License-Identifier: Apache-2.0
"""Ask the kernel which way it would send a packet (`ip route get`)."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

from cc_multihome.errors import CommandError
from cc_multihome.explain.lookup import ANYBODY, Sender, Way
from cc_multihome.model import LEARNED, Address
from cc_multihome.numbers import MAIN_TABLE
from cc_multihome.run import run

# RTNETLINK's answer where no table has a route: ENETUNREACH
UNREACHABLE = "unreachable"


def ask_kernel(
    to: Address, source: Address | None = None, sender: Sender = ANYBODY
) -> Way | None:
    """Return the kernel's way; None where it has no route.

    Changes nothing and sends nothing.

    Raises:
        CommandError: the kernel cannot say, as for a source that no link of
            this host has.
    """
    bound = ["from", str(source)] if source is not None else []
    whose = ["uid", str(sender.uid)] if sender.uid is not None else []
    argv = ["ip", "-N", "-j", f"-{to.version}", "route", "get", str(to)]
    try:
        printed = run([*argv, *bound, *whose])
    except CommandError as err:
        if UNREACHABLE in str(err):
            return None
        raise
    return parse_route_get(json.loads(printed)[0], source)


def parse_route_get(item: dict[str, Any], source: Address | None) -> Way:
    """Read one route of `ip -N -j route get`: pure."""
    gateway = item.get("gateway") or item.get("via", {}).get("host")
    chosen = item.get("prefsrc") or item.get("from")
    return Way(
        interface=item["dev"],
        # Left out for main.
        table=int(item.get("table", MAIN_TABLE)),
        gateway=ip_address(gateway) if gateway else None,
        source=source or (ip_address(chosen) if chosen else None),
    )


def differences(plan: Way | None, kernel: Way | None) -> tuple[str, ...]:
    """Say where two answers differ, a line each: pure.

    A gateway that is LEARNED is whichever the kernel has.
    """
    if plan is None or kernel is None:
        if plan == kernel:
            return ()
        known = "the kernel" if plan is None else "the plan"
        return (f"only {known} has a route",)
    return tuple(
        f"{name}: the plan says {ours}, the kernel {theirs}"
        for name, ours in vars(plan).items()
        if ours != (theirs := getattr(kernel, name))
        and not (ours == LEARNED and theirs is not None)
    )
