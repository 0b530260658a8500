# SPDX-License-Identifier: Apache-2.0
"""Commands in the guest through qemu-guest-agent, on a virtio-serial port.

They work whatever the guest's network does. The protocol is JSON, one
object a line: https://www.qemu.org/docs/master/interop/qemu-ga-ref.html
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from cc_multihome.run import RUN_ENV
from tests.lab.host import LabError, Result

CONNECT_TIMEOUT_S = 120.0
# One answer of the agent. A guest under emulation that boots is slow.
ANSWER_TIMEOUT_S = 60.0
RUN_TIMEOUT_S = 120.0
CHUNK_BYTES = 1 << 20
# Its answer follows this byte, which is never part of JSON text.
SENTINEL = b"\xff"
GUEST_ENV = [f"{key}={value}" for key, value in RUN_ENV.items()]


class GuestError(LabError):
    """The guest agent did not answer, or refused."""


def connect_unix(path: Path, *, timeout: float) -> socket.socket:
    """Connect to a socket by its path, however long that is.

    unix(7) allows 107 bytes; a name below /proc/self/fd is short.
    """
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    try:
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            sock.connect(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)
    except OSError:
        sock.close()
        raise
    return sock


class Agent:
    """A client of one guest's agent; connects when it is first needed.

    The channel serves one client at a time: have one Agent for each guest.
    Threads may share it; they take turns, call by call.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sock: socket.socket | None = None
        self._buffer = b""
        self._lock = threading.RLock()

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        with self._lock:
            if self._sock:
                self._sock.close()
            self._sock = None
            self._buffer = b""

    def connect(self, timeout: float = CONNECT_TIMEOUT_S) -> None:
        """Wait until the agent answers.

        Raises:
            GuestError: it does not, within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            while True:
                last = self._try_to_connect()
                if last is None:
                    return
                if time.monotonic() > deadline:
                    raise GuestError(
                        f"the guest agent at {self._path} did not answer "
                        f"within {timeout:.0f} s: {last}"
                    )
                time.sleep(0.1)

    def call(
        self, name: str, *, answer_s: float = ANSWER_TIMEOUT_S, **args: object
    ) -> Any:
        """Call a function of the agent and return what it returns.

        Raises:
            GuestError: the agent refused, or no answer came in `answer_s`.
        """
        with self._lock:
            if self._sock is None:
                self.connect()
            try:
                self._send(name, args)
                reply = self._read_reply(time.monotonic() + answer_s)
            except (OSError, ValueError) as err:
                # A late answer would be taken for the next call's.
                self.close()
                raise GuestError(f"{name}: no answer: {err}") from err
        if "error" in reply:
            raise GuestError(f"{name}: {reply['error'].get('desc', reply)}")
        return reply["return"]

    def tell(self, name: str, **args: object) -> None:
        """Call a function that sends no answer, such as a shutdown."""
        with self._lock:
            if self._sock is None:
                self.connect()
            self._send(name, args)
            # The guest reads it even when this side has hung up, but not
            # when the port was closed before the bytes were in the queue.
            time.sleep(0.5)
            self.close()

    def run(
        self, shell: str, *, timeout: float = RUN_TIMEOUT_S, check: bool = True
    ) -> Result:
        """Run a shell command as root in the guest, to its end.

        Raises:
            GuestError: it did not end within `timeout` seconds (it is then
                killed).
            LabError: `check` and it exited with another status than 0.
        """
        started = self.call(
            "guest-exec",
            path="/bin/sh",
            arg=["-c", shell],
            env=[*GUEST_ENV, "HOME=/root"],
            **{"capture-output": True},
        )
        result = self._await_exit(started["pid"], shell, timeout)
        return result.require(f"guest: {shell}") if check else result

    def json(self, shell: str, *, timeout: float = RUN_TIMEOUT_S) -> Any:
        """Run a shell command that prints JSON and return it, parsed."""
        out = self.run(shell, timeout=timeout).out
        try:
            return json.loads(out)
        except ValueError as err:
            raise GuestError(f"guest: {shell}: no JSON: {out!r}") from err

    def put(self, content: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write a file in the guest; its directory must exist."""
        handle = self.call("guest-file-open", path=path, mode="w")
        try:
            for start in range(0, len(content), CHUNK_BYTES):
                chunk = content[start : start + CHUNK_BYTES]
                encoded = base64.b64encode(chunk).decode()
                args = {"handle": handle, "buf-b64": encoded}
                self.call("guest-file-write", **args)
        finally:
            self.call("guest-file-close", handle=handle)
        self.run(f"chmod {mode:o} '{path}'")

    def get(self, path: str) -> bytes:
        """Read a file in the guest."""
        handle = self.call("guest-file-open", path=path, mode="r")
        content = b""
        try:
            while True:
                part = self.call(
                    "guest-file-read", handle=handle, count=CHUNK_BYTES
                )
                content += base64.b64decode(part["buf-b64"])
                if part["eof"]:
                    return content
        finally:
            self.call("guest-file-close", handle=handle)

    def _await_exit(self, pid: int, shell: str, timeout: float) -> Result:
        deadline = time.monotonic() + timeout
        nap = 0.01
        while True:
            state = self.call("guest-exec-status", pid=pid)
            if state["exited"]:
                return _read_result(state)
            if time.monotonic() > deadline:
                break
            time.sleep(nap)
            nap = min(nap * 1.5, 0.4)
        with suppress(GuestError):
            args = ["-KILL", str(pid)]
            self.call("guest-exec", path="/bin/kill", arg=args)
        raise GuestError(f"guest: {shell}: not done after {timeout:.0f} s")

    def _try_to_connect(self) -> str | None:
        """Connect and get in step with the agent; return what went wrong."""
        self.close()
        try:
            self._sock = connect_unix(self._path, timeout=2)
            number = secrets.randbelow(1 << 30)
            # An earlier client may have left half a request or an unread
            # answer in the channel: the sentinel on either side cuts it off.
            self._sock.sendall(SENTINEL)
            self._send("guest-sync-delimited", {"id": number})
            deadline = time.monotonic() + 2
            while True:
                reply = self._read_reply(deadline)
                if reply.get("return") == number:
                    return None
        except (OSError, ValueError) as err:
            self.close()
            return f"{type(err).__name__}: {err}"

    def _send(self, name: str, args: dict[str, object]) -> None:
        assert self._sock is not None
        request: dict[str, object] = {"execute": name}
        if args:
            request["arguments"] = args
        self._sock.sendall(json.dumps(request).encode() + b"\n")

    def _read_reply(self, deadline: float) -> dict[str, Any]:
        assert self._sock is not None
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
            data = self._sock.recv(CHUNK_BYTES)
            if not data:
                raise ConnectionError("the channel was closed")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        reply = json.loads(line.rpartition(SENTINEL)[2])
        if not isinstance(reply, dict):
            raise ValueError(f"not an answer: {line!r}")
        return reply


def _read_result(state: dict[str, Any]) -> Result:
    out, err = (
        base64.b64decode(state.get(key, "")).decode(errors="replace")
        for key in ("out-data", "err-data")
    )
    status = state.get("exitcode", -int(state.get("signal", 0)))
    return Result(status, out, err)
