# SPDX-License-Identifier: Apache-2.0
"""A default beside an ENI that is left alone and relies on table main.

The primary has `manage: false`, and both families. cloud-init makes no rules
for it: what comes from its addresses goes by main's default route, which is
its own, while what is bound to no address goes by the chosen ENI.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.expected import ipv6_defaults
from tests.lab.image import with_package
from tests.lab.instance import LabInstance, booted
from tests.lab.shapes_ipv6 import DUAL
from tests.lab.user_data import Intent
from tests.vm.pins import configure
from tests.vm.state import RUN_AGAIN, assert_flows, wait_for

PRIMARY, PUBLIC, _, PLAIN = DUAL.shape.enis
*OTHER_SUBNETS, PLAINS = DUAL.shape.subnets
SHAPE = replace(
    DUAL.shape,
    subnets=(
        *OTHER_SUBNETS,
        replace(PLAINS, ipv6_cidr="2001:db8:60:3::/64"),
    ),
    enis=(
        PRIMARY,
        replace(PUBLIC, ipv6_prefixes=()),
        replace(PLAIN, device_number=2, ipv6s=("2001:db8:60:3::7",)),
    ),
)
INTENT = replace(
    DUAL,
    shape=SHAPE,
    tables={"public": 20, "plain": 40},
    policy=dict.fromkeys(DUAL.policy, "plain"),
)
INTERFACES = {
    "theirs": {"device_number": 0, "manage": False},
    "public": {"device_number": 1, "table": 20},
    "plain": {"device_number": 2, "table": 40},
}
THEIRS = "ens5"


@pytest.mark.parametrize(
    "suite",
    [
        "trixie",
        *(
            pytest.param(it, marks=pytest.mark.thorough)
            for it in ("bookworm", "sid")
        ),
    ],
)
def test_the_chosen_default_holds_and_main_stays_the_owners(
    lab_run: Run, deb: Path, suite: str
) -> None:
    """Booted, changed, taken back, put in force again."""
    data = user_data.multihome(INTENT, interfaces=INTERFACES)
    image = with_package(suite, deb)
    with booted(
        lab_run, image, INTENT, data, label=f"{suite}-alone"
    ) as instance:
        assert "done" == instance.boot.cloud_init, instance.boot.why
        assert_right(instance, INTENT)

        configure(instance, "default: plain\n")
        assert_right(instance, replace(INTENT, default="plain"))
        instance.vm.run("multihome rollback", timeout=200)
        assert_right(instance, INTENT)

        instance.vm.run("multihome restore", timeout=200)
        stock = {"ens5", "ens6", "ens7"}
        wait_for(lambda: stock == of_main(instance, "-4"), "no stock routes")
        wait_for(lambda: stock == of_main(instance, "-6"), "no stock routes")
        instance.vm.run(RUN_AGAIN, timeout=200)
        assert_right(instance, replace(INTENT, default="plain"))


def assert_right(instance: LabInstance, intent: Intent) -> None:
    """Main has the owner's default alone, and each flow goes its way."""
    assert_flows(instance, intent)
    for family in ("-4", "-6"):
        assert {THEIRS} == of_main(instance, family)
        ways = [it for it in instance.priorities(family) if it[0] >= 32700]
        assert [
            (32700, "all", 30999),
            (32710, "all", 254),
            (32720, "all", intent.tables[intent.default]),
            (32766, "all", 254),
        ] == [it for it in ways if it[2] != 253]
    own = set(intent.tables)
    assert own == {
        dev for table, _, dev in ipv6_defaults(instance) if table != "254"
    }
    assert 0 == instance.vm.run("multihome verify", check=False).status


def of_main(instance: LabInstance, family: str) -> set[str]:
    """Return the devices of main's default routes."""
    found = instance.ip_json(f"{family} route show default")
    return {it["dev"] for it in found}
