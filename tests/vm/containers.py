# SPDX-License-Identifier: Apache-2.0
"""Containers of the guest.

One has an address of a delegated prefix; another is reached by a port that
the host publishes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from tests.lab.far_server import COMPANY, FAR_PORT, GUEST, INTERNET
from tests.lab.flow_table import seen_as, side_of
from tests.lab.flows import Flow, Probe, Verdict, run_flows
from tests.lab.instance import LabInstance
from tests.lab.shape import LabEni
from tests.lab.vpc import Runner

# Where the host publishes it; nothing of the host's own listens there.
PUBLISHED = 80


def add_container(name: str, *addresses: str) -> str:
    """Return commands that make a container with addresses of its own.

    Its way out is a link-local address of the host, as Docker's and others'.
    An answer that is lost is soon given up, so that a later count of lost
    packets has none of them.
    """
    inside = f"c-{name}"
    return f"""
        set -e
        ip netns add {inside}
        ip link add {inside} type veth peer name eth0 netns {inside}
        ip link set {inside} up
        ip netns exec {inside} sysctl -qw net.ipv4.tcp_synack_retries=1
        ip -n {inside} link set lo up
        ip -n {inside} link set eth0 up
    """ + "".join(_add_address(inside, address) for address in addresses)


def _add_address(inside: str, address: str) -> str:
    """Return commands that give a container an address and the way out."""
    is_ipv6 = ":" in address
    gateway = "fe80::77" if is_ipv6 else "169.254.77.1"
    length = 128 if is_ipv6 else 32
    # Nobody waits for the detection of duplicates.
    flags = " nodad" if is_ipv6 else ""
    forwarding = "ipv6.conf.all.forwarding" if is_ipv6 else "ipv4.ip_forward"
    return f"""
        sysctl -qw net.{forwarding}=1
        ip addr add {gateway}/{length} dev {inside}{flags}
        ip route add {address}/{length} dev {inside}
        ip -n {inside} addr add {address}/{length} dev eth0{flags}
        ip -n {inside} route add {gateway} dev eth0
        ip -n {inside} route add default via {gateway} dev eth0
    """


def publish(container: str, at: Iterable[str], *, port: int) -> str:
    """Return the ruleset that publishes a port, as Docker's, at dstnat.

    Args:
        container: its address.
        at: the host's addresses, of either family; those of the container's
            family get the port, as PUBLISHED.
        port: the container's own.
    """
    is_ipv6 = ":" in container
    family, target = (
        ("ip6", f"[{container}]") if is_ipv6 else ("ip", container)
    )
    own = ", ".join(it for it in at if (":" in it) == is_ipv6)
    return f"""
table {family} docker {{
  chain pre {{
    type nat hook prerouting priority -100;
    {family} daddr {{ {own} }} tcp dport {PUBLISHED} dnat to {target}:{port}
  }}
}}
"""


def published_verdicts(
    instance: LabInstance, name: str, enis: Iterable[LabEni]
) -> list[Verdict]:
    """Ask a container's published port at each address of ENIs."""
    shape = instance.vpc.shape
    flows = [
        _asked_at(address, seen, eni.name, side)
        for eni in enis
        for address in eni.addresses
        if (side := side_of(shape, eni))
        and (seen := seen_as(shape, eni, address))
    ]
    return run_flows(flows, _runners(instance, name), instance.vpc.capture)


def _asked_at(address: str, seen: str, eni: str, side: str) -> Flow:
    """Make the flow from a side to the port that is published there.

    Args:
        seen: the address that the side knows.
    """
    probe = Probe(f"published {address}", "tcp", seen, PUBLISHED)
    return Flow(
        probe.id,
        f"{side} -> published port",
        probe,
        eni,
        GUEST,
        side,
        guest_address=address,
    )


def container_verdicts(
    instance: LabInstance, owner: str, address: str, far: str
) -> list[Verdict]:
    """Ask a container of an ENI's prefix from outside, and let it ask.

    Args:
        far: an address on both sides that the container asks.
    """
    shape = instance.vpc.shape
    side = side_of(shape, shape.eni(owner)) or COMPANY
    flows = (
        Flow(
            f"to {address}",
            f"{side} -> container",
            Probe(f"to {address}", "ping", address),
            owner,
            GUEST,
            side,
            guest_address=address,
        ),
        Flow(
            f"from {address}",
            f"container -> {side}",
            Probe(f"from {address}", "tcp", far, FAR_PORT),
            owner,
            side,
            GUEST,
            address,
        ),
    )
    return run_flows(flows, _runners(instance, owner), instance.vpc.capture)


def _runners(instance: LabInstance, name: str) -> dict[str, Runner]:
    """Return what runs a command outside, and in a container as the guest."""
    return {
        GUEST: partial(_in_container, instance, name),
        COMPANY: instance.vpc.runner(COMPANY),
        INTERNET: instance.vpc.runner(INTERNET),
    }


def _in_container(
    instance: LabInstance, name: str, argv: Sequence[str], stdin: str
) -> str:
    """Run a command in a container of the guest; the shape of vpc.Runner."""
    inside = ["ip", "netns", "exec", f"c-{name}", *argv]
    return instance.guest(inside, stdin)
