#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Capture what passes the VPC router's gateways, and read it back.

    capture.py FILE PREFIX [MEGABYTES]

runs in the router's namespace and writes one line of JSON for each packet
on a device whose name begins with PREFIX. The MAC addresses in it prove
which ENI carried a packet: a MAC is an ENI's, whatever addresses it used.
Standard library only: it is run by its path. See packet(7).
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

# include/uapi/linux/if_ether.h, if_packet.h and asm-generic/socket.h
ETH_P_ALL = 3
PACKET_OUTGOING = 4
SO_RCVBUFFORCE = 33
SOL_PACKET = 263
PACKET_STATISTICS = 6
SNAP_BYTES = 256
BUFFER_BYTES = 16 * 1024 * 1024
MAX_MB = 64
WAIT_S = 2.0
POLL_S = 0.05

PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}
EXTENSIONS = (0, 43, 60)  # IPv6: hop-by-hop, routing, destination options


@dataclass(frozen=True)
class Packet:
    """One IP packet as a gateway saw it.

    Attributes:
        t: seconds since the epoch, the host's clock.
        interface: the router's gateway device.
        smac, dmac: a packet *from* an ENI has the ENI's MAC as `smac`.
        proto: tcp, udp, icmp, icmp6 or the protocol's number.
        sport, dport: of TCP and UDP; None for a later fragment.
        icmp_type, icmp_id: of ICMP; the id is an echo's.
    """

    t: float
    interface: str
    smac: str
    dmac: str
    proto: str
    src: str
    dst: str
    sport: int | None = None
    dport: int | None = None
    icmp_type: int | None = None
    icmp_id: int | None = None


@dataclass(frozen=True)
class FlowKey:
    """Both ends of a flow, as they read between the guest and the router.

    Attributes:
        proto: as in Packet.
        guest, far: (address, port); for an echo (address, its id) twice.
    """

    proto: str
    guest: tuple[str, int]
    far: tuple[str, int]


@dataclass(frozen=True)
class Carried:
    """The ENIs that carried a flow: names, or MACs that are no ENI's.

    Attributes:
        sent: from the guest to the router.
        received: from the router to the guest.
    """

    sent: frozenset[str] = frozenset()
    received: frozenset[str] = frozenset()


def decode(frame: bytes, t: float, interface: str) -> Packet | None:
    """Read an Ethernet frame; None if it carries no whole IP header."""
    if len(frame) < 34:
        return None
    ether_type = struct.unpack("!H", frame[12:14])[0]
    if ether_type == 0x0800:
        size = (frame[14] & 15) * 4
        number, ends = frame[23], (frame[26:30], frame[30:34])
        later = struct.unpack("!H", frame[20:22])[0] & 0x1FFF != 0
        body = frame[14 + size :]
    elif ether_type == 0x86DD and len(frame) >= 54:
        ends = (frame[22:38], frame[38:54])
        number, later, body = _skip_extensions(frame[20], frame[54:])
    else:
        return None
    return Packet(
        round(t, 6),
        interface,
        frame[6:12].hex(":"),
        frame[:6].hex(":"),
        PROTOCOLS.get(number, str(number)),
        str(ip_address(ends[0])),
        str(ip_address(ends[1])),
        **({} if later else _read_ports(number, body)),
    )


def _skip_extensions(number: int, body: bytes) -> tuple[int, bool, bytes]:
    """Return (protocol, is a later fragment, what comes after)."""
    while number in EXTENSIONS and len(body) >= 8:
        number, body = body[0], body[(body[1] + 1) * 8 :]
    if number == 44 and len(body) >= 8:  # fragment
        offset = struct.unpack("!H", body[2:4])[0] >> 3
        return body[0], offset != 0, body[8:]
    return number, False, body


def _read_ports(number: int, body: bytes) -> dict[str, int]:
    if len(body) < 8:
        return {}
    first, second, third = struct.unpack("!3H", body[:6])
    if number in (6, 17):
        return {"sport": first, "dport": second}
    if number in (1, 58):
        return {"icmp_type": first >> 8, "icmp_id": third}
    return {}


class Writer:
    """Write packets to a file that never holds more than half the bound.

    When it is full it becomes `<file>.1` (the one before is lost) and a new
    one begins, so that the last packets are always there.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._half = max_bytes // 2
        self._file = path.open("w")

    def write(self, record: Mapping[str, object]) -> None:
        """Write a line at once."""
        if self._file.tell() > self._half:
            self._file.close()
            os.replace(self._path, older(self._path))
            self._file = self._path.open("w")
        known = {key: item for key, item in record.items() if item is not None}
        self._file.write(json.dumps(known) + "\n")
        self._file.flush()


def older(path: Path) -> Path:
    """Return where the lines before those of `path` are."""
    return path.with_name(path.name + ".1")


def capture(path: Path, prefix: str, max_bytes: int) -> None:
    """Capture until killed.

    One socket for all devices: it sees also those that are made later.
    """
    sock = socket.socket(
        socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)
    )
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    writer = Writer(path, max_bytes)
    sock.settimeout(1.0)
    while True:
        try:
            frame, address = sock.recvfrom(SNAP_BYTES)
        except TimeoutError:
            # packet(7): reading the statistics resets them.
            raw = sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
            missed = struct.unpack("II", raw)[1]
            if missed:
                writer.write({"missed": missed})
            continue
        if address[0].startswith(prefix):
            packet = decode(frame, time.time(), address[0])
            if packet is not None:
                writer.write(asdict(packet))


class CaptureReader:
    """Answers which ENI carried a flow, from a capture's file.

    Args:
        path: the file that `capture` writes, still being written or not.
        enis: MAC address -> name of the ENI.
    """

    def __init__(self, path: Path, enis: Mapping[str, str]) -> None:
        self.path = path
        self.enis = dict(enis)
        self._mark = (0, 0)  # inode, offset

    def mark(self) -> None:
        """Forget what was captured before now."""
        status = self.path.stat()
        self._mark = (status.st_ino, status.st_size)

    def packets(self) -> Iterator[Packet]:
        """Yield the packets since the last mark.

        Raises:
            RuntimeError: the capture had to leave packets out.
        """
        for record in self._records():
            if "missed" in record:
                raise RuntimeError(
                    f"{self.path}: the capture missed {record['missed']}"
                    " packets, so it proves nothing: run it again with less"
                    " traffic"
                )
            yield Packet(**record)

    def _records(self) -> Iterator[dict[str, Any]]:
        marked, offset = self._mark
        files = [
            path for path in (older(self.path), self.path) if path.exists()
        ]
        inodes = [path.stat().st_ino for path in files]
        if marked in inodes:
            files = files[inodes.index(marked) :]
        for path in files:
            with path.open() as lines:
                if os.fstat(lines.fileno()).st_ino == marked:
                    lines.seek(offset)
                for line in lines:
                    if line.endswith("\n"):  # the last may be half written
                        yield json.loads(line)

    def carried(self, key: FlowKey, *, wait: float = 0.0) -> Carried:
        """Return the ENIs that carried a flow.

        Args:
            wait: seconds to wait until both directions have been seen; the
                capture runs beside the flows and may lag behind.
        """
        deadline = time.monotonic() + wait
        while True:
            seen = self._carried(key)
            whole = seen.sent and seen.received
            if whole or time.monotonic() >= deadline:
                return seen
            time.sleep(POLL_S)

    def _carried(self, key: FlowKey) -> Carried:
        sent, received = set(), set()
        for packet in self.packets():
            if packet.proto != key.proto:
                continue
            source, target = _ends(packet)
            if (source, target) == (key.guest, key.far):
                sent.add(self.enis.get(packet.smac, packet.smac))
            elif (source, target) == (key.far, key.guest):
                received.add(self.enis.get(packet.dmac, packet.dmac))
        return Carried(frozenset(sent), frozenset(received))


def _ends(
    packet: Packet,
) -> tuple[tuple[str, int | None], tuple[str, int | None]]:
    if packet.proto in ("icmp", "icmp6"):
        ident = packet.icmp_id
        return (packet.src, ident), (packet.dst, ident)
    return (packet.src, packet.sport), (packet.dst, packet.dport)


if __name__ == "__main__":
    capture(
        Path(sys.argv[1]),
        sys.argv[2],
        int(sys.argv[3] if len(sys.argv) > 3 else MAX_MB) * 1024 * 1024,
    )
