#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keep one TCP connection busy: one file, standard library only.

    streamer.py serve PORT SECONDS
    streamer.py send ADDRESS PORT RATE

`serve` echoes, in the background, and ends by itself. `send` sends RATE
numbered lines a second over one connection until standard input ends, waits
a second for the last echoes, and prints {"sent", "received",
"longest_gap_s", "retransmits"}. A connection that breaks is not made anew.
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
from contextlib import suppress

LAST_ECHOES_S = 1.0
LINE = 8
# tcpi_total_retrans of struct tcp_info, include/uapi/linux/tcp.h
TOTAL_RETRANS_AT = 100


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


def retransmits(sock: socket.socket) -> int:
    """Return how many segments of the connection were sent again."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    found: int = struct.unpack_from("=I", info, TOTAL_RETRANS_AT)[0]
    return found


def stream(address: str, port: int, rate: float) -> dict[str, float]:
    """Send lines until standard input ends."""
    sent = received = 0
    longest = 0.0
    with socket.create_connection((address, port), 10.0) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        start = last = time.monotonic()
        end: float | None = None
        while end is None or time.monotonic() < end:
            due = start + sent / rate
            if end is None and time.monotonic() >= due:
                with suppress(OSError):
                    sock.send(b"%7d\n" % sent)
                sent += 1
            wait = max(0.0, min(due - time.monotonic(), 0.5))
            watched = [sock] if end else [sock, sys.stdin]
            ready, _, _ = select.select(watched, [], [], wait)
            if sys.stdin in ready and not os.read(0, 100):
                end = time.monotonic() + LAST_ECHOES_S
            if sock in ready:
                try:
                    data = sock.recv(4096)
                except OSError:
                    data = b""
                if not data:  # the connection is no more
                    break
                received += len(data)
                now = time.monotonic()
                longest, last = max(longest, now - last), now
        longest = max(longest, time.monotonic() - last - LAST_ECHOES_S)
        again = retransmits(sock)
    return {
        "sent": sent,
        "received": received // LINE,
        "longest_gap_s": round(longest, 3),
        "retransmits": again,
    }


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]), float(sys.argv[3]))
    else:
        told = stream(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
        print(json.dumps(told))
