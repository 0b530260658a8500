#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Say which side was reached: one file, standard library only.

    far_server.py PORT SIDE [SECONDS]

answers TCP connections and UDP datagrams, from the address that was asked,
with one line of JSON: {"side", "saw": the peer's address, "to": the address
that was asked}. With SECONDS it goes to the background and ends by itself.

The internet host and the company host both own the policy destinations: what
this says tells which of them was reached. In the guest it comes in through
standard input (guest_server_argv) and answers flows from outside.
"""

from __future__ import annotations

import errno
import json
import os
import selectors
import socket
import struct
import sys
import time

FAR_PORT = 7000
INTERNET = "internet"
COMPANY = "company"
GUEST = "guest"
# Not in Python's socket module before 3.14: include/uapi/linux/in.h.
IP_PKTINFO = 8


def guest_server_argv(
    *, port: int = FAR_PORT, seconds: float = 600.0
) -> list[str]:
    """Return the command that serves in the guest, in the background.

    It wants the text of this file on its standard input, and returns when
    it listens (or when one of its kind already does).
    """
    return ["python3", "-", str(port), GUEST, str(seconds)]


def serve(port: int, side: str, seconds: float = 0.0) -> None:
    """Answer on all addresses, from the address that was asked."""
    picker = selectors.DefaultSelector()
    try:
        for sock in listen_on_all(port):
            picker.register(sock, selectors.EVENT_READ)
    except OSError as err:
        if seconds and err.errno == errno.EADDRINUSE and is_serving(port):
            print(f"already listening on port {port}")
            return
        raise
    print(f"listening on port {port}", flush=True)
    if seconds and not go_to_background():
        return
    end = time.monotonic() + seconds if seconds else float("inf")
    while time.monotonic() < end:
        for key, _ in picker.select(1.0):
            assert isinstance(key.fileobj, socket.socket)
            try:
                answer(key.fileobj, side)
            except OSError as err:  # that peer went away: the next one may not
                print(err, file=sys.stderr, flush=True)


def listen_on_all(port: int) -> list[socket.socket]:
    """Return sockets for TCP and UDP, IPv4 and, where there is it, IPv6."""
    families = (socket.AF_INET, socket.AF_INET6)
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    made = [listen(f, kind, port) for f in families for kind in kinds]
    return [sock for sock in made if sock is not None]


def is_serving(port: int) -> bool:
    """Return whether it is one of us that has the port."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2.0) as sock:
            return b'"side"' in sock.recv(4096)
    except OSError:
        return False


def listen(family: int, kind: int, port: int) -> socket.socket | None:
    """Return a listening socket, or None where there is no such family."""
    try:
        sock = socket.socket(family, kind)
    except OSError:
        return None
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
    if kind == socket.SOCK_STREAM:
        sock.listen(128)
    return sock


def answer(listener: socket.socket, side: str) -> None:
    """Answer one connection or one datagram."""
    if listener.type == socket.SOCK_STREAM:
        peer, (saw, *_) = listener.accept()
        with peer:
            peer.settimeout(2.0)
            peer.sendall(describe(side, saw, peer.getsockname()[0]))
        return
    _, extra, _, sender = listener.recvmsg(65535, 256)
    for level, kind, packed in extra:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            to = socket.inet_ntoa(packed[8:12])
            # The source to use stands where the local address stood.
            source = struct.pack("=I4s4s", 0, packed[8:12], b"\0" * 4)
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            to = socket.inet_ntop(socket.AF_INET6, packed[:16])
            source = packed[:16] + b"\0" * 4
        else:
            continue
        said = describe(side, sender[0], to)
        listener.sendmsg([said], [(level, kind, source)], 0, sender)


def describe(side: str, saw: str, to: str) -> bytes:
    """Return the line that the server says."""
    line = json.dumps({"side": side, "saw": saw, "to": to})
    return line.encode() + b"\n"


def go_to_background() -> bool:
    """Fork; return True in the child, which holds no pipe of the parent's."""
    if os.fork():
        return False
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    return True


if __name__ == "__main__":
    serve(
        int(sys.argv[1]),
        sys.argv[2],
        float(sys.argv[3]) if len(sys.argv) > 3 else 0.0,
    )
