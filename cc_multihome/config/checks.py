# SPDX-License-Identifier: Apache-2.0
"""Read one value of the configuration: a name, an address, a prefix.

Each function returns the value, or raises ValueError whose text is what was
expected instead: the words that stand after "expected" in a Problem.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from ipaddress import (
    IPv4Address,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from cc_multihome.config.schema import show_name
from cc_multihome.model import Address, Network

# IFNAMSIZ is 16 with the closing zero (netdevice(7)).
MAX_NAME_BYTES = 15
MAX_DOMAIN_CHARS = 253

# Names of routing tables that iproute2 has (/etc/iproute2/rt_tables), words
# that `ip route show table` and /proc/sys/net/ipv4/conf have, the loopback.
RESERVED_NAMES = (
    *("all", "cache", "default", "local"),
    *("lo", "main", "unspec"),
)

# What must not be routed by a policy, and what it would take from the host.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
# https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html
SWALLOWED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(prefix), what)
    for prefix, what in (
        ("0.0.0.0/8", "unspecified"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local: IMDS, DNS and NTP"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fd00:ec2::/32", "IMDS, DNS and NTP over IPv6"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    )
)
MAPPED = IPv6Network("::ffff:0:0/96")
# RFC 1918, section 3.
RFC1918: tuple[Network, ...] = tuple(
    ip_network(prefix)
    for prefix in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
# Words that stand for destinations; which they are, for `vpc`, IMDS says.
NAMED_DESTINATIONS = ("vpc", "rfc1918")
DESTINATION = "an IPv4 or IPv6 address, or a CIDR such as 192.0.2.0/24"
SUBNET = "the CIDR block of a subnet, such as 10.0.1.0/24"
NAMESERVER = "the IPv4 or IPv6 address of a name server"
DOMAIN = "a domain such as corp.example.com"


def check_name(name: str) -> None:
    """Refuse what cannot name both a network device and a routing table.

    The kernel (dev_valid_name), networkd (its Name= also takes patterns),
    sysctl and iproute2 (which takes numbers for tables) all have a say.
    """
    size = len(name.encode("utf-8", "surrogatepass"))
    if not name:
        raise ValueError("a name that is not empty")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        allowed = "ASCII letters, digits, '.', '_' and '-'"
        raise ValueError(f"a name of {allowed} alone")
    if size > MAX_NAME_BYTES:
        most = f"a name of at most {MAX_NAME_BYTES} bytes"
        raise ValueError(f"{most} (this has {size})")
    if name in (".", ".."):
        raise ValueError("a name that is not a directory's")
    if name.startswith("-"):
        raise ValueError("a name that does not look like an option")
    if re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]+", name):
        raise ValueError("a name that does not look like a number")
    if name in RESERVED_NAMES:
        reserved = ", ".join(RESERVED_NAMES)
        raise ValueError(f"a name that is not reserved ({reserved})")


def read_service(name: str) -> str:
    """Read the name of a service (systemd.unit(5))."""
    expected = "the name of a service, such as puppet.service"
    stem, dot, suffix = name.rpartition(".")
    if not dot or suffix != "service":
        is_stem = re.fullmatch(r"[A-Za-z0-9:_\\@-]{1,64}", name)
        hint = f"; did you mean {name}.service?" if is_stem else ""
        raise ValueError(expected + hint)
    if not re.fullmatch(r"[A-Za-z0-9:_.\\@-]+", stem) or len(name) > 255:
        raise ValueError(expected)
    if stem.startswith("@") or stem.endswith("@"):
        raise ValueError(f"{expected}, and no template's")
    return name


def read_user(name: str) -> str:
    """Read the name of a user: passwd(5) is lines with colons."""
    if not re.fullmatch(r"[^\s:/,\x00-\x1f]{1,256}", name):
        raise ValueError("the name of a user, such as _chrony")
    if name.isdecimal():
        raise ValueError("the name of a user, not the number")
    return name


def read_mac(text: str) -> str:
    """Read a MAC address in any usual spelling: lower case with colons."""
    pair = "[0-9a-f]{2}"
    spellings = (
        rf"{pair}(:{pair}){{5}}",
        rf"{pair}(-{pair}){{5}}",
        r"[0-9a-f]{4}(\.[0-9a-f]{4}){2}",
        r"[0-9a-f]{12}",
    )
    lower = text.lower()
    if not any(re.fullmatch(each, lower) for each in spellings):
        raise ValueError("a MAC address such as 0a:1b:2c:3d:4e:5f")
    digits = re.sub(r"[^0-9a-f]", "", lower)
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def read_destinations(text: str) -> tuple[Network, ...]:
    """Read what stands for one or more destinations, except `vpc`."""
    if text == "rfc1918":
        return RFC1918
    try:
        return (read_destination(text),)
    except ValueError as err:
        meant = get_close_matches(text.lower(), NAMED_DESTINATIONS, n=1)
        if not meant:
            raise
        raise ValueError(f"{err}; did you mean {meant[0]}?") from None


def read_destination(text: str) -> Network:
    """Read a destination of a policy: a host or a network."""
    if text.strip().lower() in ("default", "any", "all"):
        raise ValueError(_use_default())
    network = _read_network(text, DESTINATION)
    if network.prefixlen == 0:
        raise ValueError(_use_default())
    if isinstance(network, IPv6Network) and network.overlaps(MAPPED):
        raise ValueError(_without_mapping(network))
    taken = [
        f"{each} ({what})"
        for each, what in SWALLOWED
        if overlap(network, each)
    ]
    if taken:
        what = " or ".join(taken)
        raise ValueError(f"a destination that does not swallow {what}")
    return network


def _use_default() -> str:
    return (
        "a destination; for all that no policy names, use `default:`"
        " beside `policy`"
    )


def _without_mapping(network: IPv6Network) -> str:
    mapped = network.network_address.ipv4_mapped
    if mapped is None or network.prefixlen < MAPPED.prefixlen:
        # Not str(MAPPED): Python 3.13 writes it in another way.
        return "a destination without ::ffff:0:0/96 (IPv4 written as IPv6)"
    plain = ip_network(f"{mapped}/{network.prefixlen - MAPPED.prefixlen}")
    return f"the IPv4 spelling, {spell(plain)}"


def overlap(one: Network, other: Network) -> bool:
    """Say whether two networks share an address; families never do."""
    if isinstance(one, IPv6Network):
        return isinstance(other, IPv6Network) and one.overlaps(other)
    return not isinstance(other, IPv6Network) and one.overlaps(other)


def read_subnet(text: str) -> Network:
    """Read a subnet's CIDR block."""
    if "/" not in text:
        raise ValueError(SUBNET)
    return _read_network(text, SUBNET)


def _read_network(text: str, expected: str) -> Network:
    """Read `address` or `address/length`.

    The ipaddress module also takes netmasks, wildcard masks, zones and
    `/08`, in which a slip would pass unseen.
    """
    address_text, slash, length_text = text.partition("/")
    address = _read_address(address_text, expected)
    if not slash:
        return ip_network(address)
    if not re.fullmatch(r"0|[1-9][0-9]{0,2}", length_text):
        raise ValueError(expected)
    if int(length_text) > address.max_prefixlen:
        most = address.max_prefixlen
        raise ValueError(f"a prefix length from 0 to {most} after the slash")
    network = ip_network(f"{address}/{length_text}", strict=False)
    if network.network_address != address:
        host = ip_network(address).with_prefixlen
        raise ValueError(f"{network} for the network, or {host} for the host")
    return network


def _read_address(text: str, expected: str) -> Address:
    if "%" in text:
        raise ValueError(f"{expected}, without a zone")
    try:
        return ip_address(text)
    except ValueError:
        pass
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9}){3}", text) and _has_zeros(text):
        # Some programs read 010 as 8 (inet_aton(3)), others as 10.
        raise ValueError(f"{expected}, without leading zeros")
    raise ValueError(expected)


def _has_zeros(text: str) -> bool:
    return any(re.match("0[0-9]", part) for part in text.split("."))


def spell(network: Network) -> str:
    """Write a network; a host without the length of its prefix."""
    is_host = network.prefixlen == network.max_prefixlen
    return str(network.network_address if is_host else network)


def one_via(network: Network, text: str, other: tuple[str, str]) -> str:
    """Say what is wrong with a destination that has two ways.

    Args:
        text: how the destination was written.
        other: the interface that has it already, and the path of that.
    """
    via, path = show_name(other[0]), other[1]
    what = str(network) if text in NAMED_DESTINATIONS else "it"
    return f"each destination via one interface: {path} sends {what} via {via}"


def read_nameserver(text: str) -> Address:
    """Read the address of a name server; the loopback may have one too."""
    address = _read_address(text, NAMESERVER)
    broadcast = IPv4Address("255.255.255.255")
    if address.is_multicast or address.is_unspecified or address == broadcast:
        raise ValueError(f"{NAMESERVER}, of one host")
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        raise ValueError(f"the IPv4 spelling, {address.ipv4_mapped}")
    return address


def read_domain(text: str) -> str:
    """Read a search domain (resolv.conf(5)); a last dot is dropped."""
    domain = text[:-1] if text.endswith(".") else text
    if len(domain) > MAX_DOMAIN_CHARS:
        most = f"a domain of at most {MAX_DOMAIN_CHARS} characters"
        raise ValueError(f"{most} (this has {len(domain)})")
    # Underscores are no host name's, but domains with them do exist.
    edge = "[A-Za-z0-9_]"
    label = f"{edge}([A-Za-z0-9_-]{{0,61}}{edge})?"
    if not re.fullmatch(rf"{label}(\.{label})*", domain):
        raise ValueError(DOMAIN)
    return domain
