# SPDX-License-Identifier: Apache-2.0
"""Send the flows of flow_table.py and judge what came of them.

A flow is right when it was answered, by the right side, which saw the right
address, and when the capture at the router's gateways has both its
directions with the right ENI's MAC.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.lab.capture import CaptureReader, Carried, FlowKey
from tests.lab.far_server import (
    COMPANY,
    GUEST,
    INTERNET,
    guest_server_argv,
)
from tests.lab.flow_table import Flow, Probe, build_flows
from tests.lab.vpc import Runner

__all__ = [
    "Flow", "Probe", "Verdict", "build_flows", "judge", "judge_one",
    "run_flows",
]  # fmt: skip

HERE = Path(__file__).parent
# The capture runs beside the flows and may lag behind.
CAPTURE_WAIT_S = 2.0
TRANSPORT = {"http": ("tcp", 80), "dns": ("udp", 53)}


@dataclass(frozen=True)
class Verdict:
    """What came of a flow.

    Attributes:
        ok: answered, by the right side, seen from the right address, and
            carried by the right ENI in both directions.
        seen_side: who answered, None if nobody did.
        seen_eni: the ENIs that carried it: "public", or "private out,
            public in", or None.
        detail: for a person who asks why.
    """

    flow: Flow
    ok: bool
    seen_side: str | None
    seen_eni: str | None
    detail: str


def run_flows(
    flows: Sequence[Flow],
    runners: Mapping[str, Runner],
    capture: CaptureReader,
) -> list[Verdict]:
    """Send all flows at once and judge them.

    Args:
        runners: for GUEST, INTERNET and COMPANY: what runs a command there,
            given its argv and its standard input.
    """
    capture.mark()
    results: list[dict[str, Any]] = []
    source = (HERE / "probe.py").read_text()
    if any(flow.expected_side == GUEST for flow in flows):
        server = (HERE / "far_server.py").read_text()
        runners[GUEST](guest_server_argv(), server)
    # All sides at once: each may have to wait for answers that never come.
    with ThreadPoolExecutor() as pool:
        for found in pool.map(
            lambda side: _send(flows, side, runners[side], source),
            (GUEST, INTERNET, COMPANY),
        ):
            results += found
    return judge(flows, results, capture)


def _send(
    flows: Sequence[Flow], side: str, runner: Runner, source: str
) -> list[dict[str, Any]]:
    """Send the flows of one side and return what probe.py printed."""
    probes = [asdict(flow.probe) for flow in flows if flow.runs_in == side]
    if not probes:
        return []
    printed = runner(["python3", "-", json.dumps(probes)], source)
    found: list[dict[str, Any]] = json.loads(printed)
    return found


def judge(
    flows: Sequence[Flow],
    results: Sequence[Mapping[str, Any]],
    capture: CaptureReader,
) -> list[Verdict]:
    """Compare what probe.py printed and what was captured with the flows.

    Raises:
        KeyError: a flow has no result.
    """
    by_id = {result["id"]: result for result in results}
    return [judge_one(flow, by_id[flow.probe.id], capture) for flow in flows]


def judge_one(
    flow: Flow, result: Mapping[str, Any], capture: CaptureReader
) -> Verdict:
    """Judge one flow."""
    carried = Carried()
    key = _key(flow, result)
    if key is not None:
        wait = CAPTURE_WAIT_S if result["ok"] else 0.0
        carried = capture.carried(key, wait=wait)
    side = _seen_side(flow, result)
    problems = [*_answer_problems(flow, result)]
    if result["ok"] and flow.is_captured:
        problems += _eni_problems(flow, carried)
    return Verdict(
        flow,
        not problems,
        side,
        _say_enis(carried),
        "; ".join(problems) or f"answered in {result['ms']} ms",
    )


def _key(flow: Flow, result: Mapping[str, Any]) -> FlowKey | None:
    """Return the flow's ends as they read at the gateways."""
    local = result.get("local")
    if not local or not flow.is_captured:
        return None
    near = (str(local[0]), int(local[1]))
    kind = flow.probe.kind
    proto, port = TRANSPORT.get(kind, (kind, flow.probe.port))
    if kind == "ping":
        proto, port = "icmp6" if ":" in near[0] else "icmp", near[1]
    if flow.runs_in == GUEST:
        return FlowKey(proto, near, (flow.probe.dst, port))
    return FlowKey(proto, (str(flow.guest_address), port), near)


def _seen_side(flow: Flow, result: Mapping[str, Any]) -> str | None:
    if not result["ok"]:
        return None
    if flow.probe.kind in ("tcp", "udp"):
        return str(result["answer"].get("side"))
    return flow.expected_side


def _answer_problems(flow: Flow, result: Mapping[str, Any]) -> Iterator[str]:
    if not result["ok"]:
        yield f"no answer ({result['error']})"
        return
    answer, wanted = result["answer"], flow.expected_answer
    if flow.probe.kind in ("tcp", "udp"):
        if answer["side"] != flow.expected_side:
            yield f"the {answer['side']} side answered"
        if wanted is not None and answer["saw"] != wanted:
            yield f"it saw {answer['saw']}, expected {wanted}"
    elif wanted is not None and wanted not in (
        answer if isinstance(answer, list) else [answer]
    ):
        yield f"the answer was {answer!r}, expected {wanted}"


def _eni_problems(flow: Flow, carried: Carried) -> Iterator[str]:
    for what, enis in (("out", carried.sent), ("in", carried.received)):
        if not enis:
            yield f"no packet {what} was captured"
        elif flow.expected_eni is None:
            if len(enis) > 1 or carried.sent != carried.received:
                yield f"{what} by {_join(enis)}: not by one and the same ENI"
        elif enis != {flow.expected_eni}:
            yield f"{what} by {_join(enis)}, expected {flow.expected_eni}"


def _say_enis(carried: Carried) -> str | None:
    if carried.sent == carried.received:
        return _join(carried.sent) or None
    sent, received = _join(carried.sent), _join(carried.received)
    return f"{sent or 'none'} out, {received or 'none'} in"


def _join(names: frozenset[str]) -> str:
    return "+".join(sorted(names))
