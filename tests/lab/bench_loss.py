# SPDX-License-Identifier: Apache-2.0
"""What one change of the network costs, by each of the ways to make it.

100 pings a second and one TCP connection through each of two ENIs of a booted
instance, while one destination is added on the first of them, or nothing
changes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from cc_multihome.cli.style import Style
from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.host import progress
from tests.lab.image import with_package
from tests.lab.instance import LabInstance, booted, build_deb
from tests.lab.pinging import Pings, pinging, serve_echo, streaming
from tests.lab.user_data import SEED_INTENT

RATE = 100.0
CHANGED, OTHER = "private", "public"
PORTS = {CHANGED: 7100, OTHER: 7101}
BEFORE_S, AFTER_S = 1.0, 5.0
COMMAND_TIMEOUT_S = 200.0
DROP_IN = "/etc/multihome.d/90-bench.yaml"
NETPLAN = "/etc/netplan/90-bench.yaml"
NETPLAN_APPLY = "netplan apply"
DESTINATION = "203.0.113.77"
ALIGNED = Style(aligned=True)


@dataclass(frozen=True)
class Way:
    """A way to change the network.

    Attributes:
        prepare: shell commands before the measuring starts.
        command: what is measured.
        undo: shell commands afterwards.
    """

    title: str
    prepare: str
    command: str
    undo: str


def ways(netdef_id: str, router: str) -> tuple[Way, ...]:
    """Return what is compared; the first one is what ratios are to."""
    policy = f"policy: [{{to: {DESTINATION}, via: {CHANGED}}}]"
    route = f"routes: [{{to: {DESTINATION}, via: {router}}}]"
    text = f"network: {{ethernets: {{{netdef_id}: {{{route}}}}}}}"
    netplan = f"umask 077; echo '{text}' > {NETPLAN}"
    back = f"rm -f {NETPLAN}; netplan apply"
    down = f"ip link set dev {CHANGED} down; netplan apply"
    return (
        Way(
            "multihome apply, a destination more",
            f"mkdir -p /etc/multihome.d; echo '{policy}' > {DROP_IN}",
            "multihome apply",
            f"rm -f {DROP_IN}",
        ),
        Way("netplan apply, a destination more", netplan, NETPLAN_APPLY, back),
        Way("the seed's: link down; netplan apply", netplan, down, back),
        Way("multihome apply, nothing changed", "", "multihome apply", ""),
        Way("netplan apply, nothing changed", "", NETPLAN_APPLY, ""),
    )


@dataclass(frozen=True)
class Loss:
    """What one way cost.

    Attributes:
        seconds: how long the command took.
        traffic: by ("ping" or "tcp", ENI).
    """

    title: str
    seconds: float
    status: int
    traffic: dict[tuple[str, str], Pings]


def loss(run: Run, suite: str) -> str:
    """Measure each way on one instance; return the table."""
    shape, data = SEED_INTENT.shape, user_data.multihome(SEED_INTENT)
    eni = shape.eni(CHANGED)
    todo = ways(
        user_data.kernel_name(shape, eni), user_data.gateway(shape, eni)
    )
    image = with_package(suite, build_deb())
    with booted(run, image, SEED_INTENT, data, label="loss") as instance:
        vm = instance.vm
        vm.run("systemctl stop multihome-refresh.timer")
        for port in PORTS.values():
            serve_echo(vm, port)
        found = []
        for number, way in enumerate(todo, 1):
            with progress(f"{number} of {len(todo)}: {way.title}"):
                found.append(_measure(instance, way))
    return loss_table(found)


def _measure(instance: LabInstance, way: Way) -> Loss:
    vm = instance.vm
    if way.prepare:
        vm.run(way.prepare)
    with ExitStack() as stack:
        traffic = {
            (kind, name): stack.enter_context(each)
            for name, port in PORTS.items()
            for kind, each in _traffic(instance, name, port).items()
        }
        time.sleep(BEFORE_S)
        started = time.monotonic()
        done = vm.run(way.command, check=False, timeout=COMMAND_TIMEOUT_S)
        seconds = time.monotonic() - started
        time.sleep(AFTER_S)
    # The next way starts from the same state.
    vm.run(f"{way.undo or 'true'}; multihome apply", timeout=COMMAND_TIMEOUT_S)
    time.sleep(AFTER_S)
    return Loss(way.title, seconds, done.status, traffic)


def _traffic(
    instance: LabInstance, name: str, port: int
) -> dict[str, AbstractContextManager[Pings]]:
    """Return pings and a connection to an ENI from the side it faces."""
    side, address = instance.vpc.outside(name)
    return {
        "ping": pinging(side, address, rate=RATE),
        "tcp": streaming(side, address, port, rate=RATE),
    }


def loss_table(found: Sequence[Loss]) -> str:
    """Render what each way cost, and gaps as ratios to the first one's."""
    head = (
        "way | ENI | pings lost | longest gap, ms | ratio | TCP lines lost"
        " | sent again | gap, ms | command, s"
    )
    rows = [head.split(" | ")]
    for name in (CHANGED, OTHER):
        base = found[0].traffic["ping", name].longest_gap_s
        for item in found:
            ping, tcp = (item.traffic[kind, name] for kind in ("ping", "tcp"))
            failed = f" (status {item.status})" if item.status else ""
            rows.append(
                [
                    item.title + failed,
                    name + (" (changed)" if name == CHANGED else ""),
                    f"{ping.lost} of {ping.sent}",
                    f"{ping.longest_gap_s * 1000:.0f}",
                    f"{ping.longest_gap_s / base:.1f}",
                    f"{tcp.lost} of {tcp.sent}",
                    str(tcp.retransmits),
                    f"{tcp.longest_gap_s * 1000:.0f}",
                    f"{item.seconds:.1f}",
                ]
            )
    return ALIGNED.columns(rows)
