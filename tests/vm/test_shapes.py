# SPDX-License-Identifier: Apache-2.0
"""Other suites, and an instance that is not the seed's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.image import with_package
from tests.lab.instance import booted
from tests.lab.shape import LabEni, Shape, Subnet
from tests.lab.user_data import SEED_INTENT, Intent
from tests.vm.state import assert_flows, planned_rules

# The primary is public and holds the default; a second network card; two
# ENIs in one company subnet; a secondary address with a public one each.
COLLECTOR = Intent(
    shape=Shape(
        subnets=(
            Subnet("dmz", "subnet-0c000000000000001", "172.31.16.0/20", "igw"),
            Subnet(
                "core", "subnet-0c000000000000002", "10.77.8.128/25", "tgw"
            ),
        ),
        enis=(
            LabEni(
                "edge",
                "eni-0c0000000000000001",
                "06:10:20:30:40:01",
                0,
                "dmz",
                ("172.31.20.9", "172.31.20.77"),
                public={
                    "172.31.20.9": "198.51.100.80",
                    "172.31.20.77": "198.51.100.81",
                },
            ),
            LabEni(
                "mgmt",
                "eni-0c0000000000000002",
                "06:10:20:30:40:02",
                1,
                "core",
                ("10.77.8.140",),
            ),
            LabEni(
                "flows",
                "eni-0c0000000000000003",
                "06:10:20:30:40:03",
                1,
                "core",
                ("10.77.8.150",),
                network_card=1,
            ),
        ),
        both_sides=("192.0.2.200", "203.0.113.5", "203.0.113.77"),
        vpc_cidrs=("172.31.0.0/16", "10.77.8.0/24"),
        dns="172.31.0.2",
        region="eu-west-1",
        domain="eu-west-1.compute.internal",
        instance_id="i-0c00000000000cafe",
    ),
    tables={"edge": 100, "mgmt": 4000, "flows": 77},
    default="edge",
    policy={"192.0.2.200": "flows", "203.0.113.5": "mgmt"},
    unnamed="203.0.113.77",
)

CASES = (
    pytest.param("trixie", COLLECTOR, id="trixie-collector"),
    pytest.param("bookworm", SEED_INTENT, id="bookworm-seed"),
    pytest.param("sid", SEED_INTENT, id="sid-seed"),
)


@pytest.mark.parametrize(("suite", "intent"), CASES)
def test_every_flow_is_right_on_other_suites_and_shapes(
    lab_run: Run, deb: Path, suite: str, intent: Intent
) -> None:
    """Same module, other netplan, networkd, cloud-init, ENIs and names."""
    data = user_data.multihome(intent)
    image = with_package(suite, deb)
    with booted(
        lab_run, image, intent, data, label=f"{suite}{len(intent.tables)}"
    ) as instance:
        assert "done" == instance.boot.cloud_init, instance.boot.why
        assert planned_rules(intent) == sorted(instance.priorities())
        assert_flows(instance, intent)
        before = sorted(instance.priorities())
        boot = instance.vm.reboot()
        assert "done" == boot.cloud_init, boot.why
        assert before == sorted(instance.priorities())


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
