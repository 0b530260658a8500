# SPDX-License-Identifier: Apache-2.0
"""The order of the rules decides; real packets show which device they take.

private 10.224.184.51/26     public 10.224.186.43/26     docker0
gateway 10.224.184.1         gateway 10.224.186.1        172.17.0.1/16
   (table 10)                  (table 20, main's default)    |
                                                         172.17.0.2
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from cc_multihome.model import Plan, RoutingPolicyRule
from cc_multihome.numbers import PRIORITY_MAIN_SPECIFIC, PRIORITY_POLICY
from tests.lab.netns import Netns
from tests.netns.namespace import (
    PORT,
    Query,
    ask,
    carrier_of,
    install,
    neighbours,
    veth_commands,
)
from tests.unit.builders import DESTINATIONS, plan_for

pytestmark = pytest.mark.netns

PRIVATE, PUBLIC = "10.224.184.51", "10.224.186.43"
PRIVATE_GATEWAY, PUBLIC_GATEWAY = "10.224.184.1", "10.224.186.1"
CONTAINER = "172.17.0.2"
PORT0 = f"{PORT}0"
DOCKER = (
    "link add docker0 type bridge",
    *veth_commands(PORT0),
    f"link set {PORT0} master docker0",
    "link set docker0 up",
    "address add 172.17.0.1/16 dev docker0",
    *neighbours((CONTAINER, "docker0")),
)
ARP = neighbours(
    (PRIVATE_GATEWAY, "private"),
    (PUBLIC_GATEWAY, "public"),
    # As they would be neighbours, were a packet to leave on the wrong link.
    (PUBLIC, "private"),
    ("10.224.186.50", "public"),
    ("10.224.184.60", "private"),
)


def without(plan: Plan, priority: int) -> Plan:
    """Leave a rule out."""
    return with_rules(
        plan, lambda rule: None if rule.priority == priority else rule
    )


def with_rules(
    plan: Plan,
    change: object,
) -> Plan:
    """Change each rule, or leave it out."""
    assert callable(change)
    interfaces = []
    for item in plan.interfaces:
        rules: list[RoutingPolicyRule] = [
            rule for rule in map(change, item.rules) if rule is not None
        ]
        interfaces.append(replace(item, rules=tuple(rules)))
    return replace(plan, interfaces=tuple(interfaces))


def gateway(netns: Netns, source: str | None, to: str) -> str | None:
    """Ask the kernel for the gateway of a packet."""
    bound = IPv4Address(source) if source else None
    return ask(netns, [Query(IPv4Address(to), bound)])[0].gateway


def test_a_reply_to_a_container_goes_to_its_bridge(netns: Netns) -> None:
    """Rule (a): main's specific routes through what is no ENI come first."""
    install(netns, plan_for(), (*DOCKER, *ARP))
    carriers = {
        source: carrier_of(netns, source, CONTAINER)
        for source in (PRIVATE, PUBLIC, "172.17.0.1")
    }
    assert set(carriers.values()) == {"docker0"}, carriers


def test_without_rule_a_the_reply_to_a_container_is_lost(
    netns: Netns,
) -> None:
    """Negative twin: the VPC's router gets it, who knows no container."""
    plan = without(plan_for(), PRIORITY_MAIN_SPECIFIC)
    install(netns, plan, (*DOCKER, *ARP))
    assert carrier_of(netns, PRIVATE, CONTAINER) == "private"
    assert gateway(netns, PRIVATE, CONTAINER) == PRIVATE_GATEWAY
    # Only what is bound to an ENI's address is lost.
    assert carrier_of(netns, "172.17.0.1", CONTAINER) == "docker0"


def test_without_the_device_group_rule_a_would_break_strong_ends(
    netns: Netns,
) -> None:
    """Negative twin: the other ENI's subnet is a specific route of main."""
    plan = plan_for()
    neighbour = "10.224.186.50"

    def ungroup(rule: RoutingPolicyRule) -> RoutingPolicyRule:
        return replace(rule, suppress_ifgroup=None)

    install(netns, with_rules(plan, ungroup), ARP)
    assert carrier_of(netns, PRIVATE, neighbour) == "public"


@pytest.mark.parametrize(
    ("source", "to", "device", "router"),
    [
        pytest.param(
            PRIVATE,
            "10.224.186.50",
            "private",
            PRIVATE_GATEWAY,
            id="private to public's subnet",
        ),
        pytest.param(
            PUBLIC,
            "10.224.184.60",
            "public",
            PUBLIC_GATEWAY,
            id="public to private's subnet",
        ),
        pytest.param(
            PRIVATE,
            "10.224.184.60",
            "private",
            None,
            id="private to its neighbour",
        ),
        pytest.param(
            PRIVATE,
            "203.0.113.99",
            "private",
            PRIVATE_GATEWAY,
            id="private to anywhere",
        ),
        pytest.param(
            PUBLIC,
            DESTINATIONS[0],
            "public",
            PUBLIC_GATEWAY,
            id="public to a destination of the policy",
        ),
    ],
)
def test_bound_traffic_leaves_by_its_own_eni(
    netns: Netns, source: str, to: str, device: str, router: str | None
) -> None:
    """Whatever other routes there are, docker0's included."""
    install(netns, plan_for(), (*DOCKER, *ARP))
    assert carrier_of(netns, source, to) == device
    assert gateway(netns, source, to) == router


@pytest.mark.parametrize("to", DESTINATIONS)
def test_unbound_traffic_to_a_destination_leaves_by_its_eni(
    netns: Netns, to: str
) -> None:
    """It takes that ENI's address as its source, too."""
    install(netns, plan_for())
    (answer,) = ask(netns, [Query(IPv4Address(to))])
    assert (answer.dev, answer.gateway, answer.source) == (
        "private",
        PRIVATE_GATEWAY,
        PRIVATE,
    )


def test_unbound_traffic_to_elsewhere_takes_the_chosen_default(
    netns: Netns,
) -> None:
    """The main table's."""
    install(netns, plan_for())
    (answer,) = ask(netns, [Query(IPv4Address("203.0.113.99"))])
    assert (answer.dev, answer.source) == ("public", PUBLIC)


def test_to_rules_before_from_rules_send_bound_traffic_out_wrongly(
    netns: Netns,
) -> None:
    """Negative twin: what the seed's own file came to in one boot of three."""
    first = PRIORITY_MAIN_SPECIFIC + 1

    def hurry(rule: RoutingPolicyRule) -> RoutingPolicyRule:
        if rule.priority != PRIORITY_POLICY:
            return rule
        return replace(rule, priority=first)

    install(netns, with_rules(plan_for(), hurry), ARP)
    assert carrier_of(netns, PUBLIC, DESTINATIONS[0]) == "private"


def test_without_from_rules_a_reply_leaves_by_the_default(
    netns: Netns,
) -> None:
    """Negative twin: the article's "this won't work"."""

    def drop_from(rule: RoutingPolicyRule) -> RoutingPolicyRule | None:
        return None if rule.src.prefixlen else rule

    install(netns, with_rules(plan_for(), drop_from), ARP)
    assert carrier_of(netns, PRIVATE, "203.0.113.99") == "public"


def test_rules_that_others_put_before_ours_win(netns: Netns) -> None:
    """A VPN's, for example: ours sit high."""
    theirs = (
        "route add default via 172.17.0.2 table 51820",
        "rule add to 198.51.100.0/24 table 51820 priority 5210",
    )
    install(netns, plan_for(), (*DOCKER, *ARP, *theirs))
    assert carrier_of(netns, PUBLIC, "198.51.100.42") == "docker0"
