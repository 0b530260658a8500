# SPDX-License-Identifier: Apache-2.0
"""Find the ENI that each entry of `interfaces` selects."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from cc_multihome.config.model import Config, InterfaceConfig, Selector
from cc_multihome.errors import Problem
from cc_multihome.model import Eni, Instance, Link, Network

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """An ENI, and the entry that names it, if one does."""

    eni: Eni
    entry: InterfaceConfig | None
    link: Link | None


def choose(
    config: Config, instance: Instance, links: tuple[Link, ...]
) -> tuple[list[Choice], list[Problem]]:
    """Give each ENI its entry, or none; in order of attachment."""
    problems: list[Problem] = []
    entries: dict[str, InterfaceConfig] = {}
    named = [entry for entry in config.interfaces if entry.manage]
    alone = [entry for entry in config.interfaces if not entry.manage]
    for entry in named:
        eni = _select(entry, instance.enis, problems)
        if eni is None:
            continue
        if eni.mac in entries:
            problems.append(_taken(entry, eni, entries))
            continue
        entries[eni.mac] = entry
        if not has_address(eni):
            expected = f"an ENI with an address: {eni.describe()} has none"
            problems.append(_selector_problem(entry, expected))
    for entry in alone:
        problems += _leave_alone(entry, instance.enis, entries)
    enis = sorted(instance.enis, key=Eni.sort_key)
    chosen = [
        Choice(eni, entries.get(eni.mac), _link_of(eni, links)) for eni in enis
    ]
    return chosen, problems


def _leave_alone(
    entry: InterfaceConfig,
    enis: tuple[Eni, ...],
    entries: dict[str, InterfaceConfig],
) -> list[Problem]:
    """Give the entry all ENIs that it matches and no other one names.

    Its owner, such as a network plugin, attaches and detaches them as it
    needs: there may be several in a subnet, or none yet.
    """
    matching = [eni for eni in enis if matches(entry.selector, eni)]
    free = [eni for eni in matching if eni.mac not in entries]
    if matching and not free:
        return [_taken(entry, matching[0], entries)]
    if not matching:
        LOG.warning(
            "%s: no ENI matches %s now; one that comes is left alone",
            entry.path,
            entry.selector.describe(),
        )
    entries.update((eni.mac, entry) for eni in free)
    return []


def _taken(
    entry: InterfaceConfig, eni: Eni, entries: dict[str, InterfaceConfig]
) -> Problem:
    first = entries[eni.mac].path
    expected = f"an ENI of its own: {first} is {eni.describe()} too"
    return _selector_problem(entry, expected)


def _select(
    entry: InterfaceConfig, enis: tuple[Eni, ...], problems: list[Problem]
) -> Eni | None:
    matching = [eni for eni in enis if matches(entry.selector, eni)]
    # An EFA-only interface beside an ENI on one card is hardly ever meant.
    matching = [eni for eni in matching if has_address(eni)] or matching
    if len(matching) == 1:
        return matching[0]
    if matching:
        expected = (
            f"selectors that match one ENI, not {len(matching)}:"
            f" {_list_enis(matching, entry.selector)}"
        )
    else:
        expected = (
            "selectors that match one of this instance's ENIs:"
            f" {_list_enis(enis, entry.selector)}"
        )
    problem = _selector_problem(entry, expected)
    # One that is attached later may be it.
    problems.append(replace(problem, may_pass=not matching))
    return None


def _selector_problem(entry: InterfaceConfig, expected: str) -> Problem:
    return Problem(entry.path, f"{{{entry.selector.describe()}}}", expected)


def matches(selector: Selector, eni: Eni) -> bool:
    """Say whether all the fields that are given fit the ENI."""
    subnets: tuple[Network, ...] = (*eni.subnet_ipv4s, *eni.subnet_ipv6s)
    pairs = (
        (selector.device_number, eni.device_number),
        (selector.network_card, eni.network_card),
        (selector.mac, eni.mac),
        (selector.eni_id, eni.eni_id),
        (selector.subnet_id, eni.subnet_id),
    )
    fields = all(want is None or want == have for want, have in pairs)
    return fields and (selector.subnet is None or selector.subnet in subnets)


def left_alone(config: Config, enis: Iterable[Eni]) -> frozenset[str]:
    """Return the MACs of the ENIs that `manage: false` matches."""
    alone = [entry for entry in config.interfaces if not entry.manage]
    return frozenset(
        eni.mac
        for eni in enis
        if any(matches(entry.selector, eni) for entry in alone)
    )


def _list_enis(enis: Iterable[Eni], selector: Selector) -> str:
    ordered = sorted(enis, key=Eni.sort_key)
    if not ordered:
        return "none"
    return "; ".join(_describe(eni, selector) for eni in ordered)


def _describe(eni: Eni, selector: Selector) -> str:
    if selector.subnet is None:
        return eni.describe()
    subnets = ", ".join(map(str, (*eni.subnet_ipv4s, *eni.subnet_ipv6s)))
    return f"{eni.describe()} in {subnets or 'no known subnet'}"


def has_address(eni: Eni) -> bool:
    """Say whether IP runs over an ENI: not where it is EFA-only."""
    return bool(eni.local_ipv4s or eni.ipv6s)


def _link_of(eni: Eni, links: tuple[Link, ...]) -> Link | None:
    matching = [link for link in links if link.mac == eni.mac]
    return matching[0] if len(matching) == 1 else None
