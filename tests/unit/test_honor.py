# SPDX-License-Identifier: Apache-2.0
"""Main's static routes by an ENI hold for traffic from its address, too."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cc_multihome.discover import kernel
from cc_multihome.discover.main_routes import read_main_routes
from cc_multihome.model import Route
from cc_multihome.plan.honor import with_main_routes
from tests.unit.builders import FakeRun, address, plan_for, route

TO, HOP = "198.18.0.0/15", "10.224.184.9"


def copies(*routes: tuple[str, Route]) -> list[tuple[str, Route]]:
    """Return what is new in the plan: (interface, route)."""
    plan = plan_for()
    made = with_main_routes(plan, routes)
    return [
        (after.name, each)
        for before, after in zip(plan.interfaces, made.interfaces, strict=True)
        for each in after.routes
        if each not in before.routes
    ]


def test_a_route_is_copied_into_the_table_of_its_eni_alone() -> None:
    """By the device's name of now; no other table has it."""
    assert copies(("ens5", route(TO, HOP))) == [
        ("private", route(TO, HOP, 10))
    ]


@pytest.mark.parametrize(
    ("device", "found"),
    [
        pytest.param("docker0", route(TO, HOP), id="no ENI's"),
        pytest.param("ens6", route(TO, HOP), id="a gateway elsewhere"),
        pytest.param(
            "ens5", route("10.224.184.0/26", HOP), id="the subnet itself"
        ),
    ],
)
def test_what_an_enis_table_cannot_have_is_left_out(
    device: str, found: Route
) -> None:
    """Or networkd could not put it in."""
    assert [] == copies((device, found))


def test_of_equals_the_lowest_metric_is_taken() -> None:
    """As the kernel does; the table's own copy needs none."""
    other = "10.224.184.8"
    assert copies(
        ("ens5", replace(route(TO, HOP), metric=20)),
        ("ens5", replace(route(TO, other), metric=10)),
    ) == [("private", route(TO, other, 10))]


def test_a_source_that_is_the_enis_is_kept() -> None:
    """Another one would be refused by the kernel, or dropped by EC2."""
    own = replace(route(TO, HOP), prefsrc=address("10.224.184.51"))
    theirs = replace(route(TO, HOP), prefsrc=address("172.17.0.1"))
    assert copies(("ens5", own)) == [("private", replace(own, table=10))]
    assert copies(("ens5", theirs)) == [("private", route(TO, HOP, 10))]


def item(**more: Any) -> dict[str, Any]:
    """Make a route as `ip` prints it."""
    base = {"type": "1", "dst": TO, "gateway": HOP, "dev": "ens5"}
    return base | {"protocol": "3"} | more


@pytest.mark.parametrize(
    ("shown", "is_taken"),
    [
        pytest.param(item(), True, id="by hand"),
        pytest.param(item(protocol="4"), True, id="networkd's"),
        pytest.param(item(protocol="2"), False, id="the kernel's"),
        pytest.param(item(protocol="16"), False, id="DHCP's"),
        pytest.param(item(protocol="186"), False, id="BGP's"),
        pytest.param(item(dst="default"), False, id="a default route"),
        pytest.param(
            {"dst": TO, "protocol": "3", "dev": "wg0"}, False, id="no gateway"
        ),
        pytest.param(
            {"dst": TO, "protocol": "3", "nexthops": []}, False, id="several"
        ),
    ],
)
def test_static_routes_by_a_gateway_count(
    monkeypatch: pytest.MonkeyPatch, shown: dict[str, Any], is_taken: bool
) -> None:
    """Whoever else adds routes has reasons of his own."""
    fake = FakeRun()
    fake.outputs = {
        "ip -N -j -d -4 route show table main": json.dumps([shown])
    }
    monkeypatch.setattr(kernel, "run", fake)
    wanted = ((("ens5", route(TO, HOP)),)) if is_taken else ()
    assert read_main_routes() == wanted
