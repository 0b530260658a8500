# SPDX-License-Identifier: Apache-2.0
"""Hold a value against schema.json and say in plain words what is wrong.

Every part of the schema has a `title`: the words that stand after "expected"
in a message. So the schema and the messages cannot drift apart. The schema
is draft 4, and free of references, because cloud-init's own is draft 4 and
`schema["properties"]["multihome"]` has to work when it is merged into that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema

from cc_multihome.errors import Problem

# The whole schema is four levels deep; what lies far below cannot be right.
MAX_DEPTH = 5
MAX_SHOWN = 72

Step = str | int
Where = tuple[Step, ...]


class OddKey(str):
    """A mapping's key that is no text in YAML (`on:`, `10:`, `~:`).

    A string that nobody writes, so that it collides with no other key.
    """

    def __new__(cls, shown: str) -> OddKey:
        return super().__new__(cls, f"<{shown}>")

    @property
    def shown(self) -> str:
        """The key as YAML would write it."""
        return self[1:-1]


class Foreign:
    """A value that is none of JSON's: a date, bytes, a huge number."""

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def __repr__(self) -> str:
        return self._shown


@lru_cache(maxsize=1)
def load() -> dict[str, Any]:
    """Read the schema that is shipped with the package."""
    text = Path(__file__).with_name("schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def known_keys() -> frozenset[str]:
    """Return the keys that may stand right under `multihome`."""
    return frozenset(load()["properties"]["multihome"]["properties"])


def plain(value: object, depth: int = MAX_DEPTH) -> object:
    """Copy a value so that nothing in it can break whoever looks at it.

    YAML gives keys that are no text, dates, lists that contain themselves
    and numbers too long to print, on which jsonschema itself stumbles.
    """
    if value is None or isinstance(value, (bool, str, float, Foreign)):
        return value
    if isinstance(value, int) and value.bit_length() <= 64:
        return value
    if depth and isinstance(value, dict):
        return {
            _key(key): plain(item, depth - 1) for key, item in value.items()
        }
    if depth and isinstance(value, (list, tuple)):
        return [plain(item, depth - 1) for item in value]
    return Foreign(_name_type(value))


def _key(key: object) -> str:
    if isinstance(key, str):
        return key
    return OddKey(show(plain(key, 1)))


def _name_type(value: object) -> str:
    if isinstance(value, int):
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, (dict, list, tuple)):
        return "..."
    return f"a {type(value).__name__}"


def show(value: object) -> str:
    """Write a value (from `plain`) as a person would, on a part of a line."""
    text = _flow(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _flow(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, OddKey):
        return value.shown
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_flow(item) for item in value)}]"
    if isinstance(value, dict):
        items = (
            f"{show_name(key)}: {_flow(item)}" for key, item in value.items()
        )
        return f"{{{', '.join(items)}}}"
    return repr(value)


def show_name(name: str) -> str:
    """Write a name as it is, where nothing in it is for a terminal to do."""
    is_plain = re.fullmatch(rf"[\w.-]{{1,{MAX_SHOWN}}}", name)
    return name if is_plain else show(name)


def path_text(where: Iterable[Step]) -> str:
    """Write the place of a value: ``multihome.policy[0].via``.

    Names that would make the path ambiguous stand in brackets and quotes.
    """
    return "multihome" + "".join(_step_text(step) for step in where)


def _step_text(step: Step) -> str:
    if isinstance(step, OddKey):
        return f"[{step.shown}]"
    if isinstance(step, int):
        return f"[{step}]"
    if re.fullmatch(rf"[A-Za-z_][A-Za-z0-9_-]{{,{MAX_SHOWN}}}", step):
        return f".{step}"
    return f"[{show(step)}]"


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, if there is one."""
    matches = get_close_matches(word, list(known), n=1)
    return matches[0] if matches else None


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Drop repetitions and sort by path, so that [10] comes after [9]."""

    def natural(problem: Problem) -> tuple[tuple[str | int, ...], Problem]:
        parts = re.split(r"([0-9]+)", problem.path)
        # Text and digits alternate, so that like is compared with like;
        # digits by length first: int() refuses very long ones.
        key: tuple[str | int, ...] = ()
        for part in parts:
            key += (len(part) if part.isdecimal() else 0, part)
        return key, problem

    return tuple(sorted(set(problems), key=natural))


def problems(value: object) -> tuple[Problem, ...]:
    """Return every mistake that the schema sees in a value from `plain`."""
    schema = load()["properties"]["multihome"]
    validator = jsonschema.Draft4Validator(schema)
    found = (
        problem
        for error in validator.iter_errors(value)
        for problem in _translate(error)
    )
    return in_order(found)


def _translate(error: jsonschema.ValidationError) -> Iterator[Problem]:
    """Say in our words what one of jsonschema's errors means."""
    where = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        yield from _unknown_keys(where, error)
    elif error.validator == "required":
        yield from _missing_keys(where, error)
    elif error.validator == "anyOf":
        yield from _alternatives(where, error)
    else:
        yield _wrong(where, error)


def _unknown_keys(
    where: Where, error: jsonschema.ValidationError
) -> Iterator[Problem]:
    known = _properties(error)
    for key in _strangers(error):
        hint = closest(key, known)
        choices = ", ".join(known)
        expected = (
            f"{hint} (known: {choices})" if hint else f"one of {choices}"
        )
        yield Problem(path_text((*where, key)), "an unknown key", expected)


def _missing_keys(
    where: Where, error: jsonschema.ValidationError
) -> Iterator[Problem]:
    properties = _properties(error)
    meant = _meant(error)
    for key in _required(error):
        # A misspelt key is reported as unknown; that is one mistake, not two.
        if key not in _keys(error) and key not in meant:
            expected = properties[key]["title"]
            yield Problem(path_text((*where, key)), "nothing", expected)


def _alternatives(
    where: Where, error: jsonschema.ValidationError
) -> Iterator[Problem]:
    """Follow the alternative that was meant, if one can be told."""
    context = error.context or []
    if all(each.validator == "required" for each in context):
        asked = {key for each in context for key in _required(each)}
        if not asked & _meant(error):
            yield _wrong(where, error)
        return
    branches: dict[Step, list[jsonschema.ValidationError]] = {}
    for each in context:
        branches.setdefault(each.relative_schema_path[0], []).append(each)
    for branch in branches.values():
        if not any(_is_other_kind(each) for each in branch):
            for each in branch:
                yield from _translate(each)
            return
    yield _wrong(where, error)


def _is_other_kind(error: jsonschema.ValidationError) -> bool:
    at_root = not error.relative_path
    return at_root and error.validator in ("type", "enum")


def _wrong(where: Where, error: jsonschema.ValidationError) -> Problem:
    schema = _schema(error)
    expected = str(schema.get("title", "another value"))
    value = error.instance
    words = _words(schema)
    if isinstance(value, str):
        hint = closest(value, words)
        expected += f"; did you mean {hint}?" if hint else ""
    elif _takes_text(schema) and isinstance(value, (int, float, Foreign)):
        expected += "; put it in quotes, or YAML does not read it as text"
    return Problem(path_text(where), show(value), expected)


def _schema(error: jsonschema.ValidationError) -> Mapping[str, Any]:
    return error.schema if isinstance(error.schema, Mapping) else {}


def _properties(error: jsonschema.ValidationError) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = _schema(error).get("properties", {})
    return properties


def _required(error: jsonschema.ValidationError) -> list[str]:
    return list(_schema(error).get("required", []))


def _keys(error: jsonschema.ValidationError) -> list[str]:
    value: Any = error.instance
    return list(value)


def _strangers(error: jsonschema.ValidationError) -> list[str]:
    known = _properties(error)
    return [key for key in _keys(error) if key not in known]


def _meant(error: jsonschema.ValidationError) -> set[str | None]:
    return {closest(key, _properties(error)) for key in _strangers(error)}


def _takes_text(schema: Mapping[str, Any]) -> bool:
    branches = schema.get("anyOf", [])
    return (
        schema.get("type") == "string"
        or "enum" in schema
        or any(_takes_text(branch) for branch in branches)
    )


def _words(schema: Mapping[str, Any]) -> list[str]:
    words = list(schema.get("enum", []))
    for branch in schema.get("anyOf", []):
        words += branch.get("enum", [])
    return words
