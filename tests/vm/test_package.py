# SPDX-License-Identifier: Apache-2.0
"""The package on a live host: each kind of key, upgrade, removal, purge.

One VM goes through all of it, in order; `cloud-init clean` and a reboot make
it a new instance with other user-data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cc_multihome.version import __version__
from tests.lab import user_data
from tests.lab.boot import Boot
from tests.lab.cleanup import Run
from tests.lab.image import with_package
from tests.lab.instance import LabInstance, booted
from tests.lab.pinging import Pings, pinging
from tests.lab.report import render
from tests.lab.user_data import SEED_INTENT
from tests.vm.state import planned_rules, read_state, wait_for

NO_KEY = user_data.cloud_config({"timezone": "Etc/UTC"})
BAD_KEY = user_data.multihome(SEED_INTENT, default=["public"])
GOOD_KEY = user_data.multihome(SEED_INTENT)
OWN_LIST = "/etc/cloud/cloud.cfg.d/99-own.cfg"
OUR_UNITS = ("multihome-hotplug.service", "multihome-refresh.service")


@pytest.fixture(scope="module")
def host(lab_run: Run, deb: Path) -> Iterator[LabInstance]:
    """A VM whose image has the package, booted without the key."""
    image = with_package("trixie", deb)
    with booted(lab_run, image, SEED_INTENT, NO_KEY, label="pkg") as instance:
        yield instance


def as_new_instance(host: LabInstance, data: str | None) -> Boot:
    """Boot again, as an instance with that user-data."""
    if data is not None:
        host.vpc.set_user_data(data)
    host.vm.run("cloud-init clean --logs", timeout=120)
    return host.vm.reboot()


def status(host: LabInstance) -> tuple[int, dict[str, Any]]:
    """Return the exit status and what `cloud-init status` prints as JSON."""
    done = host.vm.run("cloud-init status --long --format json", check=False)
    return done.status, json.loads(done.out)


def network(host: LabInstance) -> dict[str, Any]:
    """Return netplan's files and the kernel's state."""
    files = host.vm.run(
        "cd / && for f in etc/netplan/* run/netplan/*; do"
        ' [ -f "$f" ] && echo "== $f" && cat "$f"; done; true'
    ).out
    return {**read_state(host), "netplan": files}


def schema(host: LabInstance, what: str) -> tuple[int, str]:
    """Return the exit status and the output of `cloud-init schema`."""
    done = host.vm.run(f"cloud-init schema {what}", check=False)
    return done.status, done.out + done.err


def assert_flows(host: LabInstance) -> None:
    """Every flow of the seed right."""
    column = host.column("with multihome", SEED_INTENT)
    print(render([column]))
    assert [] == [
        f"{item.flow.id}: {item.detail}"
        for item in column.verdicts
        if not item.ok
    ]


def ping_both(host: LabInstance, stack: ExitStack) -> dict[str, Pings]:
    """Ping both ENIs, each from its side, until the stack is closed."""
    vpc, found = host.vpc, {}
    for name in SEED_INTENT.tables:
        eni = vpc.shape.eni(name)
        address = eni.ipv4s[0]
        side = vpc.inet if address in eni.public else vpc.corp
        target = eni.public.get(address, address)
        found[name] = stack.enter_context(pinging(side, target))
    return found


FOUND: dict[str, Any] = {}


def test_without_the_key_cloud_init_is_healthy_and_we_are_silent(
    host: LabInstance,
) -> None:
    """No run of ours, no file of ours in netplan's folders."""
    code, told = status(host)
    assert (0, "done") == (code, told["status"]), host.boot.why
    FOUND["no key"] = network(host)
    assert "multihome" not in FOUND["no key"]["netplan"]
    assert ["lo", "ens5", "ens6"] == list(FOUND["no key"]["links"])
    assert 0 != host.vm.run("test -e /run/multihome", check=False).status
    for unit in OUR_UNITS:
        shown = host.vm.run(
            f"systemctl show -P ExecMainStartTimestampMonotonic {unit}"
        ).out
        assert "0" == shown.strip()


def test_a_bad_key_is_pointed_at_and_the_network_is_stock(
    host: LabInstance,
) -> None:
    """By cloud-init's own schema commands and by its status."""
    as_new_instance(host, BAD_KEY)
    code, told = status(host)
    assert 0 != code
    assert "multihome" in json.dumps(
        [told["errors"], told["recoverable_errors"]]
    )
    failed, said = schema(host, "--system")
    assert 0 != failed
    assert "multihome.default" in said
    host.vm.agent.put(BAD_KEY.encode(), "/root/bad.yaml")
    failed, said = schema(host, "--config-file /root/bad.yaml")
    assert 0 != failed
    assert "multihome.default" in said
    assert FOUND["no key"] == network(host)


def test_a_good_key_is_done_without_a_word(host: LabInstance) -> None:
    """Exit status 0, no warning; and every flow is right."""
    boot = as_new_instance(host, GOOD_KEY)
    code, told = status(host)
    assert (0, "done") == (code, told["status"]), boot.why
    assert "done" == told["extended_status"]
    assert ([], {}) == (told["errors"], told["recoverable_errors"])
    assert 0 == schema(host, "--system")[0]
    host.vm.agent.put(GOOD_KEY.encode(), "/root/good.yaml")
    assert 0 == schema(host, "--config-file /root/good.yaml")[0]
    assert planned_rules(SEED_INTENT) == sorted(host.priorities())
    assert_flows(host)


def test_an_upgrade_loses_no_packet(host: LabInstance, deb: Path) -> None:
    """A higher version over it, while both ENIs are pinged."""
    before = network(host)
    host.vm.agent.put(deb.read_bytes(), "/root/cc-multihome.deb")
    host.vm.run(
        "cd /root && rm -rf up && dpkg-deb -R cc-multihome.deb up &&"
        f" sed -i 's/^Version: .*/Version: {__version__}+up/'"
        " up/DEBIAN/control &&"
        " dpkg-deb -b up cc-multihome-up.deb",
        timeout=180,
    )
    with ExitStack() as stack:
        pings = ping_both(host, stack)
        host.vm.run("dpkg -i /root/cc-multihome-up.deb", timeout=300)
    for name, item in pings.items():
        print(f"upgrade: {name} {item}")
        assert item.received > 0
        assert 0 == item.lost
    assert before == network(host)
    assert "" == host.vm.run("dpkg --audit").out
    version = host.vm.run("dpkg-query -W -f '${Version}' cc-multihome").out
    assert f"{__version__}+up" == version


def differing(host: LabInstance) -> list[str]:
    """Name what is not as it was without the key."""
    now, stock = network(host), FOUND["no key"]
    parts = ("links", "groups", "rules", "addresses", "netplan", "resolved")
    return [part for part in parts if stock[part] != now[part]]


def test_removal_gives_cloud_inits_network_back(host: LabInstance) -> None:
    """On the running host, which is reached while it happens."""
    with ExitStack() as stack:
        pings = ping_both(host, stack)
        host.vm.run("apt-get -qq -y remove cc-multihome", timeout=300)
        wait_for(lambda: not differing(host), "it is not as without the key")
    for name, item in pings.items():
        print(f"removal: {name} {item}")
        assert item.received > 0
    link = host.vm.run("readlink /etc/resolv.conf", check=False).out
    assert "systemd" in link
    assert "" == host.vm.run("dpkg --audit").out


def test_purging_leaves_no_file(host: LabInstance) -> None:
    """Neither in /etc, nor in /var, nor a unit."""
    host.vm.run("apt-get -qq -y purge cc-multihome", timeout=300)
    left = host.vm.run(
        "find / -xdev -iname '*multihome*' -not -path '/root/*'"
        " -not -path '/proc/*'; find /run -iname '*multihome*'",
        timeout=180,
    ).out.splitlines()
    assert [] == [path for path in left if "/var/log/" not in path]
    units = host.vm.run(
        "systemctl list-unit-files 'multihome*'", check=False
    ).out
    assert "0 unit files listed" in units


def test_a_boot_without_the_package_is_the_one_without_the_key(
    host: LabInstance,
) -> None:
    """Same files, routes and rules."""
    as_new_instance(host, NO_KEY)
    code, told = status(host)
    assert (0, "done") == (code, told["status"])
    assert FOUND["no key"] == network(host)


def test_an_administrators_own_list_wins_and_is_told(
    host: LabInstance,
) -> None:
    """Installed again, with a later file that has no multihome in it."""
    own = "cloud_init_modules: [seed_random, write_files, set_hostname]\n"
    host.vm.agent.put(own.encode(), OWN_LIST)
    host.vm.run("dpkg -i /root/cc-multihome.deb", timeout=300)
    checked = host.vm.run("multihome integrate --check", check=False)
    assert 1 == checked.status
    assert OWN_LIST in checked.err
    host.vm.run(f"rm {OWN_LIST}; multihome integrate")
    assert 0 == host.vm.run("multihome integrate --check").status
