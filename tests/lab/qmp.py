# SPDX-License-Identifier: Apache-2.0
"""QEMU's control socket.

https://www.qemu.org/docs/master/interop/qmp-spec.html
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.lab.guest import connect_unix
from tests.lab.host import LabError

# `savevm` answers when a gigabyte of memory is on the disk.
ANSWER_TIMEOUT_S = 60.0


class QmpError(LabError):
    """QEMU refused a command, or did not answer."""


class Qmp:
    """A connection to a running QEMU; a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Qmp:
        try:
            self._sock = connect_unix(self._path, timeout=ANSWER_TIMEOUT_S)
        except OSError as err:
            raise QmpError(f"{self._path}: no QEMU listens: {err}") from err
        self._stream = self._sock.makefile("rb")
        self._read()  # the greeting
        self.execute("qmp_capabilities")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()
        self._sock.close()

    def execute(self, name: str, **args: object) -> Any:
        """Run a command and return what it returns.

        Raises:
            QmpError: QEMU refused it, or did not answer.
        """
        request: dict[str, object] = {"execute": name}
        if args:
            request["arguments"] = args
        self._send(request)
        while True:
            reply = self._read()
            if "error" in reply:
                raise QmpError(f"{name} {args}: {reply['error']['desc']}")
            if "return" in reply:
                return reply["return"]
            self._events.append(reply)

    def monitor(self, line: str) -> None:
        """Run a command of the human monitor that prints only its errors."""
        said = self.execute(
            "human-monitor-command", **{"command-line": line}
        ).strip()
        if said:
            raise QmpError(f"{line}: {said}")

    def wait_event(self, name: str, *, timeout: float, **data: object) -> None:
        """Wait for an event that holds at least `data`.

        Raises:
            QmpError: it did not come within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            for event in self._events:
                if event.get("event") == name and (
                    data.items() <= event.get("data", {}).items()
                ):
                    self._events.remove(event)
                    return
            left = deadline - time.monotonic()
            if left <= 0:
                raise QmpError(f"no event {name} {data} in {timeout:.0f} s")
            self._sock.settimeout(left)
            self._events.append(self._read())

    def _send(self, request: dict[str, object]) -> None:
        try:
            self._sock.sendall(json.dumps(request).encode() + b"\n")
        except OSError as err:
            raise QmpError(f"{self._path}: QEMU is gone: {err}") from err

    def _read(self) -> dict[str, Any]:
        try:
            line = self._stream.readline()
        except OSError as err:
            raise QmpError(f"{self._path}: no answer: {err}") from err
        if not line:
            raise QmpError(f"{self._path}: QEMU closed the connection")
        message: dict[str, Any] = json.loads(line)
        return message
