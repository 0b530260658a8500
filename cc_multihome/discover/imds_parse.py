# SPDX-License-Identifier: Apache-2.0
"""From the metadata service's text to values; pure, no HTTP and no clock.

What the keys mean:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import pairwise
from typing import TypeVar

from cc_multihome.errors import ImdsError
from cc_multihome.model import Address, Eni, Network

T = TypeVar("T")

MACS = "network/interfaces/macs/"
# Asked for in this order, and only where the ENI's own listing has them.
ENI_KEYS = (
    "device-number",
    "network-card",
    "interface-id",
    "subnet-id",
    "local-ipv4s",
    "subnet-ipv4-cidr-block",
    "vpc-ipv4-cidr-blocks",
    "ipv4-prefix",
    "ipv6s",
    "subnet-ipv6-cidr-blocks",
    "vpc-ipv6-cidr-blocks",
    "ipv6-prefix",
)
SHOWN_CHARACTERS = 60

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NUMBER = re.compile(r"[0-9]{1,4}")
_CIDR = re.compile(r"[0-9A-Fa-f:.]+/[0-9]{1,3}")
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")


class NotReadyError(ImdsError):
    """The metadata is still being filled in: asking again may help."""


class MalformedError(ImdsError):
    """A value is not what its key promises.

    Attributes:
        detail: what and where, without whose it is: it may be of a file.
    """

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(
            f"the metadata service's {detail}; nothing was changed"
        )


@dataclass(frozen=True)
class Identity:
    """What the top of the metadata tree says.

    Attributes:
        mac: that of the primary ENI.
        search: the VPC's DNS search domains.
    """

    mac: str
    instance_id: str
    search: tuple[str, ...]


def shortened(value: object) -> str:
    """Show a value in a message, quoted and not longer than a line."""
    text = repr(value)
    if len(text) <= SHOWN_CHARACTERS:
        return text
    return f"{text[:SHOWN_CHARACTERS]}... ({len(text)} characters)"


def malformed(key: str, found: object, expected: str) -> MalformedError:
    """Make the error for a value that is not what its key promises."""
    return MalformedError(f"{key} is {shortened(found)}, expected {expected}")


def parse_mac(key: str, text: str) -> str:
    """Return the MAC in lower case, without a listing's trailing slash."""
    mac = text.strip().rstrip("/").lower()
    if not _MAC.fullmatch(mac):
        raise malformed(key, text, "a MAC such as 0a:93:1b:88:fa:fb")
    return mac


def parse_identity(
    *, mac: str, instance_id: str, local_hostname: str | None
) -> Identity:
    """Parse the values of the top-level keys of these names.

    Raises:
        ImdsError: a value is not what its key promises.
    """
    return Identity(
        mac=parse_mac("mac", mac),
        instance_id=_parse_id("instance-id", instance_id),
        search=_parse_search(local_hostname or ""),
    )


def parse_eni(mac: str, keys: Mapping[str, str], *, primary_mac: str) -> Eni:
    """Make an ENI of the keys that are listed below `macs/<mac>/`.

    An ENI with no address in either family is returned as such: EFA-only
    interfaces list `subnet-ipv4-cidr-block` and no `local-ipv4s`. Neither
    is `subnet-ipv6-cidr-blocks` without `ipv6s` a gap: an IPv6 address is
    optional in a subnet that has both families, an IPv4 address is not.

    Raises:
        NotReadyError: a key that every complete record has is missing, a
            listed one is empty, or the values contradict each other.
        ImdsError: a value is not what its key promises.
    """
    record = _Record(mac, keys)
    eni = Eni(
        mac=mac,
        eni_id=_parse_id(
            record.path("interface-id"), record.required("interface-id")
        ),
        device_number=record.number("device-number"),
        network_card=record.number("network-card", default="0"),
        subnet_id=record.identifier_or_empty("subnet-id"),
        is_primary=mac == primary_mac,
        local_ipv4s=record.many("local-ipv4s", IPv4Address),
        subnet_ipv4s=record.many("subnet-ipv4-cidr-block", _ipv4_cidr),
        vpc_ipv4s=record.many("vpc-ipv4-cidr-blocks", _ipv4_cidr),
        ipv4_prefixes=record.many("ipv4-prefix", _ipv4_cidr),
        ipv6s=record.many("ipv6s", _ipv6_address),
        subnet_ipv6s=record.many("subnet-ipv6-cidr-blocks", _ipv6_cidr),
        vpc_ipv6s=record.many("vpc-ipv6-cidr-blocks", _ipv6_cidr),
        ipv6_prefixes=record.many("ipv6-prefix", _ipv6_cidr),
    )
    _check_complete(record, eni)
    return eni


def check_together(enis: Iterable[Eni], primary_mac: str) -> tuple[Eni, ...]:
    """Return the ENIs of one instance in order of attachment.

    Raises:
        NotReadyError: the primary is not among them, or two of them claim
            one place (a device number is unique within a network card only).
    """
    ordered = tuple(sorted(enis, key=Eni.sort_key))
    if not any(eni.is_primary for eni in ordered):
        seen = ", ".join(eni.mac for eni in ordered) or "none"
        raise NotReadyError(
            f"{MACS} does not list the primary ENI's MAC {primary_mac}"
            f" (listed: {seen})"
        )
    for one, other in pairwise(ordered):
        if one.sort_key()[:2] == other.sort_key()[:2]:
            raise NotReadyError(
                f"{one.describe()} and {other.describe()} have the same"
                " network card and device number"
            )
    return ordered


@dataclass(frozen=True)
class _Record:
    """The listed keys of one ENI, as text."""

    mac: str
    keys: Mapping[str, str]

    def path(self, key: str) -> str:
        return f"{MACS}{self.mac}/{key}"

    def required(self, key: str) -> str:
        # An empty answer is no answer: one taken for "no addresses" has cost
        # others their aliases (amazon-ec2-net-utils issue 161).
        text = self.keys.get(key, "").strip()
        if not text:
            state = "empty" if key in self.keys else "not listed"
            raise NotReadyError(f"{self.path(key)} is {state}")
        return text

    def number(self, key: str, *, default: str | None = None) -> int:
        if default is not None and key not in self.keys:
            return int(default)
        text = self.required(key)
        if not _NUMBER.fullmatch(text):
            raise malformed(self.path(key), text, "a number from 0 to 9999")
        return int(text)

    def identifier_or_empty(self, key: str) -> str:
        if key not in self.keys:
            return ""
        return _parse_id(self.path(key), self.required(key))

    def many(self, key: str, convert: Callable[[str], T]) -> tuple[T, ...]:
        if key not in self.keys:
            return ()
        return tuple(
            self._converted(key, word, convert)
            for word in self.required(key).split()
        )

    def _converted(
        self, key: str, word: str, convert: Callable[[str], T]
    ) -> T:
        try:
            return convert(word)
        except ValueError as err:
            raise malformed(self.path(key), word, _EXPECTED[convert]) from err


def _check_complete(record: _Record, eni: Eni) -> None:
    place = (eni.network_card, eni.device_number)
    if place == (0, 0) and not eni.is_primary:
        # IMDS says 0 before it knows (amazon-ec2-net-utils issue 90).
        raise NotReadyError(
            f"{record.path('device-number')} is 0 on network card 0, which"
            " is the primary ENI's place, and this is not the primary"
        )
    if eni.subnet_ipv4s and eni.ipv6s and not eni.local_ipv4s:
        raise NotReadyError(f"{record.path('local-ipv4s')} is not listed")
    if eni.is_primary and not (eni.local_ipv4s or eni.ipv6s):
        raise NotReadyError(f"{eni.describe()}, the primary, has no address")
    _check_inside(
        record, "subnet-ipv4-cidr-block", eni.local_ipv4s, eni.subnet_ipv4s
    )
    _check_inside(
        record, "subnet-ipv6-cidr-blocks", eni.ipv6s, eni.subnet_ipv6s
    )


def _check_inside(
    record: _Record,
    subnet_key: str,
    addresses: Iterable[Address],
    subnets: Iterable[Network],
) -> None:
    for address in addresses:
        if not any(address in subnet for subnet in subnets):
            blocks = ", ".join(map(str, subnets)) or "not listed"
            raise NotReadyError(
                f"the read of {MACS}{record.mac}/ is inconsistent: {address}"
                f" is not inside {subnet_key} ({blocks})"
            )


def _ipv4_cidr(text: str) -> IPv4Network:
    # IPv4Network alone would take an address or a netmask for a prefix.
    if not _CIDR.fullmatch(text):
        raise ValueError(text)
    return IPv4Network(text)


def _ipv6_cidr(text: str) -> IPv6Network:
    if not _CIDR.fullmatch(text):
        raise ValueError(text)
    return IPv6Network(text)


def _ipv6_address(text: str) -> IPv6Address:
    if "%" in text:  # a zone, which Python would keep as part of the address
        raise ValueError(text)
    return IPv6Address(text)


_EXPECTED: dict[Callable[[str], object], str] = {
    IPv4Address: "an IPv4 address",
    _ipv6_address: "an IPv6 address",
    _ipv4_cidr: "an IPv4 CIDR block without host bits",
    _ipv6_cidr: "an IPv6 CIDR block without host bits",
}


def _parse_id(key: str, text: str) -> str:
    identifier = text.strip()
    if not _ID.fullmatch(identifier):
        raise malformed(key, text, "an identifier such as i-0123456789abcdef0")
    return identifier


def _parse_search(local_hostname: str) -> tuple[str, ...]:
    """Return the domains that follow the host's own label.

    A DHCP option set may name several domains in option 15, separated by
    blanks; IMDS shows them as they are.
    """
    words = local_hostname.split()
    if not words:
        return ()
    domains = [words[0].partition(".")[2], *words[1:]]
    found = [domain.rstrip(".") for domain in domains if domain.rstrip(".")]
    for domain in found:
        if len(domain) > 253 or not _DOMAIN.fullmatch(domain):
            raise malformed("local-hostname", local_hostname, "a host name")
    return tuple(dict.fromkeys(found))
