# SPDX-License-Identifier: Apache-2.0
"""Every mistake that needs no instance to be seen, with its message."""

from __future__ import annotations

import copy
import datetime
from ipaddress import ip_address, ip_network
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cc_multihome.config.parse import (
    Config,
    InterfaceConfig,
    Parsed,
    PolicyEntry,
    ResolverConfig,
    Selector,
    parse,
    raise_if,
)
from cc_multihome.errors import ConfigError, Problem

# DESIGN.md, "What a user writes".
EXAMPLE = """
interfaces:
  private: {device_number: 0, table: 10}
  public:  {device_number: 1, table: 20}
default: public
policy:
  - to: [192.0.2.14, 198.51.100.42, 203.0.113.22]
    via: private
resolver: vpc
"""
FULL = """
interfaces:
  private: {device_number: 0, network_card: 1, table: 10, rename: false}
  public: {mac: "0A-1B-2C-3D-4E-5F", eni_id: eni-1, manage: false}
  other: {subnet_id: subnet-1, subnet: "2001:db8::/64"}
default: private
policy:
  - {to: "2001:db8:1::/48", via: private}
resolver: {nameservers: [192.0.2.53], search: [corp.example.com]}
rename: true
"""

TABLE = (
    "a routing table number: 1 to 252, or 256 to 2147483647"
    " (0 and 253 to 255 are the kernel's own)"
)
SERVICE = "the name of a service, such as puppet.service"
KNOWN = (
    "interfaces, default, policy, honor_main_routes, containers, services,"
    " users, resolver, rename"
)
BOOL = "true or false"
QUOTES = "; put it in quotes, or YAML does not read it as text"
SELECTORS = (
    "a mapping with at least one selector: device_number, network_card,"
    " mac, eni_id, subnet_id or subnet"
)
MAC = "a MAC address such as 0a:1b:2c:3d:4e:5f"
CARD = "a whole number, 0 or more"
ADDRESS = "an IPv4 or IPv6 address, or a CIDR such as 192.0.2.0/24"
USE_DEFAULT = (
    "a destination; for all that no policy names, use `default:`"
    " beside `policy`"
)
SWALLOW = "a destination that does not swallow "
LINK_LOCAL = "169.254.0.0/16 (link-local: IMDS, DNS and NTP)"
SUBNET = "the CIDR block of a subnet, such as 10.0.1.0/24"
SERVER = "the IPv4 or IPv6 address of a name server"
DOMAIN = "a domain such as corp.example.com"
NAME = "the name of an interface"
LETTERS = "a name of ASCII letters, digits, '.', '_' and '-' alone"
RESERVED = (
    "a name that is not reserved"
    " (all, cache, default, local, lo, main, unspec)"
)
NUMBER = "a name that does not look like a number"


def read(text: str) -> Parsed:
    """Parse YAML as cloud-init does."""
    return parse(yaml.safe_load(text))


def good(text: str) -> Config:
    """Parse what must have no problem."""
    parsed = read(text)
    assert parsed.problems == ()
    assert parsed.config is not None
    return parsed.config


def texts(parsed: Parsed) -> list[str]:
    """Write the problems as a person sees them."""
    return [str(problem) for problem in parsed.problems]


def test_the_example_reads_as_meant() -> None:
    """The configuration of the seed's host."""
    destinations = ("192.0.2.14", "198.51.100.42", "203.0.113.22")
    assert good(EXAMPLE) == Config(
        interfaces=(
            InterfaceConfig("private", Selector(device_number=0), table=10),
            InterfaceConfig("public", Selector(device_number=1), table=20),
        ),
        default="public",
        policy=(
            PolicyEntry(
                to=tuple(
                    (ip_network(each), f"multihome.policy[0].to[{index}]")
                    for index, each in enumerate(destinations)
                ),
                via="private",
                path="multihome.policy[0]",
            ),
        ),
        resolver=ResolverConfig("vpc"),
    )


def test_every_key_reads_as_meant() -> None:
    """One example of each key."""
    config = good(FULL)
    assert config.interfaces == (
        InterfaceConfig(
            "private",
            Selector(device_number=0, network_card=1),
            table=10,
            rename=False,
        ),
        InterfaceConfig(
            "public",
            Selector(mac="0a:1b:2c:3d:4e:5f", eni_id="eni-1"),
            manage=False,
        ),
        InterfaceConfig(
            "other",
            Selector(subnet_id="subnet-1", subnet=ip_network("2001:db8::/64")),
        ),
    )
    # A single destination has the path of `to` itself.
    expected = ((ip_network("2001:db8:1::/48"), "multihome.policy[0].to"),)
    assert config.policy[0].to == expected
    assert config.resolver == ResolverConfig(
        "custom", (ip_address("192.0.2.53"),), ("corp.example.com",)
    )


@pytest.mark.parametrize("text", ["", "{}", "true", "null"])
def test_nothing_asked_means_all_defaults(text: str) -> None:
    """`multihome:`, `multihome: {}` and `multihome: true` are the same."""
    config = good(text)
    assert config == Config()
    assert config.asks_nothing
    assert config.enabled


def test_false_switches_off() -> None:
    """And that is not the same as asking for nothing."""
    config = good("false")
    assert not config.enabled
    assert not config.asks_nothing


@pytest.mark.parametrize(
    "text", [EXAMPLE, "{default: a}", "{containers: true}"]
)
def test_something_asked_is_something(text: str) -> None:
    """A single key is enough."""
    assert not good(text).asks_nothing


@pytest.mark.parametrize("text", ["keep", "{nameservers: [192.0.2.53]}"])
def test_a_resolver_asks_nothing_of_routing(text: str) -> None:
    """With one ENI it changes, or stays, alone."""
    assert good(f"{{resolver: {text}}}").asks_nothing


def test_rename_of_an_interface_goes_before_the_general_one() -> None:
    """Both ways, and without it the general one holds."""
    config = good(
        "{rename: false, interfaces: {a: {device_number: 0, rename: true},"
        " b: {device_number: 1}}}"
    )
    assert [each.rename for each in config.interfaces] == [True, False]


@pytest.mark.parametrize(
    "mac",
    [
        "0a:1b:2c:3d:4e:5f",
        "0A:1B:2C:3D:4E:5F",
        "0a-1b-2c-3d-4e-5f",
        "0a1b.2c3d.4e5f",
        "0a1b2c3d4e5f",
    ],
)
def test_a_mac_is_read_in_any_usual_spelling(mac: str) -> None:
    """Lower case with colons comes out."""
    config = good(f"{{interfaces: {{a: {{mac: '{mac}'}}}}}}")
    assert config.interfaces[0].selector.mac == "0a:1b:2c:3d:4e:5f"


@pytest.mark.parametrize("table", [1, 252, 256, 31000, 2147483647])
def test_tables_that_are_free_are_taken(table: int) -> None:
    """The edges of what the kernel leaves."""
    config = good(
        f"{{interfaces: {{a: {{mac: 0a1b2c3d4e5f, table: {table}}}}}}}"
    )
    assert config.interfaces[0].table == table


@pytest.mark.parametrize(
    "name", ["a", "ens5", "eth0.100", "a-b_c", "x" * 15, "0xen", "vpc"]
)
def test_names_that_every_program_takes_are_taken(name: str) -> None:
    """Up to 15 bytes."""
    config = good(f"{{interfaces: {{'{name}': {{device_number: 0}}}}}}")
    assert config.interfaces[0].name == name


def test_a_destination_that_stands_twice_is_dropped() -> None:
    """Twice via the same interface does no harm."""
    config = good(
        "policy: [{to: [192.0.2.1, 192.0.2.1/32], via: a},"
        " {to: 192.0.2.1, via: a}]"
    )
    to = (ip_network("192.0.2.1"), "multihome.policy[0].to[0]")
    assert [each.to for each in config.policy] == [(to,), ()]


def test_prefixes_may_overlap() -> None:
    """The longest wins, as in any routing table."""
    text = "policy: [{to: 10.0.0.0/8, via: a}, {to: 10.1.0.0/16, via: b}]"
    assert len(good(text).policy) == 2


def test_an_unmanaged_interface_does_not_hold_its_table() -> None:
    """What is left alone takes nothing."""
    config = good(
        "interfaces: {a: {device_number: 0, table: 10, manage: false},"
        " b: {device_number: 1, table: 10}}"
    )
    assert [each.table for each in config.interfaces] == [None, 10]


def test_name_servers_and_domains_are_read() -> None:
    """In order, once each, without a last dot."""
    config = good(
        "resolver: {nameservers: ['fd00:ec2::253', 127.0.0.1, 127.0.0.1],"
        " search: [a.example., _msdcs.corp, a.example]}"
    )
    assert config.resolver == ResolverConfig(
        "custom",
        (ip_address("fd00:ec2::253"), ip_address("127.0.0.1")),
        ("a.example", "_msdcs.corp"),
    )


def interface(fields: str) -> str:
    """Write a configuration of one interface."""
    return f"{{interfaces: {{a: {{{fields}}}}}}}"


def named(name: str) -> str:
    """Write a configuration of one interface that has this YAML name."""
    return f"{{interfaces: {{{name}: {{device_number: 0}}}}}}"


def to(value: str) -> str:
    """Write a configuration of one destination."""
    return f"{{policy: [{{to: {value}, via: a}}]}}"


WRONG = [
    # The whole key
    ("text", "multihome", "'text'", "a mapping, true or false"),
    ("[]", "multihome", "[]", "a mapping, true or false"),
    ("1", "multihome", "1", "a mapping, true or false"),
    (
        "{polcy: []}",
        "multihome.polcy",
        "an unknown key",
        f"policy (known: {KNOWN})",
    ),
    (
        "{on: 1}",
        "multihome[true]",
        "an unknown key",
        f"one of {KNOWN}",
    ),
    ("{rename: 'no'}", "multihome.rename", "'no'", "true or false"),
    (
        "{users: [a]}",
        "multihome.users",
        "['a']",
        "a mapping from names of users to interfaces",
    ),
    (
        "{services: {puppet: c}}",
        "multihome.services.puppet",
        "'puppet'",
        SERVICE + "; did you mean puppet.service?",
    ),
    (
        "{services: {dev-sda.device: c}}",
        "multihome.services['dev-sda.device']",
        "'dev-sda.device'",
        SERVICE,
    ),
    (
        "{services: {../x.service: c}}",
        "multihome.services['../x.service']",
        "'../x.service'",
        SERVICE,
    ),
    (
        "{services: {getty@.service: c}}",
        "multihome.services['getty@.service']",
        "'getty@.service'",
        SERVICE + ", and no template's",
    ),
    ("{honor_main_routes: a}", "multihome.honor_main_routes", "'a'", BOOL),
    ("{containers: 1}", "multihome.containers", "1", "true or false"),
    ("{users: {a: null}}", "multihome.users.a", "nothing", NAME),
    (
        "{users: {'a b': c}}",
        "multihome.users['a b']",
        "'a b'",
        "the name of a user, such as _chrony",
    ),
    (
        "{users: {'105': c}}",
        "multihome.users['105']",
        "'105'",
        "the name of a user, not the number",
    ),
    (
        "{users: {105: c}}",
        "multihome.users[105]",
        "105",
        "a name as text; put it in quotes",
    ),
    ("{default: 10}", "multihome.default", "10", NAME + QUOTES),
    ("{default: on}", "multihome.default", "true", NAME + QUOTES),
    ("{default: ''}", "multihome.default", "''", NAME),
    ("{default: null}", "multihome.default", "nothing", NAME),
    # Interfaces
    (
        "{interfaces: [a]}",
        "multihome.interfaces",
        "['a']",
        "a mapping from interface names to selectors",
    ),
    (
        "{interfaces: {a: null}}",
        "multihome.interfaces.a",
        "nothing",
        SELECTORS,
    ),
    ("{interfaces: {a: 0}}", "multihome.interfaces.a", "0", SELECTORS),
    (
        interface("table: 10"),
        "multihome.interfaces.a",
        "{table: 10}",
        SELECTORS,
    ),
    (
        interface("device_nubmer: 0"),
        "multihome.interfaces.a.device_nubmer",
        "an unknown key",
        (
            "device_number (known: device_number, network_card, mac, eni_id,"
            " subnet_id, subnet, table, rename, manage)"
        ),
    ),
    (
        interface("device_number: -1"),
        "multihome.interfaces.a.device_number",
        "-1",
        CARD,
    ),
    (
        interface("device_number: true"),
        "multihome.interfaces.a.device_number",
        "true",
        CARD,
    ),
    (
        interface("device_number: 1.0"),
        "multihome.interfaces.a.device_number",
        "1.0",
        CARD,
    ),
    (
        interface("network_card: '0'"),
        "multihome.interfaces.a.network_card",
        "'0'",
        CARD,
    ),
    (interface("mac: '0a:1b'"), "multihome.interfaces.a.mac", "'0a:1b'", MAC),
    (
        interface("mac: 0a:1b-2c:3d-4e:5f"),
        "multihome.interfaces.a.mac",
        "'0a:1b-2c:3d-4e:5f'",
        MAC,
    ),
    # YAML 1.1 reads this as a number to the base of 60.
    (
        interface("mac: 12:34:56:10:11:12"),
        "multihome.interfaces.a.mac",
        "9783972672",
        MAC + QUOTES,
    ),
    (
        interface("eni_id: ''"),
        "multihome.interfaces.a.eni_id",
        "''",
        "the id of an ENI, such as eni-0a1b2c3d4e5f60718",
    ),
    (
        interface("subnet_id: 5"),
        "multihome.interfaces.a.subnet_id",
        "5",
        "the id of a subnet, such as subnet-0a1b2c3d4e5f60718" + QUOTES,
    ),
    (
        interface("subnet: 10.0.1.0"),
        "multihome.interfaces.a.subnet",
        "'10.0.1.0'",
        SUBNET,
    ),
    (
        interface("subnet: 10.0.1.7/24"),
        "multihome.interfaces.a.subnet",
        "'10.0.1.7/24'",
        "10.0.1.0/24 for the network, or 10.0.1.7/32 for the host",
    ),
    (
        interface("device_number: 0, rename: 1"),
        "multihome.interfaces.a.rename",
        "1",
        "true or false",
    ),
    (
        interface("device_number: 0, manage: x"),
        "multihome.interfaces.a.manage",
        "'x'",
        "true or false",
    ),
    # Tables
    *(
        (
            interface(f"device_number: 0, table: {table}"),
            "multihome.interfaces.a.table",
            found or table,
            TABLE,
        )
        for table, found in (
            ("0", ""),
            ("-1", ""),
            ("253", ""),
            ("254", ""),
            ("255", ""),
            # netplan would write it as a negative number.
            ("2147483648", ""),
            ("10.5", ""),
            ("true", ""),
            ("main", "'main'"),
            ("null", "nothing"),
        )
    ),
    (
        interface("device_number: 0, table: 30999"),
        "multihome.interfaces.a.table",
        "30999",
        "another table: this one holds the policy's destinations",
    ),
    (
        (
            "{interfaces: {a: {device_number: 0, table: 10},"
            " b: {device_number: 1, table: 10}}}"
        ),
        "multihome.interfaces.b.table",
        "10",
        "a table of its own: multihome.interfaces.a.table has this one",
    ),
    # Names
    (
        named("''"),
        "multihome.interfaces['']",
        "''",
        "a name that is not empty",
    ),
    (
        named("x123456789012345"),
        "multihome.interfaces.x123456789012345",
        "'x123456789012345'",
        "a name of at most 15 bytes (this has 16)",
    ),
    *(
        (
            named(f"'{name}'"),
            f"multihome.interfaces['{name}']",
            f"'{name}'",
            why,
        )
        for name, why in (
            ("a b", LETTERS),
            ("a/b", LETTERS),
            ("a:b", LETTERS),
            ("a%b", LETTERS),
            ("a*", LETTERS),
            ("ä", LETTERS),
            ("-a", "a name that does not look like an option"),
            (".", "a name that is not a directory's"),
            ("..", "a name that is not a directory's"),
            ("10", NUMBER),
            ("0x1f", NUMBER),
        )
    ),
    (
        named('"a\\n"'),
        "multihome.interfaces['a\\n']",
        "'a\\n'",
        LETTERS,
    ),
    *(
        (named(name), f"multihome.interfaces.{name}", f"'{name}'", RESERVED)
        for name in ("all", "default", "main", "local", "unspec", "lo")
    ),
    (named("10"), "multihome.interfaces[10]", "10", NUMBER),
    (
        named("on"),
        "multihome.interfaces[true]",
        "true",
        "a name as text; put it in quotes",
    ),
    # Policy
    (
        "{policy: {to: 192.0.2.1, via: a}}",
        "multihome.policy",
        "{to: '192.0.2.1', via: 'a'}",
        "a list of mappings, each with to and via",
    ),
    (
        "{policy: [x]}",
        "multihome.policy[0]",
        "'x'",
        "a mapping with to and via",
    ),
    (
        "{policy: [{to: 192.0.2.1}]}",
        "multihome.policy[0].via",
        "nothing",
        NAME,
    ),
    (
        "{policy: [{via: a}]}",
        "multihome.policy[0].to",
        "nothing",
        "an address or a CIDR, or a list of them",
    ),
    (
        "{policy: [{to: 192.0.2.1, via: 10}]}",
        "multihome.policy[0].via",
        "10",
        NAME + QUOTES,
    ),
    (
        "{policy: [{to: 192.0.2.1, via: [a]}]}",
        "multihome.policy[0].via",
        "['a']",
        NAME,
    ),
    # Destinations
    (
        to("10"),
        "multihome.policy[0].to",
        "10",
        "an address or a CIDR, or a list of them" + QUOTES,
    ),
    (
        to("2020-01-01"),
        "multihome.policy[0].to",
        "a date",
        "an address or a CIDR, or a list of them" + QUOTES,
    ),
    (
        to("[]"),
        "multihome.policy[0].to",
        "[]",
        "a list of at least one address or CIDR",
    ),
    (
        to("[192.0.2.1, 10]"),
        "multihome.policy[0].to[1]",
        "10",
        "an address or a CIDR" + QUOTES,
    ),
    *(
        (to(f"'{text}'"), "multihome.policy[0].to", f"'{text}'", why)
        for text, why in (
            ("example.com", ADDRESS),
            ("", ADDRESS),
            (" 192.0.2.1", ADDRESS),
            ("192.0.2", ADDRESS),
            ("192.0.2.256", ADDRESS),
            ("192.0.2.0/255.255.255.0", ADDRESS),
            ("192.0.2.0/024", ADDRESS),
            ("192.0.2.0/", ADDRESS),
            ("192.0.2.0/24/1", ADDRESS),
            ("192.0.2.010", ADDRESS + ", without leading zeros"),
            ("fe80::1%eth0", ADDRESS + ", without a zone"),
            (
                "192.0.2.0/33",
                "a prefix length from 0 to 32 after the slash",
            ),
            (
                "2001:db8::/129",
                "a prefix length from 0 to 128 after the slash",
            ),
            (
                "192.0.2.14/24",
                "192.0.2.0/24 for the network, or 192.0.2.14/32 for the host",
            ),
            (
                "2001:db8::1/64",
                (
                    "2001:db8::/64 for the network, or 2001:db8::1/128"
                    " for the host"
                ),
            ),
            ("default", USE_DEFAULT),
            ("0.0.0.0/0", USE_DEFAULT),
            ("::/0", USE_DEFAULT),
            ("169.254.169.254", SWALLOW + LINK_LOCAL),
            ("169.254.0.0/16", SWALLOW + LINK_LOCAL),
            ("169.0.0.0/8", SWALLOW + LINK_LOCAL),
            (
                "128.0.0.0/1",
                (
                    f"{SWALLOW}{LINK_LOCAL} or 224.0.0.0/4 (multicast)"
                    " or 255.255.255.255/32 (broadcast)"
                ),
            ),
            ("127.0.0.1", SWALLOW + "127.0.0.0/8 (loopback)"),
            ("0.0.0.0", SWALLOW + "0.0.0.0/8 (unspecified)"),
            ("224.0.0.1", SWALLOW + "224.0.0.0/4 (multicast)"),
            ("fe80::1", SWALLOW + "fe80::/10 (link-local)"),
            (
                "fd00:ec2::254",
                SWALLOW + "fd00:ec2::/32 (IMDS, DNS and NTP over IPv6)",
            ),
            (
                "fd00::/8",
                SWALLOW + "fd00:ec2::/32 (IMDS, DNS and NTP over IPv6)",
            ),
            ("::1", SWALLOW + "::1/128 (loopback)"),
            ("::", SWALLOW + "::/128 (unspecified)"),
            ("ff02::1", SWALLOW + "ff00::/8 (multicast)"),
            ("::ffff:192.0.2.1", "the IPv4 spelling, 192.0.2.1"),
            ("::ffff:192.0.2.0/120", "the IPv4 spelling, 192.0.2.0/24"),
            (
                "::/1",
                "a destination without ::ffff:0:0/96 (IPv4 written as IPv6)",
            ),
        )
    ),
    (
        (
            "{policy: [{to: [10.0.0.0/8, 192.0.2.1], via: a},"
            " {to: 192.0.2.1/32, via: b}]}"
        ),
        "multihome.policy[1].to",
        "'192.0.2.1/32'",
        (
            "each destination via one interface:"
            " multihome.policy[0].to[1] sends it via a"
        ),
    ),
    # Resolver
    (
        "{resolver: vcp}",
        "multihome.resolver",
        "'vcp'",
        (
            "vpc, keep, or a mapping with nameservers and search;"
            " did you mean vpc?"
        ),
    ),
    (
        "{resolver: [192.0.2.53]}",
        "multihome.resolver",
        "['192.0.2.53']",
        "vpc, keep, or a mapping with nameservers and search",
    ),
    (
        "{resolver: {}}",
        "multihome.resolver.nameservers",
        "nothing",
        "a list of at least one address of a name server",
    ),
    (
        "{resolver: {nameservers: []}}",
        "multihome.resolver.nameservers",
        "[]",
        "a list of at least one address of a name server",
    ),
    (
        "{resolver: {nameservers: 192.0.2.53}}",
        "multihome.resolver.nameservers",
        "'192.0.2.53'",
        "a list of at least one address of a name server",
    ),
    (
        "{resolver: {nameserver: [192.0.2.53]}}",
        "multihome.resolver.nameserver",
        "an unknown key",
        "nameservers (known: nameservers, search)",
    ),
    *(
        (
            f"{{resolver: {{nameservers: ['{text}']}}}}",
            "multihome.resolver.nameservers[0]",
            f"'{text}'",
            why,
        )
        for text, why in (
            ("dns.example", SERVER),
            ("192.0.2.53/32", SERVER),
            ("192.0.2.053", SERVER + ", without leading zeros"),
            ("fe80::1%eth0", SERVER + ", without a zone"),
            ("0.0.0.0", SERVER + ", of one host"),
            ("224.0.0.1", SERVER + ", of one host"),
            ("::ffff:192.0.2.53", "the IPv4 spelling, 192.0.2.53"),
        )
    ),
    *(
        (
            f"{{resolver: {{nameservers: [192.0.2.53], search: ['{text}']}}}}",
            "multihome.resolver.search[0]",
            f"'{text}'",
            DOMAIN,
        )
        for text in ("", ".", "a..b", "-a", "a-", "a b", "ä.example", "x" * 64)
    ),
    (
        (
            "{resolver: {nameservers: [192.0.2.53],"
            f" search: ['{'a.' * 126}aa']}}}}"
        ),
        "multihome.resolver.search[0]",
        "'" + "a." * 35 + "a...",
        "a domain of at most 253 characters (this has 254)",
    ),
]


@pytest.mark.parametrize(("text", "path", "found", "expected"), WRONG)
def test_a_mistake_gives_exactly_its_own_problem(
    text: str, path: str, found: str, expected: str
) -> None:
    """One mistake, one problem, with the whole message."""
    assert read(text).problems == (Problem(path, found, expected),)


def test_all_mistakes_come_at_once_and_in_order() -> None:
    """Those of the schema beside those that it cannot see."""
    parsed = read(
        """
        interfaces:
          a: {device_number: 0, table: 254}
          b: {mac: nonsense, table: 10}
          c d: {device_number: 2, table: 10}
        policy:
          - {to: [192.0.2.1/24, 5], via: a}
          - {to: 169.254.169.254}
        resolver: vcp
        """
    )
    assert [problem.path for problem in parsed.problems] == [
        "multihome.interfaces.a.table",
        "multihome.interfaces.b.mac",
        "multihome.interfaces['c d']",
        "multihome.interfaces['c d'].table",
        "multihome.policy[0].to[0]",
        "multihome.policy[0].to[1]",
        "multihome.policy[1].to",
        "multihome.policy[1].via",
        "multihome.resolver",
    ]


def test_what_is_fine_is_kept_for_the_checks_to_come() -> None:
    """Entries whose ENI can be told stay, the others are remembered."""
    config = read(
        "interfaces: {a: {device_number: 0, table: 254}, b: {mac: x},"
        " c: {device_nubmer: 1, device_number: 0}, d: null}"
    ).config
    assert config is not None
    assert [each.name for each in config.interfaces] == ["a"]
    assert config.broken == {"b", "c", "d"}
    assert config.has_all_names


@pytest.mark.parametrize("text", ["{interfaces: []}", "{interface: {}}"])
def test_names_are_not_known_when_interfaces_is_wrong(text: str) -> None:
    """So that bind.py calls no name unknown."""
    config = read(text).config
    assert config is not None
    assert not config.has_all_names


def test_one_mistake_made_twice_is_reported_at_each_place() -> None:
    """Three of one table: the second and the third are wrong."""
    parsed = read(
        "interfaces: {a: {device_number: 0, table: 10},"
        " b: {device_number: 1, table: 10}, c: {device_number: 2, table: 10}}"
    )
    assert [problem.path for problem in parsed.problems] == [
        "multihome.interfaces.b.table",
        "multihome.interfaces.c.table",
    ]


def test_the_error_carries_all_problems() -> None:
    """Sorted, each once; and without problems there is no error."""
    one, two = Problem("a[2]", "x", "y"), Problem("a[10]", "x", "y")
    raise_if(())
    with pytest.raises(ConfigError) as caught:
        raise_if([two, one, two])
    assert caught.value.problems == (one, two)
    assert str(caught.value) == (
        "2 mistakes in the configuration; nothing was changed:\n"
        "  a[2]: found x, expected y\n  a[10]: found x, expected y"
    )


# Too long for Python to print, which Debian 12's hypothesis does.
HUGE = [st.integers(min_value=1 << 15000, max_value=1 << 15001)]
if hypothesis.__version_info__ < (6, 100):
    HUGE.clear()
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    *HUGE,
    st.floats(),
    st.text(),
    st.binary(),
    st.dates(),
    st.sampled_from(["vpc", "private", "10.0.0.0/8", "::1", 10, 254, 30999]),
)
KEYS = st.one_of(
    st.text(),
    st.integers(),
    st.booleans(),
    st.none(),
    st.sampled_from(
        ["interfaces", "policy", "to", "via", "resolver", "mac", "table"]
    ),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=20,
)


@given(raw=VALUES)
def test_parse_never_raises(raw: object) -> None:
    """Whatever YAML gives, it is read or called a mistake."""
    check_parsed(parse(raw))


@given(data=st.data())
def test_parse_never_raises_near_the_valid(data: st.DataObject) -> None:
    """One or two things changed somewhere in a valid configuration."""
    raw = yaml.safe_load(data.draw(st.sampled_from([EXAMPLE, FULL])))
    for _ in range(data.draw(st.integers(1, 2))):
        mutate(raw, data)
    check_parsed(parse(raw))


def mutate(raw: Any, data: st.DataObject) -> None:
    """Replace, remove or add one value, at any depth."""
    node = raw
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        inner = isinstance(node[key], (dict, list))
        if not inner or data.draw(st.booleans()):
            break
        node = node[key]
    action = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if action == "remove":
        del node[key]
    elif action == "add" and isinstance(node, dict):
        node[data.draw(KEYS)] = data.draw(VALUES)
    else:
        node[key] = data.draw(VALUES)


def check_parsed(parsed: Parsed) -> None:
    """Hold what parse() gave against its promises."""
    assert len(set(parsed.problems)) == len(parsed.problems)
    assert parsed.config is not None or parsed.problems
    for problem in parsed.problems:
        assert problem.path.startswith("multihome")
        assert len(problem.found) < 100
        assert problem.found
        assert problem.expected
        assert "\n" not in str(problem)


class Hostile:
    """An object that refuses to be written."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "raw",
    [
        Hostile(),
        {"policy": Hostile()},
        {"policy": [{"to": [Hostile()], "via": {1, 2}}]},
        {"interfaces": {"a": {"table": 1 << 20000, "device_number": 0}}},
        {"interfaces": {(1, 2): {}, b"a": {}, 1.5: {}, None: {}}},
        {"resolver": datetime.datetime(2020, 1, 1)},
        {True: 1, "x": 2, 3: 3},
    ],
)
def test_what_no_yaml_file_gives_is_a_mistake_too(raw: object) -> None:
    """Any type at all; nothing is raised."""
    before = copy.copy(raw)
    parsed = parse(raw)
    assert parsed.problems
    check_parsed(parsed)
    assert before == raw or isinstance(raw, Hostile)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        pytest.param("VPC", "vpc", id="vpc"),
        pytest.param("vcp", "vpc", id="swapped"),
        pytest.param("RFC-1918", "rfc1918", id="rfc1918"),
    ],
)
def test_a_word_for_destinations_that_is_misspelt_is_guessed(
    text: str, meant: str
) -> None:
    """Not every word: an address with a slip has none to offer."""
    (problem,) = read(f"policy: [{{to: {text}, via: a}}]").problems
    assert problem.expected == f"{ADDRESS}; did you mean {meant}?"


def test_a_word_and_a_prefix_of_its_by_two_interfaces_is_a_mistake() -> None:
    """It says which of the word's prefixes."""
    text = "policy: [{to: rfc1918, via: a}, {to: 10.0.0.0/8, via: b}]"
    other = "policy: [{to: 10.0.0.0/8, via: a}, {to: [rfc1918], via: b}]"
    one = "expected each destination via one interface: multihome.policy[0].to"
    assert texts(read(text)) == [
        f"multihome.policy[1].to: found '10.0.0.0/8', {one} sends it via a"
    ]
    (found,) = texts(read(other))
    word = "multihome.policy[1].to[0]: found 'rfc1918'"
    assert found == f"{word}, {one} sends 10.0.0.0/8 via a"


def test_vpc_waits_for_the_instance() -> None:
    """Its place is kept for what is found wrong with it then."""
    (entry,) = good("policy: [{to: [192.0.2.1, vpc], via: a}]").policy
    assert entry.vpc == ("multihome.policy[0].to[1]",)
    assert [str(to) for to, _ in entry.to] == ["192.0.2.1/32"]
