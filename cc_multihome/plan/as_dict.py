# SPDX-License-Identifier: Apache-2.0
"""The plan as plain JSON data; its shape is documented in docs/cli.md."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from cc_multihome.model import Plan


def plan_as_dict(plan: Plan) -> dict[str, Any]:
    """Return the plan, keyed by the names of its attributes."""
    data: dict[str, Any] = _plain(plan)
    return data


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in fields(value)
        }
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)
