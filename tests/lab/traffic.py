#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Steady traffic until told to stop: one file, standard library only.

    traffic.py ping ADDRESS RATE
    traffic.py stream ADDRESS PORT RATE
    traffic.py serve PORT SECONDS

`ping` sends RATE echo requests a second; `stream` sends RATE numbered lines
a second over one TCP connection to `serve`, and does not make it anew when it
breaks. Both go on until standard input ends, wait some seconds for answers
that are not there yet, and print {"sent", "received", "longest_gap_s"};
`stream` also {"retransmits"}. `serve` echoes in the background, and ends by
itself.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

# A busy machine may answer late; what has not come by then is lost.
LAST_ANSWERS_S = 5.0
# Of ICMP and of ICMPv6: the request, the reply.
ECHO = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}
LINE = 8
# tcpi_total_retrans of struct tcp_info, include/uapi/linux/tcp.h
TOTAL_RETRANS_AT = 100

Told = dict[str, float]


class Gaps:
    """How much came back, and the longest time in which nothing did."""

    def __init__(self) -> None:
        self.received = 0
        self.longest = 0.0
        self.last = time.monotonic()

    def note(self, count: int) -> None:
        """Something came just now."""
        self.received += count
        now = time.monotonic()
        self.longest, self.last = max(self.longest, now - self.last), now


def go_on(
    sock: socket.socket,
    rate: float,
    send: Callable[[int], object],
    receive: Callable[[], int],
    each: int = 1,
) -> tuple[int, Gaps]:
    """Send at a steady rate until standard input ends; return the number.

    Args:
        send: is given the number of what it sends.
        receive: returns how much came, 0 for what does not count; EOFError
            ends it all.
        each: how much comes for one that was sent.
    """
    sent, gaps = 0, Gaps()
    start = gaps.last
    end: float | None = None
    while end is None or (
        time.monotonic() < end and gaps.received < sent * each
    ):
        due = start + sent / rate
        if end is None and time.monotonic() >= due:
            with suppress(OSError):
                send(sent)
            sent += 1
        wait = max(0.0, min(due - time.monotonic(), 0.5))
        watched = [sock] if end else [sock, sys.stdin]
        ready, _, _ = select.select(watched, [], [], wait)
        if sys.stdin in ready and not os.read(0, 100):
            end = time.monotonic() + LAST_ANSWERS_S
        if sock in ready:
            try:
                count = receive()
            except EOFError:
                break
            if count:
                gaps.note(count)
    return sent, gaps


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def request(family: socket.AddressFamily, ident: int, number: int) -> bytes:
    """Build an echo request (RFC 792, RFC 4443)."""
    kind, _ = ECHO[family]
    head = struct.pack("!BBHHH", kind, 0, 0, ident, number & 0xFFFF)
    if family == socket.AF_INET6:  # the kernel fills the checksum in
        return head
    return head[:2] + struct.pack("!H", checksum(head)) + head[4:]


def is_reply(family: socket.AddressFamily, packet: bytes, ident: int) -> bool:
    """Say whether a received packet answers one of ours."""
    # A raw IPv4 socket gets the IP header too, an IPv6 one does not.
    is_v4 = family == socket.AF_INET
    body = packet[(packet[0] & 0xF) * 4 :] if is_v4 else packet
    kind, _, _, seen = struct.unpack("!BBHH", body[:6])
    return (kind, seen) == (ECHO[family][1], ident)


def ping(address: str, rate: float) -> Told:
    """Ping until standard input ends."""
    ident = os.getpid() & 0xFFFF
    family, protocol = socket.AF_INET, socket.IPPROTO_ICMP
    if ":" in address:
        family, protocol = socket.AF_INET6, socket.IPPROTO_ICMPV6
    with socket.socket(family, socket.SOCK_RAW, protocol) as sock:
        sock.connect((address, 0))
        sent, gaps = go_on(
            sock,
            rate,
            lambda number: sock.send(request(family, ident, number)),
            lambda: int(is_reply(family, sock.recv(4096), ident)),
        )
    return told(sent, gaps.received, gaps.longest)


def stream(address: str, port: int, rate: float) -> Told:
    """Send lines until standard input ends, or the connection breaks."""
    with socket.create_connection((address, port), 10.0) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        sent, gaps = go_on(
            sock,
            rate,
            lambda number: sock.send(b"%7d\n" % number),
            lambda: receive_some(sock),
            LINE,
        )
        silent = time.monotonic() - gaps.last - LAST_ANSWERS_S
        again = retransmits(sock)
    longest = max(gaps.longest, silent)
    return {**told(sent, gaps.received // LINE, longest), "retransmits": again}


def told(sent: int, received: int, longest: float) -> Told:
    """Return what is printed."""
    return {
        "sent": sent,
        "received": received,
        "longest_gap_s": round(longest, 3),
    }


def receive_some(sock: socket.socket) -> int:
    """Return how many bytes came.

    Raises:
        EOFError: the connection is no more.
    """
    try:
        data = sock.recv(4096)
    except OSError:
        data = b""
    if not data:
        raise EOFError
    return len(data)


def retransmits(sock: socket.socket) -> int:
    """Return how many segments of the connection were sent again."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    found: int = struct.unpack_from("=I", info, TOTAL_RETRANS_AT)[0]
    return found


def serve(port: int, seconds: float) -> None:
    """Echo to every peer, for a bounded time."""
    with socket.create_server(("", port)) as listener:
        print(f"listening on port {port}", flush=True)
        if os.fork():
            return
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        end = time.monotonic() + seconds
        listener.settimeout(1.0)
        while time.monotonic() < end:
            with suppress(OSError):
                peer, _ = listener.accept()
                # A peer that is cut off must not keep the next one waiting.
                threading.Thread(
                    target=echo, args=(peer,), daemon=True
                ).start()


def echo(peer: socket.socket) -> None:
    """Send back what comes, until the peer is done."""
    with peer, suppress(OSError):
        while data := peer.recv(4096):
            peer.sendall(data)


def main(kind: str, *words: str) -> None:
    """Do what the command line says."""
    if kind == "serve":
        serve(int(words[0]), float(words[1]))
    elif kind == "ping":
        print(json.dumps(ping(words[0], float(words[1]))))
    else:
        print(json.dumps(stream(words[0], int(words[1]), float(words[2]))))


if __name__ == "__main__":
    main(*sys.argv[1:])
