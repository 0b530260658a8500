# SPDX-License-Identifier: Apache-2.0
"""IPv6 of a plan in a real kernel: order of rules, sources, neighbours.

private 2001:db8:0:10::5 (::3)    public 2001:db8:0:11::5    docker0
router fe80::...                  router fe80::...           fd00:d0c::1/64
   (table 31000)                     (table 31001, main's default)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from cc_multihome.apply.diff import mismatches
from cc_multihome.apply.duplicates import retry_duplicates
from cc_multihome.model import Plan, RoutingPolicyRule
from cc_multihome.numbers import PRIORITY_MAIN_SPECIFIC, PRIORITY_POLICY
from tests.lab.host import REPO
from tests.lab.netns import Netns, wait_until
from tests.netns.namespace import (
    PEER,
    ROUTER,
    Answer,
    Query,
    ask,
    call_inside,
    install,
    read_inside,
    veth_commands,
)
from tests.unit.builders import eni, instance, plan_for, with_ipv6

pytestmark = pytest.mark.netns

# The kernel would choose the second for the destination: more bits are equal.
PRIVATE, SECOND = "2001:db8:0:10::5", "2001:db8:0:10:8000::3"
PUBLIC = "2001:db8:0:11::5"
NEIGHBOUR = "2001:db8:0:10:8000::1"
NAMED, ELSEWHERE = "2001:db8:ffff::14", "2001:db8:eeee::1"
# A neighbour of public's.
OTHER = f"{PEER}public"
CONTAINER = "fd00:d0c::2"
DOCKER = (
    *veth_commands("docker0"),
    "address add fd00:d0c::1/64 dev docker0 nodad",
)


def dual_plan() -> Plan:
    """Two ENIs, both with both families."""
    key = {
        "interfaces": {
            "private": {"device_number": 0},
            "public": {"device_number": 1},
        },
        "default": "public",
        "policy": [{"to": [NAMED, "2001:db8:aaaa::/48"], "via": "private"}],
        "resolver": "keep",
    }
    enis = (
        with_ipv6(eni(0), PRIVATE, SECOND, subnet="2001:db8:0:10::/64"),
        with_ipv6(eni(1), PUBLIC, subnet="2001:db8:0:11::/64"),
    )
    return plan_for(key, instance(*enis))


def changed(
    plan: Plan,
    change: Callable[[RoutingPolicyRule], RoutingPolicyRule | None],
) -> Plan:
    """Change each rule, or leave it out."""
    interfaces = []
    for item in plan.interfaces:
        rules = (change(rule) for rule in item.rules)
        kept = tuple(rule for rule in rules if rule is not None)
        interfaces.append(replace(item, rules=kept))
    return replace(plan, interfaces=tuple(interfaces))


def answer(netns: Netns, to: str, source: str | None = None) -> Answer:
    """Ask where a packet goes."""
    bound = ip_address(source) if source else None
    return ask(netns, [Query(ip_address(to), bound)])[0]


@pytest.fixture
def host(new_netns: Callable[[], Netns]) -> Netns:
    """A namespace in which IPv6 is on."""
    return new_netns()


@pytest.mark.parametrize(
    ("to", "source", "expected"),
    [
        pytest.param(
            NAMED, None, Answer("private", ROUTER, PRIVATE), id="named"
        ),
        pytest.param(
            ELSEWHERE, None, Answer("public", ROUTER, PUBLIC), id="default"
        ),
        pytest.param(
            NAMED, PUBLIC, Answer("public", ROUTER, PUBLIC), id="bound"
        ),
        pytest.param(
            ELSEWHERE,
            SECOND,
            Answer("private", ROUTER, SECOND),
            id="bound to the second address",
        ),
        pytest.param(
            NEIGHBOUR,
            None,
            Answer("private", None, PRIVATE),
            id="the first address is the source",
        ),
        pytest.param(
            PUBLIC.replace("::5", "::9"),
            PRIVATE,
            Answer("private", ROUTER, PRIVATE),
            id="a neighbour of the other ENI",
        ),
        pytest.param(
            CONTAINER,
            PRIVATE,
            Answer("docker0", None, PRIVATE),
            id="a container of this host",
        ),
    ],
)
def test_each_packet_leaves_by_its_eni(
    host: Netns, to: str, source: str | None, expected: Answer
) -> None:
    """As IPv4 does."""
    install(host, dual_plan(), DOCKER)
    assert answer(host, to, source) == expected


def test_without_rule_a_the_reply_to_a_container_is_lost(host: Netns) -> None:
    """Negative twin: the VPC's router gets it."""
    plan = changed(
        dual_plan(),
        lambda rule: None if rule.priority == PRIORITY_MAIN_SPECIFIC else rule,
    )
    install(host, plan, DOCKER)
    found = answer(host, CONTAINER, PRIVATE)
    assert found == Answer("private", ROUTER, PRIVATE)


def test_to_rules_before_from_rules_send_bound_traffic_out_wrongly(
    host: Netns,
) -> None:
    """Negative twin: the policy would win over the source."""
    first = PRIORITY_MAIN_SPECIFIC + 1
    plan = changed(
        dual_plan(),
        lambda rule: (
            replace(rule, priority=first)
            if rule.priority == PRIORITY_POLICY
            else rule
        ),
    )
    install(host, plan)
    assert answer(host, NAMED, PUBLIC).dev == "private"


def test_an_address_that_is_not_deprecated_may_become_the_source(
    host: Netns,
) -> None:
    """Negative twin: RFC 6724, rule 8, by the bits that are equal."""
    install(host, dual_plan())
    change = f"address change {SECOND}/128 dev private preferred_lft forever"
    host.ip([f"{change} valid_lft forever"], "-6")
    assert answer(host, NEIGHBOUR).source == SECOND


def test_a_link_local_neighbour_is_on_the_link_for_bound_traffic(
    host: Netns,
) -> None:
    """Or the router would get what is for it."""
    install(host, dual_plan())
    words = ["-N", "-6", "-j", "route", "get", "fe80::77", "from"]
    asked = ["ip", *words, PRIVATE, "oif", "private"]
    (found,) = json.loads(host.run(asked))
    assert "gateway" not in found
    host.ip(["route del fe80::/64 dev private table 31000"], "-6")
    (found,) = json.loads(host.run(asked))
    assert found["gateway"] == ROUTER


def test_the_plan_reads_back_without_a_mismatch(host: Netns) -> None:
    """Addresses, routes, rules of both families and the kernel's own."""
    plan = dual_plan()
    install(host, plan)
    assert mismatches(plan, read_inside(host)) == ()
    host.ip(["rule del priority 32766"], "-6")
    host.ip(["route del default table 31001"], "-6")
    assert mismatches(plan, read_inside(host)) == (
        "route ::/0 via _ipv6ra dev public table 31001 is missing",
        "rule 32766: from ::/0 lookup 254 is missing",
    )


def test_an_address_in_doubt_is_not_there_yet(host: Netns) -> None:
    """Duplicate address detection takes a second, here a minute."""
    plan = dual_plan()
    install(host, plan)
    host.run(["sysctl", "-qw", "net.ipv6.conf.public.dad_transmits=60"])
    host.ip(
        [
            f"address del {PUBLIC}/128 dev public",
            f"address add {PUBLIC}/128 dev public",
        ],
        "-6",
    )
    waits = "is tentative: the kernel still asks whether another host has it"
    assert mismatches(plan, read_inside(host)) == (
        f"address {PUBLIC}/128 on public {waits}",
    )


def test_a_duplicate_is_told_and_has_to_go_before_it_can_come(
    host: Netns,
) -> None:
    """The kernel asks once, and not again where the same is set once more."""
    plan = dual_plan()
    ours, theirs = (f"{PUBLIC}/128 dev {it}" for it in ("public", OTHER))
    fails = "is a duplicate: another host in its subnet has it"
    told = (f"address {PUBLIC}/128 on public (eni-00000001) {fails}",)
    install(host, plan, [f"address add {theirs} nodad"])
    host.ip([f"address del {ours}", f"address add {ours}"])
    wait_for_mismatches(host, plan, told)

    host.ip([f"address del {theirs}", f"address replace {ours}"])
    assert told == mismatches(plan, read_inside(host))
    call_inside(host, retry_duplicates, under_their_names(plan))
    host.ip([f"address add {ours}"])
    wait_for_mismatches(host, plan, ())


def wait_for_mismatches(
    host: Netns, plan: Plan, wanted: tuple[str, ...]
) -> None:
    """Wait for what duplicate address detection comes to."""
    wait_until(
        lambda: wanted == mismatches(plan, read_inside(host)),
        what=f"what is missing is {wanted}",
        timeout=20,
    )


def under_their_names(plan: Plan) -> Plan:
    """Return the plan that a second run makes: the names are given."""
    items = [replace(item, ifname=item.name) for item in plan.interfaces]
    return replace(plan, interfaces=tuple(items))


def asks(netns: Netns, device: str, seconds: float) -> str:
    """Let the module's own probe ask for the router of a device."""
    text = (
        "from cc_multihome.apply.probes import ask_learned_router;"
        f"print(ask_learned_router({device!r}, {seconds}))"
    )
    argv = ["env", f"PYTHONPATH={REPO}", sys.executable, "-c", text]
    return netns.run(argv).strip()


def test_the_learned_router_is_asked_by_neighbour_discovery(
    new_netns: Callable[[], Netns],
) -> None:
    """In whichever table it is; a router that is gone is told from one."""
    here, router = new_netns(), new_netns()
    here.ip(
        [
            f"link add ens5 type veth peer name eth0 netns {router.name}",
            "link set ens5 up",
        ]
    )
    router.ip([f"addr add {ROUTER}/64 dev eth0 nodad", "link set eth0 up"])
    assert asks(here, "ens5", 0.5) == "False"
    here.ip([f"route add default via {ROUTER} dev ens5 table 31000"], "-6")
    assert asks(here, "ens5", 10) == "True"
    here.ip([*veth_commands("ens6"), "route flush table 31000"], "-6")
    hops = f"nexthop via fe80::9 dev ens6 nexthop via {ROUTER} dev ens5"
    here.ip([f"route add default {hops}"], "-6")
    assert asks(here, "ens5", 10) == "True"
    assert asks(here, "ens6", 1) == "False"
    router.ip([f"addr del {ROUTER}/64 dev eth0"])
    here.ip(["neighbour flush dev ens5"], "-6")
    assert asks(here, "ens5", 1) == "False"
