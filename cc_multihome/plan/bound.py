# SPDX-License-Identifier: Apache-2.0
"""The configuration in terms of one instance, as values; made by bind.py."""

from __future__ import annotations

from dataclasses import dataclass

from cc_multihome.errors import Problem
from cc_multihome.model import Eni, Link, Network


@dataclass(frozen=True)
class BoundInterface:
    """A managed ENI with its device.

    Attributes:
        name: of the routing table, and of the interface if `rename`; an
            ENI that the configuration does not list has the kernel's name.
        rename: whether the interface gets the name.
        path: where the configuration lists it, or "" when it does not.
    """

    name: str
    table: int
    rename: bool
    eni: Eni
    link: Link
    path: str

    @property
    def ifname(self) -> str:
        """What the interface is to be called."""
        return self.name if self.rename else kernel_name(self.link)


@dataclass(frozen=True)
class BoundDestination:
    """A destination of a policy.

    Attributes:
        via: name of the BoundInterface that it leaves by.
    """

    to: Network
    via: str
    path: str


@dataclass(frozen=True)
class BoundUser:
    """A user whose traffic leaves by an interface.

    Attributes:
        via: name of the BoundInterface that it leaves by.
    """

    uid: int
    via: str
    path: str


@dataclass(frozen=True)
class BoundService:
    """A service whose sockets leave by an interface.

    Attributes:
        via: name of the BoundInterface that they leave by.
    """

    unit: str
    via: str


@dataclass(frozen=True)
class Bound:
    """The configuration in terms of this instance.

    Attributes:
        interfaces: every managed ENI, in order of attachment.
        default: holder of the main default route; None when the primary ENI
            is left alone and no other was named.
        policy: in the order of the configuration.
        problems: where there are any, the rest is incomplete.
    """

    interfaces: tuple[BoundInterface, ...]
    default: BoundInterface | None
    policy: tuple[BoundDestination, ...]
    problems: tuple[Problem, ...]
    users: tuple[BoundUser, ...] = ()
    services: tuple[BoundService, ...] = ()


def kernel_name(link: Link) -> str:
    """Return the kernel's name for a link, also when it was renamed since."""
    return link.netdef_id or link.ifname
