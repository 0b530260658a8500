# SPDX-License-Identifier: Apache-2.0
"""What belongs to others: an ENI, rules, routes. Nothing touches them.

The third ENI has `manage: false`. The rules are those of the Amazon VPC CNI,
and others; the tests run in order and share one boot.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.far_server import FAR_PORT
from tests.lab.image import with_package
from tests.lab.instance import LabInstance, booted
from tests.lab.shape import THIRD, THIRD_SUBNET, LabEni, Subnet
from tests.lab.user_data import SEED_INTENT
from tests.vm import others
from tests.vm.others import SHOW_THEIRS
from tests.vm.state import (
    assert_flows,
    hotplug_runs,
    wait_for,
    wait_until_followed,
)

THEIRS = "ens7"
# Of users that every Debian has, one without a login.
PINNED = "proxy"
PRIVATE = "10.224.184.51"
FOURTH = LabEni(
    "fourth",
    "eni-0000000000000000d",
    "0a:11:22:33:44:66",
    3,
    "fourth",
    ("10.224.185.20",),
)
# As a network plugin attaches it, in the subnet that is left alone.
FIFTH = LabEni(
    "fifth",
    "eni-0000000000000000e",
    "0a:11:22:33:44:77",
    4,
    THIRD_SUBNET.name,
    ("10.224.187.30",),
)
SHAPE = replace(
    SEED_INTENT.shape,
    subnets=(
        *SEED_INTENT.shape.subnets,
        THIRD_SUBNET,
        Subnet("fourth", "subnet-0ddddddddddddddd4", "10.224.185.0/26", "tgw"),
    ),
    enis=(*SEED_INTENT.shape.enis, THIRD),
)
INTENT = replace(SEED_INTENT, shape=SHAPE)
KEY = {
    "interfaces": {
        "private": {"device_number": 0, "table": 10},
        "public": {"device_number": 1, "table": 20},
        "theirs": {"subnet": THIRD_SUBNET.cidr, "manage": False},
    },
    "users": {PINNED: "private"},
}
PUT_THERE = f"""
{others.PUT_THERE}
ip route add default via 10.224.187.1 dev ens7 table 2 onlink
"""
# Of the ENI: its link, its addresses, routes, rules, sysctls and files.
SHOW_ENI = f"""
ip -N -d link show {THEIRS}
ip -N -4 addr show {THEIRS} | grep -v valid_lft
ip -N route show table all dev {THEIRS} | sort
ip -N rule show | grep 10.224.187 | grep -v ^3259
grep -r . /proc/sys/net/ipv4/conf/{THEIRS} | sort
networkctl status {THEIRS} | grep -i -e file -e state
cat /run/systemd/network/*-{THEIRS}.network
"""
# What netplan makes of cloud-init's file alone.
STOCK_FILE = f"""
rm -rf /tmp/stock && mkdir -p /tmp/stock/etc
cp -a /etc/netplan /tmp/stock/etc/
netplan generate --root-dir /tmp/stock
cmp /tmp/stock/run/systemd/network/10-netplan-{THEIRS}.network \
  /run/systemd/network/10-netplan-{THEIRS}.network
"""
DROP_IN = "/etc/multihome.d/50-more.yaml"
# Everything is real but the verdict.
FAIL = """
import cc_multihome.apply.host as host
from cc_multihome import pipeline
from cc_multihome.apply.verify import LevelResult
host.verify = lambda _: (LevelResult("kernel", "failed", 0, ("told to",)),)
pipeline.configure(pipeline.read_key(), trigger="person")
"""


@pytest.fixture(scope="module")
def host(lab_run: Run, deb: Path) -> Iterator[LabInstance]:
    """Three ENIs, the third left alone."""
    data = user_data.multihome(INTENT, **KEY)
    image = with_package("trixie", deb)
    with booted(lab_run, image, INTENT, data, label="theirs") as instance:
        assert "done" == instance.boot.cloud_init, instance.boot.why
        instance.vm.run("systemctl stop multihome-refresh.timer")
        yield instance


@pytest.fixture(scope="module")
def settled(host: LabInstance) -> LabInstance:
    """The host after networkd's first reload.

    Until then, what cloud-init's own DHCP client has left is on the third
    ENI, beside networkd's: as without the module.
    """
    add_destination(host, "198.51.100.8")
    host.vm.run("multihome apply", timeout=200)
    wait_for(lambda: "metric 300" in shown(host, SHOW_ENI), "no lease")
    host.vm.run(PUT_THERE)
    return host


def shown(host: LabInstance, script: str) -> str:
    """Return what commands print, in order."""
    return host.vm.run(script, check=False).out


def add_destination(host: LabInstance, address: str) -> None:
    """Have another destination go by the first ENI."""
    content = f"policy:\n  - {{to: {address}, via: private}}\n"
    host.vm.run("mkdir -p /etc/multihome.d")
    host.vm.agent.put(content.encode(), DROP_IN)


def test_an_eni_left_alone_works_as_stock(host: LabInstance) -> None:
    """Its flows too: cloud-init's own rule and table are for it."""
    assert_flows(host, INTENT)


def test_no_file_of_the_modules_says_anything_of_it(
    host: LabInstance,
) -> None:
    """Byte for byte what netplan makes of cloud-init's file alone."""
    host.vm.run(STOCK_FILE)
    said = host.vm.run(
        f"grep -l -e {THIRD.mac} -e {THEIRS} -r /run/netplan"
        " /run/systemd/network /etc/iproute2/rt_tables.d",
        check=False,
    ).out.split()
    assert {
        "/run/netplan/50-cloud-init.yaml",
        f"/run/systemd/network/10-netplan-{THEIRS}.network",
    } == {it for it in said if not it.endswith(".link")}


def test_a_pinned_user_may_use_it(host: LabInstance) -> None:
    """A socket that is bound to its address leaves by it, and is answered."""
    (address,) = THIRD.ipv4s
    to, become = (
        SEED_INTENT.unnamed,
        f"setpriv --reuid={PINNED} --clear-groups",
    )
    ask = f"{become} socat -T 8 - TCP:{to}:{FAR_PORT}"
    host.vpc.reset_counters()
    for bind, saw in ((f",bind={address}", address), ("", PRIVATE)):
        answer = json.loads(host.vm.run(f"{ask}{bind} < /dev/null").out)
        assert saw == answer["saw"]
    # Negative twin.
    host.vm.run("ip rule del priority 32590; ip rule del priority 32599")
    way = f"ip -j route get {to} from {address} uid $(id -u {PINNED})"
    assert "private" == host.vm.agent.json(way)[0]["dev"]
    host.vm.run("multihome apply", timeout=200)
    assert THEIRS == host.vm.agent.json(way)[0]["dev"]
    assert 0 == sum(it.src for it in host.vpc.counters().values())


def test_their_rule_stays_when_networkd_starts_anew(
    host: LabInstance,
) -> None:
    """Though the module repeats it: networkd must not take one for the other.

    It looks at rules in an order that each start draws by lot.
    """
    way = (THIRD.ipv4s[0], 102)
    for _ in range(5):
        host.vm.run("systemctl restart systemd-networkd; sleep 2")
        wait_for(lambda: all_configured(host), "a link is not configured")
        ours, *theirs = [it[0] for it in host.priorities() if it[1:] == way]
        assert 32590 == ours
        assert len(theirs) == 1


def all_configured(host: LabInstance) -> bool:
    """Is networkd through with all three links?"""
    asked = f"networkctl list private public {THEIRS} --no-legend"
    return 3 == shown(host, asked).count("configured")


def apply_a_change(host: LabInstance) -> None:
    """A person does."""
    add_destination(host, "198.51.100.9")
    assert "applied" in host.vm.run("multihome apply", timeout=200).out


def refresh(host: LabInstance) -> None:
    """The timer does."""
    add_destination(host, "198.51.100.10")
    host.vm.run("systemctl start multihome-refresh.service", timeout=200)
    assert "198.51.100.10" in host.vm.run("ip route show table 30999").out


def mend(host: LabInstance) -> None:
    """A rule of ours was lost, and its link is configured again."""
    host.vm.run("ip rule del priority 31101")
    host.vm.run("multihome apply", timeout=200)
    assert 31101 in [rule[0] for rule in host.priorities()]


def fail(host: LabInstance) -> None:
    """A change that does not work is taken back."""
    add_destination(host, "198.51.100.11")
    result = host.vm.run(
        f"python3 -c {shlex.quote(FAIL)}", check=False, timeout=200
    )
    assert "The former state was put back" in result.err, result


def roll_back(host: LabInstance) -> None:
    """Back to the plan before the last."""
    host.vm.run("multihome rollback", timeout=200)


def attach(host: LabInstance) -> None:
    """Another ENI, which is managed."""
    host.vpc.update(replace(SHAPE, enis=(*SHAPE.enis, FOURTH)))
    host.vm.plug(FOURTH)
    wait_for(
        lambda: 31103 in [rule[0] for rule in host.priorities()],
        "no rule of the fourth ENI",
    )
    wait_until_followed(host)


def attach_one_of_theirs(host: LabInstance) -> None:
    """One more that the entry with `manage: false` matches."""
    before = hotplug_runs(host)
    host.vpc.update(replace(SHAPE, enis=(*SHAPE.enis, FOURTH, FIFTH)))
    host.vm.plug(FIFTH)
    wait_for(lambda: before != hotplug_runs(host), "no run for it")
    wait_until_followed(host)
    rules = host.priorities()
    assert 31103 in [rule[0] for rule in rules]
    assert not {31004, 31104} & {it for rule in rules for it in rule}
    address = f"ip -4 addr show to {FIFTH.ipv4s[0]}"
    assert "" == host.vm.run(address).out


def restore(host: LabInstance) -> None:
    """cloud-init's own networking, under the kernel's names."""
    host.vm.run("multihome restore", timeout=200)
    assert not {31000, 31100, 31101} & {rule[0] for rule in host.priorities()}


@pytest.mark.parametrize(
    "change",
    [
        *(apply_a_change, refresh, mend, fail, roll_back),
        *(attach, attach_one_of_theirs, restore),
    ],
    ids=lambda change: change.__name__,
)
def test_their_rules_routes_and_eni_stay(
    settled: LabInstance, change: Callable[[LabInstance], None]
) -> None:
    """Through every way in which the module changes something."""
    host = settled
    theirs, eni = shown(host, SHOW_THEIRS), shown(host, SHOW_ENI)
    others.assert_all_there(theirs)
    assert "10.224.187.20" in eni

    change(host)

    # Names of links change at a restore, and nothing else.
    assert theirs == others.by_given_names(shown(host, SHOW_THEIRS))
    assert eni == shown(host, SHOW_ENI)
