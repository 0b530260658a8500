# SPDX-License-Identifier: Apache-2.0
"""A booted host to which things happen, and the table of what became of it.

Each fault starts from a saved state of the host. After it the host must be
reached through both ENIs, and `multihome status` must tell the truth.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.lab import user_data
from tests.lab.boot import Boot
from tests.lab.host import Result
from tests.lab.instance import LabInstance
from tests.lab.pinging import is_answered
from tests.lab.user_data import SEED_INTENT
from tests.vm.state import SETTLED_WITHIN_S, read_state, wait_for_equal

DRIVER = Path(__file__).with_name("fault_driver.py")
# In the guest; not below /run, which one of the faults fills.
FOLDER = "/root/faults"
# What is saved: the plan in force, and cloud-init's own networking.
GOOD, STOCK = "good", "stock"
KEY: dict[str, Any] = yaml.safe_load(user_data.multihome(SEED_INTENT))[
    "multihome"
]
MORE: dict[str, Any] = {
    **KEY,
    "policy": [*KEY["policy"], {"to": "203.0.113.200", "via": "private"}],
}
OTHER_NAMES: dict[str, Any] = {
    "interfaces": {
        "inside": KEY["interfaces"]["private"],
        "outside": KEY["interfaces"]["public"],
    },
    "default": "outside",
}
# All of a run's waits, the timer's, and a rollback, on a busy machine.
DRIVEN_WITHIN_S = 400.0
REACHED_WITHIN_S = 30.0
LOOKS_AGAIN_S = 0.3
DEADLINE = "multihome-deadline.service"
# Outcomes after which `multihome verify` has a plan to prove.
IN_FORCE = ("applied", "unchanged")
NOW = "date -u +%Y-%m-%dT%H:%M:%SZ"
HEAD = ("fault", "outcome", "health", "private", "public", "s", "error")
ERROR_WIDTH = 60


@dataclass
class Row:
    """What became of a host.

    Attributes:
        reached: by ENI.
        seconds: from the fault's beginning until all of it was seen.
    """

    fault: str
    outcome: str = "not seen"
    health: str = ""
    error: str = ""
    reached: dict[str, bool] = field(default_factory=dict)
    seconds: float = 0.0

    def cells(self) -> tuple[str, ...]:
        """Return it for the table, in the order of HEAD."""
        private, public = (
            {True: "reached", False: "LOST", None: "?"}[self.reached.get(name)]
            for name in ("private", "public")
        )
        error = self.error.partition("\n")[0] or "-"
        if len(error) > ERROR_WIDTH:
            error = f"{error[: ERROR_WIDTH - 3]}..."
        seconds = f"{self.seconds:.0f}"
        return (
            *(self.fault, self.outcome, self.health),
            *(private, public, seconds, error),
        )


# In the running test; conftest.py makes a table of all at the end.
SEEN: list[Row] = []


class Host:
    """The booted instance, and the states that it must come back to.

    Attributes:
        states: by what is saved.
        is_at: the saved state that it is in, if any.
    """

    def __init__(self, instance: LabInstance) -> None:
        self.instance = instance
        self.vm, self.vpc = instance.vm, instance.vpc
        self.states: dict[str, dict[str, Any]] = {}
        self.is_at: str | None = None
        self._asked = 0
        self.serve()

    def serve(self) -> None:
        """Start the driver in the guest; again after each boot."""
        self.vm.run("systemctl stop multihome-refresh.timer")
        self.vm.run(f"rm -rf {FOLDER}; mkdir {FOLDER}; mkfifo {FOLDER}/in")
        self.vm.agent.put(DRIVER.read_bytes(), f"{FOLDER}/driver.py")
        self.vm.run(
            f"setsid python3 {FOLDER}/driver.py serve"
            f" < /dev/null > {FOLDER}/log 2>&1 &"
        )
        # Then all is imported, also in what is saved.
        self.status()

    def reboot(self, how: Callable[[], Boot] | None = None) -> Boot:
        """Reboot in good order, or as `how` does it."""
        boot = (how or self.vm.reboot)()
        self.serve()
        return boot

    def save(self, name: str) -> None:
        """Keep the host as it is now, to begin from and to compare with."""
        self.states[name] = self.look()
        self.vm.save(name)
        self.is_at = name

    def look(self) -> dict[str, Any]:
        """Return the guest's network, and what the files of a run say."""
        return read_state(self.instance, files=True)

    @contextmanager
    def case(
        self,
        fault: str,
        outcome: str,
        *,
        error: str = "",
        start: str | None = GOOD,
        ends: str | None = GOOD,
        harmless: bool = False,
    ) -> Iterator[None]:
        """Have something happen; then the host is safe, and told of.

        Args:
            error: what the status' error says; empty for no error.
            start: the saved state to begin from; None for the one now.
            ends: the saved state to end in, files included; None where
                another is right: a plan in force then has to be proved.
            harmless: the next case can begin from here, if all is well.
        """
        if start not in (None, self.is_at):
            self.vm.restore(str(start))
        self.is_at = None
        row = Row(fault)
        SEEN.append(row)
        before = self.vm.run(NOW).out.strip()
        started = time.monotonic()
        try:
            yield
            if ends is not None:
                wait_for_equal(self.states[ends], self.look)
            told = self.see(row)
            if ends is None and row.outcome in IN_FORCE:
                # Nothing to compare with: it has to be what is planned.
                proof = self._ask("verify")
                assert 0 == proof.status, proof.out
        finally:
            row.seconds = time.monotonic() - started
        assert {"private": True, "public": True} == row.reached
        assert outcome == row.outcome, row.error
        assert before <= told <= self.vm.run(NOW).out.strip()
        if error:
            assert error in row.error
        assert ("failed" if error else "healthy") == row.health, row.error
        assert bool(error) == bool(row.error), row.error
        self.is_at = ends if harmless else None

    def see(self, row: Row) -> str:
        """Look at the host from outside, and at what it says of itself.

        Returns the time that it says.
        """
        for name in ("private", "public"):
            side, address = self.vpc.outside(name)
            within = REACHED_WITHIN_S
            row.reached[name] = is_answered(side, address, within=within)
        status = self.status()
        row.health = status["health"]
        row.outcome = status["last"]["outcome"]
        row.error = status["last"]["error"] or ""
        told: str = status["last"]["time"]
        return told

    def status(self) -> dict[str, Any]:
        """Return what `multihome status` says."""
        status: dict[str, Any] = json.loads(self._ask("status").out)
        return status

    def drive(self, fault: str, key: Any = MORE) -> Result:
        """Run the module in the guest with that fault, to its end.

        Args:
            fault: its name, and where (fault_driver.py).
        """
        self.put_key(key)
        return self.drive_on(fault)

    def drive_on(self, fault: str) -> Result:
        """Do it with the key that is there."""
        return self._ask(f"run {fault}")

    def put_key(self, key: Any = MORE) -> None:
        """Put the key where the driver reads it."""
        self.vm.agent.put(json.dumps(key).encode(), f"{FOLDER}/key")

    def begin(self, fault: str, key: Any = MORE) -> str:
        """Run the module in the guest; return what end() has to be given."""
        self.put_key(key)
        return self._begin(f"run {fault}")

    def end(self, out: str) -> Result:
        """Wait for the end of a run that was begun."""
        shown = self.vm.run(f"cat {out}", timeout=DRIVEN_WITHIN_S).out
        said, _, status = shown.rpartition("\nended ")
        return Result(int(status), said, "")

    @contextmanager
    def paused(self, key: Any = MORE) -> Iterator[list[Result]]:
        """Stop the module in its middle; then it goes on to its end.

        How it ended is in the list then.
        """
        out = self.begin_paused(key)
        ended: list[Result] = []
        yield ended
        self.vm.run(f"touch {FOLDER}/go")
        ended.append(self.end(out))

    def begin_paused(self, key: Any = MORE) -> str:
        """Start the module and wait until it stands still in its middle."""
        out = self.begin("pause", key)
        self.wait_in_guest(f"test -e {FOLDER}/paused", "it did not pause")
        return out

    def _ask(self, words: str) -> Result:
        return self.end(self._begin(words))

    def _begin(self, words: str) -> str:
        self._asked += 1
        out = f"{FOLDER}/out-{self._asked}"
        self.vm.run(f"mkfifo {out}; echo '{out} {words}' > {FOLDER}/in")
        return out

    def fire_timer(self) -> None:
        """Have the timer's unit start now, and wait for its end."""
        armed = "systemctl is-active -q multihome-deadline.timer"
        self.vm.run(f"{armed} && systemctl start {DEADLINE}", check=False)
        self.wait_until_undone()

    def wait_until_undone(self) -> None:
        """Wait until the timer's run has come and ended."""
        self.wait_in_guest(
            "! test -e /run/multihome/journal &&"
            f" ! systemctl is-active -q {DEADLINE}",
            "the timer undid nothing",
        )

    def wait_in_guest(self, test: str, what: str) -> None:
        """Wait until a shell command in the guest is true.

        It is asked in the guest: under emulation each command costs.
        """
        times = round(SETTLED_WITHIN_S / LOOKS_AGAIN_S)
        done = self.vm.run(
            f"for _ in $(seq {times}); do if {test}; then exit; fi;"
            f" sleep {LOOKS_AGAIN_S}; done; exit 1",
            check=False,
            timeout=2 * SETTLED_WITHIN_S,
        )
        assert 0 == done.status, what


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the lines of the table, its head first."""
    lines = [HEAD, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in lines
    ]
