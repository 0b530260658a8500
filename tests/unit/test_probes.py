# SPDX-License-Identifier: Apache-2.0
"""Each probe tells an answer from silence."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from ipaddress import ip_address
from typing import Any

import pytest

from cc_multihome.apply import probes
from cc_multihome.apply.probes import (
    Probe,
    ask_all,
    ask_imds,
    ask_learned_router,
    ask_neighbour,
    ask_resolver,
    probes_of,
)
from cc_multihome.errors import CommandError
from cc_multihome.model import Plan
from tests.unit.builders import eni, instance, plan, plan_for, with_ipv6

PLAN = plan_for()
NAMES = {item.mac: item.ifname for item in PLAN.interfaces}
HERE = "127.0.0.1"
# An answer may take long on a busy machine; none comes in a short time, too.
PATIENCE_S = {True: 30.0, False: 0.3}


@contextmanager
def served(kind: int, reply: bytes | None) -> Iterator[int]:
    """Answer one packet or connection with `reply`; None: stay silent."""
    with socket.socket(socket.AF_INET, kind) as server:
        server.bind((HERE, 0))
        server.settimeout(5)

        def serve() -> None:
            if kind == socket.SOCK_DGRAM:
                packet, peer = server.recvfrom(4096)
                if reply is not None:
                    server.sendto(packet[:2] + reply, peer)
                return
            server.listen()
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(reply or b"")

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_every_gateway_and_service_is_asked_for_each_eni() -> None:
    """IMDS unbound, and bound to each address; the resolver."""
    labels = {probe.label for probe in probes_of(PLAN, NAMES)}
    assert len(labels) == len(probes_of(PLAN, NAMES))
    for part in (
        "gateway 10.224.184.1",
        "gateway 10.224.186.1",
        "IMDS, bound to 10.224.184.51",
        "IMDS, bound to 10.224.186.43",
        "IMDS, unbound",
        "resolver 169.254.169.253",
    ):
        assert sum(label.startswith(part) for label in labels) == 1


def test_labels_do_not_change_with_the_names() -> None:
    """Else nothing could be compared with what was before a rename."""
    after = {item.mac: item.name for item in PLAN.interfaces}
    assert [probe.label for probe in probes_of(PLAN, NAMES)] == [
        probe.label for probe in probes_of(PLAN, after)
    ]


def test_a_resolver_that_is_kept_is_not_asked() -> None:
    """It is not this package's."""
    assert [probe.label for probe in probes_of(plan(), {})] == [
        "IMDS, unbound"
    ]


def dual_stack_plan(*, ipv4: bool) -> Plan:
    """Plan for two ENIs with IPv6, and with IPv4 or not."""
    bare: dict[str, Any] = {"local_ipv4s": (), "subnet_ipv4s": ()}
    enis = [
        with_ipv6(eni(number), **({} if ipv4 else bare)) for number in range(2)
    ]
    return plan_for({}, instance(*enis))


@pytest.mark.parametrize("ipv4", [True, False])
def test_ipv6_is_proved_by_its_routers_and_by_imds_where_it_is_alone(
    ipv4: bool,
) -> None:
    """IMDS has IPv6 only where the instance's options say so."""
    found = dual_stack_plan(ipv4=ipv4)
    names = {item.mac: item.ifname for item in found.interfaces}
    labels = [probe.label for probe in probes_of(found, names)]
    for number in range(2):
        router = f"IPv6 gateway of eni-0000000{number}"
        assert labels.count(router) == 1
        bound = f"IMDS, bound to 2001:db8:0:1{number}::5"
        assert labels.count(bound) == (0 if ipv4 else 1)
    assert not any("_ipv6ra" in label for label in labels)


@pytest.mark.parametrize(
    ("gateways", "expected"),
    [
        pytest.param([["fe80::1"]], True, id="at once"),
        pytest.param([[], [None], ["fe80::1"]], True, id="it is told later"),
        pytest.param([[]], False, id="never told"),
        pytest.param([["fe80::dead"]], False, id="it is silent"),
    ],
)
def test_the_router_is_the_one_that_the_kernel_has_learned(
    monkeypatch: pytest.MonkeyPatch,
    gateways: list[list[str | None]],
    expected: bool,
) -> None:
    """A plan cannot know it."""
    left, more = list(gateways), [{"dst": "default"}, {}]

    def run(argv: list[str]) -> str:
        if "route" in argv:
            found = left.pop(0) if len(left) > 1 else left[0]
            hops = [{"dev": "ens5", "gateway": it} for it in found]
            other = {"dev": "ens6", "gateway": "fe80::dead"}
            return json.dumps([other, {"nexthops": [other, *hops]}, *more])
        answers = "fe80::1" in argv
        state = ["REACHABLE"] if answers else ["FAILED"]
        return json.dumps([{"state": state}]) if "show" in argv else ""

    monkeypatch.setattr(probes, "run", run)
    monkeypatch.setattr(probes, "INTERVAL_S", 0.001)
    assert ask_learned_router("ens5", PATIENCE_S[expected]) is expected


def test_all_are_asked_at_the_same_time() -> None:
    """Fifteen silent gateways cost no more time than one."""
    meeting = threading.Barrier(4, timeout=5)

    def ask(_: float) -> bool:
        meeting.wait()
        return True

    asked = [Probe("services", str(number), ask) for number in range(4)]
    assert all(ask_all(asked, 1).values())
    assert ask_all([], 1) == {}


class Kernel:
    """A neighbour's entry that goes from state to state.

    Attributes:
        states: one for each time it is shown; the last one stays.
        asked: what it was told.
    """

    def __init__(self, *states: str) -> None:
        self.states = list(states)
        self.asked: list[str] = []

    def run(self, argv: list[str]) -> str:
        """Stand in for `ip neigh`."""
        if "show" not in argv:
            self.asked.append(" ".join(argv[2:]))
            return ""
        more = len(self.states) > 1
        state = self.states.pop(0) if more else self.states[0]
        entry = {"dst": "10.0.0.1", "state": [state]}
        return json.dumps([entry] if state != "NONE" else [])


USE = "replace 10.0.0.1 dev ens5 use"
PROBE = "change 10.0.0.1 dev ens5 nud probe"


@pytest.mark.parametrize(
    ("states", "expected", "asked"),
    [
        pytest.param(("NONE", "REACHABLE"), True, [USE], id="new"),
        pytest.param(
            ("REACHABLE", "PROBE", "REACHABLE"), True, [PROBE], id="again"
        ),
        pytest.param(
            ("STALE", "PROBE", "REACHABLE"), True, [PROBE], id="remembered"
        ),
        pytest.param(
            ("FAILED", "INCOMPLETE", "FAILED", "REACHABLE"),
            True,
            [USE, USE],
            id="late",
        ),
        pytest.param(("INCOMPLETE", "REACHABLE"), True, [], id="under way"),
        pytest.param(("PERMANENT",), True, [], id="set by hand"),
        pytest.param(("REACHABLE", "PROBE"), False, [PROBE], id="no more"),
        pytest.param(("NONE", "INCOMPLETE"), False, [USE], id="never"),
    ],
)
def test_a_neighbour_has_answered_when_the_kernel_says_so(
    monkeypatch: pytest.MonkeyPatch,
    states: tuple[str, ...],
    expected: bool,
    asked: list[str],
) -> None:
    """An entry that is only remembered proves nothing: it is asked again."""
    kernel = Kernel(*states)
    monkeypatch.setattr(probes, "run", kernel.run)
    monkeypatch.setattr(probes, "INTERVAL_S", 0.001)
    patience = PATIENCE_S[expected]
    assert ask_neighbour("10.0.0.1", "ens5", patience) is expected
    assert asked == kernel.asked


def test_a_question_that_comes_too_late_is_asked_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The entry was dropped between the look and the question."""
    kernel = Kernel("STALE", "NONE", "REACHABLE")

    def run(argv: list[str]) -> str:
        if "probe" in argv:
            raise CommandError("No such file or directory")
        return kernel.run(argv)

    monkeypatch.setattr(probes, "run", run)
    monkeypatch.setattr(probes, "INTERVAL_S", 0.001)
    assert ask_neighbour("10.0.0.1", "ens5", PATIENCE_S[True])
    assert [USE] == kernel.asked


def test_a_device_that_is_gone_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was detached meanwhile."""

    def run(_: list[str]) -> str:
        raise CommandError("Cannot find device")

    monkeypatch.setattr(probes, "run", run)
    assert not ask_neighbour("10.0.0.1", "ens5", 0.05)


@pytest.mark.touches("network")
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", True, id="token"),
        pytest.param(b"HTTP/1.1 403 No\r\n\r\n", True, id="refused"),
        pytest.param(b"HTTP/1.1 503 No\r\n\r\n", False, id="unwell"),
        pytest.param(b"garbage\r\n\r\n", False, id="garbage"),
    ],
)
def test_metadata_answers_or_not(
    monkeypatch: pytest.MonkeyPatch, reply: bytes, expected: bool
) -> None:
    """A refusal shows that the packets found their way."""
    monkeypatch.setattr(probes, "INTERVAL_S", 0.001)
    with served(socket.SOCK_STREAM, reply) as port:
        monkeypatch.setitem(probes.IMDS, 4, HERE)
        monkeypatch.setattr(probes, "HTTPConnection", connection_to(port))
        assert ask_imds(4, None, PATIENCE_S[expected]) is expected


@pytest.mark.touches("network")
def test_an_answer_that_drips_takes_no_longer_than_it_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first probes come before the timer that ends a run that hangs."""
    ended = threading.Event()

    def drip(listener: socket.socket) -> None:
        with suppress(OSError):
            client, _ = listener.accept()
            with client:
                while not ended.wait(0.02):
                    client.send(b"H")

    with socket.create_server((HERE, 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        port = listener.getsockname()[1]
        monkeypatch.setitem(probes.IMDS, 4, HERE)
        monkeypatch.setattr(probes, "HTTPConnection", connection_to(port))
        started = time.monotonic()
        assert not ask_imds(4, None, 0.3)
        took = time.monotonic() - started
        ended.set()
        thread.join()
    assert took < 10


def connection_to(port: int) -> type[HTTPConnection]:
    """Make connections to that port instead of 80."""

    class Connection(HTTPConnection):
        """A connection to the test's server."""

        default_port = port

    return Connection


@pytest.mark.touches("network")
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        pytest.param(0x8180, True, id="answer"),
        pytest.param(0x8183, True, id="no such name"),
        pytest.param(0x8182, False, id="server failure"),
        pytest.param(0x8185, False, id="refused"),
        pytest.param(0x0100, False, id="a query"),
    ],
)
def test_a_resolver_answers_or_not(
    monkeypatch: pytest.MonkeyPatch, flags: int, expected: bool
) -> None:
    """That it has no such name shows that it works."""
    monkeypatch.setattr(probes, "INTERVAL_S", 0.001)
    reply = struct.pack("!5H", flags, 1, 0, 0, 0)
    with served(socket.SOCK_DGRAM, reply) as port:
        monkeypatch.setattr(probes, "DNS_PORT", port)
        patience = PATIENCE_S[expected]
        answered = ask_resolver(ip_address(HERE), ("ec2.internal",), patience)
        assert answered is expected


def test_a_query_is_one_that_a_resolver_reads() -> None:
    """RFC 1035: one question, for A, in the Internet's class."""
    packet = probes._dns_query(0x1234, "eu-west-1.compute.internal")
    assert packet[:12] == bytes.fromhex("123401000001000000000000")
    assert packet[12:] == (
        b"\x09eu-west-1\x07compute\x08internal\x00\x00\x01\x00\x01"
    )
