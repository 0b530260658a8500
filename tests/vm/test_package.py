# SPDX-License-Identifier: Apache-2.0
"""The package on a live host: each kind of key, upgrade, removal, purge.

For each suite one VM goes through all of it, in order; `cloud-init clean` and
a reboot make it a new instance with other user-data. What needs no running
host is in tests/package.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cc_multihome.version import __version__
from tests.lab import user_data
from tests.lab.chroot import SOURCES, chroot_run
from tests.lab.cleanup import Run
from tests.lab.expected import planned_rules
from tests.lab.image import stock, with_package
from tests.lab.instance import booted
from tests.lab.pinging import Pings, is_answered, pinging
from tests.lab.shape import THIRD, WITH_THIRD
from tests.lab.user_data import SEED_INTENT
from tests.vm import others
from tests.vm.package_host import PackageHost
from tests.vm.pins import DROP_IN, configure
from tests.vm.state import (
    HOTPLUG,
    RUN_AGAIN,
    THIRDS_RULE,
    assert_flows,
    read_state,
    wait_for,
    wait_for_equal,
    wait_for_state,
    wait_until_followed,
    wait_until_gone,
)

NO_KEY = user_data.cloud_config({"preserve_hostname": False})
BAD_KEY = user_data.multihome(SEED_INTENT, default=["public"])
GOOD_KEY = user_data.multihome(SEED_INTENT)
GENERATED = "/etc/cloud/cloud.cfg.d/95_multihome.cfg"
OWN_LIST = "/etc/cloud/cloud.cfg.d/99-own.cfg"
OUR_UNITS = ("multihome-hotplug.service", "multihome-refresh.service")
# cloud-init logs it; 1 ms where it was measured, under emulation.
TOOK = "config-multihome ran successfully and took"
MOST_WITHOUT_KEY_S = 0.2
# Of the ENI that people log in by; a busy machine is no failure.
LONGEST_GAP_S = 60.0
STARTED = "systemctl show -P ExecMainStartTimestampMonotonic"
CLOUD_INITS_HOTPLUG = "systemctl is-active cloud-init-hotplugd.socket"
FOLLOWS = f"systemctl show -P ActiveState {HOTPLUG}"
STATE = ("/run/multihome", "/var/lib/multihome")
# That no policy names; the table that has them; rules of the plan.
ONE_MORE = "198.51.100.8"
POLICY = "ip route show table 30999"
OUR_RULES = {31000, 31100, 31101}
# Whose cloud-init the hosts of trixie get next. Those of bookworm lack what
# trixie's depends on.
NEXT_SUITE = "sid"


def on(*suites: str, more: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """Run a test on these suites, and on `more` with --thorough alone."""
    return pytest.mark.parametrize(
        "host",
        [
            *(pytest.param(it) for it in suites),
            *(pytest.param(it, marks=pytest.mark.thorough) for it in more),
        ],
        indirect=True,
        scope="module",
    )


@pytest.fixture(scope="module")
def host(
    request: pytest.FixtureRequest, lab_run: Run, deb: Path
) -> Iterator[PackageHost]:
    """A VM whose image has the package."""
    suite = str(request.param)
    image = with_package(suite, deb)
    with booted(
        lab_run, image, SEED_INTENT, NO_KEY, label=f"pkg-{suite}"
    ) as instance:
        yield PackageHost(suite, instance, NO_KEY, instance.boot, deb)


@on("trixie", "bookworm", more=("sid",))
def test_without_the_key_cloud_init_is_healthy_and_we_are_silent(
    host: PackageHost,
) -> None:
    """No run of ours, no file of ours in netplan's folders."""
    host.assert_done()
    # cloud-init 22.4 does not log how long a module took.
    if host.suite != "bookworm":
        assert_costs_nothing(host)
    host.stock = host.network()
    assert "multihome" not in host.stock["netplan"]
    assert ["lo", "ens5", "ens6"] == list(host.stock["links"])
    for path in STATE:
        assert 0 != host.ask(f"test -e {path}")[0]
    for unit in OUR_UNITS:
        assert "0" == host.run(f"{STARTED} {unit}").strip()
    if host.suite == "trixie":
        assert_an_attached_eni_is_cloud_inits(host)


def assert_an_attached_eni_is_cloud_inits(host: PackageHost) -> None:
    """Its own hotplug is on as without the package, and ours rests."""
    assert "active" == host.ask(CLOUD_INITS_HOTPLUG)[1].strip()
    attach_third(host)
    wait_for(lambda: "ens7" in links(host), "it does not come")
    host.run("udevadm settle")
    for unit in OUR_UNITS:
        assert "0" == host.run(f"{STARTED} {unit}").strip()
    detach_third(host)
    wait_for(lambda: "ens7" not in links(host), "it does not go")


def links(host: PackageHost) -> list[str]:
    """Name the devices that there are."""
    return list(read_state(host.it)["links"])


def assert_costs_nothing(host: PackageHost) -> None:
    """The module looks for the key and is done."""
    took = host.run(f"grep -o '{TOOK} [0-9.]*' /var/log/cloud-init.log")
    print(f"{host.suite}: without the key: {took}")
    assert float(took.split()[-1]) < MOST_WITHOUT_KEY_S


@on("trixie", more=("bookworm", "sid"))
def test_a_bad_key_is_pointed_at_and_the_network_is_stock(
    host: PackageHost,
) -> None:
    """By cloud-init's own schema commands and by its status."""
    host.become(BAD_KEY)
    code, told = host.status()
    assert 0 != code
    errors = [told["errors"], told.get("recoverable_errors")]
    assert "multihome" in json.dumps(errors)
    for failed, said in host.schema(BAD_KEY):
        assert 0 != failed
        assert "multihome.default" in said
    host.stock = host.stock or host.network()
    assert host.stock == host.network()
    assert "multihome" not in host.stock["netplan"]
    assert_primary_is_reached(host)


def assert_primary_is_reached(host: PackageHost) -> None:
    """By stock networking on every suite: the primary ENI, from outside."""
    assert is_answered(*host.it.vpc.outside("private"), within=30)


@on("trixie", "bookworm", more=("sid",))
def test_a_good_key_is_done_without_a_word(host: PackageHost) -> None:
    """Exit status 0, no warning; and every flow is right.

    On bookworm the list of modules in force is the administrator's own, which
    has the module in it.
    """
    if host.suite == "bookworm":
        host.run(f"cp {GENERATED} {OWN_LIST}")
        code, said = host.ask("multihome integrate --check")
        assert (0, True) == (code, OWN_LIST in said)
    host.become(GOOD_KEY)
    host.assert_done()
    assert [0, 0] == [code for code, _ in host.schema(GOOD_KEY)]
    assert planned_rules(SEED_INTENT) == sorted(host.it.priorities())
    assert_flows(host.it, SEED_INTENT)


def attach_third(host: PackageHost) -> None:
    """Attach an ENI to the running instance."""
    host.it.vpc.update(WITH_THIRD)
    host.it.vm.plug(THIRD)


def detach_third(host: PackageHost) -> None:
    """Detach it again."""
    host.it.vm.unplug("third")
    host.it.vpc.update(SEED_INTENT.shape)


@on(more=("bookworm", "sid"))
def test_a_reboot_gives_the_same(host: PackageHost) -> None:
    """The same instance, no new one; and no unit fails in it."""
    before = host.network()
    host.boot = host.it.vm.reboot()
    host.assert_done()
    assert "running" == host.boot.system, host.boot.why
    assert before == host.network()


@on(more=("bookworm",))
def test_rules_and_routes_of_others_stay(host: PackageHost) -> None:
    """Through whatever is changed; on trixie it is test_theirs.py's."""
    before = read_state(host.it)
    host.run(others.PUT_THERE)
    theirs = host.run(others.SHOW_THEIRS)
    others.assert_all_there(theirs)
    for change in (add_a_destination, remove_it, restore, run_again):
        change(host)
        # At a restore, the names of links change, and nothing else.
        shown = others.by_given_names(host.run(others.SHOW_THEIRS))
        assert theirs == shown, change.__name__
    host.run(others.TAKE_AWAY)
    wait_for_state(host.it, before)


def add_a_destination(host: PackageHost) -> None:
    """Have another one go by the first ENI."""
    configure(host.it, f"policy: [{{to: {ONE_MORE}, via: private}}]\n")
    assert ONE_MORE in host.run(POLICY)


def remove_it(host: PackageHost) -> None:
    """Have it go by the default again."""
    remove_drop_ins(host)
    assert ONE_MORE not in host.run(POLICY)


def remove_drop_ins(host: PackageHost) -> None:
    """Have user-data alone in force."""
    host.run(f"rm -r {Path(DROP_IN).parent} && multihome apply")


def restore(host: PackageHost) -> None:
    """cloud-init's own networking, under the kernel's names."""
    host.run("multihome restore")
    assert not {rule[0] for rule in host.it.priorities()} & OUR_RULES


def run_again(host: PackageHost) -> None:
    """cloud-init has its module run, on the live host."""
    host.run(RUN_AGAIN)
    assert {rule[0] for rule in host.it.priorities()} >= OUR_RULES


def assert_nothing_lost(
    host: PackageHost, what: str, pings: Mapping[str, Pings]
) -> None:
    """Print what was counted through each ENI; and each ping was answered."""
    for name, item in pings.items():
        print(f"{host.suite}: {what}: {name} {item}")
        assert item.received > 0
        assert 0 == item.lost, pings


@on("trixie", "bookworm", more=("sid",))
def test_an_upgrade_loses_no_packet(host: PackageHost) -> None:
    """A higher version over it, while both ENIs are pinged."""
    before = host.network()
    host.it.vm.agent.put(host.deb.read_bytes(), "/root/cc-multihome.deb")
    host.run(
        "cd /root && rm -rf up && dpkg-deb -R cc-multihome.deb up &&"
        f" sed -i 's/^Version: .*/Version: {__version__}+up/'"
        " up/DEBIAN/control &&"
        " dpkg-deb -b up cc-multihome-up.deb"
    )
    with ExitStack() as stack:
        pings = host.pinged(stack)
        host.run("dpkg -i /root/cc-multihome-up.deb")
    assert_nothing_lost(host, "upgrade", pings)
    assert before == host.network()
    assert "" == host.run("dpkg --audit")
    version = host.run("dpkg-query -W -f '${Version}' cc-multihome")
    assert f"{__version__}+up" == version
    host.assert_done()
    assert_flows(host.it, SEED_INTENT)


@on("bookworm", more=("sid",))
def test_an_attached_eni_is_the_modules_alone(host: PackageHost) -> None:
    """cloud-init's own hotplug, on by default on sid, stays out of it.

    Before each change somebody has systemd read its units again, and so
    netplan write all of networkd's files anew: no reason to touch the others.
    """
    with ExitStack() as stack:
        pings = host.pinged(stack)
        host.run("systemctl daemon-reload")
        attach_third(host)
        wait_for(
            lambda: THIRDS_RULE in host.it.priorities(), "no rule of the ENI"
        )
        assert is_answered(*host.it.vpc.outside("third"), within=60)
        assert "active" != host.ask(CLOUD_INITS_HOTPLUG)[1].strip()
        wait_until_followed(host.it)
        assert "inactive" == host.ask(FOLLOWS)[1].strip()
        host.run("systemctl daemon-reload")
        detach_third(host)
        wait_until_gone(host.it, THIRDS_RULE[2])
        wait_until_followed(host.it)
        assert "inactive" == host.ask(FOLLOWS)[1].strip()
    assert_nothing_lost(host, "attached and detached", pings)
    assert planned_rules(SEED_INTENT) == sorted(host.it.priorities())


@on("trixie", "bookworm", more=("sid",))
def test_removal_gives_cloud_inits_network_back(host: PackageHost) -> None:
    """On the running host, which is reached while it happens."""
    with ExitStack() as stack:
        pings = host.pinged(stack)
        host.run("apt-get -qq -y remove cc-multihome")
        wait_for_equal(by_hops(host.stock), lambda: by_hops(host.network()))
    for name, item in pings.items():
        print(f"{host.suite}: removal: {name} {item}")
        assert item.received > 0
    # Its link is down while it gets its former name.
    assert pings["private"].longest_gap_s < LONGEST_GAP_S
    assert "systemd" in host.run("readlink /etc/resolv.conf")
    assert "" == host.run("dpkg --audit")
    assert_primary_is_reached(host)
    host.assert_done()


def by_hops(network: dict[str, Any]) -> dict[str, Any]:
    """Return a host's network with its routes by where they lead to.

    Some of those of a boot are of the DHCP client that cloud-init starts
    before networkd, with other metrics than networkd's own.
    """
    keys = ("table", "dst", "gateway", "dev")
    routes = (dict(ast.literal_eval(it)) for it in network["routes"])
    hops = {tuple(str(it.get(key)) for key in keys) for it in routes}
    return {**network, "routes": sorted(hops)}


@on("trixie", "bookworm", more=("sid",))
def test_purging_leaves_no_file(host: PackageHost) -> None:
    """Neither in /etc, nor in /var, nor a unit."""
    with pinging(*host.it.vpc.outside("private")) as pings:
        host.run(f"apt-get -qq -y purge cc-multihome; rm -f {OWN_LIST}")
    assert pings.received > 0
    assert 0 == pings.lost, pings
    left = host.run(
        "find / -xdev -iname '*multihome*' -not -path '/root/*'"
        " -not -path '/proc/*'; find /run -iname '*multihome*'"
    ).splitlines()
    assert [] == [path for path in left if "/var/log/" not in path]
    _, units = host.ask("systemctl list-unit-files 'multihome*'")
    assert "0 unit files listed" in units


@on("trixie", more=("bookworm", "sid"))
def test_a_boot_without_the_package_is_the_one_without_the_key(
    host: PackageHost,
) -> None:
    """Same files, routes and rules."""
    host.become(NO_KEY)
    host.assert_done()
    assert host.stock == host.network()


@on("trixie")
def test_an_administrators_own_list_wins_and_is_told(
    host: PackageHost,
) -> None:
    """A later file without the module: it is not run, and that is said."""
    host.run("dpkg -i /root/cc-multihome.deb")
    host.run(f"grep -v multihome {GENERATED} >{OWN_LIST}")
    code, said = host.ask("multihome integrate --check")
    assert 1 == code
    assert OWN_LIST in said
    host.become(GOOD_KEY)
    host.assert_done()
    assert host.stock == host.network()
    assert_primary_is_reached(host)
    host.run(f"rm {OWN_LIST}; multihome integrate --check")


@on(more=("trixie",))
def test_cloud_init_is_upgraded_under_it(
    host: PackageHost, tmp_path: Path
) -> None:
    """To the next suite's, while both ENIs are pinged; and the boot after."""
    host.run("dpkg -i /root/cc-multihome.deb")
    host.data = NO_KEY
    host.become(GOOD_KEY)
    host.assert_done()
    before = host.network()
    put_next_cloud_init(host, tmp_path)
    with ExitStack() as stack:
        pings = host.pinged(stack)
        # Not all that it depends on is in the image.
        host.run(
            "dpkg --force-depends --force-confdef -i /root/cloud-init.deb"
        )
    assert_nothing_lost(host, "cloud-init upgraded", pings)
    assert before == host.network()
    host.run("multihome integrate --check")
    host.again(GOOD_KEY)
    host.assert_done()
    assert [0, 0] == [code for code, _ in host.schema(GOOD_KEY)]
    assert planned_rules(SEED_INTENT) == sorted(host.it.priorities())
    assert_flows(host.it, SEED_INTENT)


def put_next_cloud_init(host: PackageHost, folder: Path) -> None:
    """Have the next suite's package on the host."""
    chroot_run(
        stock(NEXT_SUITE).rootfs,
        ["sh", f"{SOURCES}/tests/package/pack_cloud_init.sh"],
        writable={folder: "/out"},
    )
    packed = (folder / "cloud-init.deb").read_bytes()
    host.it.vm.agent.put(packed, "/root/cloud-init.deb")
