# SPDX-License-Identifier: Apache-2.0
"""A metadata service on loopback that can be told how to misbehave."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn

TOKEN = "/latest/api/token"
TREE = "/latest/meta-data/"
MACS = "network/interfaces/macs/"
PRIMARY = "0a:00:00:00:00:01"
SECONDARY = "0a:00:00:00:00:02"
THIRD = "0a:00:00:00:00:03"

# Answers a request itself and returns True, or returns False to have it
# answered as usual.
Fault = Callable[["Handler"], bool]


def eni_keys(number: int, **changes: str | None) -> dict[str, str]:
    """Make the record of an IPv4 ENI; underscores in names are dashes."""
    keys: dict[str, str | None] = {
        "device-number": str(number),
        "interface-id": f"eni-{number:04x}",
        "local-hostname": f"ip-10-0-{number}-10.corp.example",
        "local-ipv4s": f"10.0.{number}.10\n10.0.{number}.9",
        "network-card": "0",
        "subnet-id": f"subnet-{number:04x}",
        "subnet-ipv4-cidr-block": f"10.0.{number}.0/24",
        "vpc-ipv4-cidr-blocks": "10.0.0.0/16\n100.64.0.0/16",
        "ipv4-associations/198.51.100.7": f"10.0.{number}.10",
    }
    keys.update({k.replace("_", "-"): v for k, v in changes.items()})
    return {key: value for key, value in keys.items() if value is not None}


@dataclass
class Stub:
    """The service: `leaves` is what it serves, `faults` what it does wrong.

    Attributes:
        leaves: path below `/latest/meta-data/` -> text.
        seen: every request, as "METHOD path" without the tree's prefix.
        connections: how many TCP connections were accepted.
        released: set at the end, so that no fault outlives its test.
    """

    leaves: dict[str, str] = field(default_factory=dict)
    faults: dict[str, deque[Fault]] = field(
        default_factory=lambda: defaultdict(deque)
    )
    for_ever: dict[str, Fault] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    connections: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.leaves.update(
            {
                "mac": PRIMARY,
                "instance-id": "i-0123456789abcdef0",
                "local-hostname": "ip-10-0-0-10.corp.example",
            }
        )
        self.put_eni(PRIMARY, eni_keys(0))
        self.put_eni(SECONDARY, eni_keys(1))
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.stub = self
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.01},
            daemon=True,
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop it and its threads."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def put_eni(self, mac: str, keys: dict[str, str]) -> None:
        """Attach an ENI, or replace its record."""
        self.drop_eni(mac)
        for key, value in keys.items():
            self.leaves[f"{MACS}{mac}/{key}"] = value

    def drop_eni(self, mac: str) -> None:
        """Detach an ENI."""
        for path in [p for p in self.leaves if p.startswith(f"{MACS}{mac}/")]:
            del self.leaves[path]

    def fail(self, request: str, *faults: Fault) -> None:
        """Let the next requests of that kind fail, one fault each."""
        self.faults[request].extend(faults)

    def fail_always(self, request: str, fault: Fault) -> None:
        """Let every request of that kind fail."""
        self.for_ever[request] = fault

    def count(self, request: str) -> int:
        """Return how often that was asked."""
        return self.seen.count(request)

    def lookup(self, path: str) -> str | None:
        """Return the leaf or the listing at a path below the tree."""
        if path in self.leaves:
            return self.leaves[path]
        base = path.rstrip("/") + "/"
        names = {
            name + slash
            for leaf in self.leaves
            if leaf.startswith(base)
            for name, slash, _ in [leaf[len(base) :].partition("/")]
        }
        return "\n".join(sorted(names)) if names else None


class _Server(ThreadingMixIn, TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    stub: Stub

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are what the tests are about."""


class Handler(BaseHTTPRequestHandler):
    """One connection of the stub."""

    protocol_version = "HTTP/1.1"
    # Header and body are two writes, which cost 40 ms a request otherwise.
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        self.server.stub.connections += 1

    def do_PUT(self) -> None:
        """Hand out a token."""
        if self._went_wrong():
            return
        stub = self.server.stub
        if not self.headers.get("X-aws-ec2-metadata-token-ttl-seconds"):
            self.answer(400)
            return
        stub.tokens.append(f"secret-token-{len(stub.tokens)}==")
        self.answer(200, stub.tokens[-1])

    def do_GET(self) -> None:
        """Serve a leaf or a listing to who holds the newest token."""
        if self._went_wrong():
            return
        stub = self.server.stub
        token = self.headers.get("X-aws-ec2-metadata-token")
        text = stub.lookup(self.path[len(TREE) :])
        if not stub.tokens or token != stub.tokens[-1]:
            self.answer(401)
        elif text is None:
            self.answer(404, "<html>404 - Not Found</html>")
        else:
            self.answer(200, text)

    def _went_wrong(self) -> bool:
        stub = self.server.stub
        path = self.path.removeprefix(TREE)
        request = f"{self.command} {path}"
        stub.seen.append(request)
        stub.headers.append(dict(self.headers))
        if stub.faults[request]:
            return stub.faults[request].popleft()(self)
        return request in stub.for_ever and stub.for_ever[request](self)

    def answer(
        self, code: int, body: str | bytes = b"", **headers: str
    ) -> None:
        """Send a whole answer; underscores in header names are dashes."""
        raw = body.encode() if isinstance(body, str) else body
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output for the tests."""


def answer(code: int, body: str | bytes = b"", **headers: str) -> Fault:
    """Answer with this, and keep the connection."""

    def fault(handler: Handler) -> bool:
        handler.answer(code, body, **headers)
        return True

    return fault


def hang(handler: Handler) -> bool:
    """Say nothing at all."""
    handler.close_connection = True
    return handler.server.stub.released.wait()


def cut_off(handler: Handler) -> bool:
    """Promise more than is sent, then hang up."""
    handler.answer(200, "10.0.", Content_Length="9")
    handler.close_connection = True
    return True


def drip_headers(handler: Handler) -> bool:
    """Send one byte of the header now and then, for ever."""
    return _drip(handler, b"HTTP/1.1 200 OK\r\nX-Slow: ")


def drip_body(handler: Handler) -> bool:
    """Send one byte of the body now and then, for ever."""
    return _drip(handler, b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")


def _drip(handler: Handler, start: bytes) -> bool:
    handler.close_connection = True
    handler.wfile.write(start)
    while not handler.server.stub.released.wait(0.02):
        handler.wfile.write(b"a")
    return True


def endless_body(handler: Handler) -> bool:
    """Send as much as is taken, without a Content-Length."""
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not handler.server.stub.released.is_set():
        handler.wfile.write(b"a" * 4096)
    return True


def no_http(handler: Handler) -> bool:
    """Speak something else than HTTP."""
    handler.close_connection = True
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    return True


def first(action: Callable[[], object]) -> Fault:
    """Do something to the stub, then answer as usual."""

    def fault(_: Handler) -> bool:
        action()
        return False

    return fault
