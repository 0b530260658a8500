# SPDX-License-Identifier: Apache-2.0
"""Instances that are not the seed's: cells of the matrix.

The seed's on other suites are in test_package.py; the seed's and the crowded
one's of trixie are in test_multihome.py and test_addresses.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.expected import BUILT_IN, planned_rules, problems_of
from tests.lab.image import with_package
from tests.lab.instance import LabInstance, booted
from tests.lab.pinging import is_answered
from tests.lab.shape import SEED, UNNAMED
from tests.lab.shapes import COLLECTOR, SHAPES
from tests.lab.user_data import Intent
from tests.vm.state import RUN_AGAIN, assert_flows

CASES = (
    ("trixie", "same-subnet"),
    ("trixie", "cards"),
    ("trixie", "fifteen"),
    # The seed on bookworm and sid: test_package.py.
)
# Also without any name, as `bare` below.
MORE_CASES = (("trixie", "primary"),)
REBOOTED = (("trixie", "cards"),)


@pytest.mark.parametrize(
    ("suite", "shape"),
    [
        *(pytest.param(*it, id="-".join(it)) for it in CASES),
        *(
            pytest.param(*it, id="-".join(it), marks=pytest.mark.thorough)
            for it in MORE_CASES
        ),
    ],
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
        if shape == "same-subnet":
            assert_arp_is_answered_by_the_right_eni(instance)
            assert_settings_come_and_go(instance)
        if shape == "fifteen":
            assert_status_has_every_eni(instance, intent)
        if (suite, shape) in REBOOTED:
            boot = instance.vm.reboot()
            assert "done" == boot.cloud_init, boot.why
            assert planned_rules(intent) == sorted(instance.priorities())


def assert_status_has_every_eni(instance: LabInstance, intent: Intent) -> None:
    """Of however many: a line each for people, an entry each for programs.

    And as many are no reason for a second run to find something to do.
    """
    enis = intent.shape.enis
    head, *lines = instance.vm.run("multihome status").out.splitlines()
    assert head.startswith("multihome: healthy")
    for eni in enis:
        (line,) = (it for it in lines if it.startswith(f"{eni.name}\t"))
        name, eni_id, table, addresses, kernel = line.split("\t")
        assert (eni.eni_id, "ok") == (eni_id, kernel)
        assert f"{intent.tables[name]} ({name})" == table
        # One with twenty addresses does not fill the screen.
        first, *more = addresses.split(", ")
        assert eni.ipv4s[0] == first and len(more) <= 2, addresses
    status = instance.vm.agent.json("multihome status --json")
    assert [it.name for it in enis] == [
        it["name"] for it in status["plan"]["interfaces"]
    ]
    again = instance.vm.agent.json("multihome apply --json", timeout=200)
    assert ("unchanged", False) == (again["outcome"], again["changed"])


def assert_arp_is_answered_by_the_right_eni(instance: LabInstance) -> None:
    """Though both hear the question, as on plain Ethernet.

    The lab counts ARP from an ENI with an address that is not its own.
    """

    def wrong_answers() -> int:
        """Let the router ask for both ENIs, and ping them."""
        instance.vpc.flood_arp()
        instance.vpc.reset_counters()
        for name in ("left", "right"):
            side, address = instance.vpc.outside(name)
            assert is_answered(side, address, within=30), name
        return sum(it.arp for it in instance.vpc.counters().values())

    assert 0 == wrong_answers()
    ignored = [f"net.ipv4.conf.{it}.arp_ignore=0" for it in ("left", "right")]
    instance.vm.run(f"sysctl -qw {' '.join(ignored)}")
    # The kernel's own way; or nothing was asked here.
    assert wrong_answers() > 0
    instance.vpc.flood_arp(False)
    instance.vm.run("multihome apply", timeout=200)


SETTINGS = ("arp_ignore", "arp_announce", "rp_filter")
# As an administrator has it: from before the module's first run.
BEFORE = ("0", "0", "1")
NEEDED = ("1", "2", "2")


def assert_settings_come_and_go(instance: LabInstance) -> None:
    """Set while two ENIs share their subnet, and put back afterwards.

    By a restore, and by the package's removal.
    """

    def settings(name: str) -> tuple[str, ...]:
        keys = " ".join(f"net.ipv4.conf.{name}.{key}" for key in SETTINGS)
        return tuple(instance.vm.run(f"sysctl -n {keys}").out.split())

    assert [NEEDED[:2]] * 2 == [settings(it)[:2] for it in ("left", "right")]
    strict = " ".join(
        f"net.ipv4.conf.{it}.rp_filter=1" for it in ("ens5", "ens6")
    )
    instance.vm.run(f"multihome restore; sysctl -qw {strict}", timeout=200)
    assert [BEFORE] * 2 == [settings(it) for it in ("ens5", "ens6")]
    instance.vm.run(RUN_AGAIN, timeout=200)
    assert [NEEDED] * 2 == [settings(it) for it in ("left", "right")]
    instance.vm.save("shared")

    instance.vm.run("apt-get -qq -y remove cc-multihome", timeout=300)
    assert [BEFORE] * 2 == [settings(it) for it in ("ens5", "ens6")]
    instance.vm.restore("shared")


# `multihome: {}` and, later, destinations by words and by prefixes.
BARE = Intent(
    shape=replace(
        COLLECTOR.shape,
        both_sides=(
            *COLLECTOR.shape.both_sides,
            "172.31.200.1",
            "10.77.8.5",
            "10.88.1.1",
            "192.168.7.7",
            "10.99.1.1",
            "100.64.1.1",
        ),
    ),
    tables={"edge": 31000, "mgmt": 31001, "flows": 31101},
    default="edge",
    policy={},
    unnamed="203.0.113.77",
)
WORDS = """
policy:
  - {to: rfc1918, via: ens7}
  - {to: [vpc, 203.0.113.5], via: ens6}
  - {to: 10.99.0.0/16, via: ens5}
"""
BY_WORDS = {
    "172.31.200.1": "mgmt",  # vpc, within 172.16.0.0/12 of rfc1918
    "10.77.8.5": "mgmt",  # vpc, its second block
    "203.0.113.5": "mgmt",
    "10.88.1.1": "flows",
    "192.168.7.7": "flows",
    "10.99.1.1": "edge",  # within 10.0.0.0/8
    "100.64.1.1": "edge",  # nobody names it yet
}
MORE_VPC = (*BARE.shape.vpc_cidrs, "100.64.0.0/16")


@pytest.fixture(scope="module")
def bare(lab_run: Run, deb: Path) -> Iterator[LabInstance]:
    """Three ENIs and a key that says nothing."""
    data = user_data.cloud_config({"multihome": {}})
    image = with_package("trixie", deb)
    with booted(lab_run, image, BARE, data, label="bare") as instance:
        yield instance


def test_a_bare_key_manages_every_eni(bare: LabInstance) -> None:
    """Kernel names, derived tables, the primary as default."""
    assert planned_rules(BARE) == sorted(bare.priorities())
    names = {link["ifname"] for link in bare.ip_json("link show")}
    assert {"lo", "ens5", "ens6", "ens7"} == names
    assert_flows(bare, BARE)


def test_words_and_prefixes_overlap_and_the_longest_wins(
    bare: LabInstance,
) -> None:
    """Every block of the VPC, the private ranges, and one within those."""
    bare.vm.run("mkdir -p /etc/multihome.d")
    bare.vm.agent.put(WORDS.encode(), "/etc/multihome.d/50-words.yaml")
    bare.vm.run("multihome apply", timeout=200)
    assert_flows(bare, replace(BARE, policy=BY_WORDS))


def test_a_block_that_the_vpc_gets_is_followed(bare: LabInstance) -> None:
    """By the timer's unit; taken away again, it is let go."""
    policy = {**BY_WORDS, "100.64.1.1": "mgmt"}
    for blocks, expected in (
        (MORE_VPC, policy),
        (BARE.shape.vpc_cidrs, BY_WORDS),
    ):
        bare.vpc.update(replace(BARE.shape, vpc_cidrs=blocks))
        refresh = "systemctl start multihome-refresh.service"
        bare.vm.run(refresh, timeout=200)
        assert_flows(bare, replace(BARE, policy=expected))


def test_one_prefix_by_two_enis_is_a_mistake(bare: LabInstance) -> None:
    """Also where one comes from a word; nothing is changed."""
    before = bare.ip_json("-4 route show table 30999")
    double = WORDS + "  - {to: 172.31.0.0/16, via: ens5}\n"
    bare.vm.agent.put(double.encode(), "/etc/multihome.d/50-words.yaml")
    result = bare.vm.run("multihome apply", check=False, timeout=200)

    assert 0 != result.status
    said = result.out + result.err
    assert "expected each destination via one interface" in said
    assert before == bare.ip_json("-4 route show table 30999")


def test_one_eni_keeps_its_stock_network(lab_run: Run, deb: Path) -> None:
    """`multihome: {}`: the resolver changes and nothing else."""
    shape = replace(SEED, enis=SEED.enis[:1])
    intent = Intent(shape, {"private": 31000}, "private", {}, UNNAMED)
    data = user_data.cloud_config({"multihome": {}})
    image = with_package("trixie", deb)
    with booted(lab_run, image, intent, data, label="one") as instance:
        # What netplan makes of cloud-init's file alone is all that there is.
        instance.vm.run(
            "set -e; mkdir -p /tmp/stock/etc; cp -a /etc/netplan"
            " /tmp/stock/etc; netplan generate --root-dir /tmp/stock;"
            " diff -r /tmp/stock/run/systemd/network /run/systemd/network;"
            " ls /etc/netplan; test ! -e /run/netplan"
        )
        assert BUILT_IN == instance.priorities()
        routes = instance.ip_json("-4 route show table all type unicast")
        assert {"2", "16"} == {item["protocol"] for item in routes}
        assert {"254"} == {item.get("table", "254") for item in routes}
        shown = instance.vm.run("cat /etc/resolv.conf").out
        assert "nameserver 169.254.169.253" in shown
        assert_flows(instance, intent)
