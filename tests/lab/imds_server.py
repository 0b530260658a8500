# SPDX-License-Identifier: Apache-2.0
"""A stand-in for EC2's instance metadata service, version 2.

    python3 -m tests.lab.imds_server STATE LOG [ADDRESS...]

STATE is a JSON file that imds_state.py describes: the documents, and faults.
LOG gets one line of JSON for each request. Several addresses, of IPv4 and
IPv6, are one service: a token of one is good at the others, and faults are
counted together. It is run with -m from the top of the checkout, or in a
thread with ImdsServer.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.lab.imds_state import State

TOKEN = "X-aws-ec2-metadata-token"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TTL_MAX_S = 21600
HTTP_PORT = 80
HANG_S = 3600.0
CHUNK = b"0123456789abcdef" * 4096


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    sys_version = ""
    # Else the body waits for the acknowledgement of the headers.
    disable_nagle_algorithm = True
    server: ImdsServer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: there is a log of our own."""

    def do_PUT(self) -> None:
        """Hand out a token."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._is_faulty():
            return
        ttl = self.headers.get(TTL, "")
        if self.path.strip("/") != "latest/api/token":
            self._answer(404, "Not Found")
        elif not ttl.isdigit() or not 1 <= int(ttl) <= TTL_MAX_S:
            self._answer(400, "Bad Request")
        elif "X-Forwarded-For" in self.headers:
            self._answer(403, "Forbidden")
        else:
            token = secrets.token_urlsafe(40)
            expires = time.monotonic() + int(ttl)
            self.server.state.tokens[token] = expires
            self._answer(200, token, {TTL: ttl})

    def do_GET(self) -> None:
        """Hand out a document."""
        if self._is_faulty():
            return
        state = self.server.state
        expires = state.tokens.get(self.headers.get(TOKEN, ""), 0.0)
        if not state.content.get("v1") and expires < time.monotonic():
            self._answer(401, "Unauthorized")
            return
        found = state.find(self.path)
        if found is None:
            self._answer(404, "Not Found")
        else:
            self._answer(200, found)

    do_HEAD = do_GET

    def _is_faulty(self) -> bool:
        """Do what a fault says; True if the request is dealt with."""
        self._start = time.time()
        self._fault = None
        try:
            self.server.state.reload()
        except (OSError, ValueError) as err:
            # A test wrote nonsense: it must see that, not the old content.
            self._answer(500, f"state file: {err}")
            return True
        fault = self.server.state.find_fault(self.command, self.path)
        if fault is None:
            return False
        self._fault = fault["kind"]
        return self._do_fault(fault)

    def _do_fault(self, fault: dict[str, Any]) -> bool:
        kind, ended = fault["kind"], self.server.ended
        if kind == "delay":
            ended.wait(float(fault.get("delay_s", 1.0)))
            return False
        if kind == "status":
            self._answer(
                int(fault.get("status", 500)),
                str(fault.get("body", "injected")),
                fault.get("headers") or {},
            )
            return True
        self._log(0)
        self.close_connection = True
        if kind == "hang":
            ended.wait(HANG_S)
        elif kind == "garbage":
            self.wfile.write(b"\x00\xff this is no HTTP \x80\r\n\r\n")
        elif kind == "truncate":
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\nhalf"
            )
        elif kind == "endless":
            self._send_endless(float(fault.get("delay_s", 0.0)))
        return True

    def _send_endless(self, delay_s: float) -> None:
        """Send until the client has had enough: slowly if delay_s is set."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        chunk = CHUNK[:1] if delay_s else CHUNK
        try:
            while not self.server.ended.wait(delay_s):
                self.wfile.write(chunk)
        except OSError:
            pass

    def _answer(
        self, status: int, text: str, headers: dict[str, str] | None = None
    ) -> None:
        body = text.encode()
        # First of all: who has read the answer finds it in the log.
        self._log(status)
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _log(self, status: int) -> None:
        now = time.time()
        self.server.log(
            {
                "t": round(self._start, 4),
                "ms": round((now - self._start) * 1e3, 1),
                "method": self.command,
                "path": self.path,
                "status": status,
                "src": self.client_address[0],
                "token": TOKEN in self.headers,
                "ua": self.headers.get("User-Agent", ""),
                "fault": self._fault,
            }
        )


class ImdsServer(ThreadingHTTPServer):
    """The server; as a context manager it serves in a thread.

    Args:
        state: a file, or what another server has made of it.
        address: (address, port); port 0 takes a free one, see `url`.

    Raises:
        ValueError: the state file is wrong.
    """

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(
        self, state: Path | State, log: Path, address: tuple[str, int]
    ) -> None:
        self.state = State(state) if isinstance(state, Path) else state
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.ended = threading.Event()
        self._log_lock = threading.Lock()
        super().__init__(address, Handler)
        self._log_file = log.open("a")

    @property
    def url(self) -> str:
        """`http://address:port`, without a slash at its end."""
        host, port = self.server_address[:2]
        is_ipv6 = self.address_family == socket.AF_INET6
        return f"http://{f'[{host!s}]' if is_ipv6 else host!s}:{port}"

    def log(self, record: dict[str, object]) -> None:
        """Write a line at once."""
        with self._log_lock:
            self._log_file.write(json.dumps(record) + "\n")
            self._log_file.flush()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that hang up: the faults make them."""

    def __enter__(self) -> ImdsServer:
        threading.Thread(
            target=self.serve_forever, args=(0.05,), daemon=True
        ).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ended.set()
        self.shutdown()
        self.server_close()
        with self._log_lock:
            self._log_file.close()
            self._log_file = open(os.devnull, "w")  # noqa: SIM115 - late ones


def main(args: list[str]) -> None:
    """Serve until killed."""
    state, log = State(Path(args[0])), Path(args[1])
    addresses = args[2:] or ["169.254.169.254"]
    servers = [ImdsServer(state, log, (it, HTTP_PORT)) for it in addresses]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
