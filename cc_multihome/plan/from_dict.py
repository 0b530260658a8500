# SPDX-License-Identifier: Apache-2.0
"""The plan, read back from the plain data that as_dict.py makes; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, TypeVar

from cc_multihome.model import (
    LEARNED,
    Gateway,
    PinnedService,
    Plan,
    PlannedInterface,
    Resolver,
    Route,
    RoutingPolicyRule,
)

T = TypeVar("T")


def plan_from_dict(data: Mapping[str, Any]) -> Plan:
    """Return the plan.

    Keys that this version does not know are left out, and those that an
    older one did not have get their defaults.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: it has another
            shape.
    """
    return _make(Plan, data)


def _make(kind: type[T], data: Mapping[str, Any]) -> T:
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(
        **{
            key: _READ[key](value) if key in _READ else value
            for key, value in data.items()
            if key in known
        }
    )


def _all(read: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    return lambda items: tuple(read(item) for item in items)


def _or_none(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda item: None if item is None else read(item)


def _gateway(text: str) -> Gateway:
    return LEARNED if text == LEARNED else ip_address(text)


# By name of the attribute, which means the same wherever it stands. What is
# not here is the same in JSON.
_READ: dict[str, Callable[[Any], Any]] = {
    "interfaces": _all(lambda item: _make(PlannedInterface, item)),
    "resolver": lambda item: _make(Resolver, item),
    "addresses": _all(ip_interface),
    "routes": _all(lambda item: _make(Route, item)),
    "rules": _all(lambda item: _make(RoutingPolicyRule, item)),
    "services": _all(lambda item: _make(PinnedService, item)),
    "nameservers": _all(ip_address),
    "search": _all(str),
    "to": ip_network,
    "via": _or_none(_gateway),
    "prefsrc": _or_none(ip_address),
    "src": ip_network,
}
