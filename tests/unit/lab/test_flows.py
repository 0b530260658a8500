# SPDX-License-Identifier: Apache-2.0
"""The flows that follow from a shape, and how each is judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.lab.far_server import COMPANY, GUEST, INTERNET
from tests.lab.flows import Flow, build_flows
from tests.lab.shape import (
    POLICY,
    SEED,
    SIX,
    SIX_POLICY,
    SIX_UNNAMED,
    UNNAMED,
    LabEni,
    Shape,
    Subnet,
)

PRIVATE, PUBLIC = SEED.enis
EIP = "198.51.100.177"


def flows_of(shape: Shape = SEED, **changes: Any) -> dict[str, Flow]:
    """Return flows by id, of the seed's intent unless told otherwise."""
    intent = {
        "default": "public",
        "policy": dict.fromkeys(POLICY, "private"),
        "unnamed": UNNAMED,
        **changes,
    }
    return {flow.id: flow for flow in build_flows(shape, **intent)}


def test_the_seed_has_the_flows_of_the_article() -> None:
    """Each row of the table, with who must carry and who must answer."""
    seen = {
        key: (flow.expected_eni, flow.expected_side, flow.expected_answer)
        for key, flow in flows_of().items()
        if flow.probe.kind != "ping"
    }
    private, public = PRIVATE.ipv4s[0], PUBLIC.ipv4s[0]
    expected: dict[str, tuple[str | None, str, str | None]] = {
        f"in internet {EIP} tcp": ("public", GUEST, SEED.internet),
        f"in company {private} tcp": ("private", GUEST, SEED.company),
        f"out unbound {UNNAMED} tcp": ("public", INTERNET, EIP),
        "getent": (None, "vpc", SEED.internet),
        "http unbound": (None, "vpc", SEED.instance_id),
        "dns unbound": (None, "vpc", SEED.internet),
    }
    for dst in POLICY:
        expected[f"out unbound {dst} tcp"] = ("private", COMPANY, private)
    for dst in (*POLICY, UNNAMED):
        expected[f"out {private} {dst} tcp"] = ("private", COMPANY, private)
        expected[f"out {public} {dst} tcp"] = ("public", INTERNET, EIP)
    for address, name in ((private, "private"), (public, "public")):
        expected[f"http {address}"] = (name, "vpc", SEED.instance_id)
        expected[f"dns {address}"] = (name, "vpc", SEED.internet)
    assert expected == seen


def test_flows_run_where_they_begin() -> None:
    """Inbound flows begin on the hosts; their ids are unique."""
    flows = flows_of()
    assert {f.runs_in for k, f in flows.items() if k.startswith("in ")} == {
        INTERNET,
        COMPANY,
    }
    assert {f.runs_in for k, f in flows.items() if k[:3] != "in "} == {GUEST}
    assert flows[f"in internet {EIP} ping"].guest_address == "10.224.186.43"


def test_every_address_of_every_eni_is_bound_to() -> None:
    """Any number of ENIs, secondary addresses, both transports."""
    more = replace(PUBLIC, ipv4s=(*PUBLIC.ipv4s, "10.224.186.44"),
                   public={**PUBLIC.public,
                           "10.224.186.44": "198.51.100.178"})  # fmt: skip
    third = LabEni("third", "eni-c", "0a:00:00:00:00:0c", 2, "private",
                   ("10.224.184.60",))  # fmt: skip
    shape = replace(SEED, enis=(PRIVATE, more, third))
    flows = flows_of(shape, kinds=("tcp", "udp"))
    bound = {flow.probe.bind for flow in flows.values()}
    assert bound == {None, "10.224.184.51", "10.224.186.43",
                     "10.224.186.44", "10.224.184.60"}  # fmt: skip
    flow = flows[f"out 10.224.186.44 {UNNAMED} udp"]
    assert (flow.expected_eni, flow.expected_answer) == (
        "public",
        "198.51.100.178",
    )


def test_what_cannot_be_answered_is_no_flow() -> None:
    """An address without a public one, a subnet with no way out."""
    bare = replace(PUBLIC, ipv4s=(*PUBLIC.ipv4s, "10.224.186.44"))
    closed = Subnet("closed", "subnet-c", "10.224.187.0/26", None)
    nowhere = LabEni("nowhere", "eni-c", "0a:00:00:00:00:0c", 2, "closed",
                     ("10.224.187.9",))  # fmt: skip
    shape = replace(
        SEED,
        subnets=(*SEED.subnets, closed),
        enis=(PRIVATE, bare, nowhere),
    )
    flows = flows_of(shape)
    for address in ("10.224.186.44", "10.224.187.9"):
        assert not [k for k in flows if k.startswith(f"out {address}")]
        assert f"http {address}" in flows
    with pytest.raises(ValueError, match="ENI nowhere has no way out"):
        flows_of(shape, default="nowhere")


def test_a_destination_must_be_on_both_sides() -> None:
    """Else an answer would prove nothing."""
    with pytest.raises(ValueError, match=r"192\.0\.2\.99 is not in"):
        flows_of(policy={"192.0.2.99": "private"})


def test_ipv6_is_bound_to_ipv6() -> None:
    """Each family goes to destinations of its own; there is no NAT."""
    subnets = tuple(
        replace(s, ipv6_cidr=f"2001:db8:a{n}::/64")
        for n, s in enumerate(SEED.subnets)
    )
    enis = tuple(
        replace(e, ipv6s=(f"2001:db8:a{n}::5",))
        for n, e in enumerate(SEED.enis)
    )
    shape = replace(
        SEED,
        subnets=subnets,
        enis=enis,
        both_sides=(*SEED.both_sides, "2001:db8::7"),
        internet_ipv6="2001:db8:1::1",
    )
    flows = flows_of(shape, policy={"2001:db8::7": "private"})
    out = flows["out 2001:db8:a1::5 2001:db8::7 tcp"]
    assert out.expected_answer == "2001:db8:a1::5"
    assert f"out 2001:db8:a1::5 {UNNAMED} tcp" not in flows
    assert "in internet 2001:db8:a1::5 ping" in flows
    assert not [k for k in flows if k.startswith("in company 2001:db8:a")]


def test_an_instance_of_ipv6_alone_has_flows_of_ipv6_alone() -> None:
    """Each address in and out, and the VPC's services by their IPv6."""
    flows = build_flows(
        SIX, default="front", policy=SIX_POLICY, unnamed=SIX_UNNAMED
    )
    assert not [it for it in flows if "." in it.probe.dst]
    services = {
        flow.id: (flow.expected_eni, flow.probe.dst)
        for flow in flows
        if flow.probe.kind in ("http", "dns")
    }
    expected: dict[str, tuple[str | None, str]] = {}
    for kind, dst in (("http", "fd00:ec2::254"), ("dns", "fd00:ec2::253")):
        expected[f"{kind} unbound over IPv6"] = (None, dst)
        for eni in SIX.enis:
            for address in eni.ipv6s:
                expected[f"{kind} {address}"] = (eni.name, dst)
    assert expected == services
    lookup = next(it for it in flows if it.probe.kind.startswith("getent"))
    assert (lookup.id, lookup.expected_answer) == (
        "getent6",
        SIX.internet_ipv6,
    )


def test_both_families_have_an_address_that_nobody_named() -> None:
    """Unbound and bound to each; IMDS over IPv6 only where it is enabled."""
    front, back = SIX.enis
    dual = replace(
        SEED,
        subnets=(
            replace(SEED.subnets[0], ipv6_cidr="2001:db8:60:2::/64"),
            replace(SEED.subnets[1], ipv6_cidr="2001:db8:60:1::/64"),
        ),
        enis=(
            replace(PRIVATE, ipv6s=back.ipv6s),
            replace(PUBLIC, ipv6s=front.ipv6s),
        ),
        both_sides=(*SEED.both_sides, *SIX.both_sides),
        internet_ipv6=SIX.internet_ipv6,
        company_ipv6=SIX.company_ipv6,
    )
    flows = flows_of(dual, unnamed_ipv6=SIX_UNNAMED)
    out = flows[f"out unbound {SIX_UNNAMED} tcp"]
    assert (out.expected_eni, out.expected_answer) == (
        "public",
        front.ipv6s[0],
    )
    assert f"out {back.ipv6s[0]} {SIX_UNNAMED} tcp" in flows
    assert f"out unbound {UNNAMED} tcp" in flows
    assert {"getent", "getent6", "dns unbound over IPv6"} < set(flows)
    assert "http unbound" in flows
    assert "http unbound over IPv6" not in flows
    assert set(flows_of(replace(dual, imds_ipv6=True))) - set(flows) > {
        "http unbound over IPv6"
    }
