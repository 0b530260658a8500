# SPDX-License-Identifier: Apache-2.0
"""A default beside an ENI that is left alone and relies on table main.

It has both families. cloud-init makes no rules for the primary, and none of
IPv6 that lead out of the subnet for a secondary: what comes from its
addresses goes by main's default route, which is its own, while what is bound
to no address goes by the chosen ENI.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class Case:
    """Which ENI is left alone.

    Attributes:
        theirs: its device.
        by_rule: the families whose default route in main is its.
        other: another interface that `default` may name.
    """

    theirs: str
    by_rule: tuple[str, ...]
    intent: Intent
    other: str

    def key(self) -> dict[str, Any]:
        """Return the interfaces, with the one that is left alone."""
        managed = user_data.interfaces(self.intent)
        (theirs,) = (it for it in SHAPE.enis if it.name not in managed)
        alone = {"device_number": theirs.device_number, "manage": False}
        return {**managed, "theirs": alone}


def intent(**tables: int) -> Intent:
    """Have the ENIs with a table managed, and the policy by the last."""
    *_, last = tables
    policy = dict.fromkeys(DUAL.policy, last)
    return replace(DUAL, shape=SHAPE, tables=tables, policy=policy)


PRIMARY_ALONE = Case(
    "ens5", ("-4", "-6"), intent(public=20, plain=40), "plain"
)
# For IPv4 it has a table of cloud-init's, and main is free.
SECONDARY_ALONE = Case(
    "ens7", ("-6",), intent(public=20, private=10), "private"
)


@pytest.mark.parametrize(
    ("suite", "case"),
    [
        pytest.param("trixie", PRIMARY_ALONE, id="trixie-primary"),
        pytest.param("trixie", SECONDARY_ALONE, id="trixie-secondary"),
        *(
            pytest.param(
                suite, case, id=f"{suite}-{what}", marks=pytest.mark.thorough
            )
            for suite, what, case in (
                ("bookworm", "primary", PRIMARY_ALONE),
                ("sid", "primary", PRIMARY_ALONE),
                ("sid", "secondary", SECONDARY_ALONE),
            )
        ),
    ],
)
def test_the_chosen_default_holds_and_main_stays_the_owners(
    lab_run: Run, deb: Path, suite: str, case: Case
) -> None:
    """Booted, changed, taken back, put in force again."""
    wanted, other = case.intent, replace(case.intent, default=case.other)
    data = user_data.multihome(wanted, interfaces=case.key())
    image = with_package(suite, deb)
    with booted(
        lab_run, image, wanted, data, label=f"{suite}-alone"
    ) as instance:
        assert "done" == instance.boot.cloud_init, instance.boot.why
        assert_right(instance, case, wanted)

        configure(instance, f"default: {case.other}\n")
        assert_right(instance, case, other)
        instance.vm.run("multihome rollback", timeout=200)
        assert_right(instance, case, wanted)

        instance.vm.run("multihome restore", timeout=200)
        stock = {"ens5", "ens6", "ens7"}
        wait_for(lambda: stock == of_main(instance, "-4"), "no stock routes")
        wait_for(lambda: stock == of_main(instance, "-6"), "no stock routes")
        instance.vm.run(RUN_AGAIN, timeout=200)
        assert_right(instance, case, other)


def assert_right(instance: LabInstance, case: Case, intent: Intent) -> None:
    """Main has the owner's default alone, and each flow goes its way."""
    assert_flows(instance, intent)
    for family in case.by_rule:
        assert {case.theirs} == of_main(instance, family)
        late = [it for it in instance.priorities(family) if it[0] >= 32700]
        # cloud-init's own are on an address.
        ways = [it for it in late if it[1] == "all" and it[2] != 253]
        assert [
            (32700, "all", 30999),
            (32764, "all", 254),
            (32765, "all", intent.tables[intent.default]),
            (32766, "all", 254),
        ] == ways
    defaults = ipv6_defaults(instance)
    own = {int(table) for table, _, _ in defaults} - {254}
    assert {*intent.tables.values()} == own
    assert 0 == instance.vm.run("multihome verify", check=False).status


def of_main(instance: LabInstance, family: str) -> set[str]:
    """Return the devices of main's default routes."""
    found = instance.ip_json(f"{family} route show default")
    return {it["dev"] for it in found}
