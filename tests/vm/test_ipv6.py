# SPDX-License-Identifier: Apache-2.0
"""Both families side by side, and IPv6 alone, on the real thing.

shapes_ipv6.py has the instances. On trixie everything is asked of both;
other suites, whose networkd and netplan differ, have the flows once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.expected import (
    global_ipv6s,
    ipv6_defaults,
    own_ipv6s,
    planned_defaults,
    planned_rules,
)
from tests.lab.far_server import FAR_PORT
from tests.lab.image import with_package
from tests.lab.instance import LabInstance, booted
from tests.lab.pinging import is_answered, pinging
from tests.lab.shape import LabEni
from tests.lab.shapes_ipv6 import BESIDE, CONTAINER, DUAL, ONLY
from tests.lab.user_data import Intent
from tests.lab.vpc_rules import gateway_name
from tests.vm.containers import (
    add_container,
    container_verdicts,
    publish,
    published_verdicts,
)
from tests.vm.pins import (
    APPLY,
    DROP_IN,
    as_user,
    assert_pin_stays,
    configure,
    mark_of,
    unbound,
    wrong,
)
from tests.vm.state import (
    HOTPLUG,
    LOG,
    RUN_AGAIN,
    assert_flows,
    file_stamps,
    read_state,
    wait_for,
    wait_until_followed,
    wait_until_gone,
)

# The VPC gets a block, and somebody is in it, on either side.
MORE_VPC, NEIGHBOUR = "2001:db8:70::/56", "2001:db8:70::1"
# So far from the others that its rule is one of its own.
NEW = "2001:db8:60:1::a5"
NEW_RULE = (31101, NEW, 20)
LATE = LabEni(
    "late",
    "eni-0e0000000000000005",
    "06:00:00:00:06:05",
    4,
    "private",
    ("10.224.184.61",),
    ipv6s=("2001:db8:60:2::61",),
)
WITH_LATE = replace(
    DUAL,
    shape=replace(DUAL.shape, enis=(*DUAL.shape.enis, LATE)),
    tables={**DUAL.tables, "late": 31004},
)
# The device in the fifth slot; it is not listed and keeps its name.
LATE_NAME = "ens9"
# A router that lets hosts choose addresses, and an administrator who wants
# them to change (RFC 4941). What he says last is what networkd does.
PRIVATE_PUBLIC = replace(DUAL.shape, autonomous=("public",))
PRIVACY = "/etc/systemd/network/10-netplan-ens6.network.d/60-privacy.conf"
WANTED = "[Network]\nIPv6PrivacyExtensions=yes\n"
TAKEN = f"{WANTED}[IPv6AcceptRA]\nUseAutonomousPrefix=yes\n"
# Of a learned route, with each advertisement.
RENEWED = ("expires", "nhid", "nh_info")
# Of a container; nobody outside knows them.
WEB = ("172.17.0.2", "fd00:d0c::2")
# How somebody runs a command; of users that every Debian has, one without a
# login, and of units one that exists for that command alone.
BEGIN = {
    "as proxy": "setpriv --reuid=proxy --clear-groups",
    "as once": "systemd-run -q --unit=once --wait --pipe --collect",
    "as root": "",
}


@pytest.fixture(scope="module")
def dual(lab_run: Run, deb: Path) -> Iterator[LabInstance]:
    """The instance with both families, booted once."""
    data = user_data.multihome(DUAL)
    image = with_package("trixie", deb)
    with booted(lab_run, image, DUAL, data, label="dual") as instance:
        yield instance


@pytest.fixture(scope="module")
def only(lab_run: Run, deb: Path) -> Iterator[LabInstance]:
    """The instance with IPv6 alone, booted once."""
    data = user_data.multihome(ONLY)
    image = with_package("trixie", deb)
    with booted(lab_run, image, ONLY, data, label="only6") as instance:
        yield instance


def assert_right(instance: LabInstance, intent: Intent) -> None:
    """Rules, routes and addresses as planned, each flow by its ENI."""
    assert planned_rules(intent) == sorted(instance.priorities())
    assert planned_rules(intent, 6) == sorted(instance.priorities("-6"))
    assert planned_defaults(intent) == ipv6_defaults(instance)
    assert own_ipv6s(intent.shape) == global_ipv6s(instance)
    assert_flows(instance, intent)


def others_lose_nothing(
    instance: LabInstance, addresses: Sequence[str], change: Callable[[], None]
) -> None:
    """Ping from the company's side and the internet's during a change."""
    shape = instance.vpc.shape
    public = shape.subnet(shape.eni("public").subnet).ipv6_cidr or ""
    with ExitStack() as stack:
        found = [
            stack.enter_context(
                pinging(
                    instance.vpc.inet
                    if it.startswith(public.split("::")[0])
                    else instance.vpc.corp,
                    it,
                )
            )
            for it in addresses
        ]
        change()
    for item in found:
        assert item.received > 0
        assert 0 == item.lost, found


def refresh(instance: LabInstance) -> None:
    """Do what the timer does, now."""
    instance.vm.run("systemctl start multihome-refresh.service", timeout=200)


def read_both(instance: LabInstance) -> tuple[object, ...]:
    """Return what the guest looks like, without what RA and time renew.

    networkd adds rules of one priority in any order, and numbers the next
    hops that it learns as it likes; `gateway` has their address.
    """
    routes = [
        sorted((key, str(it[key])) for key in it if key not in RENEWED)
        for it in instance.ip_json("-6 route show table all type unicast")
    ]
    return (
        read_state(instance),
        sorted(instance.priorities("-6")),
        global_ipv6s(instance),
        sorted(routes),
    )


def assert_second_run_changes_nothing(instance: LabInstance) -> None:
    """No file is written, and the log says so."""
    stamps, state = file_stamps(instance), read_both(instance)
    lines = int(instance.vm.run(f"wc -l < {LOG}").out)
    instance.vm.run(RUN_AGAIN)
    said = instance.vm.run(f"tail -n +{lines + 1} {LOG}").out
    assert "nothing to change" in said
    assert (stamps, state) == (file_stamps(instance), read_both(instance))


def test_both_families_are_right(dual: LabInstance) -> None:
    """Two ENIs in one /64, secondaries, an ENI without IPv6."""
    assert "done" == dual.boot.cloud_init, dual.boot.why
    assert_right(dual, DUAL)


def test_a_second_run_changes_nothing(dual: LabInstance) -> None:
    """What an advertisement has brought is as planned."""
    dual.vm.run("systemctl stop multihome-refresh.timer")
    assert_second_run_changes_nothing(dual)


def test_what_is_deleted_by_hand_is_told_and_comes_back(
    dual: LabInstance,
) -> None:
    """Of public: a rule, the route by the learned router, an address."""
    state = read_both(dual)
    address = DUAL.shape.eni("public").ipv6s[1]
    priority, source, _ = next(
        it for it in planned_rules(DUAL, 6) if it[2] == DUAL.tables["public"]
    )
    dual.vm.run(
        f"ip -6 rule del priority {priority} from {source};"
        " ip -6 route del default dev public table 20;"
        f" ip -6 addr del {address}/128 dev public"
    )
    lost = (
        f"rule {priority}: from {source} lookup 20 is missing",
        "route ::/0 via _ipv6ra dev public table 20 is missing",
        f"address {address}/128 on public is missing",
    )
    for command in ("multihome verify", "multihome status"):
        told = dual.vm.run(command, check=False)
        assert 1 == told.status, told
        assert [] == [it for it in lost if it not in told.out], told

    dual.vm.run(APPLY, timeout=200)

    assert 0 == dual.vm.run("multihome verify", check=False).status
    assert state == read_both(dual)


def test_a_duplicate_is_told_and_comes_back_without_the_other(
    dual: LabInstance,
) -> None:
    """The router plays the host in public's subnet that has the address."""
    public = DUAL.shape.eni("public")
    address = f"{public.ipv6s[1]}/128"
    theirs = f"{address} dev {gateway_name(DUAL.shape.subnet('public'))}"
    told = (
        f"address {address} on public ({public.eni_id}) is a duplicate:"
        " another host in its subnet has it"
    )

    def is_told() -> bool:
        return told in dual.vm.run("multihome status", check=False).out

    dual.vpc.router.ip([f"addr add {theirs} nodad"])
    ours = f"{address} dev public"
    dual.vm.run(f"ip -6 addr del {ours}; ip -6 addr add {ours}")
    wait_for(is_told, "no word of a duplicate", within=30)
    verified = dual.vm.run("multihome verify --timeout 1", check=False)
    assert 1 == verified.status and told in verified.out, verified

    dual.vpc.router.ip([f"addr del {theirs}"])
    # It stays one where nobody does anything.
    assert is_told()
    refresh(dual)
    assert_right(dual, DUAL)


def test_an_address_comes_and_goes_and_others_lose_nothing(
    dual: LabInstance,
) -> None:
    """A secondary one of public, by the timer's unit."""
    shape = DUAL.shape
    public = shape.eni("public")
    more = replace(public, ipv6s=(*public.ipv6s, NEW))
    enis = tuple(more if it == public else it for it in shape.enis)
    steady = [
        shape.eni(name).ipv6s[0] for name in ("private", "public", "twin")
    ]

    def add() -> None:
        dual.vpc.update(replace(shape, enis=enis))
        refresh(dual)

    def remove() -> None:
        dual.vpc.update(shape)
        refresh(dual)

    others_lose_nothing(dual, steady, add)
    assert NEW_RULE in dual.priorities("-6")
    assert ("public", NEW, 128) in global_ipv6s(dual)
    assert is_answered(dual.vpc.inet, NEW, within=5)
    others_lose_nothing(dual, steady, remove)
    assert_right(dual, DUAL)


def test_a_block_that_the_vpc_gets_is_followed(dual: LabInstance) -> None:
    """By the timer's unit; taken away again, it is let go."""
    configure(dual, "policy: [{to: vpc, via: twin}]\n")
    for blocks, name in (((MORE_VPC,), "twin"), ((), DUAL.default)):
        intent = with_neighbour(name)
        dual.vpc.update(replace(intent.shape, vpc_ipv6_cidrs=blocks))
        refresh(dual)
        assert [] == wrong(dual, unbound(intent))
    dual.vpc.update(DUAL.shape)
    dual.vm.run(f"rm {DROP_IN}; {APPLY}", timeout=200)


def with_neighbour(via: str) -> Intent:
    """Have somebody be there, by one of the ENIs."""
    sides = (*DUAL.shape.both_sides, NEIGHBOUR)
    shape = replace(DUAL.shape, both_sides=sides)
    return replace(DUAL, shape=shape, policy={**DUAL.policy, NEIGHBOUR: via})


def test_another_default_or_way_is_the_only_one(dual: LabInstance) -> None:
    """networkd keeps what it has learned for the routes of before."""
    for default, via in (("private", "public"), ("public", "twin")):
        policy = f"[{{to: '{NEIGHBOUR}', via: {via}}}]"
        configure(dual, f"default: {default}\npolicy: {policy}\n")
        intent = replace(with_neighbour(via), default=default)
        dual.vpc.update(intent.shape)
        assert planned_defaults(intent) == ipv6_defaults(dual)
        assert [] == wrong(dual, unbound(intent))
    dual.vpc.update(DUAL.shape)
    dual.vm.run(f"rm {DROP_IN}; {APPLY}", timeout=200)


def test_pins_hold_over_ipv6(dual: LabInstance) -> None:
    """Of a user and of a service; a bound socket stays with its ENI."""
    own = {name: DUAL.shape.eni(name).ipv6s[0] for name in ("twin", "public")}
    asked = {
        "as proxy": ("", own["twin"]),
        "as proxy, bound": (own["public"], own["public"]),
        "as once.service": ("", own["twin"]),
        "as root": ("", own["public"]),
    }
    configure(dual, "users: {proxy: twin}\nservices: {once.service: twin}\n")
    for who, (bind, source) in asked.items():
        assert source == saw(dual, who, bind), who
    # Negative twin.
    dual.vm.run(f"rm {DROP_IN}; {APPLY}", timeout=200)
    for who in ("as proxy", "as once.service"):
        assert own["public"] == saw(dual, who, ""), who


def saw(instance: LabInstance, who: str, bind: str) -> str:
    """Ask a far host over IPv6; return whom it saw."""
    bound = f",bind=[{bind}]" if bind else ""
    ask = f"socat -T 8 - TCP6:[{DUAL.unnamed_ipv6}]:{FAR_PORT}{bound}"
    begin = next(it for key, it in BEGIN.items() if who.startswith(key))
    answer = instance.vm.run(f"{begin} {ask} < /dev/null").out
    return str(json.loads(answer)["saw"])


def test_an_eni_with_ipv6_comes_and_goes(dual: LabInstance) -> None:
    """Nobody does anything on the host; the subnet is one of two others."""
    assert_late_comes_and_goes(dual, WITH_LATE)


def assert_late_comes_and_goes(host: LabInstance, intent: Intent) -> None:
    """Attach it, send all flows, detach it; others lose nothing.

    Args:
        intent: with it.
    """
    steady = [intent.shape.eni(it).ipv6s[0] for it in ("private", "public")]
    defaults = ipv6_defaults(host)

    def attach() -> None:
        attach_late(host, intent)
        wait_for(
            lambda: (
                is_answered(host.vpc.corp, LATE.ipv6s[0], within=2)
                and planned_rules(intent, 6) == sorted(host.priorities("-6"))
            ),
            "no answer by it, or no rule of it",
        )
        wait_until_followed(host)

    others_lose_nothing(host, steady, attach)
    assert_flows(host, intent)
    others_lose_nothing(host, steady, lambda: detach_late(host, intent))
    assert planned_rules(DUAL, 6) == sorted(host.priorities("-6"))
    assert defaults == ipv6_defaults(host)


def attach_late(host: LabInstance, intent: Intent) -> None:
    """Have EC2 attach it."""
    host.vpc.update(intent.shape)
    host.vm.plug(LATE)


def detach_late(host: LabInstance, intent: Intent) -> None:
    """Have EC2 detach it, and wait until nothing of it is left."""
    enis = tuple(it for it in intent.shape.enis if it != LATE)
    host.vm.unplug("late")
    host.vpc.update(replace(intent.shape, enis=enis))
    wait_until_gone(host, 31004)
    wait_until_followed(host)


def test_an_eni_that_hears_no_router_is_told_and_not_taken(
    dual: LabInstance,
) -> None:
    """Taken back, the others go on; with advertisements it is taken."""
    steady = [DUAL.shape.eni(it).ipv6s[0] for it in ("private", "public")]
    found = []

    def apply() -> None:
        found.append(dual.vm.run(APPLY, check=False, timeout=300))

    dual.vm.run(f"systemctl mask --runtime {HOTPLUG}")
    dual.vpc.lose_advertisements()
    try:
        attach_late(dual, WITH_LATE)
        seen = f"ip link show {LATE_NAME}"
        wait_for(
            lambda: 0 == dual.vm.run(seen, check=False).status, "no device"
        )
        others_lose_nothing(dual, steady, apply)
    finally:
        dual.vpc.lose_advertisements(lost=False)

    (refused,) = found
    told = refused.err
    assert 1 == refused.status
    assert f"No route by a learned router on {LATE_NAME}: does a" in told
    assert "The former state was put back" in told
    assert_right_but_for_late(dual)
    dual.vm.run(APPLY, timeout=200)
    assert planned_rules(WITH_LATE, 6) == sorted(dual.priorities("-6"))
    assert_flows(dual, WITH_LATE)
    dual.vm.run(f"systemctl unmask --runtime {HOTPLUG}")
    detach_late(dual, WITH_LATE)


def assert_right_but_for_late(host: LabInstance) -> None:
    """What was planned before it came is in force."""
    assert planned_rules(DUAL) == sorted(host.priorities())
    assert planned_rules(DUAL, 6) == sorted(host.priorities("-6"))
    assert planned_defaults(DUAL) == ipv6_defaults(host)
    assert 0 == host.vm.run("multihome verify", check=False).status


def test_lost_advertisements_break_nothing(dual: LabInstance) -> None:
    """The routes stay for the router's lifetime, which is half an hour."""
    state = read_both(dual)
    dual.vpc.lose_advertisements()
    try:
        dual.vm.run(f"{RUN_AGAIN}; networkctl reload; sleep 2")
        assert 0 == dual.vm.run("multihome verify", check=False).status
        assert state == read_both(dual)
        assert_flows(dual, DUAL)
    finally:
        dual.vpc.lose_advertisements(lost=False)


def test_privacy_addresses_are_not_for_an_eni(dual: LabInstance) -> None:
    """EC2 drops what comes from one, and what is not bound would do so."""
    dual.vm.run("systemctl stop multihome-refresh.timer")
    dual.vpc.update(PRIVATE_PUBLIC)
    say_of_privacy(dual, WANTED)
    assert 0 == dual.vm.run("multihome verify", check=False).status
    assert "2" == use_tempaddr(dual)
    assert_right(dual, DUAL)
    assert_second_run_changes_nothing(dual)

    # Negative twin: it is heard, and this is what would become of it.
    say_of_privacy(dual, TAKEN)
    wait_for(lambda: bool(temporary(dual)), "no temporary address", within=60)
    assert unbound_source(dual) in temporary(dual)

    say_of_privacy(dual, "")
    dual.vpc.update(DUAL.shape)
    assert 0 == dual.vm.run("multihome verify", check=False).status
    assert_right(dual, DUAL)


def say_of_privacy(host: LabInstance, text: str) -> None:
    """Have networkd configure public with a file of the administrator's."""
    host.vm.run(f"mkdir -p {os.path.dirname(PRIVACY)}")
    host.vm.agent.put(text.encode(), PRIVACY)
    host.vm.run("networkctl reload; networkctl reconfigure public")


def use_tempaddr(host: LabInstance) -> str:
    """Return what the kernel has been told of temporary addresses."""
    setting = "sysctl -n net.ipv6.conf.public.use_tempaddr"
    return host.vm.run(setting).out.strip()


def temporary(host: LabInstance) -> list[str]:
    """Return the temporary addresses of public that can be used."""
    (shown,) = host.ip_json("-6 addr show dev public")
    return [
        it["local"]
        for it in shown["addr_info"]
        if it.get("temporary") and not it.get("tentative")
    ]


def unbound_source(host: LabInstance) -> str:
    """Return the source that the kernel would choose."""
    (found,) = host.ip_json(f"-6 route get {DUAL.unnamed_ipv6}")
    return str(found["prefsrc"])


def test_a_container_of_a_delegated_prefix_answers_by_its_eni(
    dual: LabInstance,
) -> None:
    """With forwarding on, which ends the kernel's own router discovery."""
    far = DUAL.unnamed_ipv6 or ""
    dual.vpc.reset_counters()
    dual.vm.run(add_container("public", CONTAINER))
    verdicts = container_verdicts(dual, "public", CONTAINER, far)
    assert [] == [item.detail for item in verdicts if not item.ok]
    assert 0 == sum(it.src for it in dual.vpc.counters().values())
    assert planned_defaults(DUAL) == ipv6_defaults(dual)


def test_published_ports_answer_by_each_eni(dual: LabInstance) -> None:
    """Of both families; without `containers` by the default ENI alone."""
    others = [it for it in DUAL.shape.enis if it.name != DUAL.default]
    by_default_alone = (
        {
            address: f"none out, {eni.name} in"
            for eni in others
            for address in eni.addresses
        },
        {DUAL.default},
    )
    publish_web(dual)

    assert by_default_alone == ask_published(dual)
    configure(dual, "containers: true\n")
    assert ({}, set()) == ask_published(dual)
    dual.vm.run(f"rm {DROP_IN}; {APPLY}", timeout=200)
    assert by_default_alone == ask_published(dual)


def publish_web(host: LabInstance) -> None:
    """Make a container and publish its port at all addresses of the host."""
    own = [it for eni in host.vpc.shape.enis for it in eni.addresses]
    dnat = "".join(publish(it, own, port=FAR_PORT) for it in WEB)
    host.vm.agent.put(dnat.encode(), "/run/dnat")
    host.vm.run(f"{add_container('web', *WEB)}\nnft -f /run/dnat")


def ask_published(host: LabInstance) -> tuple[dict[str, str], set[str]]:
    """Ask the port at every address.

    Returns:
        by which ENIs went what is not right, by the address; and the ENIs
        whose source check dropped packets.
    """
    host.vpc.reset_counters()
    verdicts = published_verdicts(host, "web", host.vpc.shape.enis)
    print(*(f"{it.flow.id}: {it.detail}" for it in verdicts), sep="\n")
    drops = host.vpc.counters()
    return (
        {
            str(it.flow.guest_address): str(it.seen_eni)
            for it in verdicts
            if not it.ok
        },
        {name for name, it in drops.items() if it.src},
    )


def test_both_families_come_up_the_same_after_a_reboot(
    dual: LabInstance,
) -> None:
    """The overlay is gone with /run; the module makes it again."""
    boot = dual.vm.reboot()
    assert ("done", "running") == (boot.cloud_init, boot.system), boot.why
    assert_right(dual, DUAL)


def test_ipv6_alone_is_right(only: LabInstance) -> None:
    """IMDS and resolver over IPv6, also for cloud-init itself."""
    assert "done" == only.boot.cloud_init, only.boot.why
    assert_right(only, ONLY)
    resolv_conf = only.vm.run("cat /etc/resolv.conf").out
    assert "nameserver fd00:ec2::253\n" in resolv_conf
    assert "169.254" not in resolv_conf
    assert [] == [
        it for it in only.vpc.imds_requests() if "." in str(it["src"])
    ]


def test_an_ipv6_only_primary_leaves_ipv4_a_way_out(
    lab_run: Run, deb: Path
) -> None:
    """By the ENI that has it, though no `default` is named."""
    data = user_data.multihome(BESIDE, default=None)
    image = with_package("trixie", deb)
    with booted(lab_run, image, BESIDE, data, label="beside6") as instance:
        assert "done" == instance.boot.cloud_init, instance.boot.why
        assert_right(instance, BESIDE)


def test_ipv6_alone_needs_no_second_run(only: LabInstance) -> None:
    """Nor does a reboot change it."""
    only.vm.run("systemctl stop multihome-refresh.timer")
    assert_second_run_changes_nothing(only)
    boot = only.vm.reboot()
    assert ("done", "running") == (boot.cloud_init, boot.system), boot.why
    assert_right(only, ONLY)


@pytest.mark.parametrize(
    "suite",
    [pytest.param("bookworm", marks=pytest.mark.thorough), "sid"],
)
def test_both_families_are_right_on_other_suites(
    lab_run: Run, deb: Path, suite: str
) -> None:
    """IMDS does not answer over IPv6 there, which is what EC2 begins with."""
    intent = replace(DUAL, shape=replace(DUAL.shape, imds_ipv6=False))
    data = user_data.multihome(intent)
    image = with_package(suite, deb)
    with booted(
        lab_run, image, intent, data, label=f"{suite}-dual"
    ) as instance:
        assert "done" == instance.boot.cloud_init, instance.boot.why
        assert_right(instance, intent)
        if suite == "bookworm":
            # systemd's own way of pins works for the first start alone there.
            assert_pin_stays(instance)
            assert_users_beside_services(instance, intent)
            assert_right(instance, intent)


def assert_users_beside_services(host: LabInstance, intent: Intent) -> None:
    """Pin both in one file, and take both back; of both families."""
    proxy = partial(as_user, host, "proxy")
    configure(
        host, "services: {stays.service: public}\nusers: {proxy: twin}\n"
    )
    assert "0x1002" == mark_of(host, "0x1002")
    assert [] == wrong(host, unbound(intent, by="twin"), proxy)
    assert [] == wrong(host, unbound(intent))
    # Negative twin.
    host.vm.run(f"rm {DROP_IN}; {APPLY}", timeout=200)
    assert "0x0" == mark_of(host, "0x0")
    assert [] == wrong(host, unbound(intent), proxy)
