# SPDX-License-Identifier: Apache-2.0
"""Echo requests of steady traffic, and what answers them."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.lab.traffic import is_reply, request

V4, V6 = socket.AF_INET, socket.AF_INET6
IPV4_HEADER = b"\x45" + bytes(19)


@pytest.mark.parametrize(
    ("family", "header", "kinds"),
    [
        pytest.param(V4, IPV4_HEADER, (8, 0), id="ipv4"),
        pytest.param(V6, b"", (128, 129), id="ipv6"),
    ],
)
def test_a_reply_is_known_by_its_kind_and_identifier(
    family: socket.AddressFamily, header: bytes, kinds: tuple[int, int]
) -> None:
    """A raw IPv4 socket gets the IP header too; our request is no reply."""
    sent = request(family, 77, 5)
    assert (kinds[0], 77, 5) == (sent[0], *struct.unpack("!2H", sent[4:8]))
    reply = header + bytes([kinds[1]]) + sent[1:]
    assert is_reply(family, reply, 77)
    assert not is_reply(family, reply, 78)
    assert not is_reply(family, header + sent, 77)


def test_the_kernel_fills_the_checksum_of_icmpv6_in() -> None:
    """It knows the pseudo-header; that of ICMP has to be there."""
    assert request(V6, 77, 5)[2:4] == b"\0\0"
    assert request(V4, 77, 5)[2:4] != b"\0\0"
