# SPDX-License-Identifier: Apache-2.0
"""Waiting ends with the plan in the kernel, or with an error that says all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

import pytest

from cc_multihome.apply import verify
from cc_multihome.apply.verify import (
    DETECTION_TIMEOUT_S,
    VERIFY_INTERVAL_S,
    read_settled,
    unselected,
    wait_until_converged,
)
from cc_multihome.discover import networkd
from cc_multihome.errors import VerifyError
from cc_multihome.model import Observed, Plan
from tests.unit.builders import (
    address,
    eni,
    instance,
    observed_of,
    plan_for,
    rule,
    with_ipv6,
)

PLAN = plan_for()
READY = observed_of(PLAN)
BARE = replace(
    READY,
    addresses=frozenset(),
    rules=frozenset({rule(0, 255), rule(32766, 254), rule(32767, 253)}),
)


RECORD = (
    "# This is private data. Do not parse.\n"
    "ADMIN_STATE={state}\n{file}OPER_STATE=routable\n"
)


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """networkd's records of the links: it took netplan's file for each."""
    monkeypatch.setattr(verify, "if_nametoindex", len)
    monkeypatch.setattr(networkd, "LINK_STATES", tmp_path)
    for item in PLAN.interfaces:
        taken = f"/run/systemd/network/10-netplan-{item.netdef_id}.network"
        put_record(tmp_path, item.name, taken)
    return tmp_path


def put_record(folder: Path, name: str, taken: str | None) -> None:
    """Write one, by the length of the name, which stands for its index."""
    file = f"NETWORK_FILE={taken}\n" if taken else ""
    state = "configured" if taken else "unmanaged"
    (folder / str(len(name))).write_text(RECORD.format(state=state, file=file))


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        pytest.param(
            "/etc/systemd/network/05-site.network",
            "networkd took /etc/systemd/network/05-site.network for private"
            " and not 10-netplan-ens5.network",
            id="another",
        ),
        pytest.param(
            None,
            "networkd took no file for private and not"
            " 10-netplan-ens5.network",
            id="none",
        ),
    ],
)
def test_the_file_that_networkd_took_has_to_be_netplans(
    records: Path, taken: str | None, told: str
) -> None:
    """Also where the kernel still holds all of the plan."""
    put_record(records, "private", taken)
    assert (told,) == unselected(PLAN)
    with pytest.raises(VerifyError, match=re.escape(told)):
        wait(READY)


def test_a_link_without_a_record_is_in_nobodys_hands(records: Path) -> None:
    """networkd does not run, or does not know it."""
    (records / str(len("private"))).unlink()
    assert "no file for private" in "".join(unselected(PLAN))


class Clock:
    """Time that passes only in sleep()."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        """Return the time, in seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.sleeps.append(seconds)
        self.now += seconds


def wait(
    *readings: Observed, timeout: float = 1.0, plan: Plan = PLAN
) -> Clock:
    """Wait while the kernel goes through these states; stay at the last."""
    clock = Clock()
    states: Iterator[Observed] = iter(readings[:-1])
    wait_until_converged(
        plan,
        read=lambda: next(states, readings[-1]),
        timeout=timeout,
        clock=clock,
        sleep=clock.sleep,
    )
    return clock


def test_a_kernel_that_is_ready_is_not_waited_for() -> None:
    """The second run of a boot takes no time."""
    assert wait(READY).sleeps == []


def test_a_kernel_that_becomes_ready_is_waited_for() -> None:
    """networkd works on its own time."""
    assert wait(BARE, BARE, READY).sleeps == [VERIFY_INTERVAL_S] * 2


def test_an_address_in_doubt_is_waited_for_and_not_for_ever() -> None:
    """What is planned alone: one of a device without a carrier stays so."""
    plan = plan_for({}, instance(with_ipv6(eni(0)), with_ipv6(eni(1))))
    ready = observed_of(plan)
    mine = {it for it in ready.addresses if it[1].version == 6}
    others = frozenset({("docker0", ip_interface("fd00:d0c::1/64"))})
    doubtful = replace(
        ready,
        addresses=ready.addresses - mine,
        tentative=frozenset(mine) | others,
    )
    settled = replace(ready, tentative=others)

    def read(*readings: Observed) -> tuple[Observed, float]:
        clock, states = Clock(), iter(readings[:-1])
        found = read_settled(
            plan,
            read=lambda: next(states, readings[-1]),
            clock=clock,
            sleep=clock.sleep,
        )
        return found, clock.now

    assert (settled, 0.0) == read(settled)
    assert (settled, VERIFY_INTERVAL_S) == read(doubtful, settled)
    assert (doubtful, DETECTION_TIMEOUT_S) == read(doubtful)


def test_a_router_that_does_not_advertise_itself_is_named() -> None:
    """IPv6 has no way out without; a route that was deleted is another."""
    host = instance(with_ipv6(eni(0)), with_ipv6(eni(1)))
    plan = plan_for({}, host)
    ready = observed_of(plan)
    learned = {it for it in ready.routes if it[1].via == address("fe80::1")}
    with pytest.raises(VerifyError) as caught:
        wait(replace(ready, routes=ready.routes - learned), plan=plan)
    said = str(caught.value)
    assert "No route by a learned router on ens5, ens6: does" in said
    assert "  route ::/0 via _ipv6ra dev ens6 table 31001 is missing\n" in said
    (main,) = (it for it in learned if it[1].table == 254)
    with pytest.raises(VerifyError) as caught:
        wait(replace(ready, routes=ready.routes - {main}), plan=plan)
    assert "learned router" not in str(caught.value)


def test_even_without_time_the_kernel_is_read_once() -> None:
    """A retry loop runs at least once."""
    assert wait(READY, timeout=0).sleeps == []
    with pytest.raises(VerifyError):
        wait(BARE, timeout=0)


def test_the_kernel_is_read_once_more_when_the_time_is_up() -> None:
    """The last answer decides, not the last but one."""
    readings = [BARE] * 4 + [READY]
    assert wait(*readings, timeout=4 * VERIFY_INTERVAL_S).now == 1.0


def test_the_wait_ends_in_an_error_that_says_wanted_and_seen() -> None:
    """And how long it was."""
    with pytest.raises(VerifyError) as caught:
        wait(BARE, timeout=2.0)
    text = str(caught.value)
    for part in (
        "after 2 s",
        "address 10.224.184.51/26 on private is missing",
        "rule 31101: from 10.224.186.43 lookup 20 is missing",
        "Seen instead: rules 0: from all lookup 255, 32766: from",
    ):
        assert part in text


def test_the_error_shows_what_is_there_instead() -> None:
    """A rule with another table, an address on another device."""
    wrong = replace(
        READY,
        rules=READY.rules - {PLAN.rules()[1]} | {rule(31100, 77)},
    )
    with pytest.raises(VerifyError) as caught:
        wait(wrong)
    assert "31100: from all lookup 77" in str(caught.value)
    assert "private 10.224.184.51/26" in str(caught.value)


def test_the_wait_ends_when_its_time_is_up() -> None:
    """Not much later: a boot waits for it."""
    clock = Clock()
    with pytest.raises(VerifyError):
        wait_until_converged(
            PLAN,
            read=lambda: BARE,
            timeout=2.0,
            clock=clock,
            sleep=clock.sleep,
        )
    assert clock.now == 2.0


def test_a_kernel_that_cannot_be_read_is_an_error_of_its_own() -> None:
    """It is not taken for one that holds nothing."""

    def fail() -> Observed:
        raise OSError("no ip")

    with pytest.raises(OSError, match="no ip"):
        wait_until_converged(PLAN, read=fail, timeout=1.0)
