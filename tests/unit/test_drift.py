# SPDX-License-Identifier: Apache-2.0
"""What others changed is told by `status` and `verify`, a line each."""

from __future__ import annotations

import pytest

from cc_multihome.apply import drift
from cc_multihome.apply.nftables import TableChange
from cc_multihome.apply.sysctl import Sysctl
from cc_multihome.apply.verify import LevelResult
from cc_multihome.cli import core
from cc_multihome.model import Observed, Plan
from tests.unit.builders import SEED_KEY, observed_of, plan_for

PLAN = plan_for({**SEED_KEY, "containers": True})
RESOLVER = "/etc/resolv.conf is not the planned one (169.254.169.253)"
FLUSHED = "the table inet multihome of nftables is missing or was changed"


class Found:
    """What is read of the host; nothing of it differs at first."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.settings: tuple[Sysctl, ...] = ()
        self.table: TableChange | None = None
        self.is_resolver_other = False
        self.asked: list[str] = []
        self.kernel: Observed = observed_of(PLAN)
        patch.setattr(
            drift, "if_nameindex", lambda: [(1, "lo"), (2, "public")]
        )
        patch.setattr(drift, "find_sysctls", self.find_sysctls)
        patch.setattr(drift, "find_table_change", lambda _: self.table)
        patch.setattr(
            drift, "is_replaced", lambda _: not self.is_resolver_other
        )
        patch.setattr(drift, "wait_online_file", lambda: None)
        patch.setattr(core, "read_kernel", lambda: self.kernel)

    def find_sysctls(self, plan: Plan) -> tuple[Sysctl, ...]:
        """Compare the settings of the links that are there."""
        self.asked = [item.ifname for item in plan.interfaces]
        return self.settings


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Found:
    """A host that is what was planned."""
    return Found(monkeypatch)


def test_a_host_that_is_right_lacks_nothing(found: Found) -> None:
    """Links are looked for by the names that they have now."""
    assert () == core.missing(PLAN)
    assert ["public"] == found.asked


def test_each_thing_that_was_changed_is_a_line(found: Found) -> None:
    """But not what only remains to be put back."""
    found.settings = (
        Sysctl((1, "rp_filter"), 2, 1),
        Sysctl((1, "arp_ignore"), 0, 1, is_former=True),
    )
    found.table = TableChange("table inet multihome")
    found.is_resolver_other = True
    assert (
        "net.ipv4.conf.lo.rp_filter is 1, planned is 2",
        FLUSHED,
        f"{RESOLVER}, or systemd-resolved is not off",
    ) == core.missing(PLAN)


def test_a_table_that_only_has_to_go_is_not_missed(found: Found) -> None:
    """Nothing of the plan is lacking."""
    found.table = TableChange(None)
    assert () == core.missing(plan_for())


@pytest.mark.parametrize("state", ["ok", "skipped"])
def test_a_proof_fails_by_what_was_changed(
    found: Found, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """In the level that it is of; one that was skipped says nothing."""
    levels = (
        LevelResult("kernel", "ok"),
        LevelResult("neighbours", "ok"),
        LevelResult("services", state),  # type: ignore[arg-type]
    )
    monkeypatch.setattr(core, "verify", lambda *_, **__: levels)
    assert levels == core.prove(PLAN, 1.0)
    found.table = TableChange("table inet multihome")
    found.is_resolver_other = True
    kernel, neighbours, services = core.prove(PLAN, 1.0)
    assert ("failed", (FLUSHED,)) == (kernel.state, kernel.details)
    assert "ok" == neighbours.state
    assert bool(services.details) == (state == "ok")
