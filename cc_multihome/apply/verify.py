# SPDX-License-Identifier: Apache-2.0
"""Prove that the plan is what the host does, in three levels.

*kernel*: every address, route, rule and name, and the file that networkd took
for each link. *neighbours*: each gateway answers on its own ENI. *services*:
IMDS and the resolver answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from socket import if_nametoindex
from typing import Any, Literal

from cc_multihome.apply.diff import (
    describe_rule,
    mismatches,
    planned_addresses,
    unheard,
)
from cc_multihome.apply.probes import ask_all, probes_of
from cc_multihome.discover.kernel import read_kernel
from cc_multihome.discover.networkd import read_link_state
from cc_multihome.errors import VerifyError
from cc_multihome.model import Observed, Plan

LOG = logging.getLogger(__name__)

# networkd needs well under a second; a loaded or emulated machine far more.
VERIFY_TIMEOUT_S = 60.0
VERIFY_INTERVAL_S = 0.25
# Duplicate address detection takes a second, and begins within another one.
DETECTION_TIMEOUT_S = 5.0
# An ARP entry that the kernel doubts is asked again after 5 seconds; the
# metadata service and the resolver answer within milliseconds.
PROBE_TIMEOUT_S = 20.0
# What is not answered so soon before the change is not held against it.
BASELINE_TIMEOUT_S = 3.0

Level = Literal["kernel", "neighbours", "services"]
State = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class LevelResult:
    """What one level showed.

    Attributes:
        seconds: how long it took.
        details: what is wrong, a line each; () when it is ok.
    """

    level: Level
    state: State
    seconds: float = 0.0
    details: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {**asdict(self), "details": list(self.details)}


def probe_baseline(plan: Plan) -> frozenset[str]:
    """Return the labels of what answers now, before anything is changed."""
    names = {item.mac: item.ifname for item in plan.interfaces}
    answers = ask_all(probes_of(plan, names), BASELINE_TIMEOUT_S)
    return frozenset(label for label, ok in answers.items() if ok)


def verify(
    plan: Plan, *, timeout: float = VERIFY_TIMEOUT_S
) -> tuple[LevelResult, ...]:
    """Check all levels and report; the later ones need the first."""
    started = time.monotonic()
    try:
        if plan.interfaces:
            wait_until_converged(plan, timeout=timeout)
    except VerifyError as err:
        took = round(time.monotonic() - started, 3)
        return (
            LevelResult("kernel", "failed", took, (str(err),)),
            LevelResult("neighbours", "skipped"),
            LevelResult("services", "skipped"),
        )
    took = round(time.monotonic() - started, 3)
    return (LevelResult("kernel", "ok", took), *_probe(plan))


def _probe(plan: Plan) -> tuple[LevelResult, ...]:
    names = {item.mac: item.name for item in plan.interfaces}
    probes = probes_of(plan, names)
    results = []
    levels: tuple[Level, ...] = ("neighbours", "services")
    for level in levels:
        started = time.monotonic()
        asked = [probe for probe in probes if probe.level == level]
        answers = ask_all(asked, PROBE_TIMEOUT_S)
        silent = tuple(
            f"{label}: no answer within {PROBE_TIMEOUT_S:.0f} s"
            for label, ok in answers.items()
            if not ok
        )
        took = round(time.monotonic() - started, 3)
        state: State = "failed" if silent else "ok"
        results.append(LevelResult(level, state, took, silent))
    return tuple(results)


def require(
    results: tuple[LevelResult, ...], baseline: frozenset[str]
) -> None:
    """Accept the results, or raise for what the change has broken.

    What did not answer before either is reported, not held against the
    change: taking it back would mend nothing.

    Raises:
        VerifyError: says what is wrong.
    """
    broken = []
    for result in results:
        for line in result.details:
            label = line.rpartition(": ")[0]
            if result.level == "kernel" or label in baseline:
                broken.append(line)
            else:
                LOG.warning("%s (nor did it before the change)", line)
    if broken:
        raise VerifyError("\n".join(broken))


def wait_until_converged(
    plan: Plan,
    *,
    read: Callable[[], Observed] = read_kernel,
    timeout: float = VERIFY_TIMEOUT_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when everything planned is there.

    Raises:
        VerifyError: it is not, `timeout` seconds after the call; says what
            is missing and what the kernel has instead.
    """
    started = clock()
    while True:
        observed = read()
        missing = (*mismatches(plan, observed), *unselected(plan))
        if not missing:
            LOG.info("verified in %.1f s", clock() - started)
            return
        if clock() - started >= timeout:
            silent = unheard(plan, observed)
            raise VerifyError(_explain(missing, observed, timeout, silent))
        sleep(VERIFY_INTERVAL_S)


def read_settled(
    plan: Plan,
    *,
    read: Callable[[], Observed] = read_kernel,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Observed:
    """Read the kernel, once none of the plan's addresses is in doubt.

    Else one that has just come would be taken for lost, and its link be
    configured once more. One that stays in doubt is returned as such.

    Raises:
        CommandError: `ip` failed.
    """
    deadline, planned = clock() + DETECTION_TIMEOUT_S, planned_addresses(plan)
    while True:
        observed = read()
        if clock() >= deadline or not planned & observed.tentative:
            return observed
        sleep(VERIFY_INTERVAL_S)


def unselected(plan: Plan) -> tuple[str, ...]:
    """Say for which ENI networkd took another file than netplan's for it.

    networkd takes the first file that matches a link, in the order of their
    names (systemd.network(5)). One that it has none for it leaves to itself:
    what the kernel still has of it nobody keeps.
    """
    lines = []
    for item in plan.interfaces:
        wanted = f"10-netplan-{item.netdef_id}.network"
        taken = _link_state(item.name).get("NETWORK_FILE", "")
        if not taken.endswith(f"/{wanted}"):
            lines.append(
                f"networkd took {taken or 'no file'} for {item.name} and"
                f" not {wanted}"
            )
    return tuple(lines)


def _link_state(name: str) -> Mapping[str, str]:
    try:
        return read_link_state(if_nametoindex(name))[1]
    except OSError:
        return {}


def _explain(
    missing: tuple[str, ...],
    observed: Observed,
    timeout: float,
    silent: tuple[str, ...],
) -> str:
    wanted = "".join(f"\n  {line}" for line in missing)
    rules = sorted(observed.rules, key=lambda rule: rule.priority)
    seen = ", ".join(map(describe_rule, rules))
    addresses = ", ".join(
        sorted(f"{name} {address}" for name, address in observed.addresses)
    )
    told = (
        f"No route by a learned router on {', '.join(silent)}: does a router"
        " advertise itself there, and does nothing drop ICMPv6?\n"
        if silent
        else ""
    )
    return (
        f"the kernel does not hold the plan after {timeout:.0f} s:{wanted}\n"
        f"{told}Seen instead: rules {seen}; addresses {addresses}"
    )
