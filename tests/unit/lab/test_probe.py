# SPDX-License-Identifier: Apache-2.0
"""The probes and the far server, against each other on loopback."""

from __future__ import annotations

import ast
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import probe
from tests.lab.imds_server import ImdsServer

LAB = Path(probe.__file__).parent


def free_port() -> int:
    """Return a port that nobody had just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """Give the port of a far server, run from standard input as in a VM."""
    port = free_port()
    source = (LAB / "far_server.py").read_text()
    done = subprocess.run(
        [sys.executable, "-", str(port), "somewhere", "20"],
        input=source,
        text=True,
        capture_output=True,
        check=True,
        timeout=10,
    )
    assert f"listening on port {port}" in done.stdout
    yield port


def send(**spec: Any) -> dict[str, Any]:
    """Send one probe and return its result."""
    return probe.run_probes([{"id": "x", "timeout": 3, **spec}])[0]


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("dst", ["127.0.0.1", "127.0.0.9"])
def test_the_answer_comes_from_the_address_that_was_asked(
    server: int, kind: str, dst: str
) -> None:
    """Side, peer and own address are said; `local` is where it left."""
    result = send(kind=kind, dst=dst, port=server, bind="127.0.0.5")
    assert result["error"] is None
    assert result["answer"] == {
        "side": "somewhere",
        "saw": "127.0.0.5",
        "to": dst,
    }
    assert result["local"][0] == "127.0.0.5"
    assert result["local"][1] > 0


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_ipv6_works_alike(server: int, kind: str) -> None:
    """Where the machine has IPv6 on its loopback."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 on loopback")
    result = send(kind=kind, dst="::1", port=server)
    assert result["answer"] == {"side": "somewhere", "saw": "::1", "to": "::1"}


def test_a_second_server_leaves_the_first_alone(server: int) -> None:
    """In the background it is fine that one of its kind is there."""
    done = subprocess.run(
        [sys.executable, str(LAB / "far_server.py"), str(server), "x", "5"],
        text=True,
        capture_output=True,
        check=True,
        timeout=10,
    )
    assert "already" in done.stdout
    assert send(kind="tcp", dst="127.0.0.1", port=server)["answer"][
        "side"
    ] == ("somewhere")


def test_nobody_there_is_an_error_with_its_source_address() -> None:
    """The source of what was not answered is known all the same."""
    result = send(kind="tcp", dst="127.0.0.1", port=free_port())
    assert not result["ok"]
    assert "ConnectionRefusedError" in result["error"]
    assert result["local"][0] == "127.0.0.1"


def test_silence_ends_in_time() -> None:
    """A probe ends at its timeout, also if it is asked for nonsense."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        start = time.monotonic()
        result = send(kind="udp", dst="127.0.0.1", timeout=0.5,
                      port=mute.getsockname()[1])  # fmt: skip
    assert result["error"].startswith("NoAnswer")
    assert 0.4 < time.monotonic() - start < 2
    assert "KeyError" in send(kind="carrier pigeon")["error"]


def test_probes_run_at_once() -> None:
    """Ten that wait take as long as one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        port = mute.getsockname()[1]
        spec = {"kind": "udp", "dst": "127.0.0.1", "port": port}
        specs = [{**spec, "id": n, "timeout": 0.5} for n in range(10)]
        start = time.monotonic()
        results = probe.run_probes(specs)
    assert [result["id"] for result in results] == list(range(10))
    assert time.monotonic() - start < 3


def test_imds_is_asked_with_a_token(tmp_path: Path) -> None:
    """`http` is version 2's PUT and GET."""
    state = tmp_path / "state"
    tree = {"meta-data": {"instance-id": "i-1"}}
    state.write_text(json.dumps({"tree": tree}))
    with ImdsServer(state, tmp_path / "log", ("127.0.0.1", 0)) as imds:
        port = imds.server_address[1]
        result = send(kind="http", dst="127.0.0.1", port=port)
    assert (result["ok"], result["answer"]) == (True, "i-1")


def answer_dns(sock: socket.socket, rcode: int) -> None:
    """Answer one query: a CNAME, then an A record, by compressed names."""
    query, peer = sock.recvfrom(512)
    head = query[:2] + struct.pack("!5H", 0x8180 | rcode, 1, 2, 0, 0)
    name = b"\xc0\x0c"
    alias = name + struct.pack("!HHIH", 5, 1, 60, 4) + b"\x01b\xc0\x0c"
    record = name + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 9])
    sock.sendto(head + query[12:] + alias + record, peer)


@pytest.mark.parametrize(
    ("rcode", "answer", "error"),
    [(0, ["192.0.2.9"], None), (3, None, "NoAnswer: rcode 3 for a.b.test")],
)
def test_a_nameserver_is_asked(
    rcode: int, answer: list[str] | None, error: str | None
) -> None:
    """A records are found among others; an error code is an error."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        threading.Thread(
            target=answer_dns, args=(sock, rcode), daemon=True
        ).start()
        result = send(kind="dns", dst="127.0.0.1", name="a.b.test",
                      port=sock.getsockname()[1])  # fmt: skip
    assert (result["answer"], result["error"]) == (answer, error)


def test_getent_is_asked() -> None:
    """The lookup is the system's own."""
    result = send(kind="getent", name="127.0.0.1")
    assert result["answer"] == ["127.0.0.1"]


def test_the_checksum_is_that_of_rfc_1071() -> None:
    """The RFC's own example, and a message with an odd length."""
    message = bytes.fromhex("0001f203f4f5f6f7")
    assert probe.internet_checksum(message) == 0x220D
    assert probe.internet_checksum(b"\x01") == 0xFEFF


@pytest.mark.parametrize("name", ["probe.py", "far_server.py"])
def test_what_goes_into_a_guest_stands_alone(name: str) -> None:
    """Only the standard library: nothing else is in the guest."""
    tree = ast.parse((LAB / name).read_text())
    modules = {
        module.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for module in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
    }
    assert modules <= sys.stdlib_module_names
    done = subprocess.run(
        [sys.executable, "-I", str(LAB / "probe.py"), "[]"],
        text=True,
        capture_output=True,
        check=True,
        timeout=10,
    )
    assert json.loads(done.stdout) == []
