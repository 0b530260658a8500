# SPDX-License-Identifier: Apache-2.0
"""The simulated VPC over IPv6, with a namespace for the instance.

    instance: front = subnet of IPv6 alone = igw = internet
              back  = subnet of IPv6 alone = tgw = company

There is no IPv4 address in it: whatever works does so over IPv6.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.cleanup import Run
from tests.lab.flows import Flow, Verdict, build_flows
from tests.lab.netns import Netns
from tests.lab.pinging import is_answered
from tests.lab.shape import SIX, SIX_POLICY, SIX_UNNAMED, Shape
from tests.lab.vpc import Drops, Vpc
from tests.lab.vpc_dns import RESOLVER_IPV6
from tests.lab.vpc_router import gateway_ipv6
from tests.netns.handmade import Lab, add_addresses, add_policy
from tests.netns.ipv6_clients import ask_dhcpv6, ask_router, claim

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

CONTAINER = "2001:db8:60:1:c::7"
FRONT, BACK = SIX.enis
ZERO = Drops()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Give a VPC of IPv6 alone, its ENIs without any configuration."""
    with Run(tmp_path / "lab") as run:
        resolv_conf = run.dir / "resolv.conf"
        resolv_conf.write_text(f"nameserver {RESOLVER_IPV6}\n")
        instance = Netns(run.add_netns("instance"))
        instance.sysctl(
            "net.ipv6.conf.default.accept_ra=0",
            "net.ipv6.conf.default.accept_dad=0",
        )
        with Vpc(run, SIX, instance=instance) as vpc:
            yield Lab(vpc, instance, resolv_conf)


def flows_of(shape: Shape = SIX) -> tuple[Flow, ...]:
    """Return all flows of the shape."""
    return build_flows(
        shape,
        default="front",
        policy=SIX_POLICY,
        unnamed=SIX_UNNAMED,
        kinds=("tcp", "udp"),
    )


def wrong(verdicts: list[Verdict]) -> dict[str, str]:
    """Return the flows that are not right, and why."""
    return {item.flow.id: item.detail for item in verdicts if not item.ok}


def put_up(lab: Lab) -> None:
    """Put both ENIs up, with link-local addresses only."""
    lab.instance.ip(f"link set {eni.name} up" for eni in SIX.enis)


def test_an_instance_of_ipv6_alone_passes_every_flow(lab: Lab) -> None:
    """In, bound, unbound, IMDS, resolver: by the right ENI, none dropped."""
    add_addresses(lab, "front")
    add_policy(lab, SIX_POLICY, 2000)
    lab.vpc.reset_counters()
    flows = flows_of()
    assert {
        "in internet 2001:db8:60:1::11 ping",
        "in company 2001:db8:60:2::20 tcp",
        f"out unbound {SIX_UNNAMED} udp",
        "http 2001:db8:60:1::11",
        "dns 2001:db8:60:2::20",
        "getent6",
    } < {flow.id for flow in flows}
    assert {} == wrong(lab.send(flows))
    assert {"front": ZERO, "back": ZERO} == lab.vpc.counters()


def test_a_foreign_source_is_dropped_and_counted(lab: Lab) -> None:
    """What is bound to front and leaves by back never arrives."""
    add_addresses(lab, "front")
    add_policy(lab, SIX_POLICY, 500)
    lab.vpc.reset_counters()
    failed = wrong(lab.send(flows_of()))
    assert set(failed) == {
        f"out {source} {dst} {kind}"
        for source in FRONT.ipv6s
        for dst in SIX_POLICY
        for kind in ("tcp", "udp")
    }
    drops = lab.vpc.counters()
    assert drops["back"].src >= len(failed)
    assert ZERO == drops["front"]


def test_the_router_advertises_what_ec2_does(lab: Lab) -> None:
    """Itself by its link-local address; addresses come by DHCPv6 alone."""
    put_up(lab)
    for subnet in SIX.subnets:
        seen = ask_router(lab.instance, subnet.name)
        assert seen is not None
        assert seen.pop("lifetime_s") > 0
        assert {
            "source": gateway_ipv6(subnet),
            "managed": True,
            "prefixes": [
                {
                    "prefix": subnet.ipv6_cidr,
                    "on_link": True,
                    "autonomous": False,
                }
            ],
        } == seen


def test_a_router_may_let_hosts_choose_addresses(lab: Lab) -> None:
    """As no VPC's does: in one subnet and not in the other, until told."""

    def autonomous() -> dict[str, list[bool]]:
        heard = {it: ask_router(lab.instance, it) for it in ("front", "back")}
        return {
            name: [it["autonomous"] for it in (seen or {})["prefixes"]]
            for name, seen in heard.items()
        }

    put_up(lab)
    lab.vpc.update(replace(SIX, autonomous=("front",)))
    assert {"front": [True], "back": [False]} == autonomous()
    lab.vpc.update(SIX)
    assert {"front": [False], "back": [False]} == autonomous()


def test_advertisements_can_be_lost_and_come_back(lab: Lab) -> None:
    """So a test can see what an instance does without them."""
    put_up(lab)
    lab.vpc.lose_advertisements()
    assert ask_router(lab.instance, "front") is None
    lab.vpc.lose_advertisements(lost=False)
    assert ask_router(lab.instance, "front")


def test_dhcpv6_gives_the_primary_address_by_mac(lab: Lab) -> None:
    """Nothing but it and the resolver."""
    put_up(lab)
    for eni in SIX.enis:
        assert {
            "addresses": [eni.ipv6s[0]],
            "dns": [RESOLVER_IPV6],
        } == ask_dhcpv6(lab.instance, eni.name, eni.mac)


def test_a_delegated_prefix_is_routed_to_its_eni(lab: Lab) -> None:
    """Its addresses answer from anywhere in the host, until it is gone."""
    add_addresses(lab, "front")
    lab.instance.ip(["link set lo up", f"addr add {CONTAINER}/128 dev lo"])
    lab.vpc.reset_counters()
    assert is_answered(lab.vpc.inet, CONTAINER, within=5)
    assert ZERO == lab.vpc.counters()["front"]

    bare = replace(FRONT, ipv6_prefixes=())
    lab.vpc.update(replace(SIX, enis=(bare, BACK)))
    assert not is_answered(lab.vpc.inet, CONTAINER, within=1)


def test_neighbours_may_speak_for_themselves_only(lab: Lab) -> None:
    """An advertisement for another's address is dropped and counted."""
    put_up(lab)
    # An answer means that there is a link-local address to speak from.
    assert ask_router(lab.instance, "front")
    lab.vpc.reset_counters()
    claim(lab.instance, "front", FRONT.ipv6s[1])
    assert ZERO == lab.vpc.counters()["front"]
    claim(lab.instance, "front", "2001:db8:60:1::bad")
    assert Drops(ndp=1) == lab.vpc.counters()["front"]


def test_the_first_host_of_a_subnet_is_no_gateway(lab: Lab) -> None:
    """On EC2 it is for IPv4; who guesses it for IPv6 must fail here too."""
    add_addresses(lab, "front")
    assert not is_answered(lab.instance, "2001:db8:60:1::1", within=1)


def test_imds_over_ipv6_has_to_be_enabled(lab: Lab) -> None:
    """Silent unless the shape has it, and it can change while it runs."""
    add_addresses(lab, "front")
    flow = next(it for it in flows_of() if it.id.startswith("http unbound"))
    assert {} == wrong(lab.send([flow]))
    lab.vpc.update(replace(SIX, imds_ipv6=False))
    assert flow.id in wrong(lab.send([flow]))
    assert not [it for it in flows_of(lab.vpc.shape) if "http" in it.id]
