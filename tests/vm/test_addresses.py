# SPDX-License-Identifier: Apache-2.0
"""ENIs with many addresses and delegated prefixes, on the real thing.

`app` has its subnet to itself and more addresses than have rules of their
own; `web` has two public addresses; `east` and `west` share a subnet, many
addresses each. app and west have a delegated prefix, with a container.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.far_server import COMPANY, FAR_PORT, GUEST, INTERNET
from tests.lab.flows import Flow, Probe, run_flows
from tests.lab.image import with_package
from tests.lab.instance import LabInstance, booted
from tests.lab.shapes import CROWDED
from tests.lab.vpc import Runner
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
        flows = (
            Flow(
                f"to {address}",
                "company -> container",
                Probe(f"to {address}", "ping", address),
                owner,
                GUEST,
                COMPANY,
                guest_address=address,
            ),
            Flow(
                f"from {address}",
                "container -> company",
                Probe(f"from {address}", "tcp", CROWDED.unnamed, FAR_PORT),
                owner,
                COMPANY,
                GUEST,
                address,
            ),
        )
        runners: dict[str, Runner] = {
            GUEST: partial(in_container, crowded, owner),
            COMPANY: crowded.vpc.runner(COMPANY),
            INTERNET: crowded.vpc.runner(INTERNET),
        }
        verdicts = run_flows(flows, runners, crowded.vpc.capture)
        assert [] == [item.detail for item in verdicts if not item.ok]
    assert 0 == sum(it.src for it in crowded.vpc.counters().values())


def in_container(
    instance: LabInstance, owner: str, argv: Sequence[str], stdin: str
) -> str:
    """Run a command in a container of the guest; the shape of vpc.Runner."""
    inside = ["ip", "netns", "exec", f"c-{owner}", *argv]
    return instance.guest(inside, stdin)


def add_container(owner: str, address: str) -> str:
    """Return commands that make a container with an address of its own."""
    name = f"c-{owner}"
    return f"""
        set -e
        sysctl -qw net.ipv4.ip_forward=1
        ip netns add {name}
        ip link add {name} type veth peer name eth0 netns {name}
        ip addr add 169.254.77.1/32 dev {name}
        ip link set {name} up
        ip route add {address}/32 dev {name}
        ip -n {name} addr add {address}/32 dev eth0
        ip -n {name} link set eth0 up
        ip -n {name} route add 169.254.77.1 dev eth0
        ip -n {name} route add default via 169.254.77.1
    """
