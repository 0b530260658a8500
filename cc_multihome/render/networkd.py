# SPDX-License-Identifier: Apache-2.0
"""The networkd drop-ins for what netplan cannot say (systemd.network(5))."""

from __future__ import annotations

from pathlib import Path

from cc_multihome.files import HEADER
from cc_multihome.model import (
    LEARNED,
    PlannedInterface,
    Route,
    RoutingPolicyRule,
)
from cc_multihome.render.netplan import is_netplan_route, is_netplan_rule

DROP_IN_NAME = "50-multihome.conf"
# Of the folder that the drop-in for a netdef is in.
FOLDER_BEGINS, FOLDER_ENDS = "10-netplan-", ".network.d"


def drop_in_path(item: PlannedInterface) -> str:
    """Return the path below networkd's folder; it follows the netdef's id."""
    return f"{FOLDER_BEGINS}{item.netdef_id}{FOLDER_ENDS}/{DROP_IN_NAME}"


def netdef_of(path: Path) -> str | None:
    """Return whose drop-in a path is, by the netdef's id; None: no one's."""
    folder = path.parent.name
    if path.name != DROP_IN_NAME or not folder.startswith(FOLDER_BEGINS):
        return None
    return folder.removeprefix(FOLDER_BEGINS).removesuffix(FOLDER_ENDS)


def drop_in(item: PlannedInterface, ifgroup: int | None) -> str:
    """Render the drop-in for one ENI; "" where netplan says it all."""
    sections = []
    if item.name != item.netdef_id:
        # Names add up, so the file matches before the rename and after it.
        # Otherwise networkd lets go of the link in between and takes down
        # all that it had configured.
        sections.append(f"[Match]\nName={item.netdef_id}\n")
    if ifgroup is not None:
        sections.append(f"[Link]\nGroup={ifgroup}\n")
    if item.accept_ra:
        sections.append(_advertisements(item.table))
    sections += [
        _route(route) for route in item.routes if not is_netplan_route(route)
    ]
    sections += [
        _rule(rule) for rule in item.rules if not is_netplan_rule(rule)
    ]
    return "\n".join((f"{HEADER}\n", *sections)) if sections else ""


def _advertisements(table: int) -> str:
    """Take the router's address from advertisements, and nothing else.

    UseGateway= came with systemd 250: before that the default route that an
    advertisement makes is the one that is planned for the ENI's own table.
    """
    return (
        "[IPv6AcceptRA]\n"
        "UseGateway=no\n"
        "UseOnLinkPrefix=no\n"
        "UseAutonomousPrefix=no\n"
        "UseDNS=no\n"
        "UseDomains=no\n"
        "DHCPv6Client=no\n"
        f"RouteTable={table}\n"
    )


def _route(route: Route) -> str:
    lines = ["[Route]", f"Destination={route.to}"]
    if route.via is not None:
        lines.append(f"Gateway={route.via}")
    if route.prefsrc is not None:
        lines.append(f"PreferredSource={route.prefsrc}")
    lines.append(f"Table={route.table}")
    if route.metric is not None:
        lines.append(f"Metric={route.metric}")
    return "\n".join(lines) + "\n"


def learned_routes(text: str) -> frozenset[tuple[str, int]]:
    """Read a drop-in of ours again: (destination, table) by its router."""
    found = set()
    for section in text.split("\n\n"):
        head, *lines = section.splitlines() or [""]
        if head == "[Route]" and f"Gateway={LEARNED}" in lines:
            said = dict(line.split("=", 1) for line in lines)
            found.add((said["Destination"], int(said["Table"])))
    return frozenset(found)


def _rule(rule: RoutingPolicyRule) -> str:
    lines = [
        "[RoutingPolicyRule]",
        f"Priority={rule.priority}",
        f"Table={rule.table}",
        f"From={rule.src}"
        if rule.src.prefixlen
        else f"Family=ipv{rule.src.version}",
    ]
    if rule.iif is not None:
        lines.append(f"IncomingInterface={rule.iif}")
    if rule.fwmark is not None:
        lines.append(f"FirewallMark={rule.fwmark}/{rule.fwmask}")
    if rule.uid is not None:
        lines.append(f"User={rule.uid}")
    if rule.suppress_prefixlength is not None:
        lines.append(f"SuppressPrefixLength={rule.suppress_prefixlength}")
    if rule.suppress_ifgroup is not None:
        lines.append(f"SuppressInterfaceGroup={rule.suppress_ifgroup}")
    return "\n".join(lines) + "\n"
