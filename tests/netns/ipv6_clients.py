# SPDX-License-Identifier: Apache-2.0
"""What a host says to its neighbours over IPv6, without being configured.

Router solicitation and neighbour advertisement (RFC 4861), DHCPv6 (RFC 8415).
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from tests.lab.netns import Netns

CHECKOUT = Path(__file__).parents[2]
SOLICITATION, ADVERTISEMENT, NEIGHBOUR_ADVERTISEMENT = 133, 134, 136
ICMP6_FILTER = 1
SO_BINDTODEVICE = 25
SOLICIT, ADVERTISE = 1, 2
CLIENT_ID, IA_NA, IA_ADDRESS, DNS_SERVERS = 1, 3, 5, 23
TRANSACTION = b"\x6d\x68\x6d"
# A link that has just come up loses the first ones.
TRIES = 8


def ask_router(netns: Netns, ifname: str) -> dict[str, Any] | None:
    """Return what a router says to a device of a namespace, None for silence.

    The keys are source, managed, lifetime_s and prefixes, each of which has
    prefix, on_link and autonomous.
    """
    return _ask(netns, "router", ifname)


def ask_dhcpv6(netns: Netns, ifname: str, mac: str) -> dict[str, Any] | None:
    """Return what a device is offered by DHCPv6: addresses and dns."""
    return _ask(netns, "dhcp", ifname, mac)


def claim(netns: Netns, ifname: str, address: str) -> None:
    """Tell all neighbours of a device that an address is there."""
    _ask(netns, "claim", ifname, address)


def _ask(netns: Netns, *words: str) -> dict[str, Any] | None:
    argv = ["env", f"PYTHONPATH={CHECKOUT}", sys.executable, "-m", __name__]
    found: dict[str, Any] | None = json.loads(netns.run([*argv, *words]))
    return found


def parse_advertisement(packet: bytes, source: str) -> dict[str, Any]:
    """Return what a router advertisement says."""
    flags, lifetime = packet[5], struct.unpack("!H", packet[6:8])[0]
    prefixes, at = [], 16
    while at < len(packet):
        kind, size = packet[at], packet[at + 1] * 8
        if kind == 3:
            network = IPv6Address(packet[at + 16 : at + 32])
            prefixes.append(
                {
                    "prefix": f"{network}/{packet[at + 2]}",
                    "on_link": bool(packet[at + 3] & 0x80),
                    "autonomous": bool(packet[at + 3] & 0x40),
                }
            )
        at += size
    return {
        "source": source,
        "managed": bool(flags & 0x80),
        "lifetime_s": lifetime,
        "prefixes": prefixes,
    }


def solicit_router(ifname: str) -> dict[str, Any] | None:
    """Ask all routers and return what the first of them says."""
    raw = socket.SOCK_RAW, socket.IPPROTO_ICMPV6
    with socket.socket(socket.AF_INET6, *raw) as sock:
        index = socket.if_nametoindex(ifname)
        # The routers of other links advertise themselves as well.
        sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, ifname.encode())
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        only = bytearray(b"\xff" * 32)
        only[ADVERTISEMENT // 8] &= ~(1 << ADVERTISEMENT % 8) & 0xFF
        sock.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, bytes(only))
        query = struct.pack("!BBHI", SOLICITATION, 0, 0, 0)

        def receive() -> dict[str, Any]:
            packet, (source, *_) = sock.recvfrom(1500)
            return parse_advertisement(packet, source.split("%")[0])

        return _until_answered(sock, query, ("ff02::2", 0, 0, index), receive)


def send_claim(ifname: str, address: str) -> None:
    """Send an unsolicited neighbour advertisement (RFC 4861, 7.2.6)."""
    raw = socket.SOCK_RAW, socket.IPPROTO_ICMPV6
    said = struct.pack("!BBHI", NEIGHBOUR_ADVERTISEMENT, 0, 0, 0x20000000)
    said += IPv6Address(address).packed
    with socket.socket(socket.AF_INET6, *raw) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        index = socket.if_nametoindex(ifname)
        sock.sendto(said, ("ff02::1", 0, 0, index))


def options(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the options of a DHCPv6 message, or of an option."""
    at = 0
    while at + 4 <= len(body):
        kind, size = struct.unpack("!HH", body[at : at + 4])
        yield kind, body[at + 4 : at + 4 + size]
        at += 4 + size


def parse_offer(packet: bytes) -> dict[str, Any]:
    """Return what a DHCPv6 message offers."""
    addresses: list[str] = []
    dns: list[str] = []
    for kind, body in options(packet[4:]):
        if kind == IA_NA:
            addresses += (
                str(IPv6Address(inner[:16]))
                for inside, inner in options(body[12:])
                if inside == IA_ADDRESS
            )
        if kind == DNS_SERVERS:
            dns += (
                str(IPv6Address(body[at : at + 16]))
                for at in range(0, len(body), 16)
            )
    return {"addresses": addresses, "dns": dns}


def solicit_dhcp(ifname: str, mac: str) -> dict[str, Any] | None:
    """Ask all servers and return the first offer."""
    hardware = bytes.fromhex(mac.replace(":", ""))
    identity = struct.pack("!HH", 3, 1) + hardware  # DUID-LL of Ethernet
    asked = struct.pack("!3I", 1, 0, 0)
    query = bytes([SOLICIT]) + TRANSACTION
    for kind, body in (
        (CLIENT_ID, identity),
        (IA_NA, asked),
        (6, struct.pack("!H", DNS_SERVERS)),
        (8, b"\0\0"),
    ):
        query += struct.pack("!HH", kind, len(body)) + body
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        index = socket.if_nametoindex(ifname)
        sock.bind(("::", 546, 0, 0))

        def receive() -> dict[str, Any] | None:
            packet = sock.recv(1500)
            mine = packet[:4] == bytes([ADVERTISE]) + TRANSACTION
            return parse_offer(packet) if mine else None

        all_servers = ("ff02::1:2", 547, 0, index)
        return _until_answered(sock, query, all_servers, receive)


def _until_answered(
    sock: socket.socket,
    query: bytes,
    to: tuple[str, int, int, int],
    receive: Callable[[], dict[str, Any] | None],
) -> dict[str, Any] | None:
    sock.settimeout(0.5)
    for _ in range(TRIES):
        with suppress(OSError):  # no answer, or no link-local address yet
            sock.sendto(query, to)
            if found := receive():
                return found
    return None


if __name__ == "__main__":
    verbs: dict[str, Callable[..., dict[str, Any] | None]] = {
        "router": solicit_router,
        "dhcp": solicit_dhcp,
        "claim": send_claim,
    }
    print(json.dumps(verbs[sys.argv[1]](*sys.argv[2:])))
