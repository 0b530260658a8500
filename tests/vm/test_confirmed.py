# SPDX-License-Identifier: Apache-2.0
"""Whatever goes wrong, the host is reachable and the status tells the truth.

One boot serves all faults. Each begins from a saved state of it, so each runs
alone, too; those with a boot of their own come last, in order. At the end of
the run a table is printed of what became of each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGUSR1
from threading import Event, Thread
from typing import Any

import pytest

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.image import with_package
from tests.lab.imds_tree import MACS
from tests.lab.instance import booted
from tests.lab.shape import THIRD, WITH_THIRD
from tests.lab.user_data import SEED_INTENT
from tests.lab.vpc import Vpc
from tests.vm.faults import (
    GOOD,
    KEY,
    MORE,
    OTHER_NAMES,
    STOCK,
    Host,
)
from tests.vm.pins import APPLY, configure
from tests.vm.state import (
    RT_TABLES,
    file_stamps,
    read_state,
    wait_for_equal,
)

SEED = SEED_INTENT.shape
STATE = "/var/lib/multihome"
JOURNAL = "/run/multihome/journal"
RESOLV_CONF = "/etc/resolv.conf"
VPC_DNS = "169.254.169.253"
CONTAINERS = "containers"
# rp_filter of the first ENI, as each boot has it.
STRICT = """
echo net.ipv4.conf.ens5.rp_filter=1 > /etc/sysctl.d/99-strict.conf
sysctl -qw net.ipv4.conf.private.rp_filter=1
"""
RESOLVED = "/usr/lib/systemd/system/systemd-resolved.service"


@pytest.fixture(scope="module")
def host(lab_run: Run, deb: Path) -> Iterator[Host]:
    """The seed's instance; saved in its good state, and in the stock one."""
    data = user_data.multihome(SEED_INTENT)
    image = with_package("trixie", deb)
    with booted(lab_run, image, SEED_INTENT, data, label="cc") as instance:
        assert "done" == instance.boot.cloud_init, instance.boot.why
        made = Host(instance)
        made.save(GOOD)
        made.vm.run("multihome restore; sleep 2", timeout=200)
        made.save(STOCK)
        # Else what is left of a rollback would be taken for stock.
        files = made.states[STOCK]["files"]
        assert [] == [line for line in files if "multihome" in line]
        yield made


@dataclass(frozen=True)
class Kill:
    """Where a run dies that goes from cloud-init's networking to the key's.

    Attributes:
        fault: the driver's.
        seen: a shell command that is true in the guest then: what had been
            done before, and what had not.
        key: the seed's, or one with more.
    """

    fault: str
    seen: str
    key: Mapping[str, Any] = field(default_factory=lambda: KEY)


OVERLAY = "/run/netplan/55-multihome.yaml"
FORMER_STATE = f"{STATE}/resolver.json"
NET = "/sys/class/net"
IS_ON, IS_ENABLED = (
    f"systemctl {verb} -q systemd-resolved"
    for verb in ("is-active", "is-enabled")
)
KILLS = {
    "before its first step": Kill(
        "kill-before group", f"test -s {JOURNAL} -a ! -e {OVERLAY}"
    ),
    "after its first file": Kill(
        f"kill-after {OVERLAY}", f"test -e {OVERLAY} -a ! -e {RT_TABLES}"
    ),
    "after its last file": Kill(
        f"kill-after {RT_TABLES}", f"test -e {RT_TABLES} -a -e {NET}/ens5"
    ),
    "after the first name": Kill(
        "kill-after name private", f"test -e {NET}/private -a -e {NET}/ens6"
    ),
    "after the second name": Kill(
        "kill-after name public",
        f"test -e {NET}/public -a ! -e {FORMER_STATE}",
    ),
    "after nftables' table": Kill(
        "kill-after nft -f",
        "nft list table inet multihome && test ! -e /run/multihome/nftables",
        {**KEY, "containers": True},
    ),
    "after the resolver's former state": Kill(
        f"kill-after {FORMER_STATE}",
        f"test -e {FORMER_STATE} -a -L {RESOLV_CONF} && {IS_ON}",
    ),
    "after resolv.conf": Kill(
        f"kill-after {RESOLV_CONF}",
        f"test ! -L {RESOLV_CONF} && grep -q {VPC_DNS} {RESOLV_CONF}"
        f" && {IS_ON} && {IS_ENABLED}",
    ),
    "after resolved is off": Kill(
        "kill-after disable --now", f"! {IS_ON} && ! {IS_ENABLED}"
    ),
}


# Others stand close by.
MORE_KILLS = (
    "before its first step",
    "after its last file",
    "after the first name",
    "after the resolver's former state",
)


def kill(host: Host, where: str) -> None:
    """Have a run die there, and see that it had come so far."""
    it = KILLS[where]
    died = host.drive(it.fault, it.key)
    assert -SIGKILL == died.status, died.out
    assert 0 == host.vm.run(it.seen, check=False).status, it.seen


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(it, marks=[pytest.mark.thorough] * (it in MORE_KILLS))
        for it in KILLS
    ],
)
def test_killed_at_any_step(host: Host, where: str) -> None:
    """The timer outside brings back cloud-init's networking."""
    what = f"kill -9 {where}"
    with host.case(
        what, "rolled_back", error="killed", start=STOCK, ends=STOCK
    ):
        kill(host, where)
        host.fire_timer()


@pytest.mark.parametrize(
    ("fault", "title", "ended_by", "said"),
    [
        (
            "kill-in-verify",
            "kill -9 in verify, kernel proved",
            SIGKILL,
            "verified in",
        ),
        ("kill-when-proved", "kill -9 after the proof", SIGKILL, "proved"),
        ("hang", "hangs for ever, with the lock", SIGUSR1, ""),
    ],
    ids=["killed in verify", "killed after the proof", "hangs"],
)
def test_a_run_that_does_not_end_is_ended(
    host: Host, fault: str, title: str, ended_by: int, said: str
) -> None:
    """By the timer; and its plan is not tried again in a loop."""
    with host.case(title, "rolled_back", error="killed"):
        done = host.drive(fault)
        assert -ended_by == done.status, done.out
        assert said in done.out
        host.fire_timer()
        assert "killed" in host.status()["failed"]["error"]
    kept = f"{STATE}/key.json"
    host.vm.agent.put(json.dumps(MORE).encode(), kept)
    host.vm.run("systemctl start multihome-refresh.service", timeout=200)
    host.vm.agent.put(json.dumps(KEY).encode(), kept)
    last = host.status()["last"]
    assert ("refresh", "refused") == (last["trigger"], last["outcome"])
    assert "not tried again" in last["error"]
    assert host.states[GOOD] == host.look()


def test_a_run_that_hangs_does_not_take_cloud_init_along(host: Host) -> None:
    """Whose next modules make users and host keys."""
    what = "did not end in time"
    with host.case("hangs in cloud-init's stage", "rolled_back", error=what):
        done = host.drive("hang-at-boot")
        assert 1 == done.status, done.out
        assert f"{what}; what it had changed was undone" in done.out
        host.wait_until_undone()
        assert what in host.status()["failed"]["error"]


def test_killed_while_it_rolls_back(host: Host) -> None:
    """The timer begins anew, and comes to the end of it."""
    with host.case(
        "kill -9 while it rolls back", "rolled_back", error="killed"
    ):
        done = host.drive("kill-in-rollback", OTHER_NAMES)
        assert -SIGKILL == done.status, done.out
        host.fire_timer()


def test_the_timer_leaves_a_run_alone_that_is_through(host: Host) -> None:
    """It fired between the proof and the end of the process."""
    with host.case("the timer fires too late", "applied", ends=None):
        done = host.drive("late-deadline")
        assert done.out.endswith("applied\n"), done.out


def test_a_whole_run_from_cloud_inits_networking(host: Host) -> None:
    """The faults of this file are what makes the difference."""
    with host.case("none, from cloud-init's", "applied", start=STOCK):
        assert 0 == host.drive("none", KEY).status


@pytest.mark.parametrize("trigger", ["person", "refresh"])
def test_an_unchanged_input_starts_nothing_that_changes_anything(
    host: Host, trigger: str
) -> None:
    """No command, and no file but the status."""
    with host.case(f"none, nothing changed, {trigger}", "unchanged"):
        stamps = file_stamps(host.instance)
        done = host.drive(f"commands {trigger}", KEY)
        assert stamps == file_stamps(host.instance)
        lines = [line for line in done.out.splitlines() if line[:1] == "["]
        commands = [json.loads(line) for line in lines]
        assert commands
        assert [] == [argv for argv in commands if not only_reads(argv)]


def only_reads(argv: list[str]) -> bool:
    """Say whether a command is known to change nothing."""
    return (
        (argv[0] == "ip" and "show" in argv)
        or argv[:2] == ["systemctl", "show"]
        or argv == ["networkctl", "--version"]
    )


def test_a_file_that_is_damaged_before_networkd_reads_it(host: Host) -> None:
    """netplan refuses it, and the former files come back."""
    with host.case(
        "file damaged before reload", "rolled_back", error="netplan"
    ):
        assert "former state was put back" in host.drive("damage").out


def test_a_damaged_journal_is_undone_as_far_as_it_goes(host: Host) -> None:
    """And it is said that it was not whole; the next run is as any other."""
    with host.case(
        "journal damaged, run killed", "rollback_failed", error="line 1"
    ):
        assert -SIGKILL == host.drive("kill-when-proved").status
        host.vm.run(
            "cd /run/multihome; (echo '{'; cat journal) > j; mv j journal"
        )
        host.fire_timer()
    assert 0 == host.drive("none").status
    assert "applied" == host.status()["last"]["outcome"]


def test_networkd_restarted_during_the_apply(host: Host) -> None:
    """It comes up with the new files."""
    with host.case("networkd restarted", "applied", ends=None):
        assert 0 == host.drive("restart").status


def test_networkd_that_hangs(host: Host) -> None:
    """It does not take up the new files; for the former it starts anew."""
    with host.case("networkd hangs", "rolled_back", error="did not end"):
        assert 1 == host.drive("networkd-hangs").status


def test_a_host_without_a_bus(host: Host) -> None:
    """D-Bus ends in the middle."""
    with host.case("D-Bus ends", "rolled_back", error="networkctl reload"):
        assert 1 == host.drive("no-bus").status


def test_a_timer_that_cannot_be_set(host: Host) -> None:
    """Then nothing is begun."""
    with host.case("no systemd-run", "refused", error="timer"):
        host.vm.run("mv /usr/bin/systemd-run /root/")
        assert 1 == host.drive("none").status


def test_the_clock_jumps_a_year_during_the_apply(host: Host) -> None:
    """The timer counts from its start and does not fire."""
    with host.case("clock stepped by a year", "applied", ends=None):
        assert 0 == host.drive("clock").status


def test_a_full_run_file_system(host: Host) -> None:
    """Nothing is begun where it could not be undone."""
    with host.case("/run full", "refused", error="the timer"):
        # The guest's agent cannot write a file any more, either.
        host.put_key()
        host.vm.run("cat /dev/zero > /run/full", check=False)
        done = host.drive_on("none")
        host.vm.run("rm -f /run/full")
        assert 1 == done.status, done.out


def test_a_full_var(host: Host) -> None:
    """The network is right, and so is what is told of it."""
    with host.case("/var/lib/multihome full", "applied", ends=None):
        host.vm.run(
            f"cp -a {STATE} /root/kept && mount -t tmpfs -o size=64k t {STATE}"
            f" && cp -a /root/kept/. {STATE}/"
        )
        host.vm.run(f"cat /dev/zero > {STATE}/full", check=False)
        assert 0 == host.drive("none").status


def test_a_read_only_etc(host: Host) -> None:
    """Tables could not get their names: all of it is taken back."""
    with host.case("/etc read-only", "rolled_back", error="Read-only"):
        host.vm.run("mount --bind /etc /etc && mount -o remount,ro,bind /etc")
        done = host.drive("none", OTHER_NAMES)
        host.vm.run("umount /etc")
        assert 1 == done.status, done.out


def test_a_host_without_resolved(host: Host) -> None:
    """The file is written all the same."""
    with host.case("resolved missing", "applied", start=STOCK, ends=None):
        host.vm.run("systemctl stop systemd-resolved")
        host.vm.run(f"mv {RESOLVED} /root/; systemctl daemon-reload")
        done = host.drive("none", KEY)
        assert 0 == done.status, done.out
        assert VPC_DNS in host.vm.run(f"cat {RESOLV_CONF}").out


def test_two_runs_at_once(host: Host) -> None:
    """One waits, and says for which process; both are right at the end."""
    with host.case("two runs at once", "unchanged", ends=None):
        with host.paused() as first:
            second = host.begin("none")
            said = f"cat {second}.said"
            host.wait_in_guest(f"{said} | grep another", "it does not wait")
            lock = host.vm.run("cat /run/multihome/lock").out.strip()
            assert f"another run (process {lock})" in host.vm.run(said).out
        assert first[0].out.endswith("applied\n"), first[0].out
        assert host.end(second).out.endswith("unchanged\n")


def test_a_gateway_that_dies_during_the_apply(host: Host) -> None:
    """What answered before has to answer afterwards."""
    with host.case(
        "a gateway dies in the middle",
        "rolled_back",
        error="gateway 10.224.186.1",
    ):
        try:
            with host.paused() as ended:
                host.vpc.set_gateway("public", answers=False)
        finally:
            host.vpc.set_gateway("public", answers=True)
        assert "former state was put back" in ended[0].out


def test_a_gateway_that_was_dead_before(host: Host) -> None:
    """Taking the change back would mend nothing: it is told, and stays."""
    with host.case("a gateway was dead before", "applied", ends=None):
        # Not the one that the metadata is read by.
        host.vpc.set_gateway("private", answers=False)
        try:
            done = host.drive("no-gateway")
        finally:
            host.vpc.set_gateway("private", answers=True)
        assert 0 == done.status, done.out
        levels = {
            item["level"]: (item["state"], str(item["details"]))
            for item in host.status()["last"]["verification"]
        }
        assert "ok" == levels["kernel"][0]
        state, details = levels["neighbours"]
        assert "failed" == state
        assert "gateway 10.224.184.1" in details
        assert "gateway 10.224.186.1" not in details


def test_an_eni_detached_during_the_apply(host: Host) -> None:
    """Its plan cannot come about; the run that follows leaves it out."""
    unit = "multihome-hotplug.service"
    with host.case("an ENI is detached in the middle", "applied", ends=None):
        host.vm.run(f"systemctl mask --runtime {unit}")
        host.vpc.update(WITH_THIRD)
        host.vm.plug(THIRD)
        assert 0 == host.drive("none", KEY).status
        assert "ens7" in read_state(host.instance)["links"]
        host.vm.run(f"systemctl unmask --runtime {unit}")
        with host.paused() as ended:
            host.vm.unplug("third")
            host.vpc.update(SEED)
        assert "former state was put back" in ended[0].out
        host.wait_in_guest(
            f"! systemctl is-active -q {unit}"
            f" && [ $(systemctl show -P ActiveState {unit}) = inactive ]",
            "the run for the detached ENI does not end",
        )
        assert "hotplug" == host.status()["last"]["trigger"]
        assert "ens7" not in read_state(host.instance)["links"]


NO = {"kind": "status"}
OTHERS_ADDRESSES = f"{MACS}{SEED.enis[1].mac}/local-ipv4s"
IMDS: dict[str, tuple[dict[str, Any], str]] = {
    "401 for ever": ({**NO, "status": 401}, "401"),
    "403": ({**NO, "status": 403}, "403"),
    "500": ({**NO, "status": 500}, "500"),
    "hang": ({"kind": "hang"}, "no answer"),
    "garbage": ({"kind": "garbage"}, "no answer"),
    "404 on a listed key": (
        {**NO, "status": 404, "prefix": OTHERS_ADDRESSES},
        "local-ipv4s",
    ),
    "a list cut short": (
        {"kind": "truncate", "prefix": OTHERS_ADDRESSES},
        "local-ipv4s",
    ),
    "the primary ENI is not listed": (
        {**NO, "status": 200, "path": MACS, "body": f"{SEED.enis[1].mac}/"},
        "does not list",
    ),
    "half the ENIs missing": (
        {**NO, "status": 200, "path": MACS, "body": f"{SEED.enis[0].mac}/"},
        f"does not list {SEED.enis[1].mac}",
    ),
}


@pytest.mark.parametrize("name", IMDS)
def test_metadata_that_fails_changes_nothing(host: Host, name: str) -> None:
    """An error is never an empty answer."""
    fault, error = IMDS[name]
    with host.case(f"IMDS: {name}", "refused", error=error, harmless=True):
        host.vpc.set_faults(fault)
        # A key that would be content with the ENIs that are listed.
        done = host.drive("no-metadata", {})
        host.vpc.set_faults()
        assert 1 == done.status, done.out
        assert host.states[GOOD] == host.look()


def test_a_reset_in_the_middle(host: Host) -> None:
    """The plug is pulled; the next boot has the good configuration."""
    with host.case("reset in the middle", "applied"):
        host.begin_paused(MORE)
        boot = host.reboot(host.vm.reset)
        assert ("done", "running") == (boot.cloud_init, boot.system), boot.why


@pytest.mark.thorough
def test_a_reset_between_resolv_conf_and_resolved(host: Host) -> None:
    """What is not gone with /run: the file is there, resolved not yet off."""
    with host.case("reset after resolv.conf", "applied", start=STOCK):
        kill(host, "after resolv.conf")
        host.vm.run("sync")
        boot = host.reboot(host.vm.reset)
        assert ("done", "running") == (boot.cloud_init, boot.system), boot.why


def test_a_first_boot_without_metadata_is_stock(host: Host) -> None:
    """cloud-init has read it, and the module cannot."""
    with host.case(
        "a first boot without IMDS",
        "refused",
        error="503",
        start=STOCK,
        ends=None,
    ):
        host.vm.run("cloud-init clean")
        stock = host.instance.priorities()
        with fails_after_user_data(host.vpc):
            boot = host.reboot()
        assert "done" != boot.cloud_init
        assert stock == host.instance.priorities()
        assert "active" == read_state(host.instance)["resolved"]


@contextmanager
def fails_after_user_data(vpc: Vpc) -> Iterator[None]:
    """Give no more tokens once cloud-init has asked for user-data."""
    seen, ended = len(vpc.imds_requests()), Event()

    def watch() -> None:
        while not ended.wait(0.2):
            paths = [str(it["path"]) for it in vpc.imds_requests()[seen:]]
            if any(path.endswith("/user-data") for path in paths):
                vpc.set_faults({**NO, "status": 503, "method": "PUT"})
                return

    thread = Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        vpc.set_faults()


def test_a_boot_with_other_hardware(host: Host) -> None:
    """An ENI more: the plan is made anew from what the metadata says."""
    with host.case(
        "a boot with an ENI more", "applied", start=None, ends=None
    ):
        host.vm.run("systemctl mask --runtime multihome-hotplug.service")
        host.vpc.update(WITH_THIRD)
        host.vm.plug(THIRD)
        boot = host.reboot()
        assert ("done", "running") == (boot.cloud_init, boot.system), boot.why
        rules = host.instance.priorities()
        assert (31102, "10.224.187.20", 31002) in rules
        status = host.status()
        assert "boot" == status["last"]["trigger"]
        names = [item["name"] for item in status["plan"]["interfaces"]]
        assert ["private", "public", "ens7"] == names


def test_a_boot_without_metadata_has_what_was_kept(host: Host) -> None:
    """cloud-init's log has the error, and the host its addresses."""
    with host.case("a boot without IMDS", "kept", error="503", start=GOOD):
        host.vpc.update(SEED)
        host.vpc.set_faults({**NO, "status": 503, "prefix": MACS})
        boot = host.reboot()
        host.vpc.set_faults()
        assert "running" != boot.system


def test_a_boot_without_cloud_init_has_what_was_kept(host: Host) -> None:
    """It was disabled after the first boot, as some images do.

    Containers are for what is neither netplan's nor networkd's to keep.
    """
    host.vm.restore(GOOD)
    configure(host.instance, "containers: true\n")
    host.vm.run(f"{STRICT}{APPLY}", timeout=200)
    host.states[CONTAINERS] = host.look()
    with host.case(
        "a boot without cloud-init", "kept", start=None, ends=CONTAINERS
    ):
        host.vm.run("touch /etc/cloud/cloud-init.disabled")
        boot = host.reboot()
        assert "disabled" == boot.cloud_init
    mtu = read_state(host.instance)["mtu"]
    assert {SEED.mtu} == {mtu[name] for name in SEED_INTENT.tables}
    assert "iifname" in host.vm.run("nft list table inet multihome").out
    rp_filter = "sysctl -n net.ipv4.conf.private.rp_filter"
    assert "2" == host.vm.run(rp_filter).out.strip()
    host.vm.run("systemctl start multihome-refresh.service", timeout=200)
    wait_for_equal(host.states[CONTAINERS], host.look)
    assert "unchanged" == host.status()["last"]["outcome"]


def test_a_boot_without_cloud_init_on_other_hardware(host: Host) -> None:
    """What was kept is not for it: cloud-init's networking is in force."""
    with host.case(
        "the same, with an ENI more",
        "refused",
        error="its devices have the MACs",
        start=None,
        ends=None,
    ):
        host.vm.run("systemctl mask --runtime multihome-hotplug.service")
        host.vpc.update(WITH_THIRD)
        host.vm.plug(THIRD)
        boot = host.reboot()
        assert ("disabled", "running") == (boot.cloud_init, boot.system)
        assert THIRD.mac in host.status()["last"]["error"]
        assert "ens5" in read_state(host.instance)["links"]
