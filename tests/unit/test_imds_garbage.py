# SPDX-License-Identifier: Apache-2.0
"""Answers that are no metadata end the read at once."""

from __future__ import annotations

import pytest

from cc_multihome.errors import ImdsError
from tests.unit.imds_read import LISTING, read
from tests.unit.imds_stub import MACS, PRIMARY, SECONDARY, Stub, answer

HTML = "<html><body>Sign in</body></html>"
GARBAGE = [
    pytest.param("mac", "0a:00", "a MAC such as", id="short-mac"),
    pytest.param("mac", HTML, "a MAC such as", id="html-mac"),
    pytest.param("mac", PRIMARY + ":02", "a MAC such as", id="long-mac"),
    pytest.param("instance-id", HTML, "an identifier", id="html-id"),
    pytest.param("instance-id", "", "an identifier", id="empty-id"),
    pytest.param("local-hostname", HTML, "a host name", id="html-host"),
    pytest.param("local-hostname", "h.a;b", "a host name", id="host"),
    pytest.param("device-number", "one", "a number from 0", id="number"),
    pytest.param("device-number", "-1", "a number from 0", id="negative"),
    pytest.param("device-number", "1.0", "a number from 0", id="float"),
    pytest.param("network-card", HTML, "a number from 0", id="html-card"),
    pytest.param("interface-id", HTML, "an identifier", id="html-eni"),
    pytest.param("subnet-id", "a b", "an identifier", id="subnet"),
    pytest.param("local-ipv4s", "10.0.1", "an IPv4 address", id="ipv4"),
    pytest.param("local-ipv4s", "::1", "an IPv4 address", id="ipv6-for-4"),
    pytest.param("local-ipv4s", HTML, "an IPv4 address", id="html-ipv4"),
    pytest.param(
        "subnet-ipv4-cidr-block", "10.0.1.0", "an IPv4 CIDR", id="no-length"
    ),
    pytest.param(
        "subnet-ipv4-cidr-block",
        "10.0.1.1/24",
        "without host bits",
        id="host-bits",
    ),
    pytest.param(
        "subnet-ipv4-cidr-block",
        "10.0.1.0/255.255.255.0",
        "an IPv4 CIDR",
        id="netmask",
    ),
    pytest.param(
        "vpc-ipv4-cidr-blocks",
        "10.0.0.0/16\n10/8",
        "an IPv4 CIDR",
        id="second",
    ),
    pytest.param("ipv4-prefix", "10.0.1.0/33", "an IPv4 CIDR", id="too-long"),
    pytest.param("ipv6s", "fe80::1%eth0", "an IPv6 address", id="zone"),
    pytest.param("ipv6s", "10.0.0.1", "an IPv6 address", id="ipv4-for-6"),
    pytest.param(
        "subnet-ipv6-cidr-blocks",
        "2001:db8::1/64",
        "an IPv6 CIDR",
        id="ipv6-host-bits",
    ),
    pytest.param(
        "vpc-ipv6-cidr-blocks", "10.0.0.0/8", "an IPv6 CIDR", id="ipv4-block"
    ),
    pytest.param("ipv6-prefix", HTML, "an IPv6 CIDR", id="html-prefix"),
]


@pytest.mark.parametrize(("key", "value", "expected"), GARBAGE)
def test_garbage_is_an_error_that_names_the_key_and_is_not_retried(
    stub: Stub, key: str, value: str, expected: str
) -> None:
    """What was found, shortened, and what would have been right."""
    path = key if key in stub.leaves else f"{MACS}{SECONDARY}/{key}"
    stub.leaves[path] = value
    with pytest.raises(ImdsError) as caught:
        read(stub.url)
    message = str(caught.value)
    assert message.startswith(f"the metadata service's {path} is '")
    assert expected in message
    assert len(message) < 250
    assert stub.count(f"GET {path}") == 1


@pytest.mark.parametrize(
    "path", ["instance-id", f"{MACS}{SECONDARY}/local-ipv4s", MACS]
)
def test_binary_is_an_error_that_names_the_key(stub: Stub, path: str) -> None:
    """Not ASCII: not metadata."""
    stub.fail_always(f"GET {path}", answer(200, b"\x7fELF\xff" * 200))
    with pytest.raises(ImdsError) as caught:
        read(stub.url)
    assert f"{path} is b'\\x7fELF" in str(caught.value)
    assert "expected ASCII text" in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_listing_of_something_else_is_an_error(stub: Stub) -> None:
    """A page of HTML lists no MAC."""
    stub.fail_always(LISTING, answer(200, HTML))
    with pytest.raises(ImdsError, match="expected a MAC such as"):
        read(stub.url)
