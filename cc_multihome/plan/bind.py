# SPDX-License-Identifier: Apache-2.0
"""Say which ENI each name means, and find what the static checks could not.

Pure: a configuration, what the metadata service said and the host's links
go in; interfaces, the default and the policy's destinations come out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from cc_multihome.config.parse import Config, Parsed, raise_if
from cc_multihome.config.schema import in_order, show, show_name
from cc_multihome.errors import LinkError, Problem
from cc_multihome.model import Eni, Instance, Link
from cc_multihome.numbers import derived_table
from cc_multihome.plan.bound import (
    Bound,
    BoundDestination,
    BoundInterface,
    kernel_name,
)
from cc_multihome.plan.choose import Choice, choose, has_address, matches
from cc_multihome.plan.references import Referrer

__all__ = [
    "Bound",
    "BoundDestination",
    "BoundInterface",
    "bind",
    "bind_or_raise",
]

LOG = logging.getLogger(__name__)

NO_UIDS: Mapping[str, int] = MappingProxyType({})
NOTHING: Mapping[str, str] = MappingProxyType({})


def bind_or_raise(
    parsed: Parsed,
    instance: Instance,
    links: tuple[Link, ...],
    *,
    taken_names: frozenset[str] = frozenset(),
    uids: Mapping[str, int] = NO_UIDS,
    lacks: Mapping[str, str] = NOTHING,
) -> Bound:
    """Bind a read configuration; all its mistakes come at once.

    Raises:
        ConfigError: with the problems of parse() and of bind().
        LinkError: as bind() does, when the configuration has no mistake.
    """
    if parsed.config is None:
        raise_if(parsed.problems)
        raise ValueError("parse() gave neither a configuration nor problems")
    try:
        bound = bind(
            parsed.config,
            instance,
            links,
            taken_names=taken_names,
            uids=uids,
            lacks=lacks,
        )
    except LinkError:
        raise_if(parsed.problems)
        raise
    raise_if(parsed.problems + bound.problems)
    return bound


def without_detached(parsed: Parsed, instance: Instance) -> Parsed:
    """Leave out entries that select no ENI, as of one that was detached.

    What refers to such an interface is left in and then is a mistake: where
    its traffic should go is not for this package to say.
    """
    if parsed.config is None:
        return parsed
    kept = tuple(
        entry
        for entry in parsed.config.interfaces
        if any(matches(entry.selector, eni) for eni in instance.enis)
    )
    for entry in set(parsed.config.interfaces) - set(kept):
        LOG.info("%s has no ENI now: left out", entry.path)
    return replace(parsed, config=replace(parsed.config, interfaces=kept))


def bind(
    config: Config,
    instance: Instance,
    links: tuple[Link, ...],
    *,
    taken_names: frozenset[str] = frozenset(),
    uids: Mapping[str, int] = NO_UIDS,
    lacks: Mapping[str, str] = NOTHING,
) -> Bound:
    """Bind names to ENIs.

    Args:
        taken_names: of the host's other devices, such as docker0.
        uids: name of each user that the host has -> number.
        lacks: key that the host cannot do -> what it would need.

    Raises:
        LinkError: an ENI has no device here, or two; mistakes in the
            configuration go first and are returned.
    """
    chosen, problems = choose(config, instance, links)
    managed = [each for each in chosen if _is_managed(each)]
    interfaces = tuple(_with_link(managed))
    refer = Referrer(config, chosen, interfaces)
    default = refer.default()
    policy = tuple(refer.destinations())
    users = tuple(refer.users(uids))
    services = tuple(refer.services())
    refer.require(lacks)
    problems += refer.problems
    problems += _table_clashes(interfaces)
    problems += _name_clashes(interfaces, links, taken_names)
    if not problems:
        _require_links(managed, links)
    return Bound(
        interfaces, default, policy, in_order(problems), users, services
    )


def _is_managed(choice: Choice) -> bool:
    if choice.entry is not None and not choice.entry.manage:
        return False
    if has_address(choice.eni):
        return True
    # EFA-only: it carries no IP and has no network device.
    LOG.debug("%s has no address: left out", choice.eni.describe())
    return False


def _with_link(managed: list[Choice]) -> Iterator[BoundInterface]:
    for eni, entry, link in ((it.eni, it.entry, it.link) for it in managed):
        if link is None:
            continue
        own = BoundInterface(
            name=kernel_name(link),
            table=_derived_table(eni),
            rename=False,
            eni=eni,
            link=link,
            path="",
        )
        if entry is None:
            yield own
            continue
        table = own.table if entry.table is None else entry.table
        yield replace(
            own,
            name=entry.name,
            table=table,
            rename=entry.rename,
            path=entry.path,
        )


def _require_links(managed: list[Choice], links: tuple[Link, ...]) -> None:
    lost = [choice.eni for choice in managed if choice.link is None]
    if not lost:
        return
    present = ", ".join(f"{link.ifname} ({link.mac})" for link in links)
    each = "; ".join(eni.describe() for eni in lost)
    raise LinkError(
        f"no single network device of this host has the MAC of {each};"
        f" devices here: {present or 'none'}; an ENI that was just attached"
        " may need a moment to appear"
    )


def _derived_table(eni: Eni) -> int:
    return derived_table(eni.network_card, eni.device_number)


def _table_clashes(interfaces: tuple[BoundInterface, ...]) -> list[Problem]:
    """Find tables that are one interface's by name, another's by default.

    Two that are configured were found by config.py already.
    """
    derived = {
        each.table: each
        for each in interfaces
        if each.table == _derived_table(each.eni)
    }
    problems = []
    for each in interfaces:
        other = derived.get(each.table)
        if other is not None and other is not each and each.path:
            expected = (
                "another table: this is the derived table of"
                f" {show_name(other.name)}, {other.eni.describe()}"
            )
            path = f"{each.path}.table"
            problems.append(Problem(path, str(each.table), expected))
    return problems


def _name_clashes(
    interfaces: tuple[BoundInterface, ...],
    links: tuple[Link, ...],
    taken_names: frozenset[str],
) -> list[Problem]:
    """Find names that something else on the host has, or will have."""
    bound = {each.link.ifindex: each for each in interfaces}
    others = taken_names - {link.ifname for link in links}
    problems = []
    for each in interfaces:
        if not each.path:
            continue
        holder = _holder(each, links, bound)
        if holder is None and each.rename and each.name in others:
            holder = "another device of this host"
        if holder is not None:
            expected = f"a name that is free: {holder} has this one"
            problems.append(Problem(each.path, show(each.name), expected))
    return problems


def _holder(
    wanting: BoundInterface,
    links: tuple[Link, ...],
    bound: dict[int, BoundInterface],
) -> str | None:
    """Say which other link holds a name, once all have their new names."""
    for link in links:
        other = bound.get(link.ifindex)
        if other is wanting:
            continue
        ifname = other.ifname if other else link.ifname
        if wanting.rename and ifname == wanting.name:
            return f"the link with MAC {link.mac}"
        if other and not other.path and other.name == wanting.name:
            return f"the routing table of {other.eni.describe()}"
    return None
