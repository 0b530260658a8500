# SPDX-License-Identifier: Apache-2.0
"""What an apply would change, as values for people and for JSON: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from difflib import unified_diff
from typing import Any, Literal, TypeVar

from cc_multihome.apply.diff import (
    Destination,
    built_in_rules,
    by_destination,
    describe_route,
    describe_rule,
    destination_of,
    is_same_route,
)
from cc_multihome.files import File
from cc_multihome.model import (
    Observed,
    Plan,
    PlannedInterface,
    Route,
    RoutingPolicyRule,
)
from cc_multihome.numbers import MAIN_TABLE

T = TypeVar("T")
Way = Literal["add", "remove"]
Routes = dict[Destination, list[Route]]
SIGNS: dict[Way, str] = {"add": "+", "remove": "-"}


@dataclass(frozen=True)
class FileChange:
    """A file that would be written or removed.

    Attributes:
        diff: a unified one, from what is to what would be; "" where only
            the mode differs.
    """

    path: str
    action: Literal["create", "change", "remove"]
    mode: str
    diff: str


@dataclass(frozen=True)
class KernelChange:
    """Something that the kernel would get, or lose.

    Attributes:
        what: address, rule or route.
        text: as iproute2 writes it.
        value: the same as data.
    """

    what: Literal["address", "rule", "route"]
    way: Way
    text: str
    value: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {"action": self.way, **self.value}


def file_change(before: str, file: File) -> FileChange:
    """Compare a file's text now with what it shall be."""
    path, after = str(file.path), file.text or ""
    lines = unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        path if before else "/dev/null",
        path if file.text is not None else "/dev/null",
    )
    if file.text is None:
        action: Literal["create", "change", "remove"] = "remove"
    else:
        action = "change" if before else "create"
    text = "".join(_whole(line) for line in lines)
    return FileChange(path, action, f"{file.mode:04o}", text)


def _whole(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n"


def kernel_changes(
    plan: Plan, former: Plan | None, observed: Observed
) -> tuple[KernelChange, ...]:
    """Say what the kernel would get and lose.

    It loses what the former plan put there. Without a former plan the host
    has cloud-init's networking, whose default routes go; the rest of that is
    in the diff of its file.
    """
    return (
        *_addresses(plan, former, observed),
        *_rules(plan, former, observed),
        *_routes(plan, former, observed),
    )


def rules_that_go(
    former: Plan | None, observed: Observed
) -> tuple[KernelChange, ...]:
    """Say which rules go with a plan that is taken back.

    Its routes and addresses are in the diff of its file.
    """
    nothing = replace(former, interfaces=()) if former else None
    return () if nothing is None else (*_rules(nothing, former, observed),)


def _addresses(
    plan: Plan, former: Plan | None, observed: Observed
) -> Iterator[KernelChange]:
    names = _names_now(plan)
    wanted = {
        (names[item.mac], address)
        for item in plan.interfaces
        for address in item.addresses
    }
    stale = {
        (names[item.mac], address)
        for item in _known(former, names)
        for address in item.addresses
    }
    lost = (stale - wanted) & observed.addresses
    for way, pairs in _ways(wanted - observed.addresses, lost):
        for name, address in sorted(pairs, key=str):
            value = {"ifname": name, "address": str(address)}
            text = f"{address} dev {name}"
            yield KernelChange("address", way, text, value)


def _rules(
    plan: Plan, former: Plan | None, observed: Observed
) -> Iterator[KernelChange]:
    wanted = {*plan.rules(), *built_in_rules(plan)}
    stale = set(former.rules()) if former else set()
    lost = (stale - wanted) & observed.rules
    for way, rules in _ways(wanted - observed.rules, lost):
        for rule in sorted(rules, key=lambda it: (it.priority, str(it.src))):
            value = as_data(rule)
            yield KernelChange("rule", way, describe_rule(rule), value)


def _routes(
    plan: Plan, former: Plan | None, observed: Observed
) -> Iterator[KernelChange]:
    names = _names_now(plan)
    wanted = {
        (names[item.mac], route)
        for item in plan.interfaces
        for route in item.routes
    }
    stale = {
        (names[item.mac], route)
        for item in _known(former, names)
        for route in item.routes
    }
    there, kept = by_destination(observed.routes), by_destination(wanted)
    missing = {each for each in wanted if not _is_there(each, there)}
    lost = {
        each
        for each in stale
        if _is_there(each, there) and not _is_wanted(each, kept)
    }
    if former is None:
        lost |= set(_other_defaults(kept, observed, set(names.values())))
    for way, pairs in _ways(missing, lost):
        for name, route in sorted(pairs, key=_route_order):
            value = {"ifname": name, **as_data(route)}
            text = describe_route(route, name)
            yield KernelChange("route", way, text, value)


def _other_defaults(
    wanted: Routes, observed: Observed, names: set[str]
) -> Iterator[tuple[str, Route]]:
    """Give those that DHCP and router advertisements made in main.

    DHCP is off afterwards, and advertisements are for the ENIs' own tables.
    IPv6 is not ours where no ENI of the plan has it.
    """
    versions = {4, *(to.version for _, _, to in wanted)}
    for name, route in observed.routes:
        is_default = route.to.prefixlen == 0 and route.to.version in versions
        if not is_default or route.table != MAIN_TABLE or name not in names:
            continue
        if not _is_wanted((name, route), wanted):
            yield name, route


def _is_there(pair: tuple[str, Route], there: Routes) -> bool:
    seen = there.get(destination_of(*pair), ())
    return any(is_same_route(pair[1], have) for have in seen)


def _is_wanted(pair: tuple[str, Route], wanted: Routes) -> bool:
    asked = wanted.get(destination_of(*pair), ())
    return any(is_same_route(want, pair[1]) for want in asked)


def _names_now(plan: Plan) -> dict[str, str]:
    """Map MAC to the device's name of now."""
    return {item.mac: item.ifname for item in plan.interfaces}


def _known(
    former: Plan | None, names: dict[str, str]
) -> Iterable[PlannedInterface]:
    """Give the former interfaces that are still there.

    With the device of an ENI all goes that the kernel had for it.
    """
    items = former.interfaces if former else ()
    return [item for item in items if item.mac in names]


def _ways(added: set[T], removed: set[T]) -> tuple[tuple[Way, set[T]], ...]:
    return (("remove", removed), ("add", added))


def _route_order(pair: tuple[str, Route]) -> tuple[int, int, str, str]:
    name, route = pair
    return route.table, route.to.version, str(route.to), name


def as_data(value: Route | RoutingPolicyRule) -> dict[str, Any]:
    """Return plain JSON data, keyed by the names of the attributes."""
    made = {each.name: getattr(value, each.name) for each in fields(value)}
    return {
        key: item if item is None or isinstance(item, int) else str(item)
        for key, item in made.items()
    }
