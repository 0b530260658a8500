# SPDX-License-Identifier: Apache-2.0
"""The agent's client, against an agent that misbehaves as real ones do."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.lab.guest import Agent, GuestError, connect_unix
from tests.lab.host import LabError, Result

# Returned by a fake's function instead of an answer.
SILENCE = object()


def encode(text: str) -> str:
    """What the agent puts output and files into."""
    return base64.b64encode(text.encode()).decode()


class FakeAgent:
    """An agent on a socket: one client at a time, as QEMU's port has it.

    Attributes:
        functions: by name; each gets the arguments and returns the answer.
        calls: the names that were called, without the hand-shakes.
        noise: what is in the channel before the first answer.
    """

    def __init__(self, path: Path) -> None:
        self.functions: dict[str, Callable[[dict[str, Any]], object]] = {}
        self.calls: list[str] = []
        self.noise = b""
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Serve nobody any more."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                with client, client.makefile("rwb") as stream:
                    for line in stream:
                        stream.write(self._answer(line))
                        stream.flush()

    def _answer(self, line: bytes) -> bytes:
        request = json.loads(line.strip(b"\xff\n"))
        name, given = request["execute"], request.get("arguments", {})
        if name == "guest-sync-delimited":
            noise, self.noise = self.noise, b""
            reply = json.dumps({"return": given["id"]}).encode()
            return noise + b"\xff" + reply + b"\n"
        self.calls.append(name)
        answer = self.functions[name](given)
        if answer is SILENCE:
            return b""
        if isinstance(answer, Exception):
            return (
                json.dumps({"error": {"desc": str(answer)}}).encode() + b"\n"
            )
        return json.dumps({"return": answer}).encode() + b"\n"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeAgent]:
    """A fake agent at agent.sock."""
    server = FakeAgent(tmp_path / "agent.sock")
    yield server
    server.close()


@pytest.fixture
def agent(fake: FakeAgent, tmp_path: Path) -> Iterator[Agent]:
    """The client under test, of the fake."""
    client = Agent(tmp_path / "agent.sock")
    yield client
    client.close()


def script(fake: FakeAgent, **state: object) -> None:
    """Let every command end at the second look, in that state."""
    looks: list[int] = []

    def status(_given: dict[str, Any]) -> object:
        looks.append(1)
        ended = len(looks) % 2 == 0
        return {"exited": True, **state} if ended else {"exited": False}

    fake.functions["guest-exec"] = lambda _given: {"pid": 7}
    fake.functions["guest-exec-status"] = status


def test_a_command_s_result_is_its_status_and_output(
    fake: FakeAgent, agent: Agent
) -> None:
    """What is not UTF-8 does not stop it."""
    script(
        fake,
        exitcode=3,
        **{
            "out-data": base64.b64encode(b"out\xff").decode(),
            "err-data": encode("err"),
        },
    )

    result = agent.run("true", check=False)

    assert Result(3, "out\N{REPLACEMENT CHARACTER}", "err") == result


def test_a_failed_command_is_an_error_with_its_words(
    fake: FakeAgent, agent: Agent
) -> None:
    """The command, the status and what it said."""
    script(fake, exitcode=2, **{"err-data": encode("no such link")})

    with pytest.raises(
        LabError, match=r"guest: ip link.* status 2 .*no such link"
    ):
        agent.run("ip link")


def test_a_command_that_a_signal_ended_has_a_negative_status(
    fake: FakeAgent, agent: Agent
) -> None:
    """As subprocess has it."""
    script(fake, signal=9)

    assert -9 == agent.run("kill -9 $$", check=False).status


def test_a_command_that_does_not_end_is_killed(
    fake: FakeAgent, agent: Agent
) -> None:
    """It must not go on beside the next test."""
    started: list[dict[str, Any]] = []

    def start(given: dict[str, Any]) -> object:
        started.append(given)
        return {"pid": 7}

    fake.functions["guest-exec"] = start
    fake.functions["guest-exec-status"] = lambda _given: {"exited": False}

    with pytest.raises(GuestError, match="sleep 99: not done after 0 s"):
        agent.run("sleep 99", timeout=0.1)

    assert {"path": "/bin/kill", "arg": ["-KILL", "7"]} == started[-1]


def test_json_is_parsed_and_other_output_refused(
    fake: FakeAgent, agent: Agent
) -> None:
    """The error shows what was printed instead."""
    script(fake, exitcode=0, **{"out-data": encode('[{"a": 1}]')})
    assert [{"a": 1}] == agent.json("ip -j link")

    script(fake, exitcode=0, **{"out-data": encode("oops")})
    with pytest.raises(GuestError, match="no JSON: 'oops'"):
        agent.json("ip -j link")


def test_what_an_earlier_client_left_in_the_channel_is_skipped(
    fake: FakeAgent, agent: Agent
) -> None:
    """A late answer, and half of one."""
    fake.noise = b'{"return": "late"}\n{"ret'
    fake.functions["guest-ping"] = lambda _given: {}

    assert {} == agent.call("guest-ping")
    assert ["guest-ping"] == fake.calls


def test_a_refusal_is_an_error_and_the_channel_stays_usable(
    fake: FakeAgent, agent: Agent
) -> None:
    """The agent's own words are in it."""
    fake.functions["guest-file-open"] = lambda _given: ValueError("no file")
    fake.functions["guest-ping"] = lambda _given: {}

    with pytest.raises(GuestError, match="guest-file-open: no file"):
        agent.get("/nowhere")
    assert {} == agent.call("guest-ping")


def test_an_answer_that_does_not_come_closes_the_channel(
    fake: FakeAgent, agent: Agent
) -> None:
    """It would be taken for the next call's; that one connects anew."""
    fake.functions["guest-info"] = lambda _given: SILENCE
    fake.functions["guest-ping"] = lambda _given: {}

    with pytest.raises(GuestError, match="guest-info: no answer"):
        agent.call("guest-info", answer_s=0.1)
    assert {} == agent.call("guest-ping")


def test_a_file_travels_in_pieces_both_ways(
    fake: FakeAgent, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is closed, and gets its mode."""
    monkeypatch.setattr("tests.lab.guest.CHUNK_BYTES", 3)
    kept = bytearray()
    script(fake, exitcode=0)

    def write(given: dict[str, Any]) -> object:
        kept.extend(base64.b64decode(given["buf-b64"]))
        return {}

    def read(given: dict[str, Any]) -> object:
        part = bytes(kept[: given["count"]])
        del kept[: given["count"]]
        return {"buf-b64": encode(part.decode()), "eof": not kept}

    fake.functions["guest-file-open"] = lambda _given: 1000
    fake.functions["guest-file-close"] = lambda _given: {}
    fake.functions["guest-file-write"] = write
    fake.functions["guest-file-read"] = read

    agent.put(b"12345678", "/tmp/x", mode=0o600)
    assert b"12345678" == kept
    assert b"12345678" == agent.get("/tmp/x")
    assert 2 == fake.calls.count("guest-file-close")


def test_nobody_there_is_an_error_in_time(tmp_path: Path) -> None:
    """It tells the socket and the last failure."""
    with pytest.raises(GuestError, match=r"none\.sock did not answer .* No"):
        Agent(tmp_path / "none.sock").connect(0.1)


def test_a_socket_is_reached_by_a_path_of_any_length(tmp_path: Path) -> None:
    """unix(7) ends at 107 bytes; a checkout may lie deeper."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as server:
        short = tmp_path / "short"
        server.bind(str(short))
        server.listen(1)
        short.rename(deep / "agent.sock")

        connect_unix(deep / "agent.sock", timeout=1).close()
