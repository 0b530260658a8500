# SPDX-License-Identifier: Apache-2.0
"""Ask what the instance needs to work: gateways, metadata, resolver.

Each probe sends a packet the way that a program on the host would, and says
whether an answer came within its time.
"""

from __future__ import annotations

import json
import logging
import secrets
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any

from cc_multihome.discover.imds_bounded import BoundedSocket
from cc_multihome.errors import CommandError
from cc_multihome.model import LEARNED, Address, Plan, PlannedInterface
from cc_multihome.numbers import MAIN_TABLE
from cc_multihome.run import run

LOG = logging.getLogger(__name__)

DNS_PORT = 53
IMDS = {4: "169.254.169.254", 6: "fd00:ec2::254"}
INTERVAL_S = 0.25
# ip-neighbour(8), the states of an entry.
ANSWERED = "REACHABLE"
SET_BY_HAND = ("PERMANENT", "NOARP")
REMEMBERED = ("REACHABLE", "STALE", "DELAY")
UNDER_WAY = ("INCOMPLETE", "PROBE")
UNKNOWN = ("NONE", "FAILED")
# RFC 1035, 4.1.1: NOERROR and NXDOMAIN are answers of a working resolver.
WORKING_RCODES = (0, 3)


@dataclass(frozen=True)
class Probe:
    """One question.

    Attributes:
        label: for a person; the same before and after a rename.
        ask: takes the time that it may wait, in seconds, and returns
            whether an answer came.
    """

    level: str
    label: str
    ask: Callable[[float], bool]


def probes_of(plan: Plan, names: dict[str, str]) -> tuple[Probe, ...]:
    """List what can be asked; `names` maps an ENI's MAC to its name now."""
    # IMDS answers IPv6 only where that was switched on for the instance, so
    # it is asked so only where there is nothing else.
    family = 4 if any(_sources(plan, 4)) or not plan.interfaces else 6
    found = [
        probe
        for item in plan.interfaces
        for probe in _probes_of_interface(item, names[item.mac], family)
    ]
    found.append(
        Probe("services", "IMDS, unbound", lambda s: ask_imds(family, None, s))
    )
    server = next(iter(plan.resolver.nameservers), None)
    if server is not None:
        found.append(
            Probe(
                "services",
                f"resolver {server}",
                lambda s: ask_resolver(server, plan.resolver.search, s),
            )
        )
    return tuple(found)


def _sources(plan: Plan, version: int) -> Iterable[Address]:
    return (
        address.ip
        for item in plan.interfaces
        for address in item.addresses
        if address.version == version
    )


def _probes_of_interface(
    item: PlannedInterface, name: str, family: int
) -> list[Probe]:
    found = {r.via for r in item.routes if r.via and r.table != MAIN_TABLE}
    gateways = sorted(str(via) for via in found if via != LEARNED)
    probes = [
        Probe(
            "neighbours",
            f"gateway {via} of {item.eni_id}",
            lambda s, via=via: ask_neighbour(via, name, s),  # type: ignore[misc]
        )
        for via in gateways
    ]
    if LEARNED in found:
        label = f"IPv6 gateway of {item.eni_id}"
        probes.append(
            Probe("neighbours", label, lambda s: ask_learned_router(name, s))
        )
    first = next((a.ip for a in item.addresses if a.version == family), None)
    if first is not None:
        probes.append(
            Probe(
                "services",
                f"IMDS, bound to {first}",
                lambda s: ask_imds(family, str(first), s),
            )
        )
    return probes


def ask_all(probes: Iterable[Probe], timeout: float) -> dict[str, bool]:
    """Ask all at once; return label -> whether an answer came."""
    listed = list(probes)
    with ThreadPoolExecutor(max_workers=max(len(listed), 1)) as pool:
        answers = pool.map(lambda probe: probe.ask(timeout), listed)
        return dict(zip((each.label for each in listed), answers, strict=True))


def ask_neighbour(address: str, device: str, timeout: float) -> bool:
    """Let the kernel ask a neighbour for its MAC: ARP, or NDP.

    An entry that is valid by an earlier answer proves nothing: the kernel is
    told to ask again, and goes on using it meanwhile.
    """
    deadline = time.monotonic() + timeout
    asked = False
    try:
        while True:
            entry = _read_neighbour(address, device)
            state = entry["state"]
            if state in SET_BY_HAND or (asked and state == ANSWERED):
                return True
            asked = _ask_again(address, device, entry, asked) or asked
            if time.monotonic() > deadline:
                return False
            time.sleep(INTERVAL_S)
    except CommandError:
        return False


def _ask_again(
    address: str, device: str, entry: Mapping[str, Any], asked: bool
) -> bool:
    """Start a new question unless one is under way; say whether one is."""
    state = entry["state"]
    if state in UNKNOWN:
        # What a packet to it would start (ip-neighbour(8)).
        words = ["replace", address, "dev", device, "use"]
    elif not asked and state in REMEMBERED:
        # IPv6: that it is a router would be forgotten.
        router = ["router"] if "router" in entry else []
        words = ["change", address, "dev", device, "nud", "probe", *router]
    else:
        return state in UNDER_WAY
    try:
        run(["ip", "neigh", *words])
    except CommandError as err:
        # It may have changed in between; a device that is gone shows next.
        LOG.debug("%s is not asked: %s", address, err)
        return False
    return True


def _read_neighbour(address: str, device: str) -> dict[str, Any]:
    """Return the kernel's entry; with the one state "NONE" for none."""
    shown = run(["ip", "-j", "neigh", "show", address, "dev", device])
    for entry in json.loads(shown or "[]"):
        for state in entry.get("state", ()):
            return {**entry, "state": state}
    return {"state": "NONE"}


def ask_learned_router(device: str, timeout: float) -> bool:
    """Ask the router whose advertisements a link has, of whichever table."""
    deadline = time.monotonic() + timeout
    while True:
        router = _learned_router(device)
        left = deadline - time.monotonic()
        if router is not None:
            return ask_neighbour(router, device, max(left, INTERVAL_S))
        if left <= 0:
            return False
        time.sleep(INTERVAL_S)


def _learned_router(device: str) -> str | None:
    words = ["-6", "route", "show", "table", "all", "default"]
    try:
        shown = json.loads(run(["ip", "-N", "-j", *words]) or "[]")
    except CommandError:
        return None
    # Default routes of equal metric are one route of several (networkd 252).
    hops = (hop for item in shown for hop in item.get("nexthops", (item,)))
    gateways = (hop.get("gateway") for hop in hops if hop.get("dev") == device)
    return next((each for each in gateways if each), None)


def ask_imds(family: int, source: str | None, timeout: float) -> bool:
    """Ask the metadata service for a token, from one address or unbound."""
    deadline = time.monotonic() + timeout
    while True:
        left = max(deadline - time.monotonic(), INTERVAL_S)
        connection = HTTPConnection(
            IMDS[family],
            timeout=left,
            source_address=(source, 0) if source else None,
        )
        with suppress(OSError, HTTPException):
            connection.connect()
            # One byte now and then would keep each read within its time.
            connection.sock = BoundedSocket.of(
                connection.sock,
                lambda: max(0.0, deadline - time.monotonic()),
            )
            connection.request(
                "PUT",
                "/latest/api/token",
                headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"},
            )
            # A refusal is an answer: the packets found their way.
            return connection.getresponse().status < 500
        connection.close()
        if time.monotonic() > deadline:
            return False
        time.sleep(INTERVAL_S)


def ask_resolver(
    server: Address, search: tuple[str, ...], timeout: float
) -> bool:
    """Ask a name server for the address of the VPC's domain."""
    query = secrets.randbits(16)
    packet = _dns_query(query, next(iter(search), ""))
    deadline = time.monotonic() + timeout
    family = socket.AF_INET if server.version == 4 else socket.AF_INET6
    while time.monotonic() < deadline:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(min(2.0, timeout))
            with suppress(OSError):
                sock.connect((str(server), DNS_PORT))
                sock.send(packet)
                if _is_answer(sock.recv(4096), query):
                    return True
        time.sleep(INTERVAL_S)
    return False


def _dns_query(number: int, name: str) -> bytes:
    """Build a query for an A record (RFC 1035, 4.1)."""
    head = struct.pack("!6H", number, 0x0100, 1, 0, 0, 0)
    labels = [label.encode() for label in name.split(".") if label]
    encoded = b"".join(bytes([len(label)]) + label for label in labels)
    return head + encoded + b"\0" + struct.pack("!2H", 1, 1)


def _is_answer(packet: bytes, number: int) -> bool:
    if len(packet) < 12:
        return False
    seen, flags = struct.unpack("!2H", packet[:4])
    return (
        seen == number
        and bool(flags & 0x8000)
        and flags & 0xF in WORKING_RCODES
    )
