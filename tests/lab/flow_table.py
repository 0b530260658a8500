# SPDX-License-Identifier: Apache-2.0
"""The flows that a multi-homed instance must show, and what is right.

They are made from a Shape, whichever ENIs it has: who holds the default,
which destination goes by which ENI, and one address that nobody named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.lab.far_server import COMPANY, FAR_PORT, GUEST, INTERNET
from tests.lab.shape import LabEni, Shape
from tests.lab.vpc_dns import INTERNET_NAME, RESOLVER, RESOLVER_IPV6
from tests.lab.vpc_router import GATEWAY_SIDES, IMDS, IMDS_IPV6

VPC = "vpc"
PROBE_TIMEOUT_S = 8.0


@dataclass(frozen=True)
class Probe:
    """What probe.py is asked to do; its docstring has the meaning."""

    id: str
    kind: str
    dst: str = ""
    port: int = 0
    bind: str | None = None
    name: str = ""
    timeout: float = PROBE_TIMEOUT_S


@dataclass(frozen=True)
class Flow:
    """One flow and what must be seen of it.

    Attributes:
        row: the row of the report that it belongs to.
        expected_eni: who must carry it, in both directions. None: any one
            ENI will do (look-ups of the VPC's own services).
        expected_side: who must answer: INTERNET, COMPANY, GUEST or VPC.
        runs_in: where the probe starts: GUEST, INTERNET or COMPANY.
        expected_answer: tcp, udp: whose address the server must have seen;
            http: the document; dns, getent: an address that must be in the
            answer; None: no matter.
        guest_address: of a flow to the guest, where it arrives: the address
            that the guest itself has.
    """

    id: str
    row: str
    probe: Probe
    expected_eni: str | None
    expected_side: str
    runs_in: str
    expected_answer: str | None = None
    guest_address: str | None = None

    @property
    def is_captured(self) -> bool:
        """Whether the router's gateways can know this flow by its ends."""
        return not self.probe.kind.startswith("getent")


def build_flows(
    shape: Shape,
    *,
    default: str,
    policy: Mapping[str, str],
    unnamed: str,
    unnamed_ipv6: str | None = None,
    kinds: Sequence[str] = ("tcp",),
) -> tuple[Flow, ...]:
    """Return all flows for a shape.

    A flow that cannot be answered however the instance is configured is left
    out: bound to an address whose subnet has no way out, or that has no
    public address where there is an internet gateway.

    Args:
        default: the ENI that unbound traffic is to take.
        policy: destination -> ENI.
        unnamed: an address that the policy does not name.
        unnamed_ipv6: another one, where `unnamed` is IPv4.
        kinds: how the far servers are asked, of "tcp" and "udp".

    Raises:
        ValueError: a destination is not on both sides, or an ENI that the
            policy or the default names has no way out.
    """
    others = (unnamed, unnamed_ipv6) if unnamed_ipv6 else (unnamed,)
    for address in (*policy, *others):
        if address not in shape.both_sides:
            raise ValueError(
                f"{address} is not in the shape's both_sides"
                f" {shape.both_sides}: no server would say its side"
            )
    for address, name in (*policy.items(), *((it, default) for it in others)):
        source = first_address(shape.eni(name), address)
        if source is None or seen_as(shape, shape.eni(name), source) is None:
            raise ValueError(
                f"ENI {name} has no way out to {address}: give it an address"
                " of that family, its subnet a default_via and, with igw, the"
                " address a public one"
            )
    return (
        *_inbound(shape),
        *_unbound(shape, default, policy, others, kinds),
        *_bound(shape, policy, others, kinds),
        *_services(shape),
    )


def first_address(eni: LabEni, like: str) -> str | None:
    """Return the ENI's first address of the same family as `like`."""
    same = eni.ipv6s if ":" in like else eni.ipv4s
    return same[0] if same else None


def side_of(shape: Shape, eni: LabEni) -> str | None:
    """Return the side that an ENI's subnet leads to, None for no way out."""
    via = shape.subnet(eni.subnet).default_via
    return GATEWAY_SIDES[via] if via else None


def seen_as(shape: Shape, eni: LabEni, address: str) -> str | None:
    """Return the address that the far side sees, None if it is not let out.

    The internet gateway knows IPv4 addresses with a public one only; IPv6
    passes as it is.
    """
    side = side_of(shape, eni)
    if side is None or side == COMPANY or ":" in address:
        return address if side else None
    return eni.public.get(address)


def _inbound(shape: Shape) -> Iterator[Flow]:
    sides = {side: number for number, side in enumerate((INTERNET, COMPANY))}
    enis = [eni for eni in shape.enis if side_of(shape, eni)]
    for eni in sorted(enis, key=lambda eni: sides[side_of(shape, eni) or ""]):
        side = side_of(shape, eni)
        for address in (*eni.ipv4s, *eni.ipv6s):
            asked = seen_as(shape, eni, address)
            if side is None or asked is None:
                continue
            what = "public" if side == INTERNET else "private"
            row = f"{side} host -> {what} address, ping and TCP"
            source = _own_address(shape, side, asked)
            if source is None:
                continue
            for kind in ("ping", "tcp"):
                flow_id = f"in {side} {asked} {kind}"
                port = FAR_PORT if kind == "tcp" else 0
                yield Flow(
                    flow_id,
                    row,
                    Probe(flow_id, kind, asked, port),
                    eni.name,
                    GUEST,
                    side,
                    source if kind == "tcp" else None,
                    address,
                )


def _own_address(shape: Shape, side: str, like: str) -> str | None:
    """Return the address of a side's host, of the same family as `like`."""
    if ":" in like:
        ipv6 = {INTERNET: shape.internet_ipv6, COMPANY: shape.company_ipv6}
        return ipv6[side]
    return {INTERNET: shape.internet, COMPANY: shape.company}[side]


def _outward(
    shape: Shape,
    eni: LabEni,
    dst: str,
    *,
    row: str,
    bind: str | None,
    kinds: Sequence[str],
) -> Iterator[Flow]:
    """Yield the flows from the guest to one destination by one ENI."""
    source = bind or first_address(eni, dst)
    side = side_of(shape, eni)
    saw = seen_as(shape, eni, source) if source else None
    if side is None or saw is None:
        return
    for kind in kinds:
        flow_id = f"out {bind or 'unbound'} {dst} {kind}"
        probe = Probe(flow_id, kind, dst, FAR_PORT, bind)
        yield Flow(flow_id, row, probe, eni.name, side, GUEST, saw)


def _unbound(
    shape: Shape,
    default: str,
    policy: Mapping[str, str],
    others: Sequence[str],
    kinds: Sequence[str],
) -> Iterator[Flow]:
    for dst in others:
        yield from _outward(
            shape,
            shape.eni(default),
            dst,
            row="guest, unbound -> an address that no policy names",
            bind=None,
            kinds=kinds,
        )
    for dst, name in policy.items():
        yield from _outward(
            shape,
            shape.eni(name),
            dst,
            row="guest, unbound -> policy destinations",
            bind=None,
            kinds=kinds,
        )


def _bound(
    shape: Shape,
    policy: Mapping[str, str],
    others: Sequence[str],
    kinds: Sequence[str],
) -> Iterator[Flow]:
    for eni in shape.enis:
        to = dict.fromkeys(policy, "policy destinations")
        rest = dict.fromkeys(others, "anywhere else")
        for dst, what in {**to, **rest}.items():
            own = eni.ipv6s if ":" in dst else eni.ipv4s
            for address in own:
                yield from _outward(
                    shape,
                    eni,
                    dst,
                    row=f"guest, bound to {eni.name} -> {what}",
                    bind=address,
                    kinds=kinds,
                )


def _services(shape: Shape) -> Iterator[Flow]:
    """Yield the look-ups of the VPC's own services, in each family.

    IMDS over IPv6 is asked only where the shape has it enabled.
    """
    ipv4 = [(it, eni.name) for eni in shape.enis for it in eni.ipv4s]
    ipv6 = [(it, eni.name) for eni in shape.enis for it in eni.ipv6s]
    if ipv4:
        yield from _lookups(shape, "http", IMDS, ipv4)
        yield from _lookups(shape, "dns", RESOLVER, ipv4)
        yield from _getent("getent", shape.internet)
    if ipv6 and shape.imds_ipv6:
        yield from _lookups(shape, "http", IMDS_IPV6, ipv6)
    if ipv6:
        yield from _lookups(shape, "dns", RESOLVER_IPV6, ipv6)
    if ipv6 and shape.internet_ipv6:
        yield from _getent("getent6", shape.internet_ipv6)


def _lookups(
    shape: Shape, kind: str, dst: str, own: Sequence[tuple[str, str]]
) -> Iterator[Flow]:
    """Yield requests to a service, unbound and from each (address, ENI)."""
    what = "IMDS" if kind == "http" else "VPC resolver"
    family = " over IPv6" if ":" in dst else ""
    row = f"guest -> {what}{family}, unbound and bound to each"
    wanted = shape.instance_id if kind == "http" else shape.internet
    bindings: list[tuple[str | None, str | None]] = [(None, None), *own]
    for bind, name in bindings:
        flow_id = f"{kind} {bind or 'unbound'}{'' if bind else family}"
        probe = Probe(flow_id, kind, dst, bind=bind, name=INTERNET_NAME)
        yield Flow(flow_id, row, probe, name, VPC, GUEST, wanted)


def _getent(kind: str, wanted: str) -> Iterator[Flow]:
    yield Flow(
        kind,
        "guest, name lookup through getent",
        Probe(kind, kind, name=INTERNET_NAME),
        None,
        VPC,
        GUEST,
        wanted,
    )
