# SPDX-License-Identifier: Apache-2.0
"""The nodes of a YAML text: where each key stands, and which stand twice.

Pure.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import yaml

from cc_multihome.config.schema import MAX_DEPTH, path_text, plain
from cc_multihome.errors import Problem

KEY = "multihome"
TEXT_TAG = "tag:yaml.org,2002:str"
MERGE_TAG = "tag:yaml.org,2002:merge"
# Besides its own errors, on a tag that does not fit: `!!bool 7` is a KeyError,
# `!!int ""` an IndexError, `!!timestamp x` an AttributeError.
NO_VALUE = (ValueError, LookupError, TypeError, AttributeError)
Steps = tuple[str | int, ...]


def inner(node: yaml.Node) -> Iterator[yaml.Node]:
    """Give the keys and values, or the elements."""
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair


def merges(node: yaml.Node) -> bool:
    """Say whether a mapping takes others in (`<<`)."""
    return isinstance(node, yaml.MappingNode) and any(
        key.tag == MERGE_TAG for key, _ in node.value
    )


def pairs(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Give keys and values, those that count less first: what it merges.

    Does not end where a mapping merges itself.
    """
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if key.tag == MERGE_TAG:
            is_list = isinstance(value, yaml.SequenceNode)
            for each in reversed(value.value) if is_list else [value]:
                yield from pairs(each)
    yield from (pair for pair in node.value if pair[0].tag != MERGE_TAG)


def key_node(node: yaml.Node | None, name: str) -> yaml.Node | None:
    """Return the key of that name which YAML takes, if there is one."""
    found = key_nodes(node, name)
    return found[-1] if found else None


def key_nodes(node: yaml.Node | None, name: str) -> list[yaml.Node]:
    """Return the keys of that name; a mapping may have several."""
    if not isinstance(node, yaml.MappingNode):
        return []
    return [key for key, _ in node.value if is_scalar(key, name)]


def repeated_key(node: yaml.Node | None) -> Iterator[Problem]:
    """Find the key itself a second time."""
    found = key_nodes(node, KEY)
    for other in found[1:]:
        yield _repetition(KEY, other, found[0])


def beside(node: yaml.Node) -> Iterator[tuple[str, tuple[int, int]]]:
    """Find what stands beside the key, with its line and column."""
    for step, mark, _ in children(node):
        if step != KEY:
            yield str(step), at(mark)


def is_scalar(node: yaml.Node, text: str) -> bool:
    """Say whether a node is that text, not a number or date."""
    is_text = isinstance(node, yaml.ScalarNode) and node.tag == TEXT_TAG
    return is_text and node.value == text


def children(
    node: yaml.Node,
) -> Iterator[tuple[str | int, yaml.Node, yaml.Node]]:
    """Give each step down, where it stands, and what is there."""
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield index, item, item
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield _step(key), key, value


def _step(key: yaml.ScalarNode) -> str:
    """Return the key as config.schema.plain() makes it."""
    mapping = plain({_value(key): None})
    assert isinstance(mapping, dict)
    step: str = next(iter(mapping))
    return step


def _value(key: yaml.Node) -> Hashable:
    """Return the key as it is to YAML; as text where it is none of its."""
    if key.tag == TEXT_TAG:
        return str(key.value)
    made = yaml.SafeLoader("")
    try:
        value = made.construct_object(key)
    except (yaml.YAMLError, *NO_VALUE):
        return str(key.value)
    finally:
        made.dispose()
    # Not of `!!map x`, which YAML refuses as a key.
    return value if isinstance(value, Hashable) else str(key.value)


def places(
    node: yaml.Node, steps: Steps
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Give each path below a node, with line and column."""
    if len(steps) > MAX_DEPTH:
        return
    for step, mark, child in children(node):
        here = (*steps, step)
        yield path_text(here), at(mark)
        yield from places(child, here)


def repeated(node: yaml.Node, steps: Steps) -> Iterator[Problem]:
    """Find keys that stand twice in one mapping below a node.

    They are compared as YAML does: two dates are told by one name, and
    `1` and `1.0` by two.
    """
    if len(steps) > MAX_DEPTH:
        return
    seen: dict[Hashable, yaml.Node] = {}
    for step, mark, child in children(node):
        here = (*steps, step)
        if isinstance(node, yaml.MappingNode) and mark.tag != MERGE_TAG:
            value = _value(mark)
            if value in seen:
                yield _repetition(path_text(here), mark, seen[value])
            seen[value] = mark
        yield from repeated(child, here)


def _repetition(path: str, mark: yaml.Node, first: yaml.Node) -> Problem:
    return Problem(
        path,
        f"it again on line {at(mark)[0]}",
        f"each key once (the first is on line {at(first)[0]})",
    )


def at(node: yaml.Node) -> tuple[int, int]:
    """Return line and column, from 1 on."""
    return node.start_mark.line + 1, node.start_mark.column + 1
