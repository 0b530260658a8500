# SPDX-License-Identifier: Apache-2.0
"""The transport against a server on loopback that misbehaves."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

import pytest

from cc_multihome.errors import ImdsError
from tests.unit import imds_stub
from tests.unit.imds_read import GET_ID, PUT, read, refused_url
from tests.unit.imds_stub import MACS, PRIMARY, Fault, Stub, answer

# Longer than any deadline in this file plus what a slow machine adds.
BOUND_S = 1.5


def test_a_read_of_two_enis_takes_22_requests_on_one_connection(
    stub: Stub,
) -> None:
    """The formula of imds.py, and keep-alive really used."""
    read(stub.url)
    keys = 7
    assert 1 + 3 + 2 + 2 * (1 + keys) == len(stub.seen)
    assert stub.connections == 1


def test_every_get_carries_the_token_and_the_put_its_lifetime(
    stub: Stub,
) -> None:
    """IMDSv2: one token for the whole read."""
    read(stub.url)
    assert stub.seen[0] == PUT
    assert stub.headers[0]["X-aws-ec2-metadata-token-ttl-seconds"] == "600"
    sent = {h.get("X-aws-ec2-metadata-token") for h in stub.headers[1:]}
    assert set(stub.tokens) == sent
    assert len(stub.tokens) == 1


def test_the_token_is_renewed_once_when_it_is_refused(stub: Stub) -> None:
    """A 401 in the middle costs two requests and nothing else."""
    stub.fail(GET_ID, answer(401))
    assert len(read(stub.url).enis) == 2
    assert stub.count(PUT) == 2
    assert stub.count(GET_ID) == 2


def test_a_token_that_is_refused_again_ends_the_read(stub: Stub) -> None:
    """A server that says 401 for ever is not asked for ever."""
    stub.fail_always(GET_ID, answer(401))
    with pytest.raises(ImdsError, match=r"instance-id with status 401 again"):
        read(stub.url)
    assert stub.count(PUT) == 2


def test_a_second_refusal_ends_the_read_on_another_key_too(
    stub: Stub,
) -> None:
    """Once means once a read, not once a key."""
    stub.fail("GET mac", answer(401))
    stub.fail(GET_ID, answer(401))
    with pytest.raises(ImdsError, match="401 again"):
        read(stub.url)


@pytest.mark.parametrize("request_", [PUT, GET_ID])
def test_403_is_explained_and_not_retried(stub: Stub, request_: str) -> None:
    """The person has to change the instance: say with what."""
    stub.fail_always(request_, answer(403))
    with pytest.raises(ImdsError) as caught:
        read(stub.url)
    assert "status 403: metadata is switched off" in str(caught.value)
    assert "modify-instance-metadata-options" in str(caught.value)
    assert "hop limit" in str(caught.value)
    assert stub.count(request_) == 1


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
@pytest.mark.parametrize("request_", [PUT, GET_ID])
def test_a_busy_server_is_asked_again(
    stub: Stub, code: int, request_: str
) -> None:
    """What passes by itself is waited for."""
    stub.fail(request_, answer(code), answer(code))
    assert len(read(stub.url).enis) == 2
    assert stub.count(request_) == 3


@pytest.mark.parametrize("code", [400, 405, 418, 204])
def test_other_statuses_end_the_read_at_once(stub: Stub, code: int) -> None:
    """Nothing but 200, 401, 404, 429 and 5xx has a meaning here."""
    stub.fail_always(GET_ID, answer(code))
    with pytest.raises(ImdsError, match=f"status {code}, expected 200"):
        read(stub.url)
    assert stub.count(GET_ID) == 1


def test_retry_after_is_honoured(stub: Stub) -> None:
    """The server's own word is a lower bound for the pause."""
    pauses: list[float] = []
    stub.fail(GET_ID, answer(429, Retry_After="3"))
    read(stub.url, sleep=pauses.append)
    assert pauses == [3.0]


def test_retry_after_beyond_the_deadline_ends_the_read_at_once(
    stub: Stub,
) -> None:
    """Waiting for what cannot come in time helps nobody."""
    stub.fail_always(GET_ID, answer(429, Retry_After="3600"))
    started = time.monotonic()
    with pytest.raises(ImdsError, match="status 429, Retry-After 3600 s"):
        read(stub.url, deadline_s=30.0)
    assert time.monotonic() - started < BOUND_S
    assert stub.count(GET_ID) == 1


def test_retry_after_that_is_a_date_is_taken_for_none(stub: Stub) -> None:
    """A booting host's wall clock may be wrong."""
    pauses: list[float] = []
    when = "Wed, 21 Oct 2065 07:28:00 GMT"
    stub.fail(GET_ID, answer(503, Retry_After=when))
    read(stub.url, sleep=pauses.append)
    assert len(pauses) == 1
    assert pauses[0] < 0.02


def test_pauses_double_with_jitter(stub: Stub) -> None:
    """Many hosts that fail together must not come back together."""
    pauses: list[float] = []
    stub.fail(GET_ID, *[answer(500)] * 5)
    read(stub.url, sleep=pauses.append)
    assert len(pauses) == 5
    for power, pause in enumerate(pauses):
        assert 0.5 * 0.01 * 2**power <= pause <= 0.01 * 2**power
    assert len(pauses) == len({p / 2**i for i, p in enumerate(pauses)})


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        pytest.param(answer(500), "status 500", id="500"),
        pytest.param(imds_stub.hang, "timed out", id="hang"),
        pytest.param(imds_stub.drip_headers, "timed out", id="drip-headers"),
        pytest.param(imds_stub.drip_body, "timed out", id="drip-body"),
        pytest.param(imds_stub.no_http, "SSH-2.0", id="no-http"),
    ],
)
@pytest.mark.parametrize("request_", [PUT, GET_ID])
def test_trouble_that_does_not_end_is_bounded_by_the_deadline(
    stub: Stub, request_: str, fault: Fault, seen: str
) -> None:
    """Per-read timeouts alone let a slow drip go on for hours."""
    stub.fail_always(request_, fault)
    started = time.monotonic()
    with pytest.raises(ImdsError, match=seen) as caught:
        read(stub.url, deadline_s=0.4)
    assert time.monotonic() - started < BOUND_S
    assert "within 0.4 s" in str(caught.value)
    assert stub.url in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(imds_stub.hang, id="hang"),
        pytest.param(imds_stub.drip_headers, id="drip-headers"),
        pytest.param(imds_stub.drip_body, id="drip-body"),
        pytest.param(imds_stub.cut_off, id="cut-off"),
        pytest.param(imds_stub.no_http, id="no-http"),
    ],
)
def test_one_request_that_goes_wrong_is_sent_again(
    stub: Stub, fault: Fault
) -> None:
    """A single request has a bound of its own, below the deadline."""
    path = f"GET {MACS}{PRIMARY}/local-ipv4s"
    stub.fail(path, fault)
    enis = read(stub.url, request_timeout_s=2.0).enis
    assert [str(a) for a in enis[0].local_ipv4s] == ["10.0.0.10", "10.0.0.9"]
    assert stub.count(path) == 2


def test_a_silent_put_is_explained_by_the_hop_limit(stub: Stub) -> None:
    """The reply to the PUT is what a hop limit of 1 loses."""
    stub.fail_always(PUT, imds_stub.hang)
    with pytest.raises(ImdsError, match="hop limit may be too low"):
        read(stub.url, deadline_s=0.2)


def test_a_connection_that_the_server_closed_is_made_again(
    stub: Stub,
) -> None:
    """Keep-alive is a favour that any server may withdraw."""
    stub.fail("GET mac", answer(200, PRIMARY, Connection="close"))
    stub.fail(GET_ID, answer(200, "i-1", Connection="close"))
    assert read(stub.url).instance_id == "i-1"
    assert stub.connections == 3


def test_an_answer_in_chunks_is_read(stub: Stub) -> None:
    """HTTP/1.1 allows it."""

    def chunked(handler: imds_stub.Handler) -> bool:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        handler.wfile.write(head + b"3\r\ni-1\r\n2\r\n23\r\n0\r\n\r\n")
        return True

    stub.fail(GET_ID, chunked)
    assert read(stub.url).instance_id == "i-123"
    assert stub.connections == 1


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("request_", [PUT, GET_ID])
def test_a_redirect_is_an_error_and_never_followed(
    stub: Stub, code: int, request_: str
) -> None:
    """Whoever redirects is not IMDS, and must not be given the token."""
    target = Stub()
    where = target.url + "/latest/meta-data/instance-id"
    stub.fail_always(request_, answer(code, Location=where))
    try:
        with pytest.raises(ImdsError, match=f"{code}, a redirect to"):
            read(stub.url)
    finally:
        target.close()
    assert target.seen == []


@pytest.mark.parametrize("target", ["http://[", "//", "http://a:b:c/"])
def test_a_redirect_to_nowhere_is_an_error_like_any(
    stub: Stub, target: str
) -> None:
    """And not one that nobody expects, of the library that parses URLs."""
    stub.fail_always(GET_ID, answer(302, Location=target))
    with pytest.raises(ImdsError, match="302, a redirect to"):
        read(stub.url)


def test_the_body_of_a_redirect_is_bounded_too(stub: Stub) -> None:
    """requests reads it by itself, to use the connection again."""
    sent = 0

    def flood(handler: imds_stub.Handler) -> bool:
        nonlocal sent
        handler.close_connection = True
        handler.send_response(302)
        handler.send_header("Location", "http://elsewhere.example/")
        handler.end_headers()
        with suppress(OSError):
            for _ in range(64):
                handler.wfile.write(bytes(1 << 20))
                sent += 1
        return True

    stub.fail_always(GET_ID, flood)
    with pytest.raises(ImdsError, match="longer than 65536 bytes"):
        read(stub.url)
    assert sent < 64


@pytest.mark.parametrize("request_", [PUT, GET_ID])
def test_an_endless_body_is_cut_at_64_kib(stub: Stub, request_: str) -> None:
    """Memory is bounded as well as time."""
    stub.fail_always(request_, imds_stub.endless_body)
    with pytest.raises(ImdsError, match="longer than 65536 bytes"):
        read(stub.url)
    assert stub.count(request_) == 1


def test_a_body_of_64_kib_is_not_too_long(stub: Stub) -> None:
    """The bound is the one that is named."""
    stub.leaves["instance-id"] = "i-1" + " " * (64 * 1024 - 3)
    assert read(stub.url).instance_id == "i-1"
    stub.leaves["instance-id"] += " "
    with pytest.raises(ImdsError, match="longer than 65536 bytes"):
        read(stub.url)


@pytest.mark.parametrize(
    "token", [b"", b"<html>no</html> x", b"\xff\xfe", b"a\r\nHost: b"]
)
def test_a_token_that_is_none_is_refused_without_showing_it(
    stub: Stub, token: bytes
) -> None:
    """It goes into a header, and it may be a secret."""
    stub.fail_always(PUT, answer(200, token))
    with pytest.raises(ImdsError, match=f"{len(token)} bytes that are no"):
        read(stub.url)
    assert stub.seen == [PUT]


def test_proxies_and_netrc_of_the_environment_are_ignored(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cloud-init may run with a proxy set; IMDS is never behind it."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, refused_url())
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert len(read(stub.url, deadline_s=1.0).enis) == 2


def test_the_token_is_never_logged_and_the_read_is_one_line(
    stub: Stub, caplog: pytest.LogCaptureFixture
) -> None:
    """At info the sum; at debug each request with path and status."""
    caplog.set_level(logging.DEBUG)
    stub.fail(GET_ID, answer(401))
    read(stub.url)
    assert stub.tokens[0] not in caplog.text
    assert stub.tokens[1] not in caplog.text
    ours = [r for r in caplog.records if r.name.startswith("cc_multihome")]
    info = [r.getMessage() for r in ours if r.levelno >= logging.INFO]
    assert len(info) == 1
    assert info[0].startswith(
        f"read 2 ENIs of i-0123456789abcdef0 from {stub.url}: 24 requests, "
    )
    debug = [r.getMessage() for r in ours if r.levelno == logging.DEBUG]
    assert len(debug) == 24
    assert any(
        line.startswith("GET /latest/meta-data/instance-id: 401, ")
        for line in debug
    )
