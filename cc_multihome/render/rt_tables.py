# SPDX-License-Identifier: Apache-2.0
"""Names of the routing tables, for `ip route show table NAME`."""

from __future__ import annotations

from cc_multihome.files import HEADER
from cc_multihome.model import Plan
from cc_multihome.numbers import DEFAULT_TABLE, LOCAL_TABLE, MAIN_TABLE

POLICY_TABLE_NAME = "multihome-policy"
KERNEL_NAMES = {
    DEFAULT_TABLE: "default",
    MAIN_TABLE: "main",
    LOCAL_TABLE: "local",
}


def names(plan: Plan) -> str:
    """Render a file of /etc/iproute2/rt_tables.d: id, tab, name."""
    tables = sorted(_own_names(plan).items())
    lines = [f"{table}\t{name}" for table, name in tables]
    return "\n".join((HEADER, *lines)) + "\n"


def table_names(plan: Plan) -> dict[int, str]:
    """Map each table that has a name to what iproute2 then calls it."""
    return KERNEL_NAMES | _own_names(plan)


def _own_names(plan: Plan) -> dict[int, str]:
    own = {item.table: item.table_name for item in plan.interfaces}
    if plan.policy_table is not None:
        own[plan.policy_table] = POLICY_TABLE_NAME
    return own
