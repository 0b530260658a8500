# SPDX-License-Identifier: Apache-2.0
"""Which interfaces networkd will not configure anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cc_multihome.apply.untouched import untouched
from cc_multihome.files import File
from cc_multihome.model import Plan
from cc_multihome.render import netplan
from tests.unit.builders import SEED_KEY, plan_for

OVERLAY = "run/netplan/55-multihome.yaml"
DROP_IN = "run/systemd/network/10-netplan-ens6.network.d/50-multihome.conf"
MORE = {
    **SEED_KEY,
    "policy": [*SEED_KEY["policy"], {"to": "203.0.113.99", "via": "private"}],
}


def named(plan: Plan) -> Plan:
    """Return the plan of a host that has the names already."""
    items = [replace(item, ifname=item.name) for item in plan.interfaces]
    return replace(plan, interfaces=tuple(items))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with the seed's plan in force."""
    (tmp_path / OVERLAY).parent.mkdir(parents=True)
    (tmp_path / OVERLAY).write_text(netplan.overlay(plan_for()))
    return tmp_path


def names(plan: Plan, root: Path, *changed: File) -> list[str]:
    """Name those that networkd goes on with."""
    return [item.name for item in untouched(plan, changed, root)]


def test_only_those_whose_netdef_stays(root: Path) -> None:
    """The other one has a route more."""
    more = named(plan_for(MORE))
    changed = File(root / OVERLAY, netplan.overlay(more))
    assert ["public"] == names(more, root, changed)


def test_all_where_another_file_changes(root: Path) -> None:
    """The tables' names, for iproute2."""
    tables = File(root / "etc/iproute2/rt_tables.d/multihome.conf", "")
    assert ["private", "public"] == names(named(plan_for()), root, tables)


def test_not_the_one_whose_drop_in_changes(root: Path) -> None:
    """Also when it is removed."""
    gone = File(root / DROP_IN, None)
    assert ["private"] == names(named(plan_for()), root, gone)


def test_none_where_another_file_of_netplans_changes(root: Path) -> None:
    """A shadow of cloud-init's, which may say something of any of them."""
    shadow = File(root / "run/netplan/50-cloud-init.yaml", "")
    assert [] == names(named(plan_for()), root, shadow)


def test_not_the_one_that_gets_another_name(root: Path) -> None:
    """Its file has both names."""
    plan = plan_for()
    first, second = named(plan).interfaces
    kept = replace(plan, interfaces=(replace(first, ifname="ens5"), second))
    assert ["public"] == names(kept, root)


def test_none_at_the_first_run(tmp_path: Path) -> None:
    """There is nothing that could stay."""
    changed = File(tmp_path / OVERLAY, netplan.overlay(plan_for()))
    assert [] == names(named(plan_for()), tmp_path, changed)
