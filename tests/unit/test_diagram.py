# SPDX-License-Identifier: Apache-2.0
"""The picture of a plan says what the plan says, in SVG 1.1."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from cc_multihome.cli.source import offline, read_config, read_metadata
from cc_multihome.diagram import diagram, look
from cc_multihome.diagram.content import Rule, content_of
from cc_multihome.diagram.layout import lay_out
from cc_multihome.model import Plan
from tests.lab.host import REPO
from tests.unit.builders import (
    DESTINATIONS,
    eni,
    instance,
    network,
    plan,
    plan_for,
    planned,
    with_ipv6,
)

EXAMPLE = REPO / "docs/diagram.svg"
EXAMPLES = REPO / "docs/examples"
SVG = "{http://www.w3.org/2000/svg}"
# https://www.w3.org/TR/SVG11/attindex.html, as far as the picture needs them.
PAINT = frozenset(
    ("fill", "stroke", "stroke-width", "stroke-dasharray", "font-family")
)
KNOWN = {
    "svg": PAINT | {"version", "width", "height", "viewBox"},
    "g": PAINT,
    "title": frozenset[str](),
    "desc": frozenset[str](),
    "rect": PAINT | {"x", "y", "width", "height", "rx"},
    "path": PAINT | {"d"},
    "text": PAINT | {"x", "y", "font-size", "font-weight", "text-anchor"},
}


def drawn(plan: Plan) -> ElementTree.Element:
    """Draw a plan, and read what was drawn."""
    return ElementTree.fromstring(diagram(plan).encode())


def words(root: ElementTree.Element) -> list[str]:
    """Return the words that can be seen, in the order of the text."""
    return [
        "".join(each.itertext()) if len(each) == 0 else each[0].tail or ""
        for each in root.iter(f"{SVG}text")
    ]


def many(enis: int, addresses: int, destinations: int = 0) -> Plan:
    """Plan for ENIs with addresses, and a policy by every second one."""
    host = instance(
        *(
            eni(
                number,
                *(f"10.0.{number}.{10 + at}" for at in range(addresses)),
            )
            for number in range(enis)
        )
    )
    names = {f"net{number}": number for number in range(enis)}
    key = {
        "interfaces": {
            name: {"device_number": number} for name, number in names.items()
        },
        "default": f"net{enis // 2}",
        "policy": [
            {
                "to": [f"192.0.{number}.{at}" for at in range(destinations)],
                "via": name,
            }
            for name, number in names.items()
            if destinations and number % 2 == 0
        ],
    }
    return plan_for(key, host)


def test_the_example_of_the_documentation_is_what_the_code_draws() -> None:
    """To renew it: see "The picture" in docs/development.md."""
    made = offline(
        read_config(str(EXAMPLES / "user-data.yaml")),
        read_metadata(str(EXAMPLES / "metadata.json")),
    )
    assert made is not None
    assert EXAMPLE.read_text(encoding="utf-8") == diagram(made.plan)


def test_the_rules_are_in_the_order_of_the_kernel() -> None:
    """Its own are among them, but for the one that finds nothing."""
    rules = content_of(plan_for()).rules
    assert [(it.priority, it.selector, it.table_name) for it in rules] == [
        (0, "from all", "local"),
        (31000, "from all", "main"),
        (31100, "from 10.224.184.51", "private"),
        (31101, "from 10.224.186.43", "public"),
        (32700, "from all", "multihome-policy"),
        (32766, "from all", "main"),
    ]
    assert [it.by for it in rules] == ["kernel", *["plan"] * 4, "kernel"]
    assert rules[1].suppress == (
        "suppress_prefixlength 0",
        "suppress_ifgroup 31000",
    )


def test_a_rule_with_iif_says_so() -> None:
    """`from 10.0.0.0/24` alone would be about forwarded packets, too."""
    rules = content_of(many(1, 9)).rules
    found = [it for it in rules if it.by == "plan" and it.priority == 31100]
    assert [it.selector for it in found] == ["from 10.0.0.0/24 iif lo"]


def test_every_table_has_its_routes() -> None:
    """The own ones, the policy's, and main with the one default route."""
    tables = {it.table: it for it in content_of(plan_for()).tables}
    assert list(tables) == [10, 20, 30999, 254]
    assert [(it.to, it.via) for it in tables[10].routes] == [
        ("default", "10.224.184.1"),
        ("10.224.184.0/26", None),
    ]
    assert [it.to for it in tables[30999].routes] == list(DESTINATIONS)
    assert {it.interface for it in tables[30999].routes} == {"private"}
    assert [(it.to, it.interface) for it in tables[254].routes] == [
        ("default", "public")
    ]
    assert [it.interface for it in tables.values()] == [
        *("private", "public"),
        *(None, None),
    ]


def test_a_delegated_prefix_is_told_from_addresses() -> None:
    """A plan has it as a rule alone."""
    first = eni(0, ipv4_prefixes=(network("10.0.0.32/28"),))
    crowd = eni(1, *(f"10.0.1.{at}" for at in range(10, 20)))
    view = content_of(plan_for({}, instance(first, crowd))).interfaces
    assert [it.prefixes for it in view] == [("10.0.0.32/28",), ()]
    assert [len(it.addresses) for it in view] == [1, 10]


def test_primary_and_default_are_marked() -> None:
    """Here they are not the same."""
    view = content_of(plan_for()).interfaces
    assert [(it.name, it.is_primary, it.is_default) for it in view] == [
        ("private", True, False),
        ("public", False, True),
    ]
    boxes = lay_out(content_of(plan_for())).boxes
    badges = [
        (box.texts[0].text, text.text)
        for box in boxes
        for text in box.texts
        if text.is_badge
    ]
    assert badges == [("private", "primary"), ("public", "default")]


def test_destinations_are_with_the_eni_that_they_leave_by() -> None:
    """And what is left goes by the default."""
    found = content_of(plan_for()).destinations
    assert [(it.interface, it.default, it.policy) for it in found] == [
        ("private", False, DESTINATIONS),
        ("public", True, ()),
    ]


def test_an_eni_without_ipv4_is_shown_all_the_same() -> None:
    """It has neither rules nor routes of ours."""
    lone = planned("six", addresses=(), routes=(), rules=(), table=30)
    both = plan(planned(), lone)
    seen = words(drawn(both))
    assert seen.count("six") == 2  # its table and itself
    assert "by six" in seen
    assert content_of(both).destinations[1].bound is False


def test_enis_with_one_table_are_shown_each() -> None:
    """No plan has that; a picture that leaves one out would be wrong."""
    twice = plan(planned(), planned("other", mac="0a:00:00:00:00:02"))
    seen = words(drawn(twice))
    assert "by private" in seen
    assert "by other" in seen


def test_what_a_plan_names_can_be_seen() -> None:
    """Every name, number, address and route of the seed's host."""
    seed = plan_for()
    seen = " ".join(words(drawn(seed)))
    for item in seed.interfaces:
        for text in (item.name, item.mac, item.eni_id, item.ifname):
            assert text in seen
        for route in item.routes:
            assert route.via is None or f"via {route.via}" in seen
    for rule in seed.rules():
        assert str(rule.priority) in seen
        assert str(rule.table) in seen


@pytest.mark.parametrize("count", [1, 7, 8, 300])
def test_a_list_that_is_cut_is_whole_in_its_tooltip(count: int) -> None:
    """Nothing is lost; "and 1 more" is never written."""
    host = many(2, 1, 1)
    item = host.interfaces[0]
    (route,) = (it for it in item.routes if it.table == host.policy_table)
    to = [network(f"172.16.{at // 250}.{at % 250}/32") for at in range(count)]
    more = replace(item, routes=tuple(replace(route, to=each) for each in to))
    root = drawn(replace(host, interfaces=(more, *host.interfaces[1:])))
    texts = [*words(root), *(it.text or "" for it in root.iter(f"{SVG}title"))]
    found = set(re.findall(r"172\.16\.[0-9]+\.[0-9]+", " ".join(texts)))
    assert found == {str(each.network_address) for each in to}
    assert "and 1 more" not in words(root)
    hidden = count - look.MOST_ENTRIES
    assert (f"and {hidden} more" in words(root)) == (hidden > 1)


def test_what_xml_gives_a_meaning_is_escaped() -> None:
    """And what it cannot say at all is replaced."""
    odd = planned("a<b>&\"'", eni_id="eni-&amp;", mac="]]>\x00\x1b\udc80")
    root = drawn(plan(odd))
    seen = words(root)
    assert "a<b>&\"'" in seen
    assert "eni-&amp;" in seen
    assert "]]>\ufffd\ufffd\ufffd" in seen


def test_a_long_name_is_cut_and_whole_in_its_tooltip() -> None:
    """So that one name does not make the picture a mile wide."""
    name = "n" * 50 + "m" * 50
    root = drawn(plan(planned(name)))
    assert name not in words(root)
    assert f"{'n' * 22}\N{HORIZONTAL ELLIPSIS}" in " ".join(words(root))
    assert name in {it.text for it in root.iter(f"{SVG}title")}


def test_only_elements_and_attributes_of_svg_1_1_are_used() -> None:
    """No script, no style sheet, nothing from elsewhere."""
    text = diagram(many(15, 50, 12))
    root = ElementTree.fromstring(text.encode())
    for each in root.iter():
        name = each.tag.removeprefix(SVG)
        assert set(each.attrib) <= KNOWN[name], name
    assert root.get("version") == "1.1"
    assert text.count("http") == 1  # the name space


def test_it_can_be_read_aloud() -> None:
    """Title and description come first, and say it in words."""
    root = drawn(plan_for())
    assert [each.tag for each in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert "2 ENIs, 4 rules, 3 policy destinations" in (root[0].text or "")
    said = root[1].text or ""
    assert "Rule 31100: from 10.224.184.51 looks into table private." in said
    assert "what goes to 192.0.2.14, 198.51.100.42, 203.0.113.22" in said
    assert all(len(each) for each in root.iter(f"{SVG}g"))
    for group in root.iter(f"{SVG}g"):
        assert group[0].tag == f"{SVG}title"


def test_a_plan_gives_the_same_bytes_each_time() -> None:
    """In ASCII, so that no locale matters."""
    assert diagram(plan_for()) == diagram(plan_for())
    assert diagram(plan(planned("\N{SNOWMAN}"))).isascii()


def test_a_plan_without_interfaces_cannot_be_drawn() -> None:
    """The caller has to say so in its own words."""
    with pytest.raises(ValueError, match="without interfaces"):
        diagram(plan())


def luminance(colour: str) -> float:
    """Return the relative luminance (WCAG 2.1)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        it / 12.92 if it <= 0.04045 else ((it + 0.055) / 1.055) ** 2.4
        for it in parts
    ]
    weights = (0.2126, 0.7152, 0.0722)
    return sum(a * b for a, b in zip(linear, weights, strict=True))


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21 (WCAG 2.1)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colour", [*look.COLOURS, look.NEUTRAL])
def test_colours_can_be_read(colour: str) -> None:
    """White on them, and them and all words on their tint."""
    assert contrast(colour, look.WHITE) >= 4.5
    assert contrast(colour, look.tint(colour)) >= 4.5
    assert contrast(look.MUTED, look.tint(colour)) >= 4.5


def test_neighbours_differ_in_black_and_white() -> None:
    """The lines of one ENI are dashed otherwise than those of the next."""
    assert len(set(look.COLOURS)) == len(look.COLOURS)
    dashes = [look.dash_of(at) for at in range(16)]
    assert all(one != other for one, other in pairwise(dashes))


def test_rules_of_one_table_with_two_priorities_name_both() -> None:
    """A plan that was kept by another version may have them."""
    rules = planned().rules
    item = planned(rules=(*rules, replace(rules[0], priority=31200)))
    kept = content_of(plan(item)).rules
    assert isinstance(kept[0], Rule)
    assert {"31100", "31200"} <= set(words(drawn(plan(item))))


def test_both_families_are_one_picture() -> None:
    """A rule that both have is drawn once; IPv6 has its learned router."""
    enis = [with_ipv6(eni(number)) for number in range(2)]
    found = content_of(plan_for({}, instance(*enis)))
    shown = [(it.priority, it.selector) for it in found.rules]
    assert shown == [
        (0, "from all"),
        (31000, "from all"),
        (31100, "from 10.0.0.10"),
        (31100, "from 2001:db8:0:10::5"),
        (31101, "from 10.0.1.10"),
        (31101, "from 2001:db8:0:11::5"),
        (32766, "from all"),
    ]
    seen = words(drawn(plan_for({}, instance(*enis))))
    assert "via the learned router" in seen
    assert "2001:db8:0:11::5" in " ".join(seen)


def test_the_subnet_of_an_eni_with_ipv6_alone_is_shown() -> None:
    """Its address has no length to tell it by."""
    only = with_ipv6(eni(1), local_ipv4s=(), subnet_ipv4s=())
    found = content_of(plan_for({}, instance(eni(0), only)))
    assert found.interfaces[1].subnet == "2001:db8:0:11::/64"
