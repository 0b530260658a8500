# SPDX-License-Identifier: Apache-2.0
"""Nobody says that the former state is back before it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cc_multihome.apply import former
from cc_multihome.apply.former import AwaitAddresses
from cc_multihome.apply.rollback import KINDS
from cc_multihome.errors import ApplyError, RollbackError
from cc_multihome.model import Observed
from tests.unit.builders import observed_of, plan, plan_for
from tests.unit.fake_host import FakeHost

BARE = observed_of(plan())


def before(host: FakeHost) -> Observed:
    """Return the kernel with the addresses that DHCP gave."""
    addresses = frozenset(
        (item.ifname, address)
        for item in host.plan.interfaces
        for address in item.addresses
    )
    return replace(BARE, addresses=addresses)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """The seed's host, with addresses."""
    made = FakeHost(tmp_path, plan_for())
    made.use(monkeypatch)
    made.kernel = before(made)
    made.heeds = False
    return made


def test_it_waits_for_the_addresses(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may have to come by DHCP."""
    step = AwaitAddresses.of(host.plan)
    kernels = iter([BARE, BARE, before(host)])
    monkeypatch.setattr(former, "read_kernel", lambda: next(kernels))
    monkeypatch.setattr("time.sleep", lambda _: None)
    step.run()
    assert [] == list(kernels)


def test_what_does_not_come_back_is_told(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the link that lacks it; and the timer tries once more."""
    monkeypatch.setattr(former, "BACK_TIMEOUT_S", 0.0)
    lost = ("ens6", *[a for n, a in host.kernel.addresses if n == "ens6"])
    kernels = iter([host.kernel])
    rest = replace(host.kernel, addresses=host.kernel.addresses - {lost})
    monkeypatch.setattr(former, "read_kernel", lambda: next(kernels, rest))
    with pytest.raises(RollbackError, match=r"10.224.186.43/26 on ens6 did"):
        host.apply()
    assert host.armed


def test_a_link_that_is_gone_is_not_waited_for(host: FakeHost) -> None:
    """Its ENI was detached."""
    step = AwaitAddresses.of(host.plan)
    host.kernel = BARE
    host.links.clear()
    step.run()


def test_a_host_that_is_as_before_says_so(host: FakeHost) -> None:
    """At once."""
    with pytest.raises(ApplyError, match="former state was put back"):
        host.apply()
    assert not host.armed


def test_it_comes_through_the_journal(host: FakeHost) -> None:
    """Another process does it when this one was killed."""
    step = AwaitAddresses.of(host.plan)
    assert ["ens5", "10.224.184.51/26"] in step.addresses
    fields = json.loads(json.dumps(step.as_dict()))
    assert step == KINDS[fields.pop("kind")](**fields)
