# SPDX-License-Identifier: Apache-2.0
"""How a flow is judged: by who answered and by what was captured."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.lab.capture import CaptureReader, Packet, Writer
from tests.lab.far_server import COMPANY, GUEST, INTERNET
from tests.lab.flows import Flow, Verdict, judge, run_flows
from tests.lab.shape import POLICY, SEED
from tests.unit.lab.test_flows import EIP, flows_of

MACS = {eni.name: eni.mac for eni in SEED.enis}
ROUTER = "02:00:00:00:00:01"


def packets(
    proto: str,
    guest: tuple[str, int],
    far: tuple[str, int],
    *,
    out: str | None,
    back: str | None,
) -> list[Packet]:
    """Return one packet each way, by the ENIs of these names."""
    icmp = proto == "icmp"
    found = []
    for eni, (src, sport), (dst, dport), is_out in (
        (out, guest, far, True),
        (back, far, guest, False),
    ):
        if eni is None:
            continue
        smac, dmac = (MACS[eni], ROUTER) if is_out else (ROUTER, MACS[eni])
        found.append(
            Packet(1.0, "gw-x", smac, dmac, proto, src, dst,
                   None if icmp else sport, None if icmp else dport,
                   8 if icmp else None, sport if icmp else None)
        )  # fmt: skip
    return found


def judged(
    tmp_path: Path,
    flow: Flow,
    seen: Sequence[Packet],
    **result: Any,
) -> Verdict:
    """Judge one flow by a result and a capture."""
    path = tmp_path / "capture.jsonl"
    writer = Writer(path, 10**6)
    for packet in seen:
        writer.write(asdict(packet))
    reader = CaptureReader(path, {mac: name for name, mac in MACS.items()})
    base = {"id": flow.id, "ok": True, "error": None, "ms": 3.0}
    return judge([flow], [{**base, **result}], reader)[0]


GUEST_END = ("10.224.184.51", 40000)
FAR_END = (POLICY[0], 7000)


@pytest.mark.parametrize(
    ("side", "saw", "out", "back", "ok", "detail"),
    [
        (COMPANY, "10.224.184.51", "private", "private", True, "answered"),
        (INTERNET, EIP, "public", "public", False, "internet side answered"),
        (COMPANY, "10.1.1.1", "private", "private", False, "it saw 10.1.1.1"),
        (COMPANY, "10.224.184.51", "public", "private", False,
         "out by public, expected private"),
        (COMPANY, "10.224.184.51", "private", "public", False,
         "in by public, expected private"),
        (COMPANY, "10.224.184.51", "private", None, False,
         "no packet in was captured"),
        (COMPANY, "10.224.184.51", None, "private", False,
         "no packet out was captured"),
    ],
    ids=["right", "wrong-side", "wrong-address", "wrong-eni-out",
         "wrong-eni-in", "unseen-in", "unseen-out"],
)  # fmt: skip
def test_a_flow_is_right_only_if_all_of_it_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    side: str,
    saw: str,
    out: str | None,
    back: str | None,
    ok: bool,
    detail: str,
) -> None:
    """Side, address seen, and the ENI of both directions."""
    monkeypatch.setattr("tests.lab.flows.CAPTURE_WAIT_S", 0.0)
    verdict = judged(
        tmp_path,
        flows_of()[f"out unbound {POLICY[0]} tcp"],
        packets("tcp", GUEST_END, FAR_END, out=out, back=back),
        answer={"side": side, "saw": saw, "to": POLICY[0]},
        local=list(GUEST_END),
    )
    assert verdict.ok is ok
    assert detail in verdict.detail
    assert verdict.seen_side == side


def test_no_answer_is_no_side(tmp_path: Path) -> None:
    """What did reach the router is said all the same."""
    verdict = judged(
        tmp_path,
        flows_of()[f"out unbound {POLICY[0]} tcp"],
        packets("tcp", GUEST_END, FAR_END, out="private", back=None),
        ok=False,
        answer=None,
        error="TimeoutError: timed out",
        local=list(GUEST_END),
    )
    assert not verdict.ok
    assert (verdict.seen_side, verdict.seen_eni) == (
        None,
        "private out, none in",
    )
    assert "TimeoutError" in verdict.detail


@pytest.mark.parametrize("kind", ["ping", "tcp"])
def test_inbound_flows_are_found_behind_the_nat(
    tmp_path: Path, kind: str
) -> None:
    """At the gateway the public address is the private one already."""
    flow = flows_of()[f"in internet {EIP} {kind}"]
    far = (SEED.internet, 5555)
    port = 7000 if kind == "tcp" else 5555
    proto = "tcp" if kind == "tcp" else "icmp"
    saw = {"side": GUEST, "saw": SEED.internet, "to": "10.224.186.43"}
    verdict = judged(
        tmp_path,
        flow,
        packets(proto, ("10.224.186.43", port), far,
                out="public", back="public"),
        answer=saw if kind == "tcp" else "reply",
        local=list(far),
    )  # fmt: skip
    assert (verdict.ok, verdict.seen_eni) == (True, "public")


@pytest.mark.parametrize(
    ("out", "back", "ok"),
    [
        ("private", "private", True),
        ("public", "public", True),
        ("private", "public", False),
    ],
)
def test_an_unbound_look_up_may_take_any_one_eni(
    tmp_path: Path, out: str, back: str, ok: bool
) -> None:
    """Its answer must come back by the same."""
    guest, far = ("10.224.184.51", 50000), ("169.254.169.253", 53)
    verdict = judged(
        tmp_path,
        flows_of()["dns unbound"],
        packets("udp", guest, far, out=out, back=back),
        answer=[SEED.internet],
        local=list(guest),
    )
    assert verdict.ok is ok


def test_a_wrong_document_is_no_answer_to_rely_on(tmp_path: Path) -> None:
    """A name must have the address that the VPC gives it."""
    verdict = judged(
        tmp_path,
        flows_of()["getent"],
        [],
        answer=["192.0.2.66"],
        local=None,
    )
    assert not verdict.ok
    assert "192.0.2.66" in verdict.detail


def test_each_side_gets_its_own_probes(tmp_path: Path) -> None:
    """The guest's server comes first; no side is asked for nothing."""
    asked: dict[str, list[list[str]]] = {GUEST: [], INTERNET: [], COMPANY: []}

    def runner(side: str) -> Callable[[Sequence[str], str], str]:
        def run(argv: Sequence[str], stdin: str) -> str:
            asked[side].append(list(argv))
            assert "standard library only" in stdin
            result = {"id": flow.id, "ok": False, "answer": None,
                      "local": None, "error": "none", "ms": 1}  # fmt: skip
            return json.dumps([result])

        return run

    flow = flows_of()[f"in internet {EIP} tcp"]
    path = tmp_path / "capture.jsonl"
    path.touch()
    runners = {side: runner(side) for side in asked}
    verdicts = run_flows([flow], runners, CaptureReader(path, {}))
    assert [item.ok for item in verdicts] == [False]
    assert [len(calls) for calls in asked.values()] == [1, 1, 0]
    assert asked[GUEST][0][2] == "7000"
