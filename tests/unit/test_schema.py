# SPDX-License-Identifier: Apache-2.0
"""schema.json stands on its own, and its errors come out in plain words."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from cc_multihome.config import schema
from cc_multihome.errors import Problem

MULTIHOME: dict[str, Any] = schema.load()["properties"]["multihome"]


def parts(node: Any, path: str = "multihome") -> Iterator[tuple[str, Any]]:
    """Give every property of a schema, wherever it stands."""
    for name, part in node.get("properties", {}).items():
        yield f"{path}.{name}", part
        yield from parts(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from parts(node[key], f"{path}.*")
    for branch in node.get("anyOf", []):
        yield from parts(branch, path)


def objects(node: Any) -> Iterator[dict[str, Any]]:
    """Give every part of a schema that describes a mapping."""
    if isinstance(node, dict):
        if "properties" in node:
            yield node
        for value in node.values():
            yield from objects(value)
    if isinstance(node, list):
        for value in node:
            yield from objects(value)


def test_the_schema_is_draft_4_as_strictly_as_cloud_init_asks() -> None:
    """cloud-init refuses keywords that draft 4 does not have."""
    strict = copy.deepcopy(jsonschema.Draft4Validator.META_SCHEMA)
    strict["additionalProperties"] = False
    jsonschema.Draft4Validator(strict).validate(schema.load())
    jsonschema.Draft4Validator.check_schema(schema.load())


def test_the_part_for_the_key_works_inside_another_schema() -> None:
    """Merged under cloud-init's own properties it validates on its own."""
    host = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "$defs": {"other": {"type": "string"}},
        "additionalProperties": False,
        "properties": {
            "hostname": {"$ref": "#/$defs/other"},
            "multihome": MULTIHOME,
        },
    }
    validator = jsonschema.Draft4Validator(host)
    assert validator.is_valid({"hostname": "a", "multihome": {}})
    assert not validator.is_valid({"multihome": {"polcy": []}})
    assert "$ref" not in str(MULTIHOME)


@pytest.mark.parametrize("value", [{}, True, False, None])
def test_the_short_forms_are_valid(value: object) -> None:
    """An empty mapping, true, false and nothing are all complete."""
    assert schema.problems(value) == ()


def test_every_property_is_described() -> None:
    """A person who looks only at the schema learns what a key does."""
    found = dict(parts(MULTIHOME))
    assert len(found) == 22
    for path, part in found.items():
        assert len(part["description"]) > 20, path
        assert part["title"], path


def test_no_mapping_takes_unknown_keys() -> None:
    """A misspelt key is never silently ignored."""
    mappings = list(objects(MULTIHOME))
    assert len(mappings) == 4
    assert all(each["additionalProperties"] is False for each in mappings)


def test_a_misspelt_key_is_one_problem_with_the_right_one_first() -> None:
    """The unknown key, not also the missing one that was meant."""
    value = {"policy": [{"to": "192.0.2.1", "vai": "a"}]}
    assert schema.problems(value) == (
        Problem(
            "multihome.policy[0].vai",
            "an unknown key",
            "via (known: to, via)",
        ),
    )


def test_an_unlike_key_gets_the_whole_list() -> None:
    """Where nothing is close, no guess is made."""
    assert schema.problems({"zzz": 1}) == (
        Problem(
            "multihome.zzz",
            "an unknown key",
            "one of interfaces, default, policy, honor_main_routes,"
            " containers, services, users, resolver, rename",
        ),
    )


def test_problems_are_sorted_with_numbers_as_numbers() -> None:
    """[10] stands after [9]."""
    value = {"policy": [3] * 12}
    paths = [each.path for each in schema.problems(value)]
    assert paths == [f"multihome.policy[{i}]" for i in range(12)]


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ((), "multihome"),
        (("policy", 0, "to", 3), "multihome.policy[0].to[3]"),
        (("interfaces", "eth-0_a"), "multihome.interfaces.eth-0_a"),
        (("interfaces", "a.b"), "multihome.interfaces['a.b']"),
        (("interfaces", "10"), "multihome.interfaces['10']"),
        (("interfaces", schema.OddKey("10")), "multihome.interfaces[10]"),
    ],
)
def test_a_path_is_written_without_doubt(
    where: tuple[str | int, ...], text: str
) -> None:
    """Names that look like other parts of a path are quoted."""
    assert schema.path_text(where) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true"),
        (10, "10"),
        ("a", "'a'"),
        (["a", {"b": None}], "['a', {b: nothing}]"),
        ({True: 1}, "{true: 1}"),
        (b"a", "a bytes"),
        pytest.param(1 << 20000, "a number of 20001 bits", id="huge"),
        ("x" * 200, "'" + "x" * 71 + "..."),
        ([[[[[[1]]]]]], "[[[[[...]]]]]"),
    ],
)
def test_a_value_is_shown_as_written_and_short(
    value: object, text: str
) -> None:
    """Whatever it is, it fits on a line."""
    assert schema.show(schema.plain(value)) == text


def test_a_value_that_holds_itself_comes_to_an_end() -> None:
    """YAML's anchors can make one."""
    endless: list[object] = []
    endless.append(endless)
    assert schema.problems(schema.plain({"policy": endless}))
