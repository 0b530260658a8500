# SPDX-License-Identifier: Apache-2.0
"""The table that a person reads."""

from __future__ import annotations

import pytest

from tests.lab.far_server import COMPANY, GUEST, INTERNET
from tests.lab.flows import Flow, Probe, Verdict
from tests.lab.report import Column, render, say_drops, say_row
from tests.lab.vpc_rules import Drops


def verdict(
    side: str | None,
    expected: str = INTERNET,
    *,
    ok: bool | None = None,
    row: str = "row",
    eni: str | None = "public",
) -> Verdict:
    """Return a verdict; right when the side is."""
    flow = Flow("id", row, Probe("id", "tcp"), "public", expected, GUEST)
    right = side == expected if ok is None else ok
    return Verdict(flow, right, side, eni, "")


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], "-"),
        ([verdict(INTERNET)] * 3, "internet side"),
        ([verdict(COMPANY)], "company side (wrong)"),
        ([verdict(None)] * 2, "no answer"),
        ([verdict(GUEST, GUEST)], "answers"),
        ([verdict("vpc", "vpc")], "works"),
        ([verdict(None), verdict(INTERNET), verdict(INTERNET)],
         "1 of 3: no answer"),
        ([verdict(None), verdict(COMPANY)],
         "1 of 2: no answer, 1 of 2: company side (wrong)"),
        ([verdict(INTERNET, ok=False, eni="private out, public in")],
         "private out, public in (wrong)"),
        ([verdict(INTERNET, ok=False, eni=None)], "unseen (wrong)"),
    ],
)  # fmt: skip
def test_a_cell_says_what_its_flows_did(
    verdicts: list[Verdict], expected: str
) -> None:
    """All alike in two words; what is wrong is counted."""
    assert expected == say_row(verdicts)


@pytest.mark.parametrize(
    ("drops", "expected"),
    [
        ({"a": Drops(), "b": Drops(arp=3, dst=1)}, "0"),
        ({"a": Drops(), "b": Drops(src=7)}, "7 (b 7)"),
        ({"a": Drops(src=1), "b": Drops(src=7)}, "8 (a 1, b 7)"),
        ({"a": Drops(src=1)}, "1"),
    ],
)
def test_drops_are_those_of_the_source_check(
    drops: dict[str, Drops], expected: str
) -> None:
    """With the ENIs that had them."""
    assert expected == say_drops(drops)


def test_the_table_fits_a_terminal() -> None:
    """Four columns, long words and titles: at most 100 wide, all there."""
    rows = [f"guest, bound to an ENI of some name -> place {n}" for n in "ab"]
    columns = [
        Column(
            title,
            [verdict(COMPANY, row=row) for row in rows[: 1 + (n > 0)]],
            {"private": Drops(src=n)},
        )
        for n, title in enumerate(
            ("stock cloud-init", "the seed by hand",
             "two default routes and no policy", "with multihome")
        )
    ]  # fmt: skip
    text = render(columns)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert text == "\n".join(line.rstrip() for line in text.split("\n"))
    assert text.splitlines()[0].startswith("flow ")
    assert text.count("company side") == 7
    assert "packets dropped" in text.splitlines()[-2]


def test_a_row_that_a_column_lacks_is_a_dash() -> None:
    """Columns may have sent different flows."""
    columns = [
        Column("one", [verdict(INTERNET, row="first")], {}),
        Column("two", [verdict(INTERNET, row="second")], {}),
    ]
    lines = render(columns, width=80).splitlines()
    assert lines[2].split() == ["first", "internet", "side", "-"]
    assert lines[3].split() == ["second", "-", "internet", "side"]
