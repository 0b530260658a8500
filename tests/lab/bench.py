# SPDX-License-Identifier: Apache-2.0
"""What changes of the network cost, side by side on one booted instance.

    python -m tests.lab.bench loss|attach [--suite trixie]

`loss`: 100 pings a second and one TCP connection through each of two ENIs,
while one destination is added on the first of them, or nothing changes, by
each of the ways to do it. `attach`: how long it takes from an ENI's attaching
until it answers, and by the ENI itself.

The times are an emulation's, for comparing within one run; see docs/lab.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace

from cc_multihome.cli.style import Style
from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.host import LabError, progress
from tests.lab.image import stock, with_package
from tests.lab.instance import LabInstance, booted, build_deb
from tests.lab.pinging import (
    TRAFFIC,
    Pings,
    is_answered,
    pinging,
    streaming,
)
from tests.lab.recipe import SUITES
from tests.lab.shape import THIRD, THIRD_SUBNET
from tests.lab.user_data import SEED_INTENT

RATE = 100.0
CHANGED, OTHER = "private", "public"
PORTS = {CHANGED: 7100, OTHER: 7101}
SERVED_S = 3600
BEFORE_S, AFTER_S = 1.0, 5.0
COMMAND_TIMEOUT_S = 200.0
ANSWER_WITHIN_S = 180.0
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
        vm.agent.put(TRAFFIC.read_bytes(), "/run/traffic.py")
        for port in PORTS.values():
            vm.run(f"python3 /run/traffic.py serve {port} {SERVED_S}")
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


def attach(run: Run, suite: str) -> str:
    """Attach an ENI without and with the module; return the table."""
    rows = [["", "answers by its own ENI, s", "packets dropped until then"]]
    shown = (
        ("stock cloud-init", stock(suite), user_data.cloud_config({})),
        (
            "multihome",
            with_package(suite, build_deb()),
            user_data.multihome(SEED_INTENT),
        ),
    )
    for title, image, data in shown:
        label = title.split(maxsplit=1)[0]
        with booted(run, image, SEED_INTENT, data, label=label) as instance:
            rows.append([title, *_attach(instance)])
    return ALIGNED.columns(rows)


def _attach(instance: LabInstance) -> tuple[str, str]:
    """Plug the ENI; return when it first answered, and what was dropped.

    The VPC's source check drops an answer that leaves by another ENI.
    """
    seed, vpc = SEED_INTENT.shape, instance.vpc
    shape = replace(
        seed, subnets=(*seed.subnets, THIRD_SUBNET), enis=(*seed.enis, THIRD)
    )
    vpc.update(shape)
    vpc.reset_counters()
    started = time.monotonic()
    with progress("an ENI is attached"):
        instance.vm.plug(THIRD)
        taken = f"not within {ANSWER_WITHIN_S:.0f}"
        with pinging(vpc.corp, THIRD.ipv4s[0], rate=RATE / 10):
            while time.monotonic() < started + ANSWER_WITHIN_S:
                if is_answered(vpc.corp, THIRD.ipv4s[0], within=1):
                    taken = f"{time.monotonic() - started:.1f}"
                    break
    return taken, str(sum(each.src for each in vpc.counters().values()))


BENCHES: dict[str, Callable[[Run, str], str]] = {
    "loss": loss,
    "attach": attach,
}


def main(argv: list[str] | None = None) -> int:
    """Run one benchmark and print its table."""
    parser = argparse.ArgumentParser(
        prog="script/bench",
        description="Measure what changes of the network cost, on an"
        " instance in a simulated VPC, side by side with other ways.",
    )
    parser.add_argument("bench", choices=BENCHES)
    parser.add_argument(
        "--suite", choices=SUITES, default="trixie", help="Debian release"
    )
    options = parser.parse_args(argv)
    try:
        with Run() as run:
            print(BENCHES[options.bench](run, options.suite))
    except LabError as err:
        print(f"the benchmark could not run: {err}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
