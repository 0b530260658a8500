# SPDX-License-Identifier: Apache-2.0
"""The simulated VPC itself, with a namespace for the instance.

    instance: a device for each ENI = VPC (vpc_net.py) = internet, company

The instance is configured by hand, right and wrong: what is right passes
every flow, and each wrong one is seen and its drops are counted. So the lab
can tell them apart before a virtual machine is judged by it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.cleanup import Run
from tests.lab.flows import Flow, Verdict, build_flows
from tests.lab.netns import Netns, wait_until
from tests.lab.report import Column, render
from tests.lab.shape import POLICY, SEED, UNNAMED, LabEni
from tests.lab.vpc import Drops, Vpc
from tests.lab.vpc_dns import RESOLVER
from tests.netns.dhcp import ask_dhcp
from tests.netns.handmade import (
    THREE,
    THREE_POLICY,
    THREE_UNNAMED,
    Lab,
    add_addresses,
    add_policy,
)

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Give a run of the lab, and see that it leaves nothing."""
    with Run(tmp_path / "lab") as run:
        prefix = run.netns_name("")
        yield run
    assert [
        name for name in os.listdir("/run/netns") if name.startswith(prefix)
    ] == []


@pytest.fixture(params=[SEED])
def lab(request: pytest.FixtureRequest, run: Run) -> Iterator[Lab]:
    """Give a VPC of the shape that is the parameter."""
    resolv_conf = run.dir / "resolv.conf"
    resolv_conf.write_text(f"nameserver {RESOLVER}\n")
    instance = Netns(run.add_netns("instance"))
    instance.sysctl(
        "net.ipv4.conf.all.rp_filter=0",
        "net.ipv4.conf.default.rp_filter=0",
        "net.ipv4.conf.all.arp_ignore=1",
        "net.ipv4.conf.all.arp_announce=2",
        "net.ipv6.conf.default.accept_dad=0",
    )
    with Vpc(run, request.param, instance=instance) as vpc:
        yield Lab(vpc, instance, resolv_conf)


def seed_flows() -> tuple[Flow, ...]:
    """Return the flows of the seed's host."""
    return build_flows(
        SEED,
        default="public",
        policy=dict.fromkeys(POLICY, "private"),
        unnamed=UNNAMED,
    )


def wrong(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Return the flows that are not right, and why."""
    return {item.flow.id: item.detail for item in verdicts if not item.ok}


def test_an_instance_that_is_right_passes_every_flow(lab: Lab) -> None:
    """Policy routing by hand: all flows are right and nothing is dropped."""
    add_addresses(lab, "public")
    add_policy(lab, dict.fromkeys(POLICY, "private"), 2000)
    lab.vpc.reset_counters()
    assert {} == wrong(lab.send(seed_flows()))
    zero = Drops()
    assert {"private": zero, "public": zero} == lab.vpc.counters()


def test_two_default_routes_and_no_policy_are_seen_failing(lab: Lab) -> None:
    """The article's "this won't work": dropped, counted, and in the table."""
    add_addresses(lab, "private")
    lab.vpc.reset_counters()
    verdicts = lab.send(seed_flows())
    failed = wrong(verdicts)
    assert failed["in internet 198.51.100.177 tcp"].startswith("no answer")
    assert failed["in internet 198.51.100.177 ping"].startswith("no answer")
    assert failed[f"out unbound {UNNAMED} tcp"] == (
        "the company side answered; it saw 10.224.184.51, expected"
        " 198.51.100.177; out by private, expected public; in by private,"
        " expected public"
    )
    drops = lab.vpc.counters()
    assert drops["private"].src > 0
    assert drops["public"].src == 0
    shown = render([Column("won't work", verdicts, drops)])
    assert "company side (wrong)" in shown
    assert f"{drops['private'].src} (private" in shown


def test_to_rules_before_from_rules_are_seen_failing(lab: Lab) -> None:
    """The seed on an unlucky boot: only what is bound to public fails."""
    add_addresses(lab, "public")
    add_policy(lab, dict.fromkeys(POLICY, "private"), 500)
    lab.vpc.reset_counters()
    failed = wrong(lab.send(seed_flows()))
    assert set(failed) == {f"out 10.224.186.43 {dst} tcp" for dst in POLICY}
    assert lab.vpc.counters()["private"].src >= len(POLICY)


@pytest.mark.parametrize("lab", [THREE], indirect=True, ids=["three"])
def test_other_shapes_work_as_well(lab: Lab) -> None:
    """ENIs that share a subnet, secondary addresses, IPv6, UDP, no way out."""
    add_addresses(lab, "left")
    add_policy(lab, THREE_POLICY, 2000)
    lab.vpc.reset_counters()
    flows = build_flows(
        THREE,
        default="left",
        policy=THREE_POLICY,
        unnamed=THREE_UNNAMED,
        kinds=("tcp", "udp"),
    )
    bound = {flow.probe.bind for flow in flows}
    own = {a for eni in THREE.enis[:3] for a in (*eni.ipv4s, *eni.ipv6s)}
    assert own < bound
    assert {} == wrong(lab.send(flows))
    drops = lab.vpc.counters()
    assert set(drops) == {"left", "right", "also-left", "nowhere"}
    assert [item.src for item in drops.values()] == [0, 0, 0, 0]


def test_the_wrong_eni_is_known_by_its_mac(run: Run) -> None:
    """Two ENIs in one subnet: all answers come, by the wrong ENI."""
    shape = replace(SEED, enis=(
        SEED.enis[0],
        replace(SEED.enis[1], name="twin", subnet="private", public={},
                ipv4s=("10.224.184.60",)),
    ))  # fmt: skip
    flows = build_flows(
        shape, default="private", policy={POLICY[0]: "twin"}, unnamed=UNNAMED
    )
    instance = Netns(run.add_netns("instance"))
    with Vpc(run, shape, instance=instance) as vpc:
        lab = Lab(vpc, instance, run.dir / "none")
        lab.resolv_conf.write_text(f"nameserver {RESOLVER}\n")
        add_addresses(lab, "private")
        failed = wrong(lab.send(flows))
        dropped = vpc.counters()["private"].src
    assert f"out unbound {POLICY[0]} tcp" in failed
    assert (
        "out by private, expected twin"
        in (failed[f"out unbound {POLICY[0]} tcp"])
    )
    assert dropped > 0


def test_dhcp_and_dns_are_as_in_a_vpc(lab: Lab) -> None:
    """By MAC an ENI gets its primary address, gateway, resolver and MTU."""
    for eni, gateway in zip(
        SEED.enis, ("10.224.184.1", "10.224.186.1"), strict=True
    ):
        lab.instance.ip([f"link set {eni.name} up"])
        offer = ask_dhcp(lab.instance, eni.name, eni.mac)
        assert offer == {
            "address": eni.ipv4s[0],
            "mask": "255.255.255.192",
            "router": gateway,
            "dns": SEED.dns,
            "domain": SEED.domain,
            "mtu": SEED.mtu,
        }


def test_a_vpc_that_follows_its_like_has_dhcp_too(run: Run) -> None:
    """The former one's files are there: the same shape, the same label."""
    for _ in range(2):
        with Vpc(run, SEED) as vpc:
            assert vpc.router.run(["ss", "-Hlun", "sport = :67"])


@pytest.mark.parametrize("lab", [THREE], indirect=True, ids=["three"])
def test_the_router_advertises_itself_over_ipv6(lab: Lab) -> None:
    """In a subnet with IPv6 a default route comes by itself, no address."""
    lab.instance.sysctl("net.ipv6.conf.right.accept_ra=2")
    lab.instance.ip(["link set right up"])
    argv = ["ip", "-6", "-j", "route", "show", "default", "dev", "right"]
    wait_until(
        lambda: "fe80::" in lab.instance.run(argv), what="an advertisement"
    )
    argv = [
        "ip",
        "-6",
        "-j",
        "addr",
        "show",
        "dev",
        "right",
        "scope",
        "global",
    ]
    assert "2001:db8" not in lab.instance.run(argv)


def test_enis_and_addresses_change_while_it_runs(lab: Lab) -> None:
    """Attach, add an address, detach: links, checks, DHCP, IMDS follow."""
    private, public = SEED.enis
    third = LabEni("third", "eni-0c", "0a:00:00:00:00:0c", 2, "public",
                   ("10.224.186.44",),
                   public={"10.224.186.44": "198.51.100.178"})  # fmt: skip
    more = replace(private, ipv4s=(*private.ipv4s, "10.224.184.52"))
    grown = replace(SEED, enis=(more, public, third))
    lab.vpc.update(grown)
    add_addresses(lab, "public")
    policy = dict.fromkeys(POLICY, "third")
    add_policy(lab, policy, 2000)
    lab.vpc.reset_counters()
    flows = build_flows(
        grown, default="public", policy=policy, unnamed=UNNAMED
    )
    assert {} == wrong(lab.send(flows))
    offer = ask_dhcp(lab.instance, "third", third.mac)
    assert offer["address"] == "10.224.186.44"
    assert {private.mac, public.mac, third.mac} == imds_macs(lab)

    lab.vpc.update(SEED)
    assert "third" not in lab.instance.links()
    assert {private.mac, public.mac} == imds_macs(lab)
    assert "third" in lab.vpc.counters()
    verdicts = lab.send([flow for flow in flows if "184.52" in flow.id])
    assert verdicts
    assert not any(item.ok for item in verdicts)
    assert lab.vpc.counters()["private"].src > 0


def imds_macs(lab: Lab) -> set[str]:
    """Return the MACs that IMDS lists, asked without a token."""
    tree = json.loads((lab.resolv_conf.parent / "imds.json").read_text())
    macs = tree["tree"]["meta-data"]["network"]["interfaces"]["macs"]
    return set(macs)


def test_a_subnet_cannot_change(lab: Lab) -> None:
    """A shape that would change a subnet is refused; nothing happens."""
    private, public = SEED.subnets
    other = replace(private, cidr="10.224.184.64/26")
    with pytest.raises(ValueError, match=r"cannot become .*184\.64"):
        lab.vpc.update(replace(SEED, subnets=(other, public)))
    assert lab.vpc.shape == SEED


def test_imds_fails_as_it_is_told_and_is_logged(lab: Lab) -> None:
    """Faults and user-data change while it runs; requests are on record."""
    add_addresses(lab, "public")
    flow = next(f for f in seed_flows() if f.id == "http unbound")
    lab.vpc.set_faults(
        {"kind": "status", "prefix": "/latest/api/token", "status": 503}
    )
    assert "status 503" in wrong(lab.send([flow]))["http unbound"]
    lab.vpc.set_faults()
    lab.vpc.set_user_data("#cloud-config\n")
    assert {} == wrong(lab.send([flow]))
    seen = [(item["path"], item["status"]) for item in lab.vpc.imds_requests()]
    assert seen == [
        ("/latest/api/token", 503),
        ("/latest/api/token", 200),
        ("/latest/meta-data/instance-id", 200),
    ]
