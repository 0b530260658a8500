# SPDX-License-Identifier: Apache-2.0
"""Where main has no default route, another ENI's address leads to IMDS.

The kernel's part is seen on a virtual machine (tests/vm/test_hotplug.py).
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from urllib3.util import connection

from cc_multihome.errors import ImdsError
from tests.unit.imds_read import GET_ID, read
from tests.unit.imds_stub import Stub, answer

# Nothing comes back to them, not even that there is no way.
SILENT = ("127.0.0.7", "127.0.0.8", "127.0.0.9")
Bound = list[str | None]
Sever = Callable[..., Bound]


@pytest.fixture
def sever(monkeypatch: pytest.MonkeyPatch) -> Sever:
    """Let the kernel know no way, except from some addresses."""
    connect: Any = connection.create_connection

    def install(number: int, *ways: str) -> Bound:
        seen: Bound = []

        def create(*args: Any, **kwargs: Any) -> Any:
            source = kwargs.get("source_address")
            seen.append(source[0] if source else None)
            if seen[-1] in SILENT:
                time.sleep(min(args[1], 0.1))
                raise TimeoutError("timed out")
            if seen[-1] not in ways:
                raise OSError(number, "no way")
            return connect(*args, **kwargs)

        monkeypatch.setattr(connection, "create_connection", create)
        return seen

    return install


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH])
def test_it_is_asked_from_an_address_that_has_a_way(
    stub: Stub, sever: Sever, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """One after another; and the log says from which one."""
    caplog.set_level(logging.INFO)
    sources = ["127.0.0.2", SILENT[0], "127.0.0.3", "127.0.0.4"]
    seen = sever(number, "127.0.0.3")
    found = read(stub.url, sources=sources)
    assert 2 == len(found.enis)
    assert [None, *sources[:3]] == seen
    assert "asked from 127.0.0.3" in caplog.text


def test_one_request_without_time_for_all_is_gone_on_with_by_the_next(
    stub: Stub, sever: Sever
) -> None:
    """An ENI with many addresses may be dead, and the next one is not."""
    way = "127.0.0.2"
    seen = sever(errno.ENETUNREACH, way)
    read(stub.url, sources=[*SILENT, way], request_timeout_s=0.1)
    assert [*SILENT, way] == [it for it in seen if it]


def test_without_a_need_it_is_not_bound(stub: Stub, sever: Sever) -> None:
    """The source that the kernel chooses is right."""
    seen = sever(errno.ENETUNREACH, None)
    read(stub.url, sources=["127.0.0.2"])
    assert [None] == seen


def test_a_new_connection_is_not_bound_to_the_old_address(
    stub: Stub, sever: Sever
) -> None:
    """That may be gone, or the default route be back."""
    ways = ["127.0.0.2"]
    seen = sever(errno.ENETUNREACH, *ways)
    stub.fail(GET_ID, answer(503, Connection="close"))
    read(stub.url, sources=ways)
    assert [None, "127.0.0.2"] * 2 == seen


def test_a_refusal_is_no_missing_way(stub: Stub, sever: Sever) -> None:
    """From another address it would be the same."""
    seen = sever(errno.ECONNREFUSED)
    with pytest.raises(ImdsError, match="no way"):
        read(stub.url, sources=["127.0.0.2"], deadline_s=0.1)
    assert {None} == set(seen)


def test_no_way_from_anywhere_says_what_the_kernel_said(
    stub: Stub, sever: Sever
) -> None:
    """Of the connection without a source."""
    sever(errno.ENETUNREACH)
    with pytest.raises(ImdsError, match="no way"):
        read(stub.url, sources=["127.0.0.2"], deadline_s=0.1)


def test_many_addresses_take_no_longer_than_the_deadline(
    stub: Stub, sever: Sever
) -> None:
    """Each attempt gets the time that is left, and no more follow."""
    seen = sever(errno.ENETUNREACH)
    sources = (f"127.1.{a}.{b}" for a in range(1, 250) for b in range(1, 250))
    with pytest.raises(ImdsError):
        read(stub.url, sources=sources, deadline_s=0.2)
    assert len(seen) < 249 * 249
