# SPDX-License-Identifier: Apache-2.0
"""Netplan's YAML: the overlay with the whole truth, and what it shadows.

Keys as in https://netplan.readthedocs.io/en/stable/netplan-yaml/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import yaml

from cc_multihome.discover.netplan_files import NetplanFile, matched_mac
from cc_multihome.files import HEADER
from cc_multihome.model import (
    Interface,
    Plan,
    PlannedInterface,
    Route,
    RoutingPolicyRule,
)
from cc_multihome.numbers import DEFAULT_MTU, MAIN_TABLE

# The file of cloud-init's netplan renderer, in every release.
CLOUD_INIT_NAME = "50-cloud-init.yaml"
# networkd takes the first .network file that matches, in the order of the
# names, and those carry the netdef's id: an id that sorts last gives way.
LAST_ID_PREFIX = "zz-multihome-"


def overlay(plan: Plan) -> str:
    """Render the one file that holds the whole truth for each ENI."""
    netdefs = {item.netdef_id: _netdef(item) for item in plan.interfaces}
    return _dump(
        {
            "network": {
                "version": 2,
                "renderer": "networkd",
                "ethernets": netdefs,
            }
        }
    )


def shadows(
    plan: Plan, files: Iterable[NetplanFile]
) -> tuple[tuple[str, str], ...]:
    """Render the files that must be shadowed for this boot: (name, text).

    Netplan adds the lists of all files together, so cloud-init's netdefs of
    the managed ENIs are left out of its file. In any other file a netdef of
    the same id is somebody's amendment and stays; one of another id that
    matches a managed ENI too (Debian's `all-en`) stays for other devices,
    under an id that networkd looks at last.
    """
    shadowed = []
    for file in files:
        before = file.ethernets()
        after = _without_own(file, before, plan)
        if after != before:
            network = {**file.content["network"], "ethernets": after}
            if not after:
                del network["ethernets"]
            shadowed.append((file.name, _dump({"network": network})))
    return tuple(shadowed)


def _without_own(
    file: NetplanFile, netdefs: Mapping[str, Mapping[str, Any]], plan: Plan
) -> dict[str, Mapping[str, Any]]:
    macs = {item.mac for item in plan.interfaces}
    ids = {item.netdef_id: item.mac for item in plan.interfaces}
    kept: dict[str, Mapping[str, Any]] = {}
    for netdef_id, netdef in netdefs.items():
        mac = matched_mac(netdef)
        is_amendment = netdef_id in ids and mac in (None, ids[netdef_id])
        own = is_amendment or mac in macs
        if own and file.name == CLOUD_INIT_NAME:
            continue
        # One of the same id and another MAC would be merged with ours.
        is_rival = netdef_id in ids or _matches_any(netdef, plan)
        if is_rival and not is_amendment:
            kept[LAST_ID_PREFIX + netdef_id] = netdef
        else:
            kept[netdef_id] = netdef
    return kept


def _matches_any(netdef: Mapping[str, Any], plan: Plan) -> bool:
    """Would networkd take this netdef for one of the managed ENIs?

    The driver is not known here: a match by driver alone counts as one.
    """
    match = netdef.get("match")
    if match is None:
        return False
    mac, pattern = matched_mac(netdef), match.get("name")
    return any(
        mac in (None, item.mac)
        and (
            pattern is None
            or any(
                fnmatchcase(name, str(pattern))
                for name in (item.netdef_id, item.ifname, item.name)
            )
        )
        for item in plan.interfaces
    )


def _netdef(item: PlannedInterface) -> dict[str, Any]:
    netdef: dict[str, Any] = {"match": {"macaddress": item.mac}}
    if item.name != item.netdef_id:
        netdef["set-name"] = item.name
    netdef |= {"dhcp4": False, "dhcp6": False}
    if item.accept_ra is not None:
        netdef["accept-ra"] = item.accept_ra
    if item.optional:
        # A secondary that never comes up must not hold up the boot.
        netdef["optional"] = True
    if item.mtu != DEFAULT_MTU:
        # DHCP gave it; without DHCP networkd would put the default back.
        netdef["mtu"] = item.mtu
    if item.addresses:
        netdef["addresses"] = list(_addresses(item.addresses))
    if item.nameservers:
        netdef["nameservers"] = _nameservers(item)
    routes = [route for route in item.routes if is_netplan_route(route)]
    if routes:
        netdef["routes"] = [_route(route) for route in routes]
    rules = [rule for rule in item.rules if is_netplan_rule(rule)]
    if rules:
        netdef["routing-policy"] = [_rule(rule) for rule in rules]
    return netdef


def _nameservers(item: PlannedInterface) -> dict[str, Any]:
    servers = [str(address) for address in item.nameservers]
    search = {"search": list(item.search)} if item.search else {}
    return {"addresses": servers, **search}


def _addresses(addresses: tuple[Interface, ...]) -> Iterator[Any]:
    """Deprecate all IPv6 addresses but the first.

    They work as ever, and the kernel takes none of them as the source of
    traffic that is not bound to an address (RFC 6724, rule 3).
    """
    first = next((it for it in addresses if it.version == 6), None)
    for address in addresses:
        if address.version == 4 or address == first:
            yield str(address)
        else:
            yield {str(address): {"lifetime": 0}}


def is_netplan_route(route: Route) -> bool:
    """Can netplan say this route?

    It knows no gateway that is learned, and gives every route on the link a
    scope, which networkd warns of where the route is IPv6.
    """
    return route.to.version == 4


def is_netplan_rule(rule: RoutingPolicyRule) -> bool:
    """Can netplan say this rule?

    It knows no suppressors, no `iif`, no user, and of a mark no mask.
    """
    suppressors = (rule.suppress_prefixlength, rule.suppress_ifgroup)
    unsayable = (*suppressors, rule.iif, rule.fwmark, rule.uid)
    return all(part is None for part in unsayable)


def _route(route: Route) -> dict[str, Any]:
    entry: dict[str, Any] = {"to": str(route.to)}
    if route.via is not None:
        entry["via"] = str(route.via)
    else:
        # No `via: 0.0.0.0`: networkd would take the kernel's route for a
        # foreign one (pitfall 12).
        entry["scope"] = "link"
    if route.prefsrc is not None:
        entry["from"] = str(route.prefsrc)
    if route.metric is not None:
        entry["metric"] = route.metric
    if route.table != MAIN_TABLE:
        entry["table"] = route.table
    return entry


def _rule(rule: RoutingPolicyRule) -> dict[str, Any]:
    host = rule.src.prefixlen == rule.src.max_prefixlen
    source = rule.src.network_address if host else rule.src
    return {
        "from": str(source),
        "table": rule.table,
        "priority": rule.priority,
    }


def _dump(content: Mapping[str, Any]) -> str:
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=False)
    return f"{HEADER}\n{text}"
