# SPDX-License-Identifier: Apache-2.0
"""A DHCP client that asks once and configures nothing (RFC 2131, 2132)."""

from __future__ import annotations

import json
import socket
import struct
import sys
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from tests.lab.netns import Netns

SO_BINDTODEVICE = 25
COOKIE = b"\x63\x82\x53\x63"
TRANSACTION = b"mhom"
WANTED = {1: "mask", 3: "router", 6: "dns", 15: "domain", 26: "mtu"}
CHECKOUT = Path(__file__).parents[2]


def ask_dhcp(netns: Netns, ifname: str, mac: str) -> dict[str, Any]:
    """Return what a device of a namespace is offered.

    The keys are address, mask, router, dns, domain and mtu, where offered.
    """
    argv = ["env", f"PYTHONPATH={CHECKOUT}", sys.executable,
            "-m", __name__, ifname, mac]  # fmt: skip
    offer: dict[str, Any] = json.loads(netns.run(argv))
    return offer


def discover(mac: bytes) -> bytes:
    """Return a DHCPDISCOVER that asks for an answer by broadcast."""
    head = struct.pack("!4B4sHH", 1, 1, 6, 0, TRANSACTION, 0, 0x8000)
    asked = bytes([55, len(WANTED), *WANTED])
    return (
        (head + bytes(16) + mac).ljust(236, b"\0")
        + COOKIE
        + bytes([53, 1, 1])
        + asked
        + b"\xff"
    )


def parse(packet: bytes) -> dict[str, Any]:
    """Return what an offer says."""
    found: dict[str, Any] = {"address": str(IPv4Address(packet[16:20]))}
    at = 240
    while packet[at] != 255:
        if packet[at] == 0:
            at += 1
            continue
        kind, size = packet[at : at + 2]
        body = packet[at + 2 : at + 2 + size]
        at += 2 + size
        if kind == 15:
            found["domain"] = body.decode()
        elif kind == 26:
            found["mtu"] = int.from_bytes(body, "big")
        elif kind in WANTED:
            found[WANTED[kind]] = str(IPv4Address(body[:4]))
    return found


def main(ifname: str, mac: str) -> None:
    """Ask and print the offer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, ifname.encode())
        sock.bind(("0.0.0.0", 68))
        sock.settimeout(1)
        query = discover(bytes.fromhex(mac.replace(":", "")))
        # A link that has just come up loses the first ones.
        for _ in range(10):
            sock.sendto(query, ("255.255.255.255", 67))
            with suppress(TimeoutError):
                packet = sock.recv(4096)
                if packet[4:8] == TRANSACTION:
                    print(json.dumps(parse(packet)))
                    return
    raise SystemExit(f"{ifname} was offered nothing within 10 s")


if __name__ == "__main__":
    main(*sys.argv[1:3])
