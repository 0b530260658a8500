# SPDX-License-Identifier: Apache-2.0
"""Nothing of the picture overlaps, whatever the plan."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cc_multihome.diagram import look
from cc_multihome.diagram.content import content_of
from cc_multihome.diagram.drawing import Box, Drawing, Lane, Text
from cc_multihome.diagram.layout import lay_out
from cc_multihome.model import Plan
from tests.unit.builders import (
    eni,
    instance,
    plan,
    plan_for,
    planned,
    route,
    rule,
)
from tests.unit.test_diagram import many

# left, top, right, bottom
Place = tuple[float, float, float, float]


def place(part: Box | Lane) -> Place:
    """Return the corners of a box."""
    return (part.x, part.y, part.x + part.width, part.y + part.height)


def place_of_text(text: Text) -> Place:
    """Return the corners of a text, and of its frame if it has one."""
    frame = look.BADGE_PAD if text.is_badge else 0
    left = text.left - frame
    right = text.left + text.width + frame
    return (left, text.y - text.size, right, text.y + text.size / 4)


def overlap(one: Place, other: Place) -> bool:
    """Have they a point in common that is on no edge?"""
    return (
        one[0] < other[2]
        and other[0] < one[2]
        and one[1] < other[3]
        and other[1] < one[3]
    )


def holds(outer: Place, inner: Place) -> bool:
    """Is it inside, as a whole? Sums of floats may be off a little."""
    return (
        outer[0] <= inner[0] + 0.01
        and outer[1] <= inner[1] + 0.01
        and inner[2] <= outer[2] + 0.01
        and inner[3] <= outer[3] + 0.01
    )


def check(drawing: Drawing) -> None:
    """Assert that everything has a place of its own."""
    page = (0, 0, drawing.width, drawing.height)
    boxes = [place(box) for box in drawing.boxes]
    page_texts = [place_of_text(text) for text in drawing.texts]
    lanes = [place(lane) for lane in drawing.lanes]
    for one, other in combinations((*boxes, *page_texts), 2):
        assert not overlap(one, other), (one, other)
    for one, other in combinations(lanes, 2):
        assert not overlap(one, other), (one, other)
    for part in (*boxes, *page_texts, *lanes):
        assert holds(page, part), part
    for box in drawing.boxes:
        check_box(box)
        assert sum(holds(lane, place(box)) for lane in lanes) == 1
    check_wires(drawing)


def check_box(box: Box) -> None:
    """Assert that the words are inside, and beside each other."""
    words = [(place_of_text(text), text) for text in box.texts]
    for where, text in words:
        assert holds(place(box), where), text
    for (one, first), (other, second) in combinations(words, 2):
        assert not overlap(one, other), (first, second)


def check_wires(drawing: Drawing) -> None:
    """Assert that lines join boxes, and go through none."""
    boxes = [place(box) for box in drawing.boxes]
    rights = {(box[2], box[1], box[3]) for box in boxes}
    lefts = {(box[0], box[1], box[3]) for box in boxes}
    for wire in drawing.wires:
        (start_x, start_y), (end_x, end_y) = wire.points[0], wire.points[-1]
        assert any(
            x == start_x and top < start_y < end for x, top, end in rights
        )
        assert any(x == end_x and top < end_y < end for x, top, end in lefts)
        for (x, y), (to_x, to_y) in zip(
            wire.points, wire.points[1:], strict=False
        ):
            assert x == to_x or (y == to_y and x < to_x)
            line = (x, min(y, to_y), to_x, max(y, to_y))
            assert not any(overlap(line, box) for box in boxes), wire


def draw(plan: Plan) -> Drawing:
    """Lay out a plan."""
    return lay_out(content_of(plan))


@pytest.mark.parametrize(
    ("enis", "addresses", "destinations"),
    [
        pytest.param(1, 1, 0, id="the smallest"),
        pytest.param(2, 50, 30, id="many addresses"),
        pytest.param(15, 1, 3, id="many ENIs"),
        pytest.param(15, 50, 100, id="all of it"),
        pytest.param(24, 5, 1, id="more ENIs than colours"),
    ],
)
def test_nothing_overlaps(
    enis: int, addresses: int, destinations: int
) -> None:
    """Every box, every word, every line."""
    check(draw(many(enis, addresses, destinations)))


# What st.text() leaves out, too; each hypothesis has another word for that.
NAMES = st.lists(
    st.integers(0, 0x10FFFF).map(chr), min_size=1, max_size=70
).map("".join)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw plans that no configuration would give, too."""
    names = draw(st.lists(NAMES, min_size=1, max_size=15, unique=True))
    items = []
    for at, name in enumerate(names):
        sources = draw(st.integers(0, 9))
        routes = [route("0.0.0.0/0", f"10.0.{at}.1", 100 + at)]
        routes += [
            route(f"192.0.{at}.{each}", f"10.0.{at}.1", 99)
            for each in range(draw(st.integers(0, 9)))
        ]
        if draw(st.booleans()):
            routes.append(route("0.0.0.0/0", f"10.0.{at}.1"))
        items.append(
            planned(
                name,
                eni_id=draw(NAMES),
                table=100 + at,
                shares_subnet=draw(st.booleans()),
                accept_ra=draw(st.sampled_from((True, False, None))),
                optional=draw(st.booleans()),
                addresses=tuple(
                    ip_interface(f"10.0.{at}.{each}/24")
                    for each in range(draw(st.integers(0, 50)))
                ),
                routes=tuple(routes) if draw(st.booleans()) else (),
                rules=tuple(
                    rule(draw(st.integers(1, 32765)), 100 + at, f"10.0.{each}")
                    for each in ("0.1", "1.0/24", "2.0/28")[:sources]
                ),
            )
        )
    return plan(*items, policy_table=draw(st.sampled_from([None, 99])))


@settings(max_examples=60)
@given(plans())
def test_nothing_overlaps_in_any_plan(odd: Plan) -> None:
    """Names of any characters, rules in any order, ENIs without addresses."""
    drawing = draw(odd)
    check(drawing)
    heads = [box.title for box in drawing.boxes]
    for item in odd.interfaces:
        assert f"by {item.name}".strip() in heads


def test_the_check_finds_boxes_that_overlap() -> None:
    """Else the tests above would say nothing."""
    good = draw(plan_for())
    first, second, *rest = good.boxes
    moved = replace(second, x=first.x + first.width - 1, texts=())
    with pytest.raises(AssertionError):
        check(replace(good, boxes=(first, moved, *rest), wires=()))


def test_the_check_finds_words_outside_of_their_box() -> None:
    """One that is too long, and two on one line."""
    box = draw(plan_for()).boxes[0]
    text = box.texts[0]
    for wrong in (replace(text, text="x" * 99), replace(text, x=text.x + 9)):
        with pytest.raises(AssertionError):
            check_box(replace(box, texts=(wrong, *box.texts)))


def test_the_check_finds_lines_through_boxes() -> None:
    """One that goes from the first column to the last."""
    good = draw(plan_for())
    (x, y), *_ = good.wires[-1].points
    wrong = replace(good.wires[-1], points=((60, y), (x + 400, y)))
    with pytest.raises(AssertionError):
        check_wires(replace(good, wires=(wrong,)))


def test_lines_of_one_table_do_not_cross() -> None:
    """The one that ends highest goes up furthest left."""
    bent = [it for it in draw(many(15, 3, 2)).wires if len(it.points) == 4]
    policy = [it for it in bent if it.title.startswith("multihome-policy")]
    assert len(policy) == 8
    turns = [(it.points[1][0], it.points[3][1]) for it in policy]
    assert turns == sorted(turns)
    assert len({x for x, _ in turns}) == len(turns)
    starts = [it.points[0][1] for it in policy]
    assert starts == sorted(starts)
    assert [it.points[3][1] for it in policy] == sorted(
        it.points[3][1] for it in policy
    )


def test_a_name_in_wide_characters_gets_the_room_that_it_needs() -> None:
    """They are as wide as two others."""
    narrow, wide = (draw(plan(planned(each * 20))) for each in "a\u7db2")
    assert wide.width > narrow.width
    assert look.text_width("\u7db2", 10) == 2 * look.text_width("a", 10)
    check(wide)


def test_many_enis_have_the_rest_in_a_tooltip() -> None:
    """15 of them were a page of 3,200 pixels."""
    made = plan_for({}, instance(*(eni(number) for number in range(15))))
    drawing = lay_out(content_of(made))
    assert drawing.height < 2400
    words = [it for box in drawing.boxes for it in box.texts]
    told = [it for it in words if "mac 0a:" in it.tooltip]
    assert len(told) == 15
