#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ping at a steady rate until told to stop: one file, standard library only.

    pinger.py ADDRESS RATE

sends RATE echo requests a second until standard input ends, waits a second
for the last answers, and prints {"sent", "received", "longest_gap_s"}.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time
from contextlib import suppress

LAST_ANSWERS_S = 1.0
ECHO, ECHO_REPLY = 8, 0


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def request(ident: int, number: int) -> bytes:
    """Build an echo request (RFC 792)."""
    head = struct.pack("!BBHHH", ECHO, 0, 0, ident, number & 0xFFFF)
    return head[:2] + struct.pack("!H", checksum(head)) + head[4:]


def is_reply(packet: bytes, ident: int) -> bool:
    """Say whether a received IPv4 packet answers one of ours."""
    body = packet[(packet[0] & 0xF) * 4 :]
    kind, _, _, seen = struct.unpack("!BBHH", body[:6])
    return (kind, seen) == (ECHO_REPLY, ident)


def ping(address: str, rate: float) -> dict[str, float]:
    """Ping until standard input ends."""
    ident = os.getpid() & 0xFFFF
    sent = received = 0
    longest = 0.0
    with socket.socket(
        socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP
    ) as sock:
        sock.connect((address, 0))
        start = last = time.monotonic()
        end: float | None = None
        while end is None or time.monotonic() < end:
            due = start + sent / rate
            if end is None and time.monotonic() >= due:
                with suppress(OSError):
                    sock.send(request(ident, sent))
                sent += 1
            wait = max(0.0, min(due - time.monotonic(), 0.5))
            watched = [sock] if end else [sock, sys.stdin]
            ready, _, _ = select.select(watched, [], [], wait)
            if sys.stdin in ready and not os.read(0, 100):
                end = time.monotonic() + LAST_ANSWERS_S
            if sock in ready and is_reply(sock.recv(4096), ident):
                received += 1
                now = time.monotonic()
                longest, last = max(longest, now - last), now
    return {
        "sent": sent,
        "received": received,
        "longest_gap_s": round(longest, 3),
    }


if __name__ == "__main__":
    print(json.dumps(ping(sys.argv[1], float(sys.argv[2]))))
