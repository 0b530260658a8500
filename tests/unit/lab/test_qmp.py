# SPDX-License-Identifier: Apache-2.0
"""QEMU's control protocol: answers, refusals, events in between."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.qmp import Qmp, QmpError

GONE = {"event": "DEVICE_DELETED", "data": {"device": "eni-a", "path": "/x"}}
OK: dict[str, object] = {"return": {}}
Serve = Callable[..., Path]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Return a function that plays a QEMU: one list for each request."""

    def start(*answers: list[dict[str, object]]) -> Path:
        path = tmp_path / "qmp.sock"
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen(1)

        def play() -> None:
            client, _ = server.accept()
            with server, client, client.makefile("rwb") as stream:
                said: list[dict[str, object]] = [{"QMP": {}}]
                for answer in ([OK], *answers):
                    for line in said:
                        stream.write(json.dumps(line).encode() + b"\n")
                    stream.flush()
                    stream.readline()
                    said = answer
                for line in said:
                    stream.write(json.dumps(line).encode() + b"\n")

        threading.Thread(target=play, daemon=True).start()
        return path

    return start


def test_an_answer_is_found_behind_events(serve: Serve) -> None:
    """They come at any time."""
    path = serve([{"event": "STOP"}, {"return": {"running": True}}])

    with Qmp(path) as qmp:
        assert {"running": True} == qmp.execute("query-status")


def test_an_event_is_awaited_whether_it_came_before_or_after(
    serve: Serve,
) -> None:
    """And told from another device's."""
    other = {"event": "DEVICE_DELETED", "data": {"device": "eni-b"}}
    path = serve([other, GONE, OK, other])

    with Qmp(path) as qmp:
        qmp.execute("device_del", id="eni-a")
        qmp.wait_event("DEVICE_DELETED", timeout=1, device="eni-a")


def test_an_event_that_does_not_come_is_an_error(serve: Serve) -> None:
    """QEMU hangs up here; a guest that is dead never lets go."""
    path = serve([OK])

    with Qmp(path) as qmp:
        qmp.execute("device_del", id="eni-a")
        with pytest.raises(QmpError, match="closed the connection"):
            qmp.wait_event("DEVICE_DELETED", timeout=1, device="eni-a")


def test_a_refusal_tells_the_command_and_the_reason(serve: Serve) -> None:
    """With what was asked."""
    path = serve([{"error": {"desc": "Device 'eni-a' not found"}}])

    with (
        Qmp(path) as qmp,
        pytest.raises(QmpError, match=r"device_del .*eni-a.* not found"),
    ):
        qmp.execute("device_del", id="eni-a")


def test_what_the_monitor_prints_is_an_error(serve: Serve) -> None:
    """`savevm` returns well and prints why it did nothing."""
    path = serve([{"return": "Error: no block device\r\n"}])

    with (
        Qmp(path) as qmp,
        pytest.raises(QmpError, match="savevm s1: Error: no block"),
    ):
        qmp.monitor("savevm s1")


def test_no_qemu_is_an_error_with_the_path(tmp_path: Path) -> None:
    """The first thing that is tried tells it."""
    with (
        pytest.raises(QmpError, match=r"qmp\.sock: no QEMU"),
        Qmp(tmp_path / "qmp.sock"),
    ):
        pass
