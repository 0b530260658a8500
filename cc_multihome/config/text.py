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


@dataclass(frozen=True)
class ConfigText:
    """What a text says.

    Attributes:
        raw: what stands under the key, for config.parse.parse().
        places: path, such as ``multihome.policy[0].via`` -> line and column
            of the key or the element, from 1 on.
        repeated: keys that stand twice in one mapping, of which YAML takes
            the last and says nothing.
    """

    raw: object
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    repeated: tuple[Problem, ...] = ()

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
        # Before construction, which puts merged keys (`<<`) beside the own.
        repeated = tuple(_repeated(root, ()))
        value = loader.construct_document(node)
    finally:
        loader.dispose()
    mark = _key_node(node, KEY) or root
    places = {KEY: _at(mark), **dict(_places(root, ()))}
    raw = value[KEY] if root is not node else value
    return ConfigText(raw, places, repeated)


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
        raise TextError(f"nothing, expected a mapping with the key {KEY}")
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
    if not isinstance(node, yaml.MappingNode):
        return None
    found = [key for key, _ in node.value if _is_scalar(key, name)]
    return found[-1] if found else None


def _is_scalar(node: yaml.Node, text: str) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == text


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
    if key.tag == "tag:yaml.org,2002:str":
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
            first = _at(seen[step])[0]
            yield Problem(
                path_text(here),
                f"it again on line {_at(mark)[0]}",
                f"each key once (the first is on line {first})",
            )
        seen[step] = mark
        yield from _repeated(child, here)


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
