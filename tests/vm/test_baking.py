# SPDX-License-Identifier: Apache-2.0
"""The disk of an instance that ran the module, started as another one.

One instance is booted and its disk copied twice: as it runs (an image made
without a word to the instance), and after `cloud-init clean` and a shutdown.
Each test starts one of the copies as another instance, or as the same one
with another number of ENIs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.expected import planned_rules
from tests.lab.image import Image, with_package
from tests.lab.instance import LabInstance, booted
from tests.lab.shape import SEED, WITH_THIRD
from tests.lab.shapes import COLLECTOR
from tests.lab.user_data import SEED_INTENT, Intent
from tests.vm.cloud_init import assert_content
from tests.vm.state import RT_TABLES, assert_flows

KEY = user_data.multihome(SEED_INTENT)
NO_KEY = user_data.cloud_config({"preserve_hostname": False})
ONE_MORE = replace(
    SEED_INTENT,
    shape=WITH_THIRD,
    # Nobody names it: the kernel's name and a derived table.
    tables={**SEED_INTENT.tables, "third": 31002},
)
ONE_FEWER = Intent(
    shape=replace(SEED, enis=SEED.enis[:1]),
    tables={"private": 10},
    default="private",
    policy={},
    unnamed=SEED_INTENT.unnamed,
)
# cloud-init itself leaves its logs and its folder of the old instance, and
# its DHCP client a file with a MAC: so they do on a stock host.
SEARCHED = "/etc /run /var/lib /usr/lib/systemd /usr/lib/udev"
OF_CLOUD_INIT = ("/var/lib/cloud/", "/run/cloud-init/", "/var/lib/dhcpcd/")
STATE = "/var/lib/multihome"
RESOLVED = "../run/systemd/resolve/stub-resolv.conf"


@dataclass(frozen=True)
class Disks:
    """The copies.

    Attributes:
        running: of the running instance, nothing cleaned.
        cleaned: after `cloud-init clean` and a shutdown.
        kept: see kept_by(); after `cloud-init clean`.
    """

    run: Run
    image: Image
    running: Path
    cleaned: Path
    kept: list[str]

    def start(
        self, disk: Path, intent: Intent, data: str, label: str
    ) -> AbstractContextManager[LabInstance]:
        """Boot an instance on one of the copies."""
        label = f"{label}-{self.image.suite}"
        return booted(
            self.run, self.image, intent, data, label=label, disk=disk
        )


@pytest.fixture(scope="module")
def disks(
    request: pytest.FixtureRequest, lab_run: Run, deb: Path
) -> Iterator[Disks]:
    """Boot the seed's instance with its key, and copy its disk."""
    image = with_package(getattr(request, "param", "trixie"), deb)
    running, cleaned = lab_run.dir / "running", lab_run.dir / "cleaned"
    # A label is of one boot in a run, and this file boots two suites.
    label = f"old-{image.suite}"
    with booted(lab_run, image, SEED_INTENT, KEY, label=label) as old:
        assert_done(old)
        # What a rollback and a failure keep is of that instance, too.
        old.vm.run(
            f"cd {STATE} && cp kept.json previous.json && "
            """echo '{"input": "1", "time": "then", "error": "0a:93"}'"""
            " >failed.json; sync"
        )
        old.vm.copy_disk(running)
        old.vm.run("cloud-init clean --logs")
        # Minutes may pass until the image is made: the timer comes.
        old.vm.run("systemctl start multihome-refresh.service")
        kept = kept_by(old)
        old.vm.power_off()
        (old.vm.dir / "disk.qcow2").rename(cleaned)
    yield Disks(lab_run, image, running, cleaned, kept)
    running.unlink()
    cleaned.unlink()


def assert_done(instance: LabInstance) -> None:
    """cloud-init and every unit are content."""
    assert "running" == instance.boot.system, instance.boot.why
    assert_content(instance, instance.boot.why)


def kept_by(instance: LabInstance) -> list[str]:
    """Name what is kept of an instance, and where resolv.conf leads to."""
    shell = f"ls -d {STATE} {RT_TABLES}; readlink /etc/resolv.conf"
    return instance.vm.run(shell, check=False).out.split()


def assert_nothing_of_the_seed(instance: LabInstance) -> None:
    """No address, MAC, id or name of the old instance in any file."""
    words = [SEED.instance_id, SEED.domain, *SEED_INTENT.policy]
    words += [eni.mac for eni in SEED.enis]
    words += [eni.eni_id for eni in SEED.enis]
    words += [address for eni in SEED.enis for address in eni.ipv4s]
    options = " ".join(f"-e {word}" for word in words)
    found = instance.vm.run(
        f"grep -rIlF {options} {SEARCHED}", check=False, timeout=180
    ).out.splitlines()
    assert [] == [path for path in found if not path.startswith(OF_CLOUD_INIT)]
    names = instance.vm.run("cat /etc/iproute2/rt_tables.d/*; ip -br link")
    for name in SEED_INTENT.tables:
        assert name not in names.out


def test_cleaning_leaves_nothing_of_the_instance(disks: Disks) -> None:
    """Nor does the timer, when it comes before the shutdown."""
    assert [RESOLVED] == disks.kept


@pytest.mark.parametrize("kind", ["running", "cleaned"])
def test_another_instance_comes_up_as_its_own_key_says(
    disks: Disks, kind: str
) -> None:
    """Other id, MACs, subnets, one ENI more, other names and tables."""
    assert_is_another(disks, kind)


def assert_is_another(disks: Disks, kind: str) -> None:
    """Start a copy as an instance that has nothing in common with it."""
    disk: Path = getattr(disks, kind)
    data = user_data.multihome(COLLECTOR)
    with disks.start(disk, COLLECTOR, data, f"of-{kind}") as new:
        assert_done(new)
        assert planned_rules(COLLECTOR) == sorted(new.priorities())
        assert_flows(new, COLLECTOR)
        assert_nothing_of_the_seed(new)
        # There is no plan before the first one to go back to.
        kept = new.vm.run(f"ls {STATE}").out.split()
        assert "kept.json" in kept
        assert not {"previous.json", "failed.json"} & set(kept)


@pytest.mark.parametrize(
    "kind",
    ["running", pytest.param("cleaned", marks=pytest.mark.thorough)],
)
def test_another_instance_without_a_key_is_stock(
    disks: Disks, kind: str
) -> None:
    """The former resolver, no state, no name."""
    disk: Path = getattr(disks, kind)
    with disks.start(disk, COLLECTOR, NO_KEY, f"of-{kind}-stock") as new:
        assert_done(new)
        assert_nothing_of_the_seed(new)
        assert [RESOLVED] == kept_by(new)
        assert "active" == resolved(new)


@pytest.mark.parametrize(
    "intent",
    [
        pytest.param(ONE_MORE, id="one-more", marks=pytest.mark.thorough),
        pytest.param(ONE_FEWER, id="one-fewer"),
    ],
)
def test_the_same_instance_with_another_number_of_enis(
    disks: Disks, intent: Intent
) -> None:
    """Attached or detached while it was stopped."""
    named = [name for name in intent.tables if name in SEED_INTENT.tables]
    tables = {name: SEED_INTENT.tables[name] for name in named}
    data = user_data.multihome(replace(intent, tables=tables))
    label = f"same-{len(intent.tables)}"
    with disks.start(disks.running, intent, data, label) as same:
        assert_done(same)
        assert planned_rules(intent) == sorted(same.priorities())
        assert_flows(same, intent)


@pytest.mark.parametrize(
    "disks",
    [pytest.param("bookworm", marks=pytest.mark.thorough), "sid"],
    indirect=True,
    scope="module",
)
def test_another_instance_on_other_suites(disks: Disks) -> None:
    """From the uncleaned disk; the oldest cloud-init, and the newest."""
    assert [RESOLVED] == disks.kept
    assert_is_another(disks, "running")


def resolved(instance: LabInstance) -> str:
    """Return the state of systemd-resolved."""
    return instance.vm.run(
        "systemctl is-active systemd-resolved", check=False
    ).out.strip()
