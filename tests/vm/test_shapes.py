# SPDX-License-Identifier: Apache-2.0
"""Instances that are not the seed's: cells of the matrix.

The seed's on other suites are in test_package.py; the seed's and the crowded
one's of trixie are in test_multihome.py and test_addresses.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.expected import planned_rules, problems_of
from tests.lab.image import with_package
from tests.lab.instance import booted
from tests.lab.shapes import COLLECTOR, SHAPES
from tests.lab.user_data import Intent
from tests.vm.state import assert_flows

CASES = (
    ("trixie", "primary"),
    ("trixie", "same-subnet"),
    ("trixie", "cards"),
    ("trixie", "fifteen"),
    # The seed on bookworm and sid: test_package.py.
)
REBOOTED = (("trixie", "cards"),)


@pytest.mark.parametrize(
    ("suite", "shape"), [pytest.param(*it, id="-".join(it)) for it in CASES]
)
def test_a_cell_of_the_matrix_is_green(
    lab_run: Run, deb: Path, suite: str, shape: str
) -> None:
    """Same module, other netplan, networkd, cloud-init, ENIs and names."""
    intent = SHAPES[shape]
    data = user_data.multihome(intent)
    image = with_package(suite, deb)
    with booted(
        lab_run, image, intent, data, label=f"{suite}-{shape}"
    ) as instance:
        assert [] == problems_of(instance, intent), instance.boot.why
        if (suite, shape) in REBOOTED:
            boot = instance.vm.reboot()
            assert "done" == boot.cloud_init, boot.why
            assert planned_rules(intent) == sorted(instance.priorities())


def test_a_bare_key_manages_every_eni(lab_run: Run, deb: Path) -> None:
    """`multihome: {}`: kernel names, derived tables, primary as default."""
    intent = Intent(
        shape=COLLECTOR.shape,
        tables={"edge": 31000, "mgmt": 31001, "flows": 31101},
        default="edge",
        policy={},
        unnamed=COLLECTOR.unnamed,
    )
    data = user_data.cloud_config({"multihome": {}})
    image = with_package("trixie", deb)
    with booted(lab_run, image, intent, data, label="bare") as instance:
        assert planned_rules(intent) == sorted(instance.priorities())
        names = {link["ifname"] for link in instance.ip_json("link show")}
        assert {"lo", "ens5", "ens6", "ens7"} == names
        assert_flows(instance, intent)
