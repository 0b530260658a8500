# SPDX-License-Identifier: Apache-2.0
"""Routes that networkd has learned go with the file that asked for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cc_multihome.apply import learned
from cc_multihome.apply.learned import DropLearned, Learned
from cc_multihome.apply.rollback import KINDS
from cc_multihome.errors import ApplyError
from cc_multihome.model import LEARNED, Plan
from cc_multihome.render.networkd import drop_in, learned_routes
from tests.unit.builders import eni, instance, plan_for, planned, with_ipv6
from tests.unit.fake_host import FakeHost

TO = "2001:db8:f::14"
DESTINATION = (f"{TO}/128", 30999)
MAIN = ("::/0", 254)


def host_plan(via: str | None, default: str = "ens6") -> Plan:
    """Make the plan of a host with two ENIs, both with IPv6.

    Args:
        via: by which of them a destination goes, None: it has none.
    """
    policy = [{"to": [TO], "via": via}] if via else []
    enis = with_ipv6(eni(0)), with_ipv6(eni(1))
    return plan_for({"policy": policy, "default": default}, instance(*enis))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """A host that sends the destination by ens6."""
    made = FakeHost(tmp_path, host_plan("ens6"))
    made.use(monkeypatch)
    monkeypatch.setattr("time.sleep", lambda _: None)
    made.apply()
    made.calls.clear()
    return made


def deleted(host: FakeHost) -> list[Learned]:
    """Return what was deleted, in order."""
    begin = "ip -6 route del "
    words = (it.split() for it in host.calls if it.startswith(begin))
    return [(it[6], it[4], int(it[8])) for it in words]


def test_a_drop_in_tells_them_again() -> None:
    """All that it has by a learned router, and nothing else."""
    for item in host_plan("ens6").interfaces:
        assert learned_routes(drop_in(item, 7)) == {
            (str(route.to), route.table)
            for route in item.routes
            if route.via == LEARNED
        }
    assert frozenset() == learned_routes(drop_in(planned("ens5"), None))


@pytest.mark.parametrize(
    ("wanted", "gone"),
    [
        pytest.param(host_plan("ens5"), [("ens6", *DESTINATION)], id="moved"),
        pytest.param(host_plan(None), [("ens6", *DESTINATION)], id="left out"),
        pytest.param(
            host_plan("ens6", "ens5"), [("ens6", *MAIN)], id="the default"
        ),
    ],
)
def test_what_no_file_asks_for_is_deleted(
    host: FakeHost, wanted: Plan, gone: list[Learned]
) -> None:
    """networkd keeps it for half an hour, beside what is planned."""
    host.outdated = {*gone, ("ens6", "2001:db8:9::/48", 7)}
    host.plan = wanted
    assert host.apply()
    assert gone == deleted(host)


def test_one_that_networkd_sets_again_is_deleted_again(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had not come to the link yet; until it has, and no longer."""
    host.outdated = {("ens6", *DESTINATION)}
    busy = iter([True, True, False])
    monkeypatch.setattr(learned, "is_busy", lambda _: next(busy))
    host.plan = host_plan("ens5")
    host.apply()
    assert 3 == len(deleted(host))


def test_what_networkd_has_dropped_itself_is_not_missed(
    host: FakeHost,
) -> None:
    """As that of systemd 252 does; or it goes in between."""
    host.plan = host_plan("ens5")
    host.apply()
    assert [] == deleted(host)
    host.outdated = {("ens5", *DESTINATION)}
    host.failing = {"ip -6 route del": 1}
    host.plan = host_plan("ens6")
    assert host.apply()


def test_the_former_one_stays_until_the_new_one_is_there(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else there was no default for a moment; it does not wait for ever."""
    waited: list[float] = []
    host.plan, host.heeds = host_plan("ens6", "ens5"), False

    def sleep(seconds: float) -> None:
        assert [] == deleted(host)
        waited.append(seconds)
        if len(waited) == 3:
            host.heeds = True
            host.run(["networkctl", "reload"])

    monkeypatch.setattr("time.sleep", sleep)
    host.outdated = {("ens6", *MAIN)}
    assert host.apply()
    assert (3, [("ens6", *MAIN)]) == (len(waited), deleted(host))

    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(learned, "MOST_S", 0.0)
    host.plan, host.heeds = host_plan("ens6"), False
    with pytest.raises(ApplyError):
        host.apply()


def test_what_a_failed_plan_asked_for_is_deleted_too(host: FakeHost) -> None:
    """Once the former files are in force again; the journal has it."""
    host.outdated = {("ens5", *DESTINATION)}
    host.plan, host.heeds = host_plan("ens5"), False
    with pytest.raises(ApplyError, match="former state was put back"):
        host.apply()
    assert ("ens5", *DESTINATION) == deleted(host)[-1]
    gone = f"ip -6 route del {TO}/128 dev ens5 table 30999 proto 9"
    last = [it for it in host.calls if it in (gone, "networkctl reload")]
    assert ["networkctl reload", gone] == last[-2:]


def test_cloud_inits_own_default_in_main_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there was no plan before, it is what the link comes back to."""
    host = FakeHost(tmp_path, host_plan("ens6"))
    host.use(monkeypatch)
    host.outdated = {("ens6", *MAIN), ("ens6", "::/0", 31001)}
    host.heeds = False
    with pytest.raises(ApplyError):
        host.apply()
    assert [("ens6", "::/0", 31001)] == deleted(host)


def test_the_journal_has_it() -> None:
    """So another process can do it."""
    step = DropLearned.of({("ens6", *MAIN)})
    fields = json.loads(json.dumps(step.as_dict()))
    assert step == KINDS[fields.pop("kind")](**fields)
    assert "drop 1 route" in step.label


def test_routes_are_read_by_their_protocol(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What an administrator or networkd's files said is not learned."""
    asked: list[tuple[str, ...]] = []

    def show(*words: str) -> list[dict[str, object]]:
        asked.append(words)
        return [
            {"dst": "default", "gateway": "fe80::1", "dev": "a"},
            {"dst": TO, "gateway": "fe80::1", "dev": "b", "table": "30999"},
        ]

    monkeypatch.setattr(learned, "ip_json", show)
    assert {("a", *MAIN), ("b", *DESTINATION)} == learned.read_learned()
    assert ("proto", "9") == asked[0][-2:]
