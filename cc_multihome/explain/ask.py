# SPDX-License-Identifier: Apache-2.0
"""Ask the kernel which way it would send a packet (`ip route get`)."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

from cc_multihome.errors import CommandError
from cc_multihome.explain.lookup import Explanation
from cc_multihome.explain.question import ANYBODY, Sender
from cc_multihome.explain.read import KINDS
from cc_multihome.explain.routing import LOCAL
from cc_multihome.explain.way import Way
from cc_multihome.model import LEARNED, Address
from cc_multihome.numbers import LOCAL_TABLE, MAIN_TABLE
from cc_multihome.run import run

# RTNETLINK's answer where no table has a route: ENETUNREACH
NO_ROUTE = "Network is unreachable"
# And where a route or a rule refuses: EINVAL, EHOSTUNREACH, EACCES
REFUSED = {
    "Invalid argument": "blackhole",
    "No route to host": "unreachable",
    "Permission denied": "prohibit",
}
# What is told of a Way, in this order.
_PARTS = ("kind", "interface", "table", "gateway", "source")
# None of these in what is expected: not said.
_OPEN = ("table", "source")


def ask_kernel(
    to: Address, source: Address | None = None, sender: Sender = ANYBODY
) -> Way | None:
    """Return the kernel's way; None where it has no route.

    Changes nothing and sends nothing.

    Raises:
        CommandError: the kernel cannot say.
    """
    bound = ["from", str(source)] if source is not None else []
    whose = ["uid", str(sender.number)]
    if sender.mark:
        whose += ["mark", f"{sender.mark:#x}"]
    argv = ["ip", "-N", "-j", f"-{to.version}", "route", "get", str(to)]
    try:
        printed = run([*argv, *bound, *whose])
    except CommandError as err:
        if NO_ROUTE in str(err):
            return None
        return _refused(err, source)
    return parse_route_get(json.loads(printed)[0], source)


def _refused(err: CommandError, source: Address | None) -> Way:
    for said, kind in REFUSED.items():
        if said in str(err):
            return Way(None, None, None, source, kind)
    raise err


def parse_route_get(item: dict[str, Any], source: Address | None) -> Way:
    """Read one route of `ip -N -j route get`: pure."""
    gateway = item.get("gateway") or item.get("via", {}).get("host")
    chosen = item.get("prefsrc") or item.get("from")
    kind = KINDS[int(item.get("type", 1))]
    # Left out for main.
    table = int(item.get("table", MAIN_TABLE))
    return Way(
        interface="lo" if kind == LOCAL else item["dev"],
        table=LOCAL_TABLE if kind == LOCAL else table,
        gateway=ip_address(gateway) if gateway else None,
        source=source or (ip_address(chosen) if chosen else None),
        kind=kind,
    )


def taken_way(expected: Explanation, kernel: Way | None) -> Way | None:
    """Return that of the expected ways which the kernel took: pure."""
    for way in expected.ways:
        if not _differences(way, kernel):
            return way
    return expected.way


def differences(expected: Explanation, kernel: Way | None) -> tuple[str, ...]:
    """Say where the kernel does not as expected, a line each: pure."""
    found = _differences(taken_way(expected, kernel), kernel)
    if not expected.ways and not found:
        return expected.missing
    # What is missing and makes no difference is for `multihome status`.
    return (*expected.missing, *found) if found else ()


def _differences(want: Way | None, have: Way | None) -> tuple[str, ...]:
    if want is None or have is None:
        if want == have:
            return ()
        known = "the kernel" if want is None else "the plan"
        return (f"only {known} has a route",)
    parts = _PARTS if want.interface and have.interface else ("kind",)
    return tuple(
        f"{name}: expected {_word(ours)}, the kernel has {_word(theirs)}"
        for name in parts
        if (ours := getattr(want, name)) != (theirs := getattr(have, name))
        and not (ours is None and name in _OPEN)
        # Whichever the kernel has.
        and not (ours == LEARNED and theirs is not None)
    )


def _word(value: object) -> str:
    return "none" if value is None else str(value)
