# SPDX-License-Identifier: Apache-2.0
"""What the `multihome` key says, as values; config.py reads them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from cc_multihome.config.schema import path_text, show_name
from cc_multihome.errors import Problem
from cc_multihome.model import Address, Network

ResolverKind = Literal["vpc", "keep", "custom"]


@dataclass(frozen=True)
class Selector:
    """Which ENI is meant: all the fields that are given must match."""

    device_number: int | None = None
    network_card: int | None = None
    mac: str | None = None
    eni_id: str | None = None
    subnet_id: str | None = None
    subnet: Network | None = None

    def describe(self) -> str:
        """Write the given fields as in the configuration."""
        # Parsed, all but the ids, which may be any text.
        ids = {
            key: value and show_name(value)
            for key, value in (
                ("eni_id", self.eni_id),
                ("subnet_id", self.subnet_id),
            )
        }
        given = {**vars(self), **ids}
        return ", ".join(
            f"{key}: {value}"
            for key, value in given.items()
            if value is not None
        )


@dataclass(frozen=True)
class InterfaceConfig:
    """An entry of `interfaces`.

    Attributes:
        name: of the routing table, and with `rename` of the interface too.
        table: None means the one derived from the attachment.
    """

    name: str
    selector: Selector
    table: int | None = None
    rename: bool = True
    manage: bool = True

    @property
    def path(self) -> str:
        """Where the entry stands."""
        return path_text(("interfaces", self.name))


@dataclass(frozen=True)
class PolicyEntry:
    """An entry of `policy`: each destination with the path of its own.

    Attributes:
        vpc: the paths of the destination `vpc`, which the instance tells.
    """

    to: tuple[tuple[Network, str], ...]
    via: str
    path: str
    vpc: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pin:
    """An entry of `users` or `services`: whose traffic leaves by which.

    Attributes:
        name: of the user, or of the unit.
        via: the interface.
        path: where the entry stands.
    """

    name: str
    via: str
    path: str


@dataclass(frozen=True)
class ResolverConfig:
    """`resolver`; the addresses and domains are those of kind custom."""

    kind: ResolverKind = "vpc"
    nameservers: tuple[Address, ...] = ()
    search: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """The whole key.

    Attributes:
        default: the interface that holds the main default route, or None
            for the primary ENI's.
        broken: names of interfaces whose ENI cannot be told because of a
            mistake in the entry. They are not in `interfaces`; what refers
            to them is no mistake of its own.
        has_all_names: False when `interfaces` itself could not be read, so
            that no name can be called unknown.
    """

    interfaces: tuple[InterfaceConfig, ...] = ()
    default: str | None = None
    policy: tuple[PolicyEntry, ...] = ()
    honor_main_routes: bool = False
    containers: bool = False
    services: tuple[Pin, ...] = ()
    users: tuple[Pin, ...] = ()
    resolver: ResolverConfig = ResolverConfig()
    enabled: bool = True
    broken: frozenset[str] = frozenset()
    has_all_names: bool = True

    @property
    def asks_nothing(self) -> bool:
        """Say whether nothing but the resolver's is other than in `{}`."""
        return replace(self, resolver=ResolverConfig()) == Config()


@dataclass(frozen=True)
class Parsed:
    """A read configuration.

    Attributes:
        config: the parts without a mistake, so that bind.py can look for
            more; to be acted upon only when there are no problems. None
            when nothing could be read at all.
    """

    config: Config | None
    problems: tuple[Problem, ...]
