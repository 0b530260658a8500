#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Send probes: one file, standard library only.

It runs on the internet host, on the company host and in the guest, where it
comes in through standard input: `python3 - '<probes>' < probe.py`.

    probe.py '<JSON list of probes>'      (or the list on standard input)

A probe is {"id", "kind", "dst", "port", "bind", "name", "timeout"}, kind one
of tcp, udp, ping, http, dns, getent, getent6; bind is a source address or
null. All of them run at once. Printed is a list, in the same order, of
{"id", "ok", "answer", "local": [address, port], "error", "ms"}.

far_server.py answers tcp and udp.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import Any

TIMEOUT_S = 8.0
RESEND_S = 1.0
ICMP_ECHO = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}


class NoAnswer(Exception):
    """The far side said nothing, or nothing that makes sense."""


class Probe:
    """One probe and what came of it."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.id = spec["id"]
        self.kind = str(spec["kind"])
        self.dst = str(spec.get("dst") or "")
        self.port = int(spec.get("port") or 0)
        self.bind = spec.get("bind")
        self.name = str(spec.get("name") or "")
        self.timeout = float(spec.get("timeout") or TIMEOUT_S)
        self.ok = False
        self.answer: Any = None
        self.local: list[Any] | None = None
        self.error: str | None = None
        self.ms: float | None = None

    def run(self) -> None:
        """Send it; never raises."""
        start = time.monotonic()
        try:
            self.answer = KINDS[self.kind](self)
            self.ok = True
        except Exception as err:  # whatever it is, it is the result
            self.error = f"{type(err).__name__}: {err}"
        self.ms = round((time.monotonic() - start) * 1e3, 1)

    def result(self) -> dict[str, Any]:
        """Return what is printed for it."""
        if self.ms is None:
            self.error = f"no result within {self.timeout + 2:.0f} s"
        keys = ("id", "ok", "answer", "local", "error", "ms")
        return {key: getattr(self, key) for key in keys}

    def connect(self, kind: int, protocol: int = 0) -> socket.socket:
        """Return a connected socket; the kernel has chosen its source."""
        sock = socket.socket(self.family(), kind, protocol)
        try:
            sock.settimeout(self.timeout)
            if self.bind:
                sock.bind((self.bind, 0))
            try:
                sock.connect((self.dst, self.port))
            finally:
                # Also when nobody answered: the SYN had a source too.
                self.local = list(sock.getsockname()[:2])
        except BaseException:
            sock.close()
            raise
        return sock

    def family(self) -> int:
        """Return the address family of the destination."""
        return socket.AF_INET6 if ":" in self.dst else socket.AF_INET

    def ask(self, sock: socket.socket, query: bytes, parse: Any) -> Any:
        """Send a datagram again and again until `parse` likes an answer."""
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            sock.send(query)
            again = min(deadline, time.monotonic() + RESEND_S)
            while (left := again - time.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    found = parse(sock.recv(65535))
                except TimeoutError:
                    break
                if found is not None:
                    return found
        raise NoAnswer(f"nothing within {self.timeout:.0f} s")


def send_tcp(probe: Probe) -> Any:
    """Connect and read the line that the far server says."""
    with probe.connect(socket.SOCK_STREAM) as sock, sock.makefile() as lines:
        line = lines.readline(65536)
    if not line:
        raise NoAnswer("connected, but it said nothing")
    return json.loads(line)


def send_udp(probe: Probe) -> Any:
    """Send a datagram and read the one that comes back."""
    with probe.connect(socket.SOCK_DGRAM) as sock:
        return probe.ask(sock, b"?", json.loads)


def send_ping(probe: Probe) -> str:
    """Send an ICMP echo request (needs root); `local` ends in its id."""
    family = probe.family()
    request, reply = ICMP_ECHO[socket.AddressFamily(family)]
    is_v4 = family == socket.AF_INET
    protocol = socket.IPPROTO_ICMP if is_v4 else socket.IPPROTO_ICMPV6
    ident = random.randrange(1, 65536)
    echo = struct.pack("!BBHHH", request, 0, 0, ident, 1) + b"multihome"
    if is_v4:  # for ICMPv6 the kernel does it
        total = internet_checksum(echo)
        echo = echo[:2] + struct.pack("!H", total) + echo[4:]

    def parse(packet: bytes) -> str | None:
        # A raw IPv4 socket gets the IP header too, an IPv6 one does not.
        icmp = packet[(packet[0] & 15) * 4 :] if is_v4 else packet
        kind, _, _, seen = struct.unpack("!BBHH", icmp[:6])
        return "reply" if (kind, seen) == (reply, ident) else None

    # The port of a raw socket is its protocol (raw(7)): 0 leaves it alone.
    probe.port = 0
    with probe.connect(socket.SOCK_RAW, protocol) as sock:
        assert probe.local is not None
        probe.local[1] = ident
        found: str = probe.ask(sock, echo, parse)
        return found


def internet_checksum(message: bytes) -> int:
    """Return the checksum of RFC 1071."""
    padded = message + b"\0" * (len(message) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def send_http(probe: Probe) -> str:
    """Ask IMDSv2 for the instance id, with a token."""
    probe.port = probe.port or 80
    asker = http.client.HTTPConnection(probe.dst, probe.port)
    asker.sock = probe.connect(socket.SOCK_STREAM)
    try:
        ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = read_http(asker, "PUT", "/latest/api/token", ttl)
        key = {"X-aws-ec2-metadata-token": token}
        return read_http(asker, "GET", "/latest/meta-data/instance-id", key)
    finally:
        asker.close()


def read_http(
    asker: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: dict[str, str],
) -> str:
    """Return the body of one answer that must be 200."""
    asker.request(method, path, headers=headers)
    answer = asker.getresponse()
    body = answer.read(65536).decode(errors="replace")
    if answer.status != 200:
        raise NoAnswer(f"{method} {path}: status {answer.status}, {body!r}")
    return body


def send_dns(probe: Probe) -> list[str]:
    """Ask the nameserver at `dst` for the A records of `name`."""
    probe.port = probe.port or 53
    ident = random.randrange(1, 65536)
    labels = [part.encode() for part in probe.name.strip(".").split(".")]
    name = b"".join(bytes([len(part)]) + part for part in labels) + b"\0"
    query = struct.pack("!6H", ident, 0x0100, 1, 0, 0, 0) + name
    query += struct.pack("!2H", 1, 1)  # type A, class IN

    def parse(packet: bytes) -> list[str] | None:
        seen, flags, _, answers = struct.unpack("!4H", packet[:8])
        if seen != ident:
            return None
        if flags & 15:
            raise NoAnswer(f"rcode {flags & 15} for {probe.name}")
        return read_a_records(packet, len(query), answers)

    with probe.connect(socket.SOCK_DGRAM) as sock:
        found: list[str] = probe.ask(sock, query, parse)
        return found


def read_a_records(packet: bytes, at: int, count: int) -> list[str]:
    """Return the addresses of the A records from offset `at` on."""
    found = []
    for _ in range(count):
        while packet[at] and packet[at] < 0xC0:  # RFC 1035, 4.1.4
            at += packet[at] + 1
        at += 2 if packet[at] else 1
        kind, _, _, size = struct.unpack("!HHIH", packet[at : at + 10])
        at += 10
        if kind == 1:
            found.append(socket.inet_ntoa(packet[at : at + size]))
        at += size
    return found


def send_getent(probe: Probe) -> list[str]:
    """Look a name's addresses of one family up as every program does."""
    database = "ahostsv6" if probe.kind == "getent6" else "ahostsv4"
    done = subprocess.run(
        ["getent", database, probe.name],
        capture_output=True,
        text=True,
        timeout=probe.timeout,
        check=False,
    )
    if done.returncode != 0:
        raise NoAnswer(f"getent {database} exited with {done.returncode}")
    return sorted({line.split()[0] for line in done.stdout.splitlines()})


KINDS = {
    "tcp": send_tcp,
    "udp": send_udp,
    "ping": send_ping,
    "http": send_http,
    "dns": send_dns,
    "getent": send_getent,
    "getent6": send_getent,
}


def run_probes(specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run all probes at once and return their results."""
    probes = [Probe(spec) for spec in specs]
    threads = [
        threading.Thread(target=probe.run, daemon=True) for probe in probes
    ]
    for thread in threads:
        thread.start()
    longest = max((probe.timeout for probe in probes), default=0.0)
    deadline = time.monotonic() + longest + 2
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [probe.result() for probe in probes]


def main(args: list[str]) -> None:
    """Do what the module's docstring says."""
    specs = json.loads(args[0] if args else sys.stdin.read())
    print(json.dumps(run_probes(specs)))
    sys.stdout.flush()
    os._exit(0)  # threads that still wait must not hold the answer up


if __name__ == "__main__":
    main(sys.argv[1:])
