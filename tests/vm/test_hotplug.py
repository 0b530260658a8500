# SPDX-License-Identifier: Apache-2.0
"""ENIs and addresses that come and go on a running host.

Nobody does anything on the host: udev and the timer's unit do. The other
ENIs have steady traffic meanwhile and must lose nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.image import with_package
from tests.lab.imds_tree import MACS
from tests.lab.instance import LabInstance, booted
from tests.lab.pinging import (
    is_answered,
    pinging,
    serve_echo,
    streaming,
)
from tests.lab.shape import THIRD, THIRD_SUBNET, WITH_THIRD, LabEni
from tests.lab.user_data import SEED_INTENT
from tests.vm.state import (
    THIRDS_RULE,
    assert_flows,
    hotplug_runs,
    planned_rules,
    read_state,
    wait_for,
    wait_until_gone,
)

SEED = replace(
    SEED_INTENT.shape, subnets=(*SEED_INTENT.shape.subnets, THIRD_SUBNET)
)
INTENT = replace(SEED_INTENT, shape=SEED)
FOURTH = LabEni(
    "fourth",
    "eni-0000000000000000d",
    "0a:11:22:33:44:66",
    3,
    "third",
    ("10.224.187.40",),
)
FOURTHS_RULE = (31103, "10.224.187.40", 31003)
# Pings, and lines over TCP, a second.
RATE = 100.0
ECHO_PORT = 7100
RUN_LATER = ("hotplug", "refresh")
NETWORKD_LOG = "journalctl -b -o cat -u systemd-networkd"
UNITS = [f"multihome-{name}.service" for name in ("early", *RUN_LATER)]
# Of 10, as `systemd-analyze security` has it. They had 2.7 and 2.9
# (docs/how-it-works.md); less protection has to be a decision.
MOST_EXPOSED = 3.0
SOON = "[Timer]\nOnActiveSec=5s\nRandomizedDelaySec=0\nAccuracySec=1s\n"
# A system call that the units may not make ends them, so that it shows.
STRICT = "[Service]\nSystemCallErrorNumber=\n"


@pytest.fixture(scope="module")
def host(lab_run: Run, deb: Path) -> Iterator[LabInstance]:
    """The seed's instance, booted with the module."""
    data = user_data.multihome(INTENT)
    image = with_package("trixie", deb)
    with booted(lab_run, image, INTENT, data, label="hot") as instance:
        assert "done" == instance.boot.cloud_init, instance.boot.why
        make_strict(instance)
        serve_echo(instance.vm, ECHO_PORT)
        yield instance


def make_strict(host: LabInstance) -> None:
    """Let no system call be refused unseen."""
    for name in RUN_LATER:
        folder = f"/run/systemd/system/multihome-{name}.service.d"
        host.vm.run(f"mkdir -p {folder}")
        host.vm.agent.put(STRICT.encode(), f"{folder}/strict.conf")
    host.vm.run("systemctl daemon-reload")


def others_lose_nothing(
    host: LabInstance,
    change: Callable[[], None],
    names: Iterable[str] = tuple(INTENT.tables),
) -> None:
    """Change something under steady traffic of the seed's ENIs, or some.

    100 pings a second through each, and lines over an open TCP connection.
    """
    with ExitStack() as stack:
        found = [
            stack.enter_context(traffic)
            for name in names
            for traffic in (
                pinging(*host.vpc.outside(name), rate=RATE),
                streaming(*host.vpc.outside(name), ECHO_PORT, rate=RATE),
            )
        ]
        change()
    for item in found:
        assert item.received > 0
        assert 0 == item.lost, found


def answers(host: LabInstance, address: str, *, within: float = 30) -> bool:
    """Ping an address from the company's side until it answers."""
    return is_answered(host.vpc.corp, address, within=within)


def refresh(host: LabInstance) -> None:
    """Do what the timer does, now."""
    host.vm.run("systemctl start multihome-refresh.service", timeout=200)


def wait_until_at_rest(host: LabInstance) -> dict[str, Any]:
    """Wait until no run is under way and nothing changes; return the state."""
    runs = "systemctl is-active multihome-hotplug multihome-refresh"
    seen: list[dict[str, Any]] = [{}]

    def rests() -> bool:
        busy = "activating" in host.vm.run(runs, check=False).out
        seen.append(read_state(host))
        return not busy and seen[-1] == seen[-2]

    wait_for(rests, "the host does not come to rest")
    return seen[-1]


def networkd_lines(host: LabInstance) -> int:
    """Count what networkd has said since the boot."""
    return int(host.vm.run(f"{NETWORKD_LOG} | wc -l").out)


def networkd_said(host: LabInstance, lines: int) -> str:
    """Return what it said after that many lines."""
    return host.vm.run(f"{NETWORKD_LOG} | tail -n +{lines + 1}").out


def not_listed(eni: LabEni) -> dict[str, object]:
    """Return the fault of metadata that does not know of an ENI yet."""
    macs = [it.mac for it in WITH_THIRD.enis if it != eni]
    listing = "".join(f"{mac}/\n" for mac in macs)
    return {"kind": "status", "status": 200, "path": MACS, "body": listing}


def half_ready(eni: LabEni) -> tuple[dict[str, object], ...]:
    """Return the faults of metadata that knows of it, and not yet all."""
    of_eni = f"{MACS}{eni.mac}/"
    zero = {"path": f"{of_eni}device-number", "status": 200, "body": "0"}
    absent = {"path": f"{of_eni}local-ipv4s", "status": 404}
    return {"kind": "status", **zero}, {"kind": "status", **absent}


def wait_until_asked(host: LabInstance, path: str) -> None:
    """Wait until the instance asks IMDS for that, from now on."""
    seen = len(host.vpc.imds_requests())
    wait_for(
        lambda: path in [it["path"] for it in host.vpc.imds_requests()[seen:]],
        f"IMDS is not asked for {path}",
    )


def test_the_units_are_in_a_sandbox(host: LabInstance) -> None:
    """All that follows is done from within it."""
    for unit in UNITS:
        said = host.vm.run(f"systemd-analyze security --no-pager {unit}").out
        print(said.splitlines()[-1])
        exposure = float(said.rpartition(": ")[2].split()[0])
        assert exposure <= MOST_EXPOSED, said


def test_the_timer_goes_off_by_itself(host: LabInstance) -> None:
    """In some seconds here; later tests do what it does, when they want."""
    timer, folder = "multihome-refresh.timer", "/run/systemd/system"
    shown = "systemctl show -P ExecMainExitTimestamp multihome-refresh.service"
    before = host.vm.run(shown).out
    assert "active\n" == host.vm.run(f"systemctl is-active {timer}").out
    host.vm.run(f"mkdir -p {folder}/{timer}.d")
    host.vm.agent.put(SOON.encode(), f"{folder}/{timer}.d/soon.conf")
    host.vm.run(f"systemctl daemon-reload; systemctl restart {timer}")
    wait_for(
        lambda: host.vm.run(shown).out not in (before, "\n"),
        "the timer starts nothing",
    )
    host.vm.run(
        f"systemctl stop {timer}; rm -r {folder}/{timer}.d;"
        " systemctl daemon-reload"
    )
    wait_until_at_rest(host)


def test_an_attached_eni_works_by_itself(host: LabInstance) -> None:
    """Metadata comes some seconds after the device, and not all at once."""

    def attach() -> None:
        host.vpc.set_faults(not_listed(THIRD))
        host.vpc.update(WITH_THIRD)
        host.vm.plug(THIRD)
        wait_until_asked(host, MACS)
        host.vpc.set_faults(*half_ready(THIRD))
        wait_until_asked(host, f"{MACS}{THIRD.mac}/device-number")
        wait_until_asked(host, f"{MACS}{THIRD.mac}/device-number")
        assert THIRDS_RULE not in host.priorities()
        host.vpc.set_faults()
        took = wait_for(
            lambda: THIRDS_RULE in host.priorities(), "no rule of the ENI"
        )
        print(f"attach to rule: {took:.1f} s")
        # Until then the host does with it what cloud-init's file says.
        host.vpc.reset_counters()
        wait_for(lambda: answers(host, THIRD.ipv4s[0]), "no answer by it")

    lines = networkd_lines(host)
    # netplan writes all of networkd's files anew.
    host.vm.run("systemctl daemon-reload")
    others_lose_nothing(host, attach)
    said = networkd_said(host, lines)
    assert "ens7: " in said
    for name in INTENT.tables:
        assert f"{name}: Reconfiguring" not in said
    rules = sorted([*planned_rules(INTENT), THIRDS_RULE])
    assert rules == sorted(host.priorities())
    assert 0 == sum(drops.src for drops in host.vpc.counters().values())
    # No DHCP told it: no file of netplan's matched it before the module's.
    mtu = read_state(host)["mtu"]
    assert {SEED.mtu} == {mtu[name] for name in (*INTENT.tables, "ens7")}


def test_a_secondary_address_gets_its_rule_and_loses_it(
    host: LabInstance,
) -> None:
    """On the third ENI, by the timer's unit."""
    more = replace(THIRD, ipv4s=(*THIRD.ipv4s, "10.224.187.21"))
    rule = (31102, "10.224.187.21", 31002)

    def add() -> None:
        host.vpc.update(replace(WITH_THIRD, enis=(*SEED.enis, more)))
        refresh(host)

    def remove() -> None:
        host.vpc.update(WITH_THIRD)
        refresh(host)

    others_lose_nothing(host, add)
    assert rule in host.priorities()
    assert answers(host, "10.224.187.21")
    others_lose_nothing(host, remove)
    assert rule not in host.priorities()
    assert THIRDS_RULE in host.priorities()
    assert answers(host, THIRD.ipv4s[0])


def test_a_refresh_without_a_change_changes_nothing(host: LabInstance) -> None:
    """It starts no command that changes anything."""
    state = wait_until_at_rest(host)
    lines = networkd_lines(host)
    others_lose_nothing(host, lambda: refresh(host))
    said = networkd_said(host, lines)
    # What it says when it takes up files; it may say other things.
    assert "onfigur" not in said, said
    assert "Reload" not in said, said
    assert state == read_state(host)


def test_a_detached_eni_takes_its_own_with_it(host: LabInstance) -> None:
    """Its tables, rules and names go, and nothing else."""

    def detach() -> None:
        host.vm.unplug("third")
        host.vpc.update(SEED)
        wait_until_gone(host, THIRDS_RULE[2])

    others_lose_nothing(host, detach)
    assert planned_rules(INTENT) == sorted(host.priorities())
    assert ["lo", "private", "public"] == list(read_state(host)["links"])


def test_two_that_come_at_once_are_one_run(host: LabInstance) -> None:
    """Or two, where the second came after the first had looked.

    The same holds of two that go. Counted is what systemd started from rest
    to rest, runs included that were over before anybody could look.
    """
    both = replace(SEED, enis=(*SEED.enis, THIRD, FOURTH))

    def come() -> None:
        host.vpc.update(both)
        host.vm.plug(THIRD)
        host.vm.plug(FOURTH)
        wait_for(
            lambda: {THIRDS_RULE, FOURTHS_RULE} <= set(host.priorities()),
            "no rules of the ENIs",
        )
        wait_until_at_rest(host)

    def go() -> None:
        host.vm.unplug("third")
        host.vm.unplug("fourth")
        host.vpc.update(SEED)
        wait_for(
            lambda: planned_rules(INTENT) == sorted(host.priorities()),
            "there still are their rules",
        )
        for rule in (THIRDS_RULE, FOURTHS_RULE):
            wait_until_gone(host, rule[2])
        wait_until_at_rest(host)

    wait_until_at_rest(host)
    before = hotplug_runs(host)
    others_lose_nothing(host, come)
    came = hotplug_runs(host)
    assert 1 <= len(came) - len(before) <= 2, came
    for eni in (THIRD, FOURTH):
        assert answers(host, eni.ipv4s[0]), eni.name
    others_lose_nothing(host, go)
    went = hotplug_runs(host)
    assert 1 <= len(went) - len(came) <= 2, went


def test_a_destination_of_a_file_comes_and_goes(host: LabInstance) -> None:
    """Puppet wrote it; only the ENI that it leaves by is touched."""
    path = "/etc/multihome.d/50-puppet.yaml"
    text = "policy: [{to: 203.0.113.201, via: private}]\n"
    shown = "ip -4 route show table multihome-policy"
    host.vm.run("mkdir -p /etc/multihome.d")
    host.vm.agent.put(text.encode(), path)

    def apply() -> None:
        host.vm.run("multihome apply", timeout=200)

    lines = networkd_lines(host)
    others_lose_nothing(host, apply)
    assert "203.0.113.201 via 10.224.184.1 dev private" in (
        host.vm.run(shown).out
    )
    said = networkd_said(host, lines)
    assert "private: Reconfiguring" in said
    assert "public: Reconfiguring" not in said
    host.vm.run(f"rm {path}")
    others_lose_nothing(host, apply)
    assert "203.0.113.201" not in host.vm.run(shown).out


def test_what_another_eni_lost_comes_back_with_a_change(
    host: LabInstance,
) -> None:
    """networkd reads no new file for it; the proof asks for all there is."""
    path = "/etc/multihome.d/50-puppet.yaml"
    host.vm.agent.put(b"policy: [{to: 203.0.113.202, via: private}]\n", path)
    lines = networkd_lines(host)
    host.vm.run("ip rule del priority 31101; multihome apply", timeout=200)
    assert "public: Reconfiguring" in networkd_said(host, lines)
    assert planned_rules(INTENT) == sorted(host.priorities())
    host.vm.run(f"rm {path}; multihome apply", timeout=200)
    assert_flows(host, INTENT)


def test_a_broken_file_is_told_and_changes_nothing(host: LabInstance) -> None:
    """With its name and line; by the last good one addresses are followed."""
    path = "/etc/multihome.d/50-puppet.yaml"
    state = read_state(host)
    host.vm.agent.put(b"policy:\n  - to: 10.0.0.1/8\n", path)
    done = host.vm.run("multihome apply", check=False)
    assert 1 == done.status
    assert f"{path}, line 2" in done.err
    assert state == read_state(host)
    follow_an_address(host)
    assert state == read_state(host)
    assert f"{path}, line 2" in last_error(host)
    host.vm.run(f"rm {path}")
    assert 0 == host.vm.run("multihome apply", timeout=200).status
    assert "" == last_error(host)


def follow_an_address(host: LabInstance) -> None:
    """Have the timer's unit see one come and go, whatever it thinks of it."""
    private = SEED.eni("private")
    more = replace(private, ipv4s=(*private.ipv4s, "10.224.184.60"))
    others = [it for it in SEED.enis if it != private]
    host.vpc.update(replace(SEED, enis=(more, *others)))
    refresh(host)
    assert answers(host, "10.224.184.60")
    host.vpc.update(SEED)
    refresh(host)
    assert not answers(host, "10.224.184.60", within=2)


def test_the_eni_of_the_default_goes_and_comes_back(
    host: LabInstance,
) -> None:
    """Main has no default route then, and IMDS is reached all the same."""
    path = "/etc/multihome.d/50-default.yaml"
    left = replace(SEED, enis=(SEED.eni("private"),))
    alone = replace(INTENT, shape=left, tables={"private": 10})

    def detach() -> None:
        host.vm.unplug("public")
        host.vpc.update(left)
        wait_for(lambda: "public" in last_error(host), "nothing is told")

    def choose_another() -> None:
        host.vm.run("mkdir -p /etc/multihome.d")
        host.vm.agent.put(b"default: private\n", path)
        host.vm.run("multihome apply", timeout=200)

    others_lose_nothing(host, detach, names=["private"])
    assert "multihome.default" in last_error(host)
    assert "" == host.vm.run("ip -4 route show default").out
    others_lose_nothing(host, choose_another, names=["private"])
    assert "" == last_error(host)
    assert planned_rules(alone) == sorted(host.priorities())
    assert "dev private" in host.vm.run("ip -4 route get 192.0.2.77").out

    host.vm.run(f"rm {path}")
    host.vpc.update(SEED)
    host.vm.plug("public")
    wait_for(
        lambda: "dev public" in host.vm.run("ip -4 route get 192.0.2.77").out,
        "the default is not back",
    )
    wait_until_at_rest(host)
    assert planned_rules(INTENT) == sorted(host.priorities())
    assert_flows(host, INTENT)


def last_error(host: LabInstance) -> str:
    """Return what the last run that did something said, or nothing."""
    status = json.loads(
        host.vm.run("multihome status --json", check=False).out
    )
    return str(status["last"]["error"] or "")
