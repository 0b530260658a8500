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
from tests.lab.instance import LabInstance
from tests.lab.report import Column, say_drops
from tests.lab.shape import LabEni, Shape
from tests.lab.user_data import Intent

BUILT_IN = [(0, "all", 255), (32766, "all", 254), (32767, "all", 253)]


def planned_rules(intent: Intent) -> list[tuple[int, str, int]]:
    """Return all rules, in order, that the intent's host must have."""
    rules = [(PRIORITY_MAIN_SPECIFIC, "all", 254)]
    for name, table in intent.tables.items():
        eni = intent.shape.eni(name)
        priority = from_priority(eni.network_card, eni.device_number)
        rules += [
            (priority, source, table) for source in sources(intent.shape, eni)
        ]
    if intent.policy:
        rules.append((PRIORITY_POLICY, "all", POLICY_TABLE))
    return sorted(BUILT_IN + rules)


def sources(shape: Shape, eni: LabEni) -> list[str]:
    """Return the sources that an ENI's rules name: few, in `ip`'s words.

    Not how the module finds them: from the shape, one subnet an ENI.
    """
    alone = [it.subnet for it in shape.enis].count(eni.subnet) == 1
    cidr = shape.subnet(eni.subnet).cidr
    if len(eni.ipv4s) > FEW_ADDRESSES and alone and cidr:
        return [cidr, *eni.ipv4_prefixes]
    exact = [ip_network(text) for text in (*eni.ipv4s, *eni.ipv4_prefixes)]
    if len(exact) > FEW_ADDRESSES:
        exact = list(collapse_addresses(exact))  # type: ignore[type-var]
    return [str(net).removesuffix("/32") for net in exact]


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
    wanted, seen = planned_rules(intent), sorted(instance.priorities())
    found += [f"rule {rule} is missing" for rule in wanted if rule not in seen]
    found += [
        f"rule {rule} is too much" for rule in seen if rule not in wanted
    ]
    return [*found, *wrong_flows(instance.column("with multihome", intent))]
