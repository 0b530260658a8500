# SPDX-License-Identifier: Apache-2.0
"""Which of the two endpoints is asked."""

from __future__ import annotations

import pytest

from cc_multihome.errors import ImdsError
from tests.unit import imds_stub
from tests.unit.imds_read import PUT, read, refused_url
from tests.unit.imds_stub import Stub, answer


def test_connection_refused_names_the_endpoint_and_the_remedy() -> None:
    """Nobody listens: say where, what the system said, what to do."""
    url = refused_url()
    with pytest.raises(ImdsError) as caught:
        read(url, deadline_s=0.2)
    assert url in str(caught.value)
    assert "Connection refused" in str(caught.value)
    assert "--http-endpoint enabled" in str(caught.value)


def test_the_next_endpoint_is_asked_when_the_first_is_unreachable(
    stub: Stub,
) -> None:
    """IPv6-only subnets have no IPv4 endpoint; no pause comes between."""
    pauses: list[float] = []
    instance = read(refused_url(), stub.url, sleep=pauses.append)
    assert len(instance.enis) == 2
    assert pauses == []


def test_the_next_endpoint_is_asked_when_the_first_is_silent(
    stub: Stub,
) -> None:
    """A first endpoint that hangs does not use up the deadline."""
    silent = Stub()
    silent.fail_always(PUT, imds_stub.hang)
    try:
        instance = read(silent.url, stub.url, request_timeout_s=1.0)
    finally:
        silent.close()
    assert len(instance.enis) == 2


def test_the_first_endpoint_is_asked_again_after_both_failed(
    stub: Stub,
) -> None:
    """The service may come up after the first round."""
    stub.fail(PUT, imds_stub.no_http)
    assert len(read(stub.url, refused_url()).enis) == 2


def test_the_first_endpoint_is_kept_when_it_answers(stub: Stub) -> None:
    """Both work: one is used."""
    other = Stub()
    try:
        read(stub.url, other.url)
    finally:
        other.close()
    assert other.seen == []


def test_an_endpoint_that_refuses_is_not_passed_over(stub: Stub) -> None:
    """403 is an answer, and the second endpoint would say the same."""
    stub.fail_always(PUT, answer(403))
    other = Stub()
    try:
        with pytest.raises(ImdsError, match="403"):
            read(stub.url, other.url)
    finally:
        other.close()
    assert other.seen == []
