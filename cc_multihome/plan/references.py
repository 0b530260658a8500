# SPDX-License-Identifier: Apache-2.0
"""Find the interfaces that `default`, `via` and pins name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cc_multihome.config.checks import one_via, spell
from cc_multihome.config.model import Config, PolicyEntry
from cc_multihome.config.schema import closest, plain, show, show_name
from cc_multihome.errors import Problem
from cc_multihome.model import Network
from cc_multihome.plan.bound import (
    BoundDestination,
    BoundInterface,
    BoundService,
    BoundUser,
    kernel_name,
)
from cc_multihome.plan.choose import Choice, has_address

# Of an Ethernet device (systemd.net-naming-scheme(7)), as ens5 or eth0.
KERNEL_NAME = re.compile(r"(en[a-zX]?|eth)[0-9]")


class Referrer:
    """Resolve the names in `default` and `via`."""

    def __init__(
        self,
        config: Config,
        chosen: list[Choice],
        interfaces: tuple[BoundInterface, ...],
    ) -> None:
        self._config = config
        self._chosen = chosen
        self._interfaces = interfaces
        self._known = {each.name: each for each in reversed(interfaces)}
        self.problems: list[Problem] = []

    def default(self) -> BoundInterface | None:
        """Return the holder of the default route."""
        name = self._config.default
        if name is None:
            primary = (it for it in self._interfaces if it.eni.is_primary)
            return next(primary, None)
        holder = self._find("multihome.default", name)
        if holder is None or holder.eni.local_ipv4s:
            return holder
        able = [it.name for it in self._interfaces if it.eni.local_ipv4s]
        if able:
            choices = ", ".join(map(show_name, able))
            expected = f"an interface with an IPv4 address: {choices}"
            self._refuse("multihome.default", show(name), expected)
        return holder

    def destinations(self) -> Iterator[BoundDestination]:
        """Give each destination its interface."""
        # Whatever was written out goes before what `vpc` stands for, so that
        # it is the word that is called wrong.
        seen: dict[Network, tuple[str, str]] = {}
        words: list[tuple[BoundInterface, str]] = []
        for entry in self._config.policy:
            via = self._find(f"{entry.path}.via", entry.via)
            if via is None:
                continue
            words += ((via, path) for path in entry.vpc)
            for each in self._of_entry(entry, via):
                seen[each.to] = (each.via, each.path)
                yield each
        for via, path in words:
            yield from self._of_vpc(via, path, seen)

    def require(self, lacks: Mapping[str, str]) -> None:
        """Refuse each key for which the host lacks something."""
        for key, expected in lacks.items():
            found = show(plain(getattr(self._config, key)))
            if key == "services":
                found = f"{len(self._config.services)} of them"
            self._refuse(f"multihome.{key}", found, expected)

    def services(self) -> Iterator[BoundService]:
        """Give each service its interface."""
        pins = self._config.services
        for pin in sorted(pins, key=lambda pin: pin.name):
            via = self._find(pin.path, pin.via)
            if via is not None:
                yield BoundService(pin.name, via.name)

    def users(self, uids: Mapping[str, int]) -> Iterator[BoundUser]:
        """Give each user its interface and its number."""
        seen: dict[int, tuple[str, str]] = {}
        for pin in self._config.users:
            via = self._find(pin.path, pin.via)
            uid = uids.get(pin.name)
            if uid is None:
                expected = (
                    "a user of this host: there is none of that name (yet)"
                )
                self._refuse(pin.path, show(pin.name), expected, may_pass=True)
            elif via is not None:
                first = seen.setdefault(uid, (via.name, pin.path))
                if first == (via.name, pin.path):
                    yield BoundUser(uid, via.name, pin.path)
                elif first[0] != via.name:
                    expected = (
                        f"one interface for user {uid}: {first[1]} sends it"
                        f" via {show_name(first[0])}"
                    )
                    self._refuse(pin.path, show(via.name), expected)

    def _of_vpc(
        self,
        via: BoundInterface,
        path: str,
        seen: dict[Network, tuple[str, str]],
    ) -> Iterator[BoundDestination]:
        """Read `vpc`: that of the interface, for an ENI may be in another."""
        eni = via.eni
        needed = eni.vpc_ipv4s if eni.local_ipv4s else eni.vpc_ipv6s
        if not needed:
            version = 4 if eni.local_ipv4s else 6
            expected = (
                f"an interface whose VPC has IPv{version} CIDR blocks: for"
                f" {show_name(via.name)} the metadata service lists none"
            )
            self._refuse(path, "'vpc'", expected)
        networks: tuple[Network, ...] = (
            *(eni.vpc_ipv4s if eni.local_ipv4s else ()),
            *(eni.vpc_ipv6s if eni.ipv6s else ()),
        )
        for network in networks:
            first = seen.setdefault(network, (via.name, path))
            if first == (via.name, path):
                yield BoundDestination(network, via.name, path)
            elif first[0] != via.name:
                expected = one_via(network, "vpc", first)
                self._refuse(path, "'vpc'", expected)

    def _of_entry(
        self, entry: PolicyEntry, via: BoundInterface
    ) -> Iterator[BoundDestination]:
        for to, path in entry.to:
            addresses = (
                via.eni.local_ipv4s if to.version == 4 else via.eni.ipv6s
            )
            if addresses:
                yield BoundDestination(to, via.name, path)
                continue
            other = 6 if to.version == 4 else 4
            expected = (
                f"an IPv{other} destination: {show_name(via.name)} has"
                f" no IPv{to.version} address"
            )
            self._refuse(path, repr(spell(to)), expected)

    def _find(self, path: str, name: str) -> BoundInterface | None:
        found = self._known.get(name)
        if found is None and not self._is_named_wrongly(name):
            self._refuse(
                path,
                show(name),
                self._expected(name),
                may_pass=self._may_come(name),
            )
        return found

    def _may_come(self, name: str) -> bool:
        """Say whether an ENI that is attached later may have the name."""
        links = (it.link for it in self._chosen if it.link)
        known = {kernel_name(link) for link in links}
        known.update(entry.name for entry in self._config.interfaces)
        return bool(KERNEL_NAME.match(name)) and name not in known

    def _is_named_wrongly(self, name: str) -> bool:
        """Say whether the mistake, or the lack, is reported elsewhere."""
        config = self._config
        if not config.has_all_names or name in config.broken:
            return True
        if any(_may_appear(choice) for choice in self._chosen):
            return True
        return any(it.name == name and it.manage for it in config.interfaces)

    def _expected(self, name: str) -> str:
        known = [each.name for each in self._interfaces]
        listed = ", ".join(map(show_name, known))
        choices = f"one of {listed}" if known else "none: no ENI is managed"
        shown = show_name(name)
        if any(entry.name == name for entry in self._config.interfaces):
            return f"{choices}; {shown} has manage: false"
        for choice in self._chosen:
            entry = choice.entry
            if entry and choice.link and kernel_name(choice.link) == name:
                own = show_name(entry.name)
                return f"{choices}; {shown} is called {own} here"
        hint = closest(name, known)
        return (
            f"{choices}; did you mean {show_name(hint)}?" if hint else choices
        )

    def _refuse(
        self, path: str, found: str, expected: str, *, may_pass: bool = False
    ) -> None:
        problem = Problem(path, found, expected, may_pass=may_pass)
        self.problems.append(problem)


def _may_appear(choice: Choice) -> bool:
    """Say whether an ENI will be known by a name that is not known yet."""
    is_unlisted = choice.entry is None
    return is_unlisted and choice.link is None and has_address(choice.eni)
