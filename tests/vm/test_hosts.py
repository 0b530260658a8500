# SPDX-License-Identifier: Apache-2.0
"""Hosts that do more: pinned users, containers, tunnels, networks with NAT.

One instance, the seed's; each test starts from the state after its boot.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.far_server import COMPANY, FAR_PORT, GUEST, INTERNET
from tests.lab.flows import Flow, Probe
from tests.lab.image import with_package
from tests.lab.instance import LabInstance, booted
from tests.lab.netns import Netns
from tests.lab.pinging import is_answered
from tests.lab.user_data import SEED_INTENT
from tests.lab.vpc_rules import gateway_name
from tests.vm.containers import publish
from tests.vm.pins import (
    DROP_IN,
    REFRESH,
    as_user,
    assert_pin_stays,
    configure,
    mark_of,
    wrong,
)
from tests.vm.state import LOG, read_state

PRIVATE, PUBLIC = "10.224.184.51", "10.224.186.43"
ELASTIC = "198.51.100.177"
SECOND_ROUTER = "10.224.184.9"
FAR, NAMED = SEED_INTENT.unnamed, "192.0.2.14"
# Of users that every Debian has, one without a login.
PINNED = "proxy"
BOOTED = "booted"
WEB = (
    "systemd-run -u web ip netns exec n-docker0"
    " socat TCP-LISTEN:80,fork,reuseaddr SYSTEM:'printf hello'; sleep 2"
)
ASK = (
    "import socket, sys;"
    "s = socket.create_connection((sys.argv[1], 80), timeout=4);"
    "sys.stdout.write(s.recv(9).decode())"
)
SERVICE_DROP_INS = "/run/systemd/system/*.service.d/50-multihome.conf"
# systemd's own parameter for control groups that can mark no socket.
VERSION_1 = "systemd.unified_cgroup_hierarchy=0"
REFUSED = (
    "multihome.services: found 1 of them, expected control groups of version 2"
    " alone at /sys/fs/cgroup"
)
ONCE = """
[Service]
Type=oneshot
User=games
ExecStart=+/bin/sh /run/once.sh
"""


@pytest.fixture(scope="module")
def machine(lab_run: Run, deb: Path) -> Iterator[LabInstance]:
    """The instance, booted once."""
    data = user_data.multihome(SEED_INTENT, users={PINNED: "private"})
    image = with_package("trixie", deb)
    with booted(lab_run, image, SEED_INTENT, data, label="more") as instance:
        instance.vm.save(BOOTED)
        yield instance


@pytest.fixture
def host(machine: LabInstance) -> LabInstance:
    """The instance as it was after its boot."""
    machine.vm.restore(BOOTED)
    return machine


def out(
    eni: str, *, to: str = FAR, bind: str | None = None
) -> tuple[Flow, ...]:
    """Make the flows from the guest that must leave by an ENI."""
    side = COMPANY if eni == "private" else INTERNET
    saw = PRIVATE if eni == "private" else ELASTIC
    return tuple(
        Flow(
            f"{kind} {bind} {to}",
            "out",
            Probe(f"{kind} {bind} {to}", kind, to, FAR_PORT, bind),
            eni,
            side,
            GUEST,
            saw,
        )
        for kind in ("tcp", "udp")
    )


def test_a_user_is_pinned_and_nobody_else(host: LabInstance) -> None:
    """From the first packet, whatever the policy; bound sockets are not."""
    proxy = partial(as_user, host, PINNED)
    bound = [*out("public", bind=PUBLIC), *out("private", bind=PRIVATE)]

    assert "done" == host.boot.cloud_init, host.boot.why
    assert [] == wrong(host, [*out("private"), *bound], proxy)
    assert [] == wrong(host, [*out("public"), *out("private", to=NAMED)])
    said = host.vm.run(f"multihome explain {FAR} --user {PINNED}").out
    assert "The kernel does the same." in said


def test_users_come_and_go_with_the_configuration(host: LabInstance) -> None:
    """Before the policy, and back when the file is gone."""
    games = partial(as_user, host, "games")
    before = sorted(host.priorities())

    assert [] == wrong(host, out("private", to=NAMED), games)
    configure(host, "users: {games: public}\n")
    assert [] == wrong(host, out("public", to=NAMED), games)
    # Negative twin: the rule is what does it.
    host.vm.run(f"rm {DROP_IN}; multihome apply", timeout=200)
    assert [] == wrong(host, out("private", to=NAMED), games)
    assert before == sorted(host.priorities())


def test_a_user_that_is_not_there_changes_nothing(host: LabInstance) -> None:
    """The error has the path, the file and the line."""
    before = sorted(host.priorities())
    host.vm.run("mkdir -p /etc/multihome.d")
    host.vm.agent.put(b"users:\n  nobody-here: private\n", DROP_IN)
    done = host.vm.run("multihome apply", check=False)

    assert 0 != done.status
    assert f"multihome.users.nobody-here ({DROP_IN}, line 2)" in done.err
    assert "expected a user of this host" in done.err
    assert before == sorted(host.priorities())


def test_a_service_is_pinned_from_its_first_packet(host: LabInstance) -> None:
    """A oneshot that cannot bind; nobody else, and not without the key."""
    host.vm.agent.put(ONCE.encode(), "/etc/systemd/system/once.service")
    service = partial(as_service, host)

    assert [] == wrong(host, out("public"), service)
    configure(
        host, "services: {once.service: private, none.service: public}\n"
    )
    assert [] == wrong(host, out("private"), service)
    assert [] == wrong(host, out("public", bind=PUBLIC), service)
    assert [] == wrong(host, out("public"))
    said = host.vm.run(f"multihome explain {FAR} --service once.service").out
    assert "The kernel does the same." in said
    host.vm.run(f"rm {DROP_IN}; multihome apply", timeout=200)
    assert [] == wrong(host, out("public"), service)
    assert 0 != host.vm.run(f"ls {SERVICE_DROP_INS}", check=False).status


def test_a_running_service_starts_again_and_its_pin_stays(
    host: LabInstance,
) -> None:
    """Its pin comes, goes, outlives restarts, and never hinders its start."""
    assert_pin_stays(host)
    host.vm.run("mv /usr/lib/python3/dist-packages/cc_multihome /root/")
    host.vm.run("systemctl restart stays")
    assert "0x0" == mark_of(host, "0x0")
    host.vm.run("mv /root/cc_multihome /usr/lib/python3/dist-packages/")
    host.vm.run("multihome restore", timeout=200)
    host.vm.run("systemctl restart stays")
    assert "0x0" == mark_of(host, "0x0")
    assert 0 != host.vm.run(f"ls {SERVICE_DROP_INS}", check=False).status


def as_service(host: LabInstance, argv: Sequence[str], stdin: str) -> str:
    """Run a command in the guest as once.service; the shape of vpc.Runner."""
    host.vm.agent.put(stdin.encode(), "/run/once.in")
    command = f"{shlex.join(argv)} < /run/once.in > /run/once.out\n"
    host.vm.agent.put(command.encode(), "/run/once.sh")
    host.vm.run("systemctl start once")
    return host.vm.agent.get("/run/once.out").decode()


def test_replies_to_containers_and_tunnels_stay_on_the_host(
    host: LabInstance,
) -> None:
    """From each ENI's address; without rule (a) they would not."""
    host.vm.run(
        add_neighbour("docker0", "172.17.0.1/16", "172.17.0.2")
        + add_tunnel("wg0", "10.99.0.0/24", "10.99.0.7")
        + add_neighbour("virbr0", "192.168.122.1/24", "192.168.122.10")
        + "sysctl -qw net.ipv4.ip_forward=1\n"
        + "nft add table ip libvirt\n"
        "nft add chain ip libvirt post"
        " '{ type nat hook postrouting priority 100; }'\n"
        "nft add rule ip libvirt post ip saddr 192.168.122.0/24"
        " ip daddr != 192.168.122.0/24 masquerade\n"
    )
    peers = ("172.17.0.2", "10.99.0.7", "192.168.122.10")
    pings = [
        f"ping -c 1 -W 2 -I {source} {peer}"
        for source in (PRIVATE, PUBLIC)
        for peer in peers
    ]

    for ping in pings:
        assert 0 == host.vm.run(ping, check=False).status, ping
    # What a guest of libvirt's sends goes out by the default.
    ask = f"ip netns exec n-virbr0 socat -T 8 - TCP:{FAR}:{FAR_PORT}"
    answer = json.loads(host.vm.run(f"{ask} < /dev/null").out)
    assert (INTERNET, ELASTIC) == (answer["side"], answer["saw"])
    host.vm.run("ip rule del priority 31000")
    for ping in pings:
        assert 0 != host.vm.run(ping, check=False).status, ping


def test_published_ports_answer_by_each_eni(host: LabInstance) -> None:
    """Also by the one without the default route; a flush is mended."""
    strict = "net.ipv4.conf.private.rp_filter"
    docker = add_neighbour("docker0", "172.17.0.1/16", "172.17.0.2")
    host.vm.run(f"{docker}\nsysctl -qw net.ipv4.ip_forward=1 {strict}=1")
    dnat = publish("172.17.0.2", (PRIVATE, PUBLIC), port=80)
    host.vm.agent.put(dnat.encode(), "/run/dnat")
    host.vm.run(f"nft -f /run/dnat; {WEB}")

    assert answers(host.vpc.inet, ELASTIC)
    assert not answers(host.vpc.corp, PRIVATE)
    configure(host, "containers: true\n")
    host.vpc.reset_counters()
    assert answers(host.vpc.inet, ELASTIC)
    assert answers(host.vpc.corp, PRIVATE)
    assert 0 == sum(it.src for it in host.vpc.counters().values())
    assert "2" == host.vm.run(f"sysctl -n {strict}").out.strip()
    host.vm.run("nft delete table inet multihome")
    assert not answers(host.vpc.corp, PRIVATE)
    host.vm.run(REFRESH, timeout=200)
    assert answers(host.vpc.corp, PRIVATE)
    host.vm.run(f"rm {DROP_IN}; multihome apply", timeout=200)
    assert not answers(host.vpc.corp, PRIVATE)
    assert answers(host.vpc.inet, ELASTIC)
    assert "1" == host.vm.run(f"sysctl -n {strict}").out.strip()
    assert "multihome" not in host.vm.run("nft list tables").out


def answers(side: Netns, address: str) -> bool:
    """Ask the published port from a host outside."""
    argv = side.argv([sys.executable, "-c", ASK, address])
    done = subprocess.run(argv, capture_output=True, check=False)
    return done.stdout == b"hello"


def add_neighbour(bridge: str, own: str, address: str) -> str:
    """Return commands that make a bridge with one neighbour behind it.

    Its lost answers are soon given up, as those of add_container().
    """
    inside, length = f"n-{bridge}", own.partition("/")[2]
    return f"""
        set -e
        ip link add {bridge} type bridge
        ip addr add {own} dev {bridge}
        ip link set {bridge} up
        ip netns add {inside}
        ip netns exec {inside} sysctl -qw net.ipv4.tcp_synack_retries=1
        ip link add v-{bridge} type veth peer name eth0 netns {inside}
        ip link set v-{bridge} master {bridge} up
        ip -n {inside} addr add {address}/{length} dev eth0
        ip -n {inside} link set eth0 up
        ip -n {inside} route add default via {own.partition("/")[0]}
    """


def add_tunnel(name: str, prefix: str, address: str) -> str:
    """Return commands that make a route in main by a device with no peer.

    As WireGuard's: the other end has no address in common with the host.
    """
    inside = f"n-{name}"
    return f"""
        set -e
        ip netns add {inside}
        ip link add {name} type veth peer name eth0 netns {inside}
        ip link set {name} up
        ip -n {inside} link set eth0 up
        ip -n {inside} addr add {address}/32 dev eth0
        ip -n {inside} route add default dev eth0
        ip route add {prefix} dev {name}
    """


def test_static_routes_of_main_hold_for_their_enis_address(
    host: LabInstance,
) -> None:
    """The administrator's stays in main, and no other ENI follows it."""
    host.vm.run(f"ip route add {FAR}/32 via {SECOND_ROUTER}")
    subnet = SEED_INTENT.shape.subnet(SEED_INTENT.shape.eni("private").subnet)
    host.vpc.router.ip(
        [f"addr replace {SECOND_ROUTER}/32 dev {gateway_name(subnet)}"]
    )
    ask = "ip -j route get {} from {} | jq -r '.[0].gateway'"

    def hop(source: str) -> str:
        return host.vm.run(ask.format(FAR, source)).out.strip()

    assert "10.224.184.1" == hop(PRIVATE)
    configure(host, "honor_main_routes: true\n")
    assert (SECOND_ROUTER, "10.224.186.1") == (hop(PRIVATE), hop(PUBLIC))
    assert f"via {SECOND_ROUTER}" in host.vm.run(f"ip route show {FAR}").out
    assert [] == wrong(host, out("private", bind=PRIVATE))
    assert [] == wrong(host, out("public", bind=PUBLIC))
    assert "lladdr" in host.vm.run(f"ip neigh show {SECOND_ROUTER}").out
    host.vm.run(f"ip route del {FAR}/32; {REFRESH}", timeout=200)
    assert "10.224.184.1" == hop(PRIVATE)


@pytest.mark.thorough
def test_pins_are_refused_where_no_socket_can_be_marked(
    lab_run: Run, deb: Path
) -> None:
    """Debian 12 with control groups of version 1: one error, stock network."""
    data = user_data.multihome(SEED_INTENT, services={"my.service": "private"})
    image = with_package("bookworm", deb)
    with booted(
        lab_run, image, SEED_INTENT, data, label="old", append=VERSION_1
    ) as old:
        mounted = old.vm.run("stat -fc %T /sys/fs/cgroup").out
        logged = old.vm.run(f"grep -F '{REFUSED}' {LOG}", check=False).out
        told = old.vm.run("multihome apply", check=False, timeout=200)
        old.vm.run("systemctl start multihome-refresh", timeout=200)
        failed = old.vm.run("systemctl --failed --plain --no-legend").out
        state = read_state(old)
        answered = is_answered(*old.vpc.outside("private"), within=10)

    assert "tmpfs" == mounted.strip()
    assert 1 == len(logged.splitlines()), logged
    assert 1 == told.status
    assert REFUSED in told.err
    assert {"lo", "ens5", "ens6"} == set(state["links"])
    assert "active" == state["resolved"]
    assert "multihome" not in failed
    assert answered
