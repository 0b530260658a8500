# SPDX-License-Identifier: Apache-2.0
"""Names of the routing tables, for `ip route show table NAME`."""

from __future__ import annotations

from cc_multihome.files import HEADER
from cc_multihome.model import Plan

POLICY_TABLE_NAME = "multihome-policy"


def names(plan: Plan) -> str:
    """Render a file of /etc/iproute2/rt_tables.d: id, tab, name."""
    tables = [(item.table, item.table_name) for item in plan.interfaces]
    if plan.policy_table is not None:
        tables.append((plan.policy_table, POLICY_TABLE_NAME))
    lines = [f"{table}\t{name}" for table, name in sorted(tables)]
    return "\n".join((HEADER, *lines)) + "\n"
