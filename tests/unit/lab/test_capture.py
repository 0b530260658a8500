# SPDX-License-Identifier: Apache-2.0
"""What was on the wire is read right, and each flow's ENI is found."""

from __future__ import annotations

import struct
from dataclasses import asdict
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.lab.capture import (
    CaptureReader,
    Carried,
    FlowKey,
    Packet,
    Writer,
    decode,
    older,
)

ROUTER, ENI, OTHER = "02:00:00:00:00:01", "0a:00:00:00:00:02", "0a:0b:0c:0:0:3"
TCP = struct.pack("!HHL", 40000, 7000, 0)
KEY = FlowKey("tcp", ("10.0.0.5", 40000), ("192.0.2.14", 7000))


def ethernet(ether_type: int, body: bytes) -> bytes:
    """Return a frame from the ENI to the router."""
    macs = bytes.fromhex((ROUTER + ENI).replace(":", ""))
    return macs + struct.pack("!H", ether_type) + body


def ipv4(
    number: int, body: bytes, *, fragment: int = 0, words: int = 5
) -> bytes:
    """Return a frame with an IPv4 packet 10.0.0.5 -> 192.0.2.14."""
    head = struct.pack(
        "!BBHHHBBH", 0x40 | words, 0, 0, 0, fragment, 64, number, 0
    )
    ends = ip_address("10.0.0.5").packed + ip_address("192.0.2.14").packed
    options = bytes((words - 5) * 4)
    return ethernet(0x0800, head + ends + options + body)


def ipv6(number: int, body: bytes) -> bytes:
    """Return a frame with an IPv6 packet 2001:db8::5 -> 2001:db8::14."""
    ends = ip_address("2001:db8::5").packed + ip_address("2001:db8::14").packed
    head = struct.pack("!LHBB", 6 << 28, len(body), number, 64)
    return ethernet(0x86DD, head + ends + body)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        pytest.param(
            ipv4(6, TCP), {"proto": "tcp", "sport": 40000, "dport": 7000},
            id="tcp",
        ),
        pytest.param(
            ipv4(17, TCP, words=7),
            {"proto": "udp", "sport": 40000, "dport": 7000},
            id="udp-after-ip-options",
        ),
        pytest.param(
            ipv4(1, struct.pack("!BBHHH", 8, 0, 0, 77, 1)),
            {"proto": "icmp", "icmp_type": 8, "icmp_id": 77},
            id="echo",
        ),
        pytest.param(ipv4(17, TCP, fragment=185), {"proto": "udp"},
                     id="a-later-fragment-has-no-ports"),
        pytest.param(ipv4(89, b""), {"proto": "89"}, id="other-protocol"),
        pytest.param(
            ipv6(0, bytes([58, 0, *bytes(6)])
                 + struct.pack("!BBHHH", 128, 0, 0, 78, 1)),
            {"proto": "icmp6", "icmp_type": 128, "icmp_id": 78},
            id="ipv6-echo-behind-an-extension",
        ),
        pytest.param(
            ipv6(44, bytes([6, 0, 0, 1, *bytes(4)]) + TCP),
            {"proto": "tcp", "sport": 40000, "dport": 7000},
            id="ipv6-first-fragment",
        ),
        pytest.param(ipv6(44, bytes([6, 0, 1, 0, *bytes(4)]) + TCP),
                     {"proto": "tcp"}, id="ipv6-later-fragment"),
    ],
)  # fmt: skip
def test_a_packet_is_read(frame: bytes, expected: dict[str, object]) -> None:
    """Protocol, ports and ids; MACs and addresses are as on the wire."""
    packet = decode(frame, 1.5, "gw-a")
    assert packet is not None
    known = {k: v for k, v in asdict(packet).items() if v is not None}
    ends = {known.pop("src"), known.pop("dst")}
    assert ends in (
        {"10.0.0.5", "192.0.2.14"},
        {"2001:db8::5", "2001:db8::14"},
    )
    head = {"t": 1.5, "interface": "gw-a", "smac": ENI, "dmac": ROUTER}
    assert {**head, **expected} == known


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(ethernet(0x0806, bytes(46)), id="arp"),
        pytest.param(ethernet(0x0800, bytes(5)), id="short"),
        pytest.param(ethernet(0x86DD, bytes(30)), id="short-ipv6"),
    ],
)
def test_what_is_no_ip_packet_is_left_out(frame: bytes) -> None:
    """ARP and stumps are not recorded."""
    assert decode(frame, 0.0, "gw-a") is None


def out(mac: str = ENI) -> Packet:
    """Return a packet of the flow KEY from the guest."""
    return Packet(1.0, "gw-a", mac, ROUTER, "tcp",
                  "10.0.0.5", "192.0.2.14", 40000, 7000)  # fmt: skip


def back(mac: str = ENI) -> Packet:
    """Return a packet of the flow KEY to the guest."""
    return Packet(1.0, "gw-a", ROUTER, mac, "tcp",
                  "192.0.2.14", "10.0.0.5", 7000, 40000)  # fmt: skip


def test_the_eni_of_each_direction_is_found_by_its_mac(tmp_path: Path) -> None:
    """A MAC that is no ENI's is shown as it is; other flows do not count."""
    path = tmp_path / "capture.jsonl"
    writer = Writer(path, 10**6)
    for packet in (out(), back(OTHER)):
        writer.write(asdict(packet))
    reader = CaptureReader(path, {ENI: "public"})
    expected = Carried(frozenset({"public"}), frozenset({OTHER}))
    assert expected == reader.carried(KEY)
    other = FlowKey("tcp", ("10.0.0.5", 40001), KEY.far)
    assert Carried() == reader.carried(other)
    assert Carried() == reader.carried(FlowKey("udp", KEY.guest, KEY.far))


def test_a_mark_forgets_what_was_before(tmp_path: Path) -> None:
    """Ports come again: the flows of one run are not those of the next."""
    path = tmp_path / "capture.jsonl"
    writer = Writer(path, 10**6)
    writer.write(asdict(out()))
    writer.write({"missed": 3})
    reader = CaptureReader(path, {ENI: "public"})
    reader.mark()
    assert Carried() == reader.carried(KEY)
    writer.write(asdict(back()))
    assert Carried(received=frozenset({"public"})) == reader.carried(KEY)


def test_a_capture_that_missed_packets_proves_nothing(tmp_path: Path) -> None:
    """It raises rather than say that nothing was there."""
    path = tmp_path / "capture.jsonl"
    Writer(path, 10**6).write({"missed": 3})
    with pytest.raises(RuntimeError, match="missed 3 packets"):
        CaptureReader(path, {}).carried(KEY)


def test_the_file_is_bounded_and_a_mark_survives_its_turn(
    tmp_path: Path,
) -> None:
    """Two halves at most; what came after the mark is found in both."""
    path = tmp_path / "capture.jsonl"
    writer = Writer(path, 4000)
    reader = CaptureReader(path, {ENI: "public"})
    for _ in range(100):
        writer.write(asdict(out()))
    reader.mark()
    while path.stat().st_ino == reader._mark[0]:
        writer.write(asdict(back()))
    assert Carried(received=frozenset({"public"})) == reader.carried(KEY)
    assert path.stat().st_size + older(path).stat().st_size < 4000 + 600


def test_half_a_line_is_not_read(tmp_path: Path) -> None:
    """The capture may be writing just now."""
    path = tmp_path / "capture.jsonl"
    path.write_text('{"t": 1.0, "interf')
    assert [] == list(CaptureReader(path, {}).packets())
