# SPDX-License-Identifier: Apache-2.0
"""The plan, read back from the plain data that as_dict.py makes; pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from cc_multihome.model import (
    Plan,
    PlannedInterface,
    Resolver,
    Route,
    RoutingPolicyRule,
)


def plan_from_dict(data: Mapping[str, Any]) -> Plan:
    """Return the plan; keys that this version does not know are left out.

    Raises:
        KeyError, TypeError, ValueError: it was made by a version that wrote
            another shape.
    """
    resolver = data["resolver"]
    return Plan(
        interfaces=tuple(_interface(item) for item in data["interfaces"]),
        resolver=Resolver(
            nameservers=tuple(map(ip_address, resolver["nameservers"])),
            search=tuple(resolver["search"]),
        ),
        policy_table=data["policy_table"],
        ifgroup=data["ifgroup"],
    )


def _interface(data: Mapping[str, Any]) -> PlannedInterface:
    plain = ("mac", "eni_id", "netdef_id", "ifname", "name", "table")
    more = ("table_name", "mtu", "optional", "keeps_ipv6")
    return PlannedInterface(
        **{key: data[key] for key in (*plain, *more)},
        addresses=tuple(map(ip_interface, data["addresses"])),
        routes=tuple(_route(item) for item in data["routes"]),
        rules=tuple(_rule(item) for item in data["rules"]),
    )


def _route(data: Mapping[str, Any]) -> Route:
    via, prefsrc = data["via"], data["prefsrc"]
    return Route(
        to=ip_network(data["to"]),
        via=None if via is None else ip_address(via),
        table=data["table"],
        prefsrc=None if prefsrc is None else ip_address(prefsrc),
        metric=data["metric"],
    )


def _rule(data: Mapping[str, Any]) -> RoutingPolicyRule:
    return RoutingPolicyRule(
        priority=data["priority"],
        table=data["table"],
        src=ip_network(data["src"]),
        suppress_prefixlength=data["suppress_prefixlength"],
        suppress_ifgroup=data["suppress_ifgroup"],
    )
