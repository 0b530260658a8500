# SPDX-License-Identifier: Apache-2.0
"""Whatever goes wrong, the host is reachable and the status tells the truth.

One boot serves all faults, in order; each leaves the host as it found it. At
the end the suite prints a table of what became of each.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.host import Result
from tests.lab.image import with_package
from tests.lab.instance import LabInstance, booted
from tests.lab.pinging import is_answered
from tests.lab.user_data import SEED_INTENT
from tests.vm.state import read_state

DRIVER = Path(__file__).with_name("fault_driver.py")
IN_GUEST = "/run/fault_driver.py"
STATUS = "/var/lib/multihome/status.json"
# Longer than the driver's deadline and a rollback under emulation.
UNDONE_WITHIN_S = 90.0
REACHED_WITHIN_S = 20.0
KEY: dict[str, Any] = yaml.safe_load(user_data.multihome(SEED_INTENT))[
    "multihome"
]
MORE: dict[str, Any] = {
    **KEY,
    "policy": [*KEY["policy"], {"to": "203.0.113.200", "via": "private"}],
}
OTHER_NAMES: dict[str, Any] = {
    "interfaces": {
        "inside": KEY["interfaces"]["private"],
        "outside": KEY["interfaces"]["public"],
    },
    "default": "outside",
}


@dataclass
class Host:
    """The booted host.

    Attributes:
        state: what it must come back to.
        table: (fault, outcome, seconds) of each case so far.
    """

    instance: LabInstance
    state: dict[str, Any]
    table: list[tuple[str, str, float]]

    def drive(self, fault: str, key: Any = MORE, *, step: str = "") -> Result:
        """Run the module in the guest with that fault."""
        self.instance.vm.agent.put(json.dumps(key).encode(), "/run/key")
        return self.instance.vm.run(
            f"python3 {IN_GUEST} {fault} {step} < /run/key",
            check=False,
            timeout=240,
        )

    def status(self) -> dict[str, Any]:
        """Return what the module says of its last run."""
        status: dict[str, Any] = self.instance.vm.agent.json(f"cat {STATUS}")
        return status

    def is_reached(self, name: str) -> bool:
        """Ping an ENI from its side, a few times."""
        side, address = self.instance.vpc.outside(name)
        return is_answered(side, address, within=REACHED_WITHIN_S)

    def wait_until_undone(self) -> None:
        """Wait until the timer's run has ended and the state is back."""
        deadline = time.monotonic() + UNDONE_WITHIN_S
        journal = "test -e /run/multihome/journal"
        while self.instance.vm.run(journal, check=False).status == 0:
            assert time.monotonic() < deadline, "the timer undid nothing"
            time.sleep(1)

    def wait_for_state(self) -> None:
        """Wait until addresses, rules and routes are what they were."""
        deadline = time.monotonic() + UNDONE_WITHIN_S
        while (now := read_state(self.instance)) != self.state:
            if time.monotonic() > deadline:
                assert self.state == now
            time.sleep(1)

    def assert_safe(self, case: str, outcome: str, started: float) -> None:
        """Reachable by both ENIs, and the status says what happened."""
        assert self.is_reached("private")
        assert self.is_reached("public")
        status = self.status()
        took = time.monotonic() - started
        self.table.append((case, status["outcome"], took))
        assert outcome == status["outcome"], status["error"]


@pytest.fixture(scope="module")
def host(lab_run: Run, deb: Path) -> Iterator[Host]:
    """The seed's instance, in its good state; prints the table at the end."""
    data = user_data.multihome(SEED_INTENT)
    image = with_package("trixie", deb)
    with booted(lab_run, image, SEED_INTENT, data, label="cc") as instance:
        assert "done" == instance.boot.cloud_init, instance.boot.why
        instance.vm.agent.put(DRIVER.read_bytes(), IN_GUEST)
        instance.vm.run("systemctl stop multihome-refresh.timer")
        found = Host(instance, read_state(instance), [])
        yield found
    print("\nfault                                outcome          seconds")
    for case, outcome, seconds in found.table:
        print(f"{case:36} {outcome:16} {seconds:6.1f}")


# Every step of going from cloud-init's networking to the seed's: reload,
# files, names, resolver. Of the five files the first and the last.
# Steps as tests/vm/fault_driver.py names them.
STEPS = {
    "reload:1": "reload",
    "file:5": "last file",
    "rename:2": "second name",
    "file:6": "resolv.conf",
}


@pytest.mark.parametrize("step", STEPS, ids=STEPS.values())
def test_killed_at_any_step(host: Host, step: str) -> None:
    """The timer outside brings back cloud-init's networking."""
    started = time.monotonic()
    host.instance.vm.run("multihome restore; sleep 2", timeout=200)
    stock = read_state(host.instance)
    killed = host.drive("kill", KEY, step=step)
    assert killed.status not in (0, 1), killed.out
    host.wait_until_undone()
    back = Host(host.instance, stock, host.table)
    back.wait_for_state()
    name = STEPS[step]
    back.assert_safe(f"kill -9 at: {name}", "rolled_back", started)
    assert "killed" in host.status()["error"]


def test_the_next_run_is_good_again(host: Host) -> None:
    """What was killed before is no obstacle."""
    started = time.monotonic()
    done = host.drive("none", KEY)
    assert "applied" == done.out.splitlines()[-1], done.out + done.err
    host.wait_for_state()
    host.assert_safe("none (a whole run)", "applied", started)


@pytest.mark.parametrize("fault", ["kill-in-verify", "hang"])
def test_a_run_that_does_not_end_is_ended(host: Host, fault: str) -> None:
    """Killed while it verifies; or alive, holding the lock, for ever."""
    started = time.monotonic()
    done = host.drive(fault)
    assert done.status not in (0, 1)
    host.wait_until_undone()
    host.wait_for_state()
    host.assert_safe(fault, "rolled_back", started)


def test_a_file_that_is_damaged_before_networkd_reads_it(host: Host) -> None:
    """netplan refuses it, and the former files come back."""
    started = time.monotonic()
    assert "former state was put back" in host.drive("damage").out
    host.wait_for_state()
    host.assert_safe("file damaged before reload", "rolled_back", started)


def test_networkd_restarted_during_the_apply(host: Host) -> None:
    """It comes up with the new files."""
    started = time.monotonic()
    assert 0 == host.drive("restart").status
    host.assert_safe("networkd restarted", "applied", started)
    assert 0 == host.drive("none", KEY).status
    host.wait_for_state()


def test_the_clock_jumps_a_year_during_the_apply(host: Host) -> None:
    """The timer counts from its start and does not fire."""
    started = time.monotonic()
    assert 0 == host.drive("clock").status
    host.assert_safe("clock stepped by a year", "applied", started)
    host.instance.vm.run(f"date --set=@{time.time():.0f}")
    assert 0 == host.drive("none", KEY).status
    host.wait_for_state()


def test_a_full_run_file_system(host: Host) -> None:
    """Nothing is begun where it could not be undone."""
    started = time.monotonic()
    vm = host.instance.vm
    vm.run("cat /dev/zero > /run/full", check=False)
    done = host.drive("none")
    vm.run("rm -f /run/full")
    assert 1 == done.status, done.out
    host.wait_for_state()
    outcome = host.status()["outcome"]
    assert outcome in ("refused", "rolled_back")
    host.assert_safe("/run full", outcome, started)


def test_a_read_only_etc(host: Host) -> None:
    """Tables could not get their names: all of it is taken back."""
    started = time.monotonic()
    vm = host.instance.vm
    vm.run("mount --bind /etc /etc && mount -o remount,ro,bind /etc")
    done = host.drive("none", OTHER_NAMES)
    vm.run("umount /etc")
    assert 1 == done.status, done.out
    host.wait_for_state()
    host.assert_safe("/etc read-only", "rolled_back", started)


def test_a_host_without_resolved(host: Host) -> None:
    """The file is written all the same."""
    started = time.monotonic()
    vm = host.instance.vm
    unit = "/usr/lib/systemd/system/systemd-resolved.service"
    vm.run("multihome restore; systemctl stop systemd-resolved", timeout=200)
    vm.run(f"mv {unit} /root/; systemctl daemon-reload")
    done = host.drive("none", KEY)
    assert 0 == done.status, done.out
    assert "169.254.169.253" in vm.run("cat /etc/resolv.conf").out
    host.assert_safe("resolved missing", "applied", started)
    vm.run(f"mv /root/systemd-resolved.service {unit}")
    vm.run("systemctl daemon-reload")
    host.wait_for_state()


def test_two_runs_at_once(host: Host) -> None:
    """One waits for the other; both are right when they end."""
    started = time.monotonic()
    vm = host.instance.vm
    for name, key in (("a", MORE), ("b", MORE)):
        vm.agent.put(json.dumps(key).encode(), f"/run/key-{name}")
    done = vm.run(
        f"python3 {IN_GUEST} none < /run/key-a > /run/out-a 2>&1 & "
        f"python3 {IN_GUEST} none < /run/key-b > /run/out-b 2>&1; b=$?; "
        "wait $!; echo $? $b; tail -n1 /run/out-a /run/out-b",
        timeout=240,
    ).out
    assert done.startswith("0 0\n"), done
    assert {"applied", "unchanged"} <= set(done.split())
    assert host.is_reached("private")
    assert 0 == host.drive("none", KEY).status
    host.wait_for_state()
    host.assert_safe("two runs at once", "applied", started)


NO = {"kind": "status"}
MACS = "/latest/meta-data/network/interfaces/macs/"
IMDS = (
    ("401 for ever", {**NO, "status": 401}),
    ("403", {**NO, "status": 403}),
    ("500", {**NO, "status": 500}),
    ("hang", {"kind": "hang"}),
    ("garbage", {"kind": "garbage"}),
    ("404 on a listed key", {**NO, "status": 404, "prefix": "local-ipv4s"}),
    ("a list cut short", {"kind": "truncate", "prefix": "local-ipv4s"}),
    ("half the ENIs missing", {**NO, "status": 200, "prefix": ""}),
)


@pytest.mark.parametrize(
    ("name", "fault"), IMDS, ids=[name for name, _ in IMDS]
)
def test_metadata_that_fails_changes_nothing(
    host: Host, name: str, fault: dict[str, Any]
) -> None:
    """An error is never an empty answer."""
    started = time.monotonic()
    vpc = host.instance.vpc
    primary, other = (eni.mac for eni in vpc.shape.enis[:2])
    if fault.get("prefix") == "local-ipv4s":
        fault = {**fault, "prefix": f"{MACS}{other}/local-ipv4s"}
    elif "prefix" in fault:
        fault = {**fault, "prefix": MACS, "body": f"{other}/", "times": 1000}
    vpc.set_faults(fault)
    done = host.drive("none")
    vpc.set_faults()
    assert 1 == done.status, done.out
    assert host.state == read_state(host.instance)
    host.assert_safe(f"IMDS: {name}", "refused", started)
    assert primary != other


def test_a_reset_in_the_middle(host: Host) -> None:
    """The plug is pulled; the next boot has the good configuration."""
    started = time.monotonic()
    vm = host.instance.vm
    vm.agent.put(json.dumps(MORE).encode(), "/run/key")
    vm.run(f"setsid python3 {IN_GUEST} pause < /run/key >/dev/null 2>&1 &")
    for _ in range(120):
        if vm.run("test -e /run/fault-paused", check=False).status == 0:
            break
        time.sleep(0.5)
    else:
        pytest.fail("the run did not come to its middle")
    boot = vm.reset()
    assert ("done", "running") == (boot.cloud_init, boot.system), boot.why
    host.wait_for_state()
    host.assert_safe("reset in the middle", "applied", started)


def test_a_boot_without_metadata_has_what_was_kept(host: Host) -> None:
    """cloud-init's log has the error, and the host its addresses."""
    started = time.monotonic()
    vpc, vm = host.instance.vpc, host.instance.vm
    vpc.set_faults({**NO, "status": 503, "prefix": MACS})
    boot = vm.reboot()
    vpc.set_faults()
    assert "running" != boot.system
    host.wait_for_state()
    host.assert_safe("a boot without IMDS", "kept", started)
    assert "503" in host.status()["error"]


def test_a_boot_without_cloud_init_has_what_was_kept(host: Host) -> None:
    """It was disabled after the first boot, as some images do."""
    started = time.monotonic()
    vm = host.instance.vm
    vm.run("touch /etc/cloud/cloud-init.disabled")
    boot = vm.reboot()
    assert "disabled" == boot.cloud_init
    host.wait_for_state()
    shown = vm.run("python3 -m cc_multihome.triggers refresh", check=False)
    assert 0 == shown.status, shown.err
    host.wait_for_state()
    host.assert_safe("a boot without cloud-init", "unchanged", started)
