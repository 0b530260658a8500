# SPDX-License-Identifier: Apache-2.0
"""What cannot have gone is not taken for gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cc_multihome.discover.imds_whole import require_whole
from cc_multihome.errors import ImdsError
from cc_multihome.model import Eni
from tests.unit.builders import eni, instance, links_of, with_ipv6

BOTH = with_ipv6(eni(1))
ONLY_IPV6 = replace(BOTH, local_ipv4s=(), subnet_ipv4s=())
NONE = replace(ONLY_IPV6, ipv6s=(), subnet_ipv6s=())


def require(now: Eni, before: Eni) -> None:
    """Compare an instance's second ENI with what it was."""
    host = instance(eni(0), now)
    require_whole(host, instance(eni(0), before), links_of(host))


@pytest.mark.parametrize(
    ("now", "before"),
    [
        pytest.param(ONLY_IPV6, BOTH, id="the primary IPv4 address"),
        pytest.param(NONE, BOTH, id="all of both families"),
        pytest.param(NONE, ONLY_IPV6, id="all of IPv6 alone"),
    ],
)
def test_an_eni_that_had_an_address_has_one(now: Eni, before: Eni) -> None:
    """It does not become an EFA-only interface."""
    with pytest.raises(ImdsError) as caught:
        require(now, before)
    assert before.eni_id in str(caught.value)
    assert "nothing was changed" in str(caught.value)


def test_of_one_that_is_left_alone_nothing_is_asked_but_ipv4() -> None:
    """Else the remedy that the error names would be none."""
    host = instance(eni(0), NONE)
    before = instance(eni(0), ONLY_IPV6)
    require_whole(host, before, links_of(host), left_alone={NONE.mac})


@pytest.mark.parametrize(
    ("now", "before"),
    [
        pytest.param(eni(1), BOTH, id="IPv6 unassigned, IPv4 stays"),
        pytest.param(NONE, NONE, id="EFA-only as ever"),
        pytest.param(BOTH, NONE, id="the first address came"),
    ],
)
def test_what_can_come_and_go_does(now: Eni, before: Eni) -> None:
    """EC2 lets IPv6 addresses be unassigned at run time."""
    require(now, before)
