# SPDX-License-Identifier: Apache-2.0
"""A configuration as text: its value, and the line of everything in it.

Takes user-data (`#cloud-config`), a mapping with the key `multihome`, or what
stands below that key, as in /etc/multihome.d. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import yaml

from cc_multihome.config import nodes
from cc_multihome.errors import MultihomeError, Problem

KEY = nodes.KEY
CLOUD_CONFIG = "#cloud-config"
# Counted as often as aliases repeat them.
MAX_VALUES = 1_000_000
MAX_MESSAGE = 300


class TextError(MultihomeError):
    """The text is no configuration at all.

    Attributes:
        line, column: from 1 on; None where it is about the whole.
    """

    def __init__(
        self, message: str, line: int | None = None, column: int | None = None
    ) -> None:
        # YAML's own messages quote names whole, however long.
        is_long = len(message) > MAX_MESSAGE
        super().__init__(f"{message[:MAX_MESSAGE]}..." if is_long else message)
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
    except (*nodes.NO_VALUE, RecursionError) as err:
        raise TextError(f"no YAML that can be read: {err}") from err


def _read(text: str) -> ConfigText:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is not None and nodes.merges(node):
            # Followed before construction, which would find these first.
            _refuse_bombs(node)
        root = _root_of(node, text)
        _refuse_bombs(root)
        # Before construction, which puts merged keys (`<<`) beside the own.
        repeated = (*nodes.repeated_key(node), *nodes.repeated(root, ()))
        value = loader.construct_document(node)
    finally:
        loader.dispose()
    mark = nodes.key_node(node, KEY) or root
    places = {KEY: nodes.at(mark), **dict(nodes.places(root, ()))}
    if node is None or root is node:
        return ConfigText(value, places, repeated)
    return ConfigText(value[KEY], places, repeated, tuple(nodes.beside(node)))


def _refuse_bombs(node: yaml.Node) -> None:
    """Refuse what aliases blow up: a few lines can make billions of values.

    A node is looked into once, and counted as often as an alias repeats it.
    """
    counts: dict[int, int | None] = {}

    def count(node: yaml.Node) -> int:
        if id(node) not in counts:
            counts[id(node)] = None
            inner = (count(child) for child in nodes.inner(node))
            counts[id(node)] = 1 + sum(inner)
        known = counts[id(node)]
        if known is None:
            raise TextError("a value that contains itself", *nodes.at(node))
        return known

    found = count(node)
    if found > MAX_VALUES:
        raise TextError(
            f"{found} values, most of them by aliases (*name); expected at"
            f" most {MAX_VALUES}"
        )


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
    found = [
        value for key, value in nodes.pairs(node) if nodes.is_scalar(key, KEY)
    ]
    if found:
        return found[-1]
    if text.lstrip("\ufeff").startswith(CLOUD_CONFIG):
        raise TextError(f"there is no key {KEY}: the module would do nothing")
    return node


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
