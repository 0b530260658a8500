# SPDX-License-Identifier: Apache-2.0
"""What an instance must be like, from its intent; and what is not so."""

from __future__ import annotations

from ipaddress import collapse_addresses, ip_network

from cc_multihome.numbers import (
    FEW_ADDRESSES,
    POLICY_TABLE,
    PRIORITY_MAIN_SPECIFIC,
    PRIORITY_POLICY,
    from_priority,
)
from tests.lab.imds_tree import primary_eni
from tests.lab.instance import LabInstance
from tests.lab.report import Column, say_drops
from tests.lab.shape import LabEni, Shape
from tests.lab.user_data import Intent
from tests.lab.vpc_router import gateway_ipv6

Rule = tuple[int, str, int]  # priority, source, table

BUILT_IN = [(0, "all", 255), (32766, "all", 254), (32767, "all", 253)]
# IPv6 has no table `default`.
BUILT_IN_IPV6 = BUILT_IN[:2]


def planned_rules(intent: Intent, family: int = 4) -> list[Rule]:
    """Return all rules, in order, that the intent's host must have.

    Those of IPv6 are the kernel's own where no ENI has IPv6.
    """
    built_in = BUILT_IN if family == 4 else BUILT_IN_IPV6
    if family == 6 and not any(eni.ipv6s for eni in intent.shape.enis):
        return built_in
    rules = [(PRIORITY_MAIN_SPECIFIC, "all", 254)]
    for name, table in intent.tables.items():
        eni = intent.shape.eni(name)
        priority = from_priority(eni.network_card, eni.device_number)
        rules += [
            (priority, source, table)
            for source in sources(intent.shape, eni, family)
        ]
    if any(ip_network(to).version == family for to in intent.policy):
        rules.append((PRIORITY_POLICY, "all", POLICY_TABLE))
    return sorted(built_in + rules)


def sources(shape: Shape, eni: LabEni, family: int) -> list[str]:
    """Return the sources that an ENI's rules name: few, in `ip`'s words.

    Not how the module finds them: from the shape, one subnet an ENI.
    """
    alone = [it.subnet for it in shape.enis].count(eni.subnet) == 1
    subnet = shape.subnet(eni.subnet)
    cidr, addresses, prefixes = (
        (subnet.cidr, eni.ipv4s, eni.ipv4_prefixes)
        if family == 4
        else (subnet.ipv6_cidr, eni.ipv6s, eni.ipv6_prefixes)
    )
    if len(addresses) > FEW_ADDRESSES and alone and cidr:
        return [cidr, *prefixes]
    exact = [ip_network(text) for text in (*addresses, *prefixes)]
    if len(exact) > FEW_ADDRESSES:
        exact = list(collapse_addresses(exact))  # type: ignore[type-var]
    # `ip` shows a host without its length.
    return [
        str(net.network_address if net.prefixlen == net.max_prefixlen else net)
        for net in exact
    ]


def planned_defaults(intent: Intent) -> list[tuple[str, str, str]]:
    """Return (table, gateway, device) of all IPv6 default routes.

    One for each ENI with IPv6 in its own table, one in main: by the holder
    of the default, else by the primary ENI, else by the first.
    """
    shape = intent.shape
    with_ipv6 = [name for name in intent.tables if shape.eni(name).ipv6s]
    routes = [(str(intent.tables[name]), name) for name in with_ipv6]
    for name in (intent.default, primary_eni(shape).name, *with_ipv6):
        if name in with_ipv6:
            routes.append(("254", name))
            break
    return sorted(
        (table, gateway_ipv6(shape.subnet(shape.eni(name).subnet)), name)
        for table, name in routes
    )


def ipv6_defaults(instance: LabInstance) -> list[tuple[str, str, str]]:
    """Return those that an instance has."""
    return sorted(
        (item.get("table", "254"), item["gateway"], item["dev"])
        for item in instance.ip_json("-6 route show table all default")
        if "gateway" in item
    )


def own_ipv6s(shape: Shape) -> list[tuple[str, str, int]]:
    """Return (interface, address, prefix length) of all that ENIs have."""
    return sorted(
        (eni.name, address, 128) for eni in shape.enis for address in eni.ipv6s
    )


def global_ipv6s(instance: LabInstance) -> list[tuple[str, str, int]]:
    """Return those that an instance has, without link-local ones."""
    return sorted(
        (item["ifname"], info["local"], info["prefixlen"])
        for item in instance.ip_json("-6 addr show")
        for info in item.get("addr_info", ())
        if info["scope"] == "0"
    )


def wrong_flows(column: Column) -> list[str]:
    """Say which flows are not right, and what was dropped at the ENIs."""
    wrong = [
        f"{item.flow.id}: {item.detail}"
        for item in column.verdicts
        if not item.ok
    ]
    if any(drops.src for drops in column.drops.values()):
        wrong.append(
            f"dropped at the source checks: {say_drops(column.drops)}"
        )
    return wrong


def problems_of(instance: LabInstance, intent: Intent) -> list[str]:
    """Say what is wrong with a booted instance; [] when all is right.

    Its boot, its rules (not one more, not one less), and every flow.
    """
    found = []
    if instance.boot.cloud_init != "done":
        found.append(f"cloud-init ended in {instance.boot.cloud_init!r}")
    for what, wanted, seen in (
        ("rule", planned_rules(intent), instance.priorities()),
        ("IPv6 rule", planned_rules(intent, 6), instance.priorities("-6")),
    ):
        found += [f"{what} {it} is missing" for it in wanted if it not in seen]
        found += [
            f"{what} {it} is too much" for it in seen if it not in wanted
        ]
    return [*found, *wrong_flows(instance.column("with multihome", intent))]
