# SPDX-License-Identifier: Apache-2.0
"""A static route of main's holds for its ENI's address, and for no other."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from cc_multihome.model import Plan
from cc_multihome.plan.honor import with_main_routes
from tests.lab.netns import Netns
from tests.netns.namespace import Query, ask, install
from tests.unit.builders import plan_for, route

pytestmark = pytest.mark.netns

PRIVATE, PUBLIC = "10.224.184.51", "10.224.186.43"
TO, HOP = "198.18.0.0/15", "10.224.184.9"


def gateways(netns: Netns, plan: Plan) -> list[str | None]:
    """Ask for the way unbound, from private, from public."""
    install(netns, plan, [f"route add {TO} via {HOP} dev private"])
    sources = (None, IPv4Address(PRIVATE), IPv4Address(PUBLIC))
    to = IPv4Address("198.18.0.1")
    queries = [Query(to, source) for source in sources]
    return [answer.gateway for answer in ask(netns, queries)]


def test_bound_traffic_takes_the_administrators_next_hop(
    netns: Netns,
) -> None:
    """From that ENI's address alone."""
    plan = with_main_routes(plan_for(), [("ens5", route(TO, HOP))])
    assert gateways(netns, plan) == [HOP, HOP, "10.224.186.1"]


def test_without_the_key_it_takes_the_vpc_router(netns: Netns) -> None:
    """Negative twin."""
    assert gateways(netns, plan_for()) == [HOP, "10.224.184.1", "10.224.186.1"]
