# SPDX-License-Identifier: Apache-2.0
"""A booted instance in its VPC, and what its flows show."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cc_multihome.run import run as run_command
from tests.lab.boot import Boot
from tests.lab.cleanup import Run
from tests.lab.far_server import COMPANY, GUEST, INTERNET
from tests.lab.flows import build_flows, run_flows
from tests.lab.host import REPO, progress, say
from tests.lab.image import Image
from tests.lab.report import Column
from tests.lab.user_data import Intent
from tests.lab.vm import Vm
from tests.lab.vpc import Vpc

BUILD_TIMEOUT_S = 300.0
GUEST_INPUT = "/run/lab-input"


@dataclass(frozen=True)
class LabInstance:
    """A VM that has booted in a VPC.

    Attributes:
        boot: how it booted.
    """

    vpc: Vpc
    vm: Vm
    boot: Boot

    def guest(self, argv: Sequence[str], stdin: str) -> str:
        """Run a command in the guest; the shape of vpc.Runner."""
        self.vm.agent.put(stdin.encode(), GUEST_INPUT)
        command = f"{shlex.join(argv)} < {GUEST_INPUT}"
        return self.vm.run(command).out

    def column(self, title: str, intent: Intent) -> Column:
        """Send every flow that the intent is about; judge and count."""
        flows = build_flows(
            self.vpc.shape,
            default=intent.default,
            policy=intent.policy,
            unnamed=intent.unnamed,
            unnamed_ipv6=intent.unnamed_ipv6,
        )
        self.vpc.reset_counters()
        with progress(f"{title}: {len(flows)} flows"):
            runners = {
                GUEST: self.guest,
                INTERNET: self.vpc.runner(INTERNET),
                COMPANY: self.vpc.runner(COMPANY),
            }
            verdicts = run_flows(flows, runners, self.vpc.capture)
        return Column(title, verdicts, self.vpc.counters())

    def ip_json(self, words: str) -> list[dict[str, Any]]:
        """Return what `ip -N -j -d WORDS` says in the guest."""
        shown: list[dict[str, Any]] = self.vm.agent.json(
            f"ip -N -j -d {words}"
        )
        return shown

    def priorities(self, family: str = "-4") -> list[tuple[int, str, int]]:
        """Return a family's rules in order: (priority, source, table)."""
        return priorities(self.ip_json(f"{family} rule show"))


def priorities(rules: Iterable[dict[str, Any]]) -> list[tuple[int, str, int]]:
    """Return (priority, source, table) of rules as `ip` shows them."""
    return [
        (rule["priority"], _source(rule), int(rule["table"])) for rule in rules
    ]


def _source(rule: dict[str, Any]) -> str:
    """Return a rule's source as a prefix; a host, and "all", are bare."""
    length = f"/{rule['srclen']}" if "srclen" in rule else ""
    return f"{rule['src']}{length}"


@contextmanager
def booted(
    run: Run,
    image: Image,
    intent: Intent,
    user_data: str,
    *,
    label: str,
    disk: Path | None = None,
    append: str = "",
) -> Iterator[LabInstance]:
    """Boot an instance with that user-data; stop it at the end.

    Args:
        disk: see Vm.
        append: kernel parameters of its own.
    """
    say(f"{label}: the VPC comes up")
    with (
        Vpc(run, intent.shape, user_data=user_data, label=f"{label}-") as vpc,
        Vm(
            run,
            image,
            intent.shape,
            netns=vpc.hyp.name,
            name=label,
            disk=disk,
            append=append,
        ) as vm,
    ):
        instance = LabInstance(vpc, vm, vm.wait_booted())
        # Kept with the run's other logs, for whom a test fails.
        log = vm.agent.get("/var/log/cloud-init.log")
        (run.dir / f"{label}-cloud-init.log").write_bytes(log)
        yield instance


def build_deb() -> Path:
    """Build the package with the project's own script; return its path."""
    with progress("building the .deb"):
        printed = run_command(
            [str(REPO / "script/build-deb")], timeout=BUILD_TIMEOUT_S
        )
    return Path(printed.strip().splitlines()[-1])
