# SPDX-License-Identifier: Apache-2.0
"""The text of cloud-init's schema, with the key `multihome` added."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cc_multihome.errors import IntegrationError

KEY = "multihome"
# In draft 4, and none of those that cloud-init has broken in some release.
# fmt: off
SAFE_KEYWORDS = frozenset((
    "additionalProperties", "description", "enum", "items",
    "maximum", "maxItems", "maxLength", "minimum", "minItems", "minLength",
    "pattern", "required", "title", "type",
))
# fmt: on
DEFINITION = "cc_multihome"


def extend(original: str | bytes, key_schema: Mapping[str, Any]) -> str:
    """Return cloud-init's schema with the key added, as cloud-init adds one.

    Raises:
        IntegrationError: it is no schema that this could be added to.
    """
    try:
        document = json.loads(original)
    except (ValueError, RecursionError) as err:
        raise IntegrationError(f"is no JSON: {err}") from err
    if not isinstance(document, dict) or not isinstance(
        document.get("allOf"), list
    ):
        raise IntegrationError("has no list `allOf`: its kind is unknown")
    for name in ("$defs", "properties"):
        if not isinstance(document.get(name, {}), dict):
            raise IntegrationError(f"has {name}, and its kind is unknown")
    document.setdefault("$defs", {})[DEFINITION] = {
        "type": "object",
        "properties": {KEY: keep_safe_keywords(key_schema)},
    }
    document["allOf"].append({"$ref": f"#/$defs/{DEFINITION}"})
    # From 23.4 on, every key that there may be is listed here.
    if "properties" in document:
        document["properties"].setdefault(KEY, {})
    _allow_module(document)
    try:
        return json.dumps(document, indent=2) + "\n"
    # From Python 3.12 on, json.loads goes deeper than this does.
    except RecursionError as err:
        raise IntegrationError(f"is nested too deeply: {err}") from err


def keep_safe_keywords(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema with only the keywords that cloud-init copes with.

    cloud-init has changed jsonschema's validator: in 25.1 the keyword `not`
    raises a TypeError, which at boot would end the whole stage. What is left
    out here, the module checks itself.
    """
    safe: dict[str, Any] = {}
    for keyword, value in part.items():
        if keyword == "properties":
            safe[keyword] = {
                name: keep_safe_keywords(item) for name, item in value.items()
            }
        elif keyword == "anyOf":
            safe[keyword] = [keep_safe_keywords(item) for item in value]
        elif keyword in SAFE_KEYWORDS:
            nested = isinstance(value, dict)
            safe[keyword] = keep_safe_keywords(value) if nested else value
    return safe


def _allow_module(document: dict[str, Any]) -> None:
    """Add the module to those that a list of modules may name."""
    known = document["$defs"].get("all_modules")
    names = known.get("enum") if isinstance(known, dict) else None
    if isinstance(names, list) and KEY not in names:
        names.append(KEY)
