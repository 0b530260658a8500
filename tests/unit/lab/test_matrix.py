# SPDX-License-Identifier: Apache-2.0
"""The matrix's table, its exit status, and the shapes that it boots."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.lab.expected import planned_defaults, planned_rules
from tests.lab.flows import build_flows
from tests.lab.matrix import BROKEN, GREEN, RED, Cell, exit_status, render
from tests.lab.qemu import assign_slots
from tests.lab.shapes import FIFTEEN, SHAPES
from tests.lab.shapes_ipv6 import DUAL, ONLY
from tests.lab.vpc_router import gateway_ipv6

GOOD = Cell("trixie", "seed", GREEN, flows=23, versions="netplan.io 1.1")
BAD = Cell(
    "sid",
    "seed",
    RED,
    flows=23,
    problems=("in internet 198.51.100.177 ping: no answer",),
    logged=("util.py[WARNING]: multihome: found 'x', expected y",),
)
ABSENT = Cell("sid", "cards", BROKEN, problems=("QEMU ended",))


def test_the_table_has_a_column_for_each_suite() -> None:
    """A cell that was not asked for is a dash; versions stand below."""
    assert render([GOOD, Cell("sid", "cards", GREEN, flows=9)]).splitlines()[
        :4
    ] == [
        "| shape | trixie       | sid         |",
        "| ---   | ---          | ---         |",
        "| seed  | ok, 23 flows | -           |",
        "| cards | -            | ok, 9 flows |",
    ]
    assert "\ntrixie: netplan.io 1.1\n" in render([GOOD])


def test_a_red_cell_says_why_and_what_the_log_has() -> None:
    """Flows that are wrong, and the error of the module."""
    text = render([GOOD, BAD])

    assert "seed on sid: WRONG" in text
    assert "  in internet 198.51.100.177 ping: no answer" in text
    assert "  log: util.py[WARNING]: multihome: found 'x'" in text


def test_a_red_cell_without_an_error_in_the_log_says_so() -> None:
    """Silence is worth knowing, too."""
    assert "has no warning or error of it" in render([ABSENT])


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        pytest.param([GOOD], 0, id="green"),
        pytest.param([GOOD, BAD], 1, id="red"),
        pytest.param([GOOD, ABSENT], 2, id="lab-failed"),
        pytest.param([ABSENT, BAD], 1, id="red-is-worse"),
    ],
)
def test_the_exit_status_is_that_of_the_worst_cell(
    cells: list[Cell], expected: int
) -> None:
    """0, 1 and 2 as docs/lab.md says."""
    assert expected == exit_status(cells)


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_can_be_booted_and_its_flows_sent(name: str) -> None:
    """Slots for its ENIs, unique identities, and flows that can be right."""
    intent = SHAPES[name]
    enis = intent.shape.enis

    assert len(enis) == len(assign_slots(enis))
    assert len(enis) == len({eni.mac for eni in enis})
    assert len(enis) == len({eni.eni_id for eni in enis})
    assert set(intent.tables) == {it.name for it in enis if it.addresses}
    assert build_flows(
        intent.shape,
        default=intent.default,
        policy=intent.policy,
        unnamed=intent.unnamed,
        unnamed_ipv6=intent.unnamed_ipv6,
    )


def test_fifteen_enis_need_few_rules() -> None:
    """One for each, and two for all, beside the kernel's three."""
    assert 15 == len(FIFTEEN.shape.enis)
    assert 15 + 2 + 3 == len(planned_rules(FIFTEEN))


def test_ipv6_has_rules_of_its_own() -> None:
    """For the ENIs that have it; the kernel has two of its own, not three."""
    assert [
        (0, "all", 255),
        (31000, "all", 254),
        (31100, "2001:db8:60:1::10", 10),
        (31100, "2001:db8:60:1::11", 10),
        (31100, "2001:db8:60:1:c::/80", 10),
        (31101, "2001:db8:60:2::20", 20),
        (32700, "all", 30999),
        (32766, "all", 254),
    ] == planned_rules(ONLY, 6)
    assert [] == [it for it in planned_rules(DUAL, 6) if it[2] == 40]
    assert [(0, "all", 255), (32766, "all", 254)] == planned_rules(FIFTEEN, 6)


def test_ipv6_has_a_default_route_in_each_table_and_one_in_main() -> None:
    """By the router of the ENI's subnet; plain has no IPv6."""
    private, public, _ = DUAL.shape.subnets
    assert [
        ("10", gateway_ipv6(private), "private"),
        ("20", gateway_ipv6(public), "public"),
        ("254", gateway_ipv6(public), "public"),
        ("30", gateway_ipv6(private), "twin"),
    ] == planned_defaults(DUAL)
    by_plain = planned_defaults(replace(DUAL, default="plain"))
    assert ("254", gateway_ipv6(private), "private") in by_plain
