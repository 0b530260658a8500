# SPDX-License-Identifier: Apache-2.0
"""Read the `multihome` key into values, and find every mistake in it.

What can be said without the instance is said here; what depends on its ENIs
(unknown interfaces, selectors that match none) is said by bind.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from cc_multihome.config import checks, schema
from cc_multihome.config.model import (
    Config,
    InterfaceConfig,
    Parsed,
    Pin,
    PolicyEntry,
    ResolverConfig,
    Selector,
)
from cc_multihome.errors import ConfigError, Problem
from cc_multihome.model import Network
from cc_multihome.numbers import POLICY_TABLE

__all__ = [
    "Config",
    "InterfaceConfig",
    "Parsed",
    "Pin",
    "PolicyEntry",
    "ResolverConfig",
    "Selector",
    "parse",
    "raise_if",
]

Where = tuple[str | int, ...]
T = TypeVar("T")

# Keys of an interface that have no part in choosing its ENI.
NO_SELECTORS = ("table", "rename", "manage")


def raise_if(problems: Iterable[Problem]) -> None:
    """Raise one ConfigError with all the problems, if there are any."""
    ordered = schema.in_order(problems)
    if ordered:
        raise ConfigError(ordered)


def parse(raw: object) -> Parsed:
    """Read what stands under `multihome`, whatever it is; never raises.

    A mapping, or true or None (a key with nothing after it) for all
    defaults, or false for a module that is switched off.
    """
    value = schema.plain(raw)
    problems = schema.problems(value)
    if isinstance(value, dict):
        return _Reader(value, problems).read()
    if problems:
        return Parsed(None, problems)
    return Parsed(Config(enabled=value is not False), ())


class _Reader:
    """Walk through the parts that the schema found nothing wrong with."""

    def __init__(
        self, value: dict[str, Any], problems: tuple[Problem, ...]
    ) -> None:
        self._value = value
        self._problems = list(problems)
        self._wrong = {problem.path for problem in problems}

    def read(self) -> Parsed:
        interfaces, broken = self._interfaces()
        config = Config(
            interfaces=interfaces,
            default=self._get(self._value, (), "default"),
            policy=tuple(self._policy()),
            honor_main_routes=self._get(self._value, (), "honor_main_routes")
            is True,
            containers=self._get(self._value, (), "containers") is True,
            services=tuple(self._pins("services", checks.read_service)),
            users=tuple(self._pins("users", checks.read_user)),
            resolver=self._resolver(),
            broken=broken,
            has_all_names=not self._lacks_interfaces(),
        )
        return Parsed(config, schema.in_order(self._problems))

    def _refuse(self, where: Where, value: object, expected: str) -> None:
        path = schema.path_text(where)
        self._wrong.add(path)
        self._problems.append(Problem(path, schema.show(value), expected))

    def _is_wrong(self, where: Where) -> bool:
        return schema.path_text(where) in self._wrong

    def _get(self, holder: Any, where: Where, key: str) -> Any:
        """Return a key's value, None when it is absent or wrong."""
        return None if self._is_wrong((*where, key)) else holder.get(key)

    def _try(
        self, read: Callable[[str], T], where: Where, value: str
    ) -> T | None:
        try:
            return read(value)
        except ValueError as err:
            self._refuse(where, value, str(err))
            return None

    def _list(
        self, holder: Any, where: Where, key: str
    ) -> Iterator[tuple[Where, Any]]:
        """Give the elements of a list (or a value that stands alone)."""
        value = self._get(holder, where, key)
        if value is None:
            return
        if not isinstance(value, list):
            yield (*where, key), value
            return
        for index, item in enumerate(value):
            place = (*where, key, index)
            if not self._is_wrong(place):
                yield place, item

    def _interfaces(
        self,
    ) -> tuple[tuple[InterfaceConfig, ...], frozenset[str]]:
        entries = self._get(self._value, (), "interfaces") or {}
        rename = self._get(self._value, (), "rename") is not False
        tables: dict[int, str] = {}
        interfaces = []
        broken = set()
        for name, entry in entries.items():
            where = ("interfaces", name)
            is_usable = not self._is_wrong(where)
            if isinstance(entry, dict):
                selector = self._selector(where, entry)
                table = self._table(where, entry, tables)
                is_usable = is_usable and not self._lacks_selector(where)
            self._check_name(where, name)
            if not is_usable:
                broken.add(name)
                continue
            own_rename = self._get(entry, where, "rename")
            interfaces.append(
                InterfaceConfig(
                    name=name,
                    selector=selector,
                    table=table,
                    rename=rename if own_rename is None else own_rename,
                    manage=self._get(entry, where, "manage") is not False,
                )
            )
        return tuple(interfaces), frozenset(broken)

    def _lacks_interfaces(self) -> bool:
        """Say whether `interfaces` is wrong, or may have been misspelt."""
        if "interfaces" in self._value:
            return self._is_wrong(("interfaces",))
        return bool(self._value.keys() - schema.known_keys())

    def _lacks_selector(self, where: Where) -> bool:
        """Say whether a key is wrong that may have been a selector."""
        stem = schema.path_text(where)
        harmless = {schema.path_text((*where, key)) for key in NO_SELECTORS}
        return any(
            path.startswith((f"{stem}.", f"{stem}[")) and path not in harmless
            for path in self._wrong
        )

    def _check_name(self, where: Where, name: str) -> None:
        is_text = not isinstance(name, schema.OddKey)
        text = name.shown if isinstance(name, schema.OddKey) else name
        try:
            checks.check_name(text)
        except ValueError as err:
            self._refuse(where, name, str(err))
        else:
            if not is_text:
                expected = "a name as text; put it in quotes"
                self._refuse(where, name, expected)

    def _selector(self, where: Where, entry: dict[str, Any]) -> Selector:
        def read(key: str, reader: Callable[[str], T]) -> T | None:
            value = self._get(entry, where, key)
            if value is None:
                return None
            return self._try(reader, (*where, key), value)

        return Selector(
            device_number=self._get(entry, where, "device_number"),
            network_card=self._get(entry, where, "network_card"),
            mac=read("mac", checks.read_mac),
            eni_id=self._get(entry, where, "eni_id"),
            subnet_id=self._get(entry, where, "subnet_id"),
            subnet=read("subnet", checks.read_subnet),
        )

    def _table(
        self, where: Where, entry: dict[str, Any], tables: dict[int, str]
    ) -> int | None:
        """Return the table; tables maps those seen to where they stand."""
        table: int | None = self._get(entry, where, "table")
        place = (*where, "table")
        if table is None or entry.get("manage") is False:
            return None
        if table == POLICY_TABLE:
            expected = (
                "another table: this one holds the policy's destinations"
            )
        elif table in tables:
            expected = f"a table of its own: {tables[table]} has this one"
        else:
            tables[table] = schema.path_text(place)
            return table
        self._refuse(place, table, expected)
        return None

    def _policy(self) -> Iterator[PolicyEntry]:
        seen: dict[Network, tuple[str, str]] = {}
        for where, entry in self._list(self._value, (), "policy"):
            if not isinstance(entry, dict):
                continue
            via = self._get(entry, where, "via")
            to = tuple(self._destinations(where, entry, via, seen))
            if via is not None:
                vpc = tuple(
                    schema.path_text(place)
                    for place, text in self._list(entry, where, "to")
                    if text == "vpc"
                )
                yield PolicyEntry(to, via, schema.path_text(where), vpc)

    def _destinations(
        self,
        where: Where,
        entry: dict[str, Any],
        via: str | None,
        seen: dict[Network, tuple[str, str]],
    ) -> Iterator[tuple[Network, str]]:
        """Read `to`; seen maps each prefix to its `via` and its path."""
        for place, text in self._list(entry, where, "to"):
            if text == "vpc":
                continue
            networks = self._try(checks.read_destinations, place, text)
            if networks is None or via is None:
                continue
            path = schema.path_text(place)
            for network in networks:
                first = seen.setdefault(network, (via, path))
                if first == (via, path):
                    yield network, path
                elif first[0] != via:
                    expected = checks.one_via(network, text, first)
                    self._refuse(place, text, expected)

    def _pins(self, key: str, read: Callable[[str], str]) -> Iterator[Pin]:
        """Read a mapping from what is pinned to interfaces."""
        for name in self._get(self._value, (), key) or {}:
            where = (key, name)
            via = self._get(self._value[key], (key,), name)
            if isinstance(name, schema.OddKey):
                expected = "a name as text; put it in quotes"
                self._refuse(where, name, expected)
            elif via and self._try(read, where, name) is not None:
                yield Pin(name, via, schema.path_text(where))

    def _resolver(self) -> ResolverConfig:
        value = self._get(self._value, (), "resolver")
        where = ("resolver",)
        if value in ("vpc", "keep"):
            return ResolverConfig(value)
        if not isinstance(value, dict):
            return ResolverConfig()
        nameservers = self._read_all(
            value, where, "nameservers", checks.read_nameserver
        )
        search = self._read_all(value, where, "search", checks.read_domain)
        return ResolverConfig("custom", nameservers, search)

    def _read_all(
        self,
        holder: dict[str, Any],
        where: Where,
        key: str,
        reader: Callable[[str], T],
    ) -> tuple[T, ...]:
        items = self._list(holder, where, key)
        read = [self._try(reader, place, text) for place, text in items]
        return tuple(dict.fromkeys(item for item in read if item is not None))
