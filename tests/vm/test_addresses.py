# SPDX-License-Identifier: Apache-2.0
"""ENIs with many addresses and delegated prefixes, on the real thing.

`app` has its subnet to itself and more addresses than have rules of their
own; `web` has two public addresses; `east` and `west` share a subnet, many
addresses each. app and west have a delegated prefix, with a container.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.image import with_package
from tests.lab.instance import LabInstance, booted
from tests.lab.shapes import CROWDED
from tests.vm.containers import add_container, container_verdicts
from tests.vm.state import RUN_AGAIN, assert_flows, planned_rules

# Of the ENI that their prefix is delegated to.
CONTAINERS = {"app": "10.30.0.70", "west": "10.30.8.99"}


@pytest.fixture(scope="module")
def crowded(lab_run: Run, deb: Path) -> Iterator[LabInstance]:
    """The instance, booted once."""
    data = user_data.multihome(CROWDED)
    image = with_package("trixie", deb)
    with booted(lab_run, image, CROWDED, data, label="many") as instance:
        yield instance


def test_every_address_answers_by_its_eni(crowded: LabInstance) -> None:
    """Each one from outside, and each one bound to, unbound by the first."""
    assert "done" == crowded.boot.cloud_init, crowded.boot.why
    assert_flows(crowded, CROWDED)


def test_the_rules_are_few_and_exact(crowded: LabInstance) -> None:
    """A subnet where an ENI is alone in it, else joined prefixes."""
    rules = sorted(crowded.priorities())

    assert planned_rules(CROWDED) == rules
    assert (31100, "10.30.0.0/24", 10) in rules
    assert (31102, "10.30.8.12/30", 30) in rules


def test_primary_addresses_are_the_source_in_their_own_subnets(
    crowded: LabInstance,
) -> None:
    """Main's routes to the subnets and every table's have them."""
    first = {eni.name: eni.ipv4s[0] for eni in CROWDED.shape.enis}
    routes = crowded.ip_json("-4 route show table all type unicast")
    found = {
        (item["dev"], item["prefsrc"]) for item in routes if "prefsrc" in item
    }

    assert set(first.items()) == found


def test_a_second_run_changes_nothing(crowded: LabInstance) -> None:
    """Also with rules that only a drop-in can say."""
    said = crowded.vm.run(f"{RUN_AGAIN}; tail -n 40 /var/log/cloud-init.log")

    assert "nothing to change" in said.out


def test_containers_of_delegated_prefixes_answer_by_their_enis(
    crowded: LabInstance,
) -> None:
    """Forwarded packets: their addresses are on no link of the host."""
    crowded.vpc.reset_counters()
    for owner, address in CONTAINERS.items():
        crowded.vm.run(add_container(owner, address))
        verdicts = container_verdicts(crowded, owner, address, CROWDED.unnamed)
        assert [] == [item.detail for item in verdicts if not item.ok]
    assert 0 == sum(it.src for it in crowded.vpc.counters().values())
