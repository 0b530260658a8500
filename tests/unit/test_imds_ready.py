# SPDX-License-Identifier: Apache-2.0
"""When a read of the metadata counts as complete."""

from __future__ import annotations

import pytest

from cc_multihome.discover.imds import read_instance
from cc_multihome.errors import ImdsError
from tests.unit.imds_read import (
    FIRST_RECORD,
    IPV6,
    LISTING,
    RECORD,
    places,
    read,
)
from tests.unit.imds_stub import (
    MACS,
    PRIMARY,
    SECONDARY,
    THIRD,
    Stub,
    answer,
    eni_keys,
    first,
)

NOT_READY = [
    pytest.param(
        {"device_number": None},
        "device-number is not listed",
        id="no-device-number",
    ),
    pytest.param(
        {"device_number": ""},
        "device-number is empty",
        id="empty-device-number",
    ),
    pytest.param(
        {"device_number": "0"},
        "device-number is 0 on network card 0",
        id="0/0",
    ),
    pytest.param(
        {"interface_id": None},
        "interface-id is not listed",
        id="no-interface-id",
    ),
    pytest.param(
        {"local_ipv4s": ""}, "local-ipv4s is empty", id="empty-addresses"
    ),
    pytest.param(
        {"local_ipv4s": None, **IPV6},
        "local-ipv4s is not listed",
        id="no-ipv4-yet",
    ),
    pytest.param(
        {"local_ipv4s": "10.9.9.9"},
        "not inside subnet-ipv4-cidr-block (10.0.1.0/24)",
        id="other-subnet",
    ),
    pytest.param(
        {"subnet_ipv4_cidr_block": None},
        "not inside subnet-ipv4-cidr-block (not listed)",
        id="no-subnet",
    ),
    pytest.param(
        {**IPV6, "subnet_ipv6_cidr_blocks": None},
        "not inside subnet-ipv6-cidr-blocks (not listed)",
        id="no-ipv6-subnet",
    ),
    pytest.param(
        {**IPV6, "ipv6s": "2001:db8:9::1"},
        "2001:db8:9::1 is not inside subnet-ipv6-cidr-blocks",
        id="other-ipv6-subnet",
    ),
]


@pytest.mark.parametrize(("changes", "reason"), NOT_READY)
def test_a_record_that_is_not_ready_is_read_again(
    stub: Stub, changes: dict[str, str | None], reason: str
) -> None:
    """Only that record: the complete one beside it is kept."""
    stub.put_eni(SECONDARY, eni_keys(1, **changes))
    stub.fail(
        RECORD,
        first(lambda: None),
        first(lambda: stub.put_eni(SECONDARY, eni_keys(1))),
    )
    assert places(read(stub.url)) == [(0, 0, PRIMARY), (0, 1, SECONDARY)]
    assert stub.count(RECORD) == 2, reason
    assert stub.count(FIRST_RECORD) == 1


@pytest.mark.parametrize(("changes", "reason"), NOT_READY)
def test_a_record_that_never_gets_ready_ends_the_read(
    stub: Stub, changes: dict[str, str | None], reason: str
) -> None:
    """Never fewer ENIs, never an ENI without its addresses."""
    stub.put_eni(SECONDARY, eni_keys(1, **changes))
    with pytest.raises(ImdsError) as caught:
        read(stub.url)
    assert reason in str(caught.value)
    assert SECONDARY in str(caught.value)
    assert "still not complete after 1 s" in str(caught.value)
    assert stub.count(RECORD) > 2


@pytest.mark.parametrize(
    "path",
    [
        "mac",
        "instance-id",
        MACS,
        f"{MACS}{SECONDARY}/",
        f"{MACS}{SECONDARY}/local-ipv4s",
        f"{MACS}{SECONDARY}/network-card",
    ],
)
def test_a_404_on_a_listed_key_is_asked_again(stub: Stub, path: str) -> None:
    """Listed means that it is there, or will be in a moment."""
    stub.fail(f"GET {path}", answer(404), answer(404))
    assert places(read(stub.url)) == [(0, 0, PRIMARY), (0, 1, SECONDARY)]
    assert stub.count(f"GET {path}") >= 3


@pytest.mark.parametrize(
    "path", ["mac", f"{MACS}{SECONDARY}/", f"{MACS}{SECONDARY}/local-ipv4s"]
)
def test_a_404_for_ever_on_a_listed_key_ends_the_read(
    stub: Stub, path: str
) -> None:
    """The error names the key and how long it was waited for."""
    stub.fail_always(f"GET {path}", answer(404))
    with pytest.raises(ImdsError) as caught:
        read(stub.url)
    assert f"{path} answers 404" in str(caught.value)
    assert "still not complete after 1 s" in str(caught.value)
    assert stub.count(f"GET {path}") > 2


def test_a_server_error_on_one_key_never_makes_a_smaller_answer(
    stub: Stub,
) -> None:
    """Error is not empty."""
    stub.fail_always(RECORD + "local-ipv4s", answer(500))
    with pytest.raises(ImdsError, match=r"local-ipv4s.*status 500"):
        read_instance(base_urls=[stub.url], deadline_s=1.5, first_wait_s=0.01)


def test_device_number_0_on_another_card_is_a_place_of_its_own(
    stub: Stub,
) -> None:
    """A device number is unique within its card only."""
    stub.put_eni(SECONDARY, eni_keys(0, network_card="1"))
    assert places(read(stub.url)) == [(0, 0, PRIMARY), (1, 0, SECONDARY)]
    assert stub.count(RECORD) == 1


def test_two_enis_in_one_place_are_both_read_again(stub: Stub) -> None:
    """Which of the two is right is not known."""
    stub.put_eni(THIRD, eni_keys(1))
    stub.fail(
        RECORD,
        first(lambda: None),
        first(lambda: stub.put_eni(THIRD, eni_keys(2))),
    )
    assert places(read(stub.url))[1:] == [(0, 1, SECONDARY), (0, 2, THIRD)]
    assert stub.count(RECORD) == 2


def test_two_enis_in_one_place_for_ever_end_the_read(stub: Stub) -> None:
    """Two ENIs would get one routing table."""
    stub.put_eni(THIRD, eni_keys(1, interface_id="eni-other"))
    with pytest.raises(ImdsError) as caught:
        read(stub.url)
    assert "eni-0001" in str(caught.value)
    assert "eni-other" in str(caught.value)
    assert "same network card and device number" in str(caught.value)


def test_the_primary_has_to_be_listed(stub: Stub) -> None:
    """Without it the list is of another moment, or of another host."""
    stub.leaves["mac"] = "0a:ff:ff:ff:ff:ff"
    with pytest.raises(ImdsError) as caught:
        read(stub.url)
    # The ENI that says 0/0 is then not the primary, which is seen first.
    assert "which is the primary ENI's place" in str(caught.value)
    stub.put_eni(PRIMARY, eni_keys(3))
    with pytest.raises(ImdsError) as caught:
        read(stub.url)
    assert "does not list the primary ENI's MAC 0a:ff" in str(caught.value)
    assert f"(listed: {SECONDARY}, {PRIMARY})" in str(caught.value)


def test_a_primary_that_is_listed_late_is_waited_for(stub: Stub) -> None:
    """The listing may be behind the rest."""
    stub.drop_eni(PRIMARY)
    stub.fail(
        LISTING,
        *[first(lambda: None)] * 2,
        first(lambda: stub.put_eni(PRIMARY, eni_keys(0))),
    )
    assert places(read(stub.url)) == [(0, 0, PRIMARY), (0, 1, SECONDARY)]


def test_a_primary_without_any_address_ends_the_read(stub: Stub) -> None:
    """EFA-only interfaces are never the primary."""
    stub.put_eni(PRIMARY, eni_keys(0, local_ipv4s=None))
    with pytest.raises(ImdsError, match="the primary, has no address"):
        read(stub.url)


def test_an_eni_attached_during_the_read_is_in_the_answer(
    stub: Stub,
) -> None:
    """The listing is read again at the end."""
    attach = first(lambda: stub.put_eni(THIRD, eni_keys(2)))
    stub.fail(RECORD + "interface-id", attach)
    assert places(read(stub.url))[2:] == [(0, 2, THIRD)]
    # All of it is read again: what else changed is not known.
    assert stub.count(FIRST_RECORD) == 2


def test_an_eni_detached_during_the_read_is_not_in_the_answer(
    stub: Stub,
) -> None:
    """Half of its record was read; the next try does not list it."""
    detach = first(lambda: stub.drop_eni(SECONDARY))
    stub.fail(RECORD + "interface-id", detach)
    assert places(read(stub.url)) == [(0, 0, PRIMARY)]


def test_an_eni_detached_after_its_record_is_not_in_the_answer(
    stub: Stub,
) -> None:
    """The second listing shows that it is gone."""
    detach = first(lambda: stub.drop_eni(SECONDARY))
    stub.fail(LISTING, first(lambda: None), detach)
    assert places(read(stub.url)) == [(0, 0, PRIMARY)]


def test_a_listing_that_never_settles_ends_the_read(stub: Stub) -> None:
    """Starting over is bounded."""

    def flip() -> None:
        if stub.lookup(f"{MACS}{THIRD}/"):
            stub.drop_eni(THIRD)
        else:
            stub.put_eni(THIRD, eni_keys(2))

    stub.fail_always(LISTING, first(flip))
    with pytest.raises(ImdsError, match=f"{MACS} changed while it was read"):
        read(stub.url)
