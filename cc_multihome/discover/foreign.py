# SPDX-License-Identifier: Apache-2.0
"""The routes and rules of others, as the kernel's own messages (rtnetlink(7)).

They are copied and not understood: whatever a rule or a route of somebody
else says (marks, ports, users, several next hops), the kernel gets back word
for word. `ip rule save` and `ip route save` work so, too.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

# linux/rtnetlink.h, linux/netlink.h, linux/fib_rules.h
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTM_NEWRULE, RTM_GETRULE = 32, 34
DUMPS = {RTM_NEWRULE: RTM_GETRULE, RTM_NEWROUTE: RTM_GETROUTE}
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR = 0x1, 0x4, 0x10
NLM_F_DUMP, NLM_F_EXCL, NLM_F_CREATE = 0x300, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
FRA_PRIORITY, FRA_PROTOCOL, RTA_DST, RTA_CACHEINFO = 6, 21, 1, 12
TABLE = 15  # of rules and of routes
# What an administrator says; the others tell how it is right now, and the
# kernel takes no such flag back.
SAID_FLAGS = {RTM_NEWROUTE: 0x2 | 0x4, RTM_NEWRULE: 0x1 | 0x2}
# Whose they are: redirects, the kernel's, and the three of networkd.
REDIRECT, KERNEL, STATIC, RA, DHCP = 1, 2, 4, 9, 16
NOT_FOREIGN = (REDIRECT, KERNEL, STATIC, RA, DHCP)

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
# struct rtmsg and struct fib_rule_hdr: family ... and flags at the end.
BODY = struct.Struct("=8BI")
ATTRIBUTE = struct.Struct("=HH")
CACHEINFO = struct.Struct("=IIiIIIII")
BUFFER = 1 << 20
TIMEOUT_S = 10.0
TRIES = 5


@dataclass(frozen=True, order=True)
class Foreign:
    """A rule or a route of somebody else.

    Attributes:
        kind: RTM_NEWRULE or RTM_NEWROUTE.
        message: what follows the header, as it can be given back.
    """

    kind: int
    message: bytes

    def __str__(self) -> str:
        """Name it by what tells it from others, for a person."""
        family, length, *_ = BODY.unpack_from(self.message)
        found = {
            number: value
            for number, value, _ in _attributes(self.message[BODY.size :])
        }
        table = int.from_bytes(found.get(TABLE, b""), sys.byteorder)
        if self.kind == RTM_NEWRULE:
            priority = found.get(FRA_PRIORITY, b"")
            number = int.from_bytes(priority, sys.byteorder)
            return f"rule {number} (table {table})"
        empty = bytes(4 if family == socket.AF_INET else 16)
        to = ip_address(found.get(RTA_DST, empty))
        return f"route {to}/{length} (table {table})"


def read_foreign() -> frozenset[Foreign]:
    """Read the rules and routes that neither networkd nor the kernel made.

    Both families; told by their protocol. One that says "static" counts as
    networkd's.

    Raises:
        OSError: the kernel did not answer.
    """
    found: set[Foreign] = set()
    with _open() as sock:
        for kind in DUMPS:
            for family in (socket.AF_INET, socket.AF_INET6):
                found.update(_dump(sock, kind, family))
    return frozenset(found)


def add_foreign(item: Foreign) -> None:
    """Give a rule or a route back; one that is there already is left.

    Raises:
        OSError: the kernel refused.
    """
    flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
    with _open() as sock:
        _send(sock, item.kind, flags, item.message)
        for kind, body in _split(sock.recv(BUFFER)):
            if kind == NLMSG_ERROR:
                _raise_if_error(body, unless=FileExistsError)


def parse(kind: int, body: bytes) -> Foreign | None:
    """Return what of a message can be given back: pure.

    None where it is not somebody else's, or is to vanish by itself.
    """
    *head, flags = BODY.unpack_from(body)
    protocol = head[5] if kind == RTM_NEWROUTE else 0
    kept = b""
    for number, value, whole in _attributes(body[BODY.size :]):
        if kind == RTM_NEWRULE and number == FRA_PROTOCOL:
            protocol = value[0]
        if kind == RTM_NEWROUTE and number == RTA_CACHEINFO:
            if (
                len(value) >= CACHEINFO.size
                and CACHEINFO.unpack_from(value)[2]
            ):
                return None
            # How often it was used, and the like: other at each look.
            continue
        kept += whole
    if protocol in NOT_FOREIGN:
        return None
    start = BODY.pack(*head, flags & SAID_FLAGS[kind])
    return Foreign(kind, start + kept)


def _open() -> socket.socket:
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE
    )
    sock.settimeout(TIMEOUT_S)
    return sock


def _dump(sock: socket.socket, kind: int, family: int) -> set[Foreign]:
    """Ask for all of a kind; again when it changed meanwhile."""
    found: set[Foreign] = set()
    for _ in range(TRIES):
        body = BODY.pack(family, *[0] * 8)
        _send(sock, DUMPS[kind], NLM_F_REQUEST | NLM_F_DUMP, body)
        found, is_whole = _read_dump(sock, kind)
        if is_whole:
            break
    # After the last try: what was seen. It changes all the time.
    return found


def _read_dump(sock: socket.socket, kind: int) -> tuple[set[Foreign], bool]:
    found: set[Foreign] = set()
    is_whole = True
    while True:
        data = sock.recv(BUFFER)
        is_whole = is_whole and not _was_interrupted(data)
        for seen, body in _split(data):
            if seen == NLMSG_DONE:
                return found, is_whole
            if seen == NLMSG_ERROR:
                _raise_if_error(body)
            item = parse(kind, body) if seen == kind else None
            if item is not None:
                found.add(item)


def _send(sock: socket.socket, kind: int, flags: int, body: bytes) -> None:
    head = HEADER.pack(HEADER.size + len(body), kind, flags, 1, 0)
    sock.send(head + body)


def _was_interrupted(data: bytes) -> bool:
    return bool(HEADER.unpack_from(data)[2] & NLM_F_DUMP_INTR)


def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, body) of each message."""
    while len(data) >= HEADER.size:
        length, kind, *_ = HEADER.unpack_from(data)
        yield kind, data[HEADER.size : length]
        data = data[_aligned(length) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield (number, value, the whole of it) of each attribute."""
    while len(data) >= ATTRIBUTE.size:
        length, number = ATTRIBUTE.unpack_from(data)
        end = _aligned(length)
        yield number, data[ATTRIBUTE.size : length], data[:end]
        data = data[end:]


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _raise_if_error(
    body: bytes, unless: type[OSError] | tuple[()] = ()
) -> None:
    """Raise what an NLMSG_ERROR says; 0 is an acknowledgement."""
    (negative,) = struct.unpack_from("=i", body)
    if negative == 0:
        return
    err = OSError(-negative, os.strerror(-negative))
    if not isinstance(err, unless):
        raise err
