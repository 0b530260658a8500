# SPDX-License-Identifier: Apache-2.0
"""A container of the guest with an address of a delegated prefix."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tests.lab.far_server import COMPANY, FAR_PORT, GUEST, INTERNET
from tests.lab.flow_table import side_of
from tests.lab.flows import Flow, Probe, Verdict, run_flows
from tests.lab.instance import LabInstance
from tests.lab.vpc import Runner


def add_container(owner: str, address: str) -> str:
    """Return commands that make a container with an address of its own.

    Its way out is a link-local address of the host, as Docker's and others'.
    """
    name = f"c-{owner}"
    is_ipv6 = ":" in address
    gateway = "fe80::77" if is_ipv6 else "169.254.77.1"
    length = 128 if is_ipv6 else 32
    # Nobody waits for the detection of duplicates.
    flags = " nodad" if is_ipv6 else ""
    forwarding = "ipv6.conf.all.forwarding" if is_ipv6 else "ipv4.ip_forward"
    return f"""
        set -e
        sysctl -qw net.{forwarding}=1
        ip netns add {name}
        ip link add {name} type veth peer name eth0 netns {name}
        ip addr add {gateway}/{length} dev {name}{flags}
        ip link set {name} up
        ip route add {address}/{length} dev {name}
        ip -n {name} addr add {address}/{length} dev eth0{flags}
        ip -n {name} link set eth0 up
        ip -n {name} route add {gateway} dev eth0
        ip -n {name} route add default via {gateway} dev eth0
    """


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
    runners: dict[str, Runner] = {
        GUEST: partial(_in_container, instance, owner),
        COMPANY: instance.vpc.runner(COMPANY),
        INTERNET: instance.vpc.runner(INTERNET),
    }
    return run_flows(flows, runners, instance.vpc.capture)


def _in_container(
    instance: LabInstance, owner: str, argv: Sequence[str], stdin: str
) -> str:
    """Run a command in a container of the guest; the shape of vpc.Runner."""
    inside = ["ip", "netns", "exec", f"c-{owner}", *argv]
    return instance.guest(inside, stdin)
