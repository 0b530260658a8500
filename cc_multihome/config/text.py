# SPDX-License-Identifier: Apache-2.0
"""A configuration as text: its value, and the line of everything in it.

Takes user-data (`#cloud-config`), a mapping with the key `multihome`, or what
stands below that key, as in /etc/multihome.d. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from cc_multihome.config.schema import MAX_DEPTH, path_text, plain
from cc_multihome.errors import MultihomeError, Problem

KEY = "multihome"
CLOUD_CONFIG = "#cloud-config"
# Counted as often as aliases repeat them.
MAX_VALUES = 1_000_000
TEXT_TAG = "tag:yaml.org,2002:str"
_Steps = tuple[str | int, ...]


class TextError(MultihomeError):
    """The text is no configuration at all.

    Attributes:
        line, column: from 1 on; None where it is about the whole.
    """

    def __init__(
        self, message: str, line: int | None = None, column: int | None = None
    ) -> None:
        super().__init__(message)
        self.line, self.column = line, column


class EmptyTextError(TextError):
    """The text says nothing: comments at most."""


@dataclass(frozen=True)
class ConfigText:
    """What a text says.

    Attributes:
        raw: what stands under the key, for config.parse.parse().
        places: path, such as ``multihome.policy[0].via`` -> line and column
            of the key or the element, from 1 on.
        repeated: keys that stand twice in one mapping, of which YAML takes
            the last and says nothing.
        beside: what stands beside the key `multihome`, with its line and
            column; in user-data that is for others to read.
    """

    raw: object
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    repeated: tuple[Problem, ...] = ()
    beside: tuple[tuple[str, tuple[int, int]], ...] = ()

    def place(self, path: str) -> tuple[int, int] | None:
        """Find a path; of what is absent the place where it belongs."""
        while path:
            if path in self.places:
                return self.places[path]
            path = parent_path(path)
        return None


def read_config_text(text: str) -> ConfigText:
    """Read a text.

    Raises:
        TextError: it is no YAML mapping, or user-data of another kind.
    """
    _refuse_other_kinds(text)
    try:
        return _read(text)
    except yaml.reader.ReaderError as err:
        line = text.count("\n", 0, err.position) + 1
        raise TextError(f"no YAML: {err}".split("\n")[0], line) from err
    except yaml.YAMLError as err:
        raise _text_error(err) from err
    except (ValueError, RecursionError) as err:
        raise TextError(f"no YAML that can be read: {err}") from err


def _read(text: str) -> ConfigText:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        root = _root_of(node, text)
        _refuse_bombs(root)
        # Before construction, which puts merged keys (`<<`) beside the own.
        repeated = (*_repeated_key(node), *_repeated(root, ()))
        value = loader.construct_document(node)
    finally:
        loader.dispose()
    mark = _key_node(node, KEY) or root
    places = {KEY: _at(mark), **dict(_places(root, ()))}
    if node is None or root is node:
        return ConfigText(value, places, repeated)
    return ConfigText(value[KEY], places, repeated, tuple(_beside(node)))


def _refuse_bombs(node: yaml.Node) -> None:
    """Refuse what aliases blow up: a few lines can make billions of values.

    A node is looked into once, and counted as often as an alias repeats it.
    """
    counts: dict[int, int | None] = {}

    def count(node: yaml.Node) -> int:
        if id(node) not in counts:
            counts[id(node)] = None
            inner = (count(child) for child in _inner(node))
            counts[id(node)] = 1 + sum(inner)
        known = counts[id(node)]
        if known is None:
            raise TextError("a value that contains itself", *_at(node))
        return known

    found = count(node)
    if found > MAX_VALUES:
        raise TextError(
            f"{found} values, most of them by aliases (*name); expected at"
            f" most {MAX_VALUES}"
        )


def _inner(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair


def _refuse_other_kinds(text: str) -> None:
    first = text.lstrip("\ufeff").partition("\n")[0].strip()
    if first.lower().startswith("content-type:"):
        raise TextError("MIME parts: give the part that is #cloud-config", 1)
    if first.startswith("## template:"):
        raise TextError(
            "a template: give what `cloud-init query --format` makes of it", 1
        )
    other = first.startswith("#") and first.split()[0] in (
        *("#!", "#include", "#include-once", "#cloud-boothook"),
        *("#cloud-config-archive", "#cloud-config-jsonp", "#part-handler"),
    )
    if other or first.startswith("#!"):
        raise TextError(
            f"user-data of another kind, found {first!r}, expected"
            f" {CLOUD_CONFIG}",
            1,
        )


def _root_of(node: yaml.Node | None, text: str) -> yaml.Node:
    """Return the node of what stands under the key."""
    if node is None:
        raise EmptyTextError(f"nothing, expected a mapping with the key {KEY}")
    if isinstance(node, yaml.MappingNode):
        found: list[yaml.Node] = [
            value for key, value in node.value if _is_scalar(key, KEY)
        ]
        if found:
            return found[-1]
    if text.lstrip("\ufeff").startswith(CLOUD_CONFIG):
        raise TextError(f"there is no key {KEY}: the module would do nothing")
    return node


def _key_node(node: yaml.Node | None, name: str) -> yaml.Node | None:
    found = _key_nodes(node, name)
    return found[-1] if found else None


def _key_nodes(node: yaml.Node | None, name: str) -> list[yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return []
    return [key for key, _ in node.value if _is_scalar(key, name)]


def _repeated_key(node: yaml.Node | None) -> Iterator[Problem]:
    """Find the key itself a second time."""
    found = _key_nodes(node, KEY)
    for other in found[1:]:
        yield _repetition(KEY, other, found[0])


def _beside(node: yaml.Node) -> Iterator[tuple[str, tuple[int, int]]]:
    for step, mark, _ in _children(node):
        if step != KEY:
            yield str(step), _at(mark)


def _is_scalar(node: yaml.Node, text: str) -> bool:
    is_text = isinstance(node, yaml.ScalarNode) and node.tag == TEXT_TAG
    return is_text and node.value == text


def _children(
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
    if key.tag == TEXT_TAG:
        return str(key.value)
    made = yaml.SafeLoader("")
    try:
        value = made.construct_object(key)
    except (yaml.YAMLError, ValueError):
        return str(key.value)
    finally:
        made.dispose()
    mapping = plain({value: None})
    assert isinstance(mapping, dict)
    step: str = next(iter(mapping))
    return step


def _places(
    node: yaml.Node, steps: _Steps
) -> Iterator[tuple[str, tuple[int, int]]]:
    if len(steps) > MAX_DEPTH:
        return
    for step, mark, child in _children(node):
        here = (*steps, step)
        yield path_text(here), _at(mark)
        yield from _places(child, here)


def _repeated(node: yaml.Node, steps: _Steps) -> Iterator[Problem]:
    if len(steps) > MAX_DEPTH:
        return
    seen: dict[str | int, yaml.Node] = {}
    for step, mark, child in _children(node):
        here = (*steps, step)
        if step in seen and step != "<<":
            yield _repetition(path_text(here), mark, seen[step])
        seen[step] = mark
        yield from _repeated(child, here)


def _repetition(path: str, mark: yaml.Node, first: yaml.Node) -> Problem:
    return Problem(
        path,
        f"it again on line {_at(mark)[0]}",
        f"each key once (the first is on line {_at(first)[0]})",
    )


def _at(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def parent_path(path: str) -> str:
    """Take the last step off a path."""
    cut = re.sub(r"(\.[^.\[\]]+|\[[^\[\]]*\])$", "", path)
    return "" if cut == path else cut


def _text_error(err: yaml.YAMLError) -> TextError:
    mark = getattr(err, "problem_mark", None)
    words = (getattr(err, "context", None), getattr(err, "problem", None))
    said = ", ".join(str(word) for word in words if word) or str(err)
    if mark is None:
        return TextError(f"no YAML: {said}")
    return TextError(f"no YAML: {said}", mark.line + 1, mark.column + 1)
