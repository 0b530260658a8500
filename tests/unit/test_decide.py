# SPDX-License-Identifier: Apache-2.0
"""Everything is read, then decided."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cc_multihome import decide as pipeline
from cc_multihome.decide import decide, read_systemd_version
from cc_multihome.discover.imds_tree import instance_from_tree, tree_of
from cc_multihome.discover.links import HostLinks
from cc_multihome.discover.netplan_rules import NetplanRouting
from cc_multihome.errors import ApplyError, ConfigError, ImdsError
from cc_multihome.model import Instance
from tests.unit.builders import (
    PRIVATE_MAC,
    SEED_KEY,
    FakeRun,
    instance,
    links_of,
    netplan_file,
    plan_for,
    seed_enis,
    with_ipv6,
)

SEED_FILE = netplan_file(
    "50-cloud-init.yaml", {"ens5": {"match": {"macaddress": PRIVATE_MAC}}}
)


class World:
    """What decide() reads.

    Attributes:
        asked: how often the metadata service was.
        netdef_ids: what the links were read with.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.host = instance()
        self.netdef_ids: dict[str, str] = {}
        self.others: frozenset[str] = frozenset()
        self.version = FakeRun(networkctl="systemd 257 (257.7-1)\n+PAM\n")
        patch.setattr(pipeline, "read_instance", self.read_instance)
        patch.setattr(pipeline, "read_links", self.read_links)
        patch.setattr(pipeline, "read_netplan_files", lambda: (SEED_FILE,))
        patch.setattr(pipeline, "read_own_overlay", lambda: ())
        patch.setattr(pipeline, "run", self.version)

    def read_instance(self, *, seen: Instance | None = None) -> Instance:
        """Ask the metadata service."""
        self.asked += 1
        if self.error:
            raise self.error
        return self.host

    def read_links(self, ids: dict[str, str]) -> HostLinks:
        """Read the devices."""
        self.netdef_ids = ids
        return HostLinks(links_of(self.host), self.others)

    def apply(self, patch: pytest.MonkeyPatch) -> None:
        """Have an overlay, as after a run."""
        ids = {
            f"ens{5 + index}": {"match": {"macaddress": eni.mac}}
            for index, eni in enumerate(self.host.enis)
        }
        own = netplan_file("55-multihome.yaml", ids)
        patch.setattr(pipeline, "read_own_overlay", lambda: (own,))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """The seed's host."""
    return World(monkeypatch)


def test_the_files_fit_the_plan(world: World) -> None:
    """cloud-init's file is among those that are shadowed."""
    decided = decide(SEED_KEY)
    assert decided is not None
    names = {file.path.name for file in decided.files}
    assert {"50-cloud-init.yaml", "55-multihome.yaml"} <= names


def test_links_are_read_with_the_ids_of_netplans_files(world: World) -> None:
    """A netdef keeps the id that cloud-init gave it."""
    decide(SEED_KEY)
    assert world.netdef_ids == {PRIVATE_MAC: "ens5"}


def test_the_own_overlays_ids_go_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are those that the host was first seen with."""
    match = {"match": {"macaddress": PRIVATE_MAC}}
    own = netplan_file("55-multihome.yaml", {"first": match})
    monkeypatch.setattr(pipeline, "read_own_overlay", lambda: (own,))
    decide(SEED_KEY)
    assert world.netdef_ids == {PRIVATE_MAC: "first"}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        pytest.param(False, ["ens5", "ens6"], id="first run"),
        pytest.param(True, ["ens5", "id1"], id="our own id"),
    ],
)
def test_an_id_that_is_no_name_does_not_become_one(
    world: World, monkeypatch: pytest.MonkeyPatch, own: bool, expected: Any
) -> None:
    """`id1: {match: ...}` is right for netplan, whatever the device's name.

    That of our own overlay is the name that the device had.
    """
    found = [
        replace(link, netdef_id=name)
        for link, name in zip(
            links_of(world.host), ("ens5", "id1"), strict=True
        )
    ]
    monkeypatch.setattr(
        pipeline,
        "read_links",
        lambda _: HostLinks(tuple(found), frozenset()),
    )
    if own:
        world.apply(monkeypatch)
    decided = decide({})
    assert decided is not None
    assert expected == [it.name for it in decided.plan.interfaces]
    assert expected == [it.netdef_id for it in decided.plan.interfaces]


def test_without_the_overlay_a_former_name_stays_the_id(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise `multihome restore` would not know it any more."""
    monkeypatch.setattr(
        pipeline, "former_names", lambda *_: {PRIVATE_MAC: "ens5"}
    )

    def renamed(ids: dict[str, str]) -> HostLinks:
        first, *others = links_of(world.host)
        first = replace(
            first, ifname="private", netdef_id=ids.get(PRIVATE_MAC)
        )
        return HostLinks((first, *others), frozenset())

    asked: list[Mapping[str, str]] = []

    def record(_: object, names: Mapping[str, str]) -> NetplanRouting:
        asked.append(names)
        return NetplanRouting()

    monkeypatch.setattr(pipeline, "read_links", renamed)
    monkeypatch.setattr(pipeline, "netplan_routing", record)
    decided = decide(SEED_KEY)
    assert decided
    assert decided.plan.interfaces[0].ifname == "private"
    assert decided.plan.interfaces[0].netdef_id == "ens5"
    # Files of others match it by that, also where it is released now.
    assert asked[0]["ens5"] == PRIVATE_MAC


def test_a_listing_without_an_eni_that_is_there_takes_nothing_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its tables nor its address; the key would allow it."""
    both = world.host
    ids = {eni.eni_id: {"match": {"macaddress": eni.mac}} for eni in both.enis}
    own = netplan_file("55-multihome.yaml", ids)
    monkeypatch.setattr(pipeline, "read_own_overlay", lambda: (own,))
    monkeypatch.setattr(
        pipeline,
        "read_links",
        lambda _: HostLinks(links_of(both), frozenset()),
    )
    world.host = replace(both, enis=both.enis[:1])
    with pytest.raises(ImdsError, match=both.enis[1].mac):
        decide({}, runtime=True)
    # One that was never managed is left alone, as ever.
    monkeypatch.setattr(pipeline, "read_own_overlay", lambda: ())
    assert decide({}, runtime=True) is not None


def test_an_eni_that_was_there_at_the_last_boot_cannot_be_unlisted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A boot has no overlay yet that would say so."""
    both = world.host
    monkeypatch.setattr(
        pipeline,
        "read_links",
        lambda _: HostLinks(links_of(both), frozenset()),
    )
    world.host = replace(both, enis=both.enis[:1])
    for key in ({}, SEED_KEY):
        with pytest.raises(ImdsError, match=both.enis[1].eni_id):
            decide(key, before=both)
    # It was detached, device and all; or this is another instance.
    monkeypatch.setattr(pipeline, "read_links", world.read_links)
    assert decide({}, before=both) is not None
    other = replace(both, instance_id="i-0eeeeeeeeeeeeeeee")
    monkeypatch.setattr(
        pipeline,
        "read_links",
        lambda _: HostLinks(links_of(both), frozenset()),
    )
    assert decide({}, before=other) is not None


@pytest.mark.parametrize("subnets", [True, False])
def test_an_eni_without_the_address_that_it_had_is_not_let_go(
    world: World, subnets: bool
) -> None:
    """It would be taken for one of EFA, and lose its table and rules."""
    before = world.host
    bare = replace(
        before.enis[1],
        local_ipv4s=(),
        subnet_ipv4s=before.enis[1].subnet_ipv4s if subnets else (),
    )
    world.host = replace(before, enis=(before.enis[0], bare))
    for key in ({}, SEED_KEY):
        with pytest.raises(ImdsError, match=r"10\.224\.186\.43"):
            decide(key, before=before, runtime=True)
    # One that never had any is EFA's.
    assert decide({}, before=world.host, runtime=True) is not None


def test_an_ipv6_only_eni_that_lost_all_can_be_left_alone(
    world: World,
) -> None:
    """As the error says; its last address can be unassigned on purpose."""
    first, second = map(with_ipv6, seed_enis())
    only = replace(second, local_ipv4s=(), subnet_ipv4s=())
    before = instance(first, only)
    bare = replace(only, ipv6s=(), subnet_ipv6s=())
    world.host = instance(first, bare)
    with pytest.raises(ImdsError, match="manage: false"):
        decide({}, before=before)
    entry = {"device_number": 1, "manage": False}
    key = {"interfaces": {"gone": entry}}
    assert decide(key, before=before) is not None


def test_false_does_nothing_and_asks_nobody(world: World) -> None:
    """The module is switched off."""
    assert decide(False) is None
    assert world.asked == 0


def test_a_wrong_key_applies_nothing(world: World) -> None:
    """All its mistakes at once, those of this host among them."""
    key = {
        **SEED_KEY,
        "default": "nowhere",
        "policy": [{"to": "10.0.0.1/8", "via": "private"}],
    }
    with pytest.raises(ConfigError) as caught:
        decide(key)
    paths = [problem.path for problem in caught.value.problems]
    assert "multihome.default" in paths
    assert any(path.startswith("multihome.policy[0].to") for path in paths)


def test_a_key_that_is_no_mapping_asks_nobody(world: World) -> None:
    """There is nothing to bind."""
    with pytest.raises(ConfigError):
        decide(["a list"])
    assert world.asked == 0


def test_a_name_of_another_device_is_refused(world: World) -> None:
    """The kernel would refuse it half-way."""
    world.others = frozenset({"private"})
    with pytest.raises(ConfigError, match=r"interfaces\.private"):
        decide(SEED_KEY)


def test_without_metadata_nothing_is_applied(world: World) -> None:
    """An error is never an empty answer."""
    world.error = ImdsError("no answer")
    with pytest.raises(ImdsError, match="no answer"):
        decide(SEED_KEY)


def test_without_metadata_mistakes_of_the_key_are_still_told(
    world: World,
) -> None:
    """The person can mend those."""
    world.error = ImdsError("no answer")
    with pytest.raises(ConfigError, match=r"policy\[0\]\.to"):
        decide({"policy": [{"to": "10.0.0.1/8", "via": "ens5"}]})


def test_an_old_systemd_is_told_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """What does not work then, too."""
    world.version.outputs = {"networkctl": "systemd 249 (249.11)\n"}
    with caplog.at_level(logging.WARNING):
        decided = decide(SEED_KEY)
    assert decided is not None
    assert decided.plan.ifgroup is None
    assert "older than 250" in caplog.text
    assert "containers" in caplog.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("systemd 252 (252.39-1~deb12u1)\n+PAM", 252, id="12"),
        pytest.param("systemd 257 (257.7-1)\n", 257, id="13"),
        pytest.param("systemd 262~rc1 (262~rc1-2)\n", 262, id="sid"),
    ],
)
def test_systemds_version_is_its_number(
    world: World, text: str, expected: int
) -> None:
    """As Debian and Ubuntu print it."""
    world.version.outputs = {"networkctl": text}
    assert read_systemd_version() == expected


def test_an_unknown_answer_of_networkctl_is_shown(world: World) -> None:
    """And not taken for an old version."""
    world.version.outputs = {"networkctl": "no idea\n"}
    with pytest.raises(ApplyError, match="no idea"):
        read_systemd_version()


def test_what_becomes_of_each_eni_is_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Name, ENI, table and addresses."""
    with caplog.at_level(logging.INFO):
        decide(SEED_KEY)
    for part in ("ens5", PRIVATE_MAC, "becomes private", "10.224.184.51/26"):
        assert part in caplog.text


def test_an_entry_whose_eni_was_detached_is_left_out_at_run_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At boot it is a mistake; later the ENI was there once."""
    key = {"interfaces": {"third": {"device_number": 7}}}
    with pytest.raises(ConfigError, match="third"):
        decide(key)
    # The timer does not apply what the boot has refused.
    with pytest.raises(ConfigError, match="third"):
        decide(key, runtime=True)
    world.apply(monkeypatch)
    decided = decide(key, runtime=True)
    assert decided is not None
    assert len(decided.plan.interfaces) == len(world.host.enis)


def test_what_refers_to_a_detached_eni_is_a_mistake(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its traffic should go is not for the module to say."""
    world.apply(monkeypatch)
    key = {
        "interfaces": {"third": {"device_number": 7}},
        "policy": [{"to": "192.0.2.1", "via": "third"}],
    }
    with pytest.raises(ConfigError, match="via"):
        decide(key, runtime=True)


def test_metadata_that_is_known_is_not_asked_for(world: World) -> None:
    """As at a boot from what was kept."""
    known = instance_from_tree(tree_of(world.host))
    assert known == world.host
    decided = decide(SEED_KEY, known=known)
    assert decided is not None
    assert decided.plan == plan_for()
    assert world.asked == 0


def test_the_fingerprint_is_that_of_the_content(world: World) -> None:
    """Same input, same fingerprint; another destination, another one."""
    first, again = decide(SEED_KEY), decide(SEED_KEY)
    other = decide({**SEED_KEY, "resolver": "keep"})
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_deciding_touches_nothing(world: World, tmp_path: Path) -> None:
    """`decide` is what `explain` will call."""
    decide(SEED_KEY)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("has_ipv6", [True, False])
def test_a_kernel_without_ipv6_is_asked_for_none(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    has_ipv6: bool,
) -> None:
    """IPv4 works on; what is kept of the metadata is whole."""
    world.host = instance(*map(with_ipv6, seed_enis()))
    monkeypatch.setattr(pipeline, "read_has_ipv6", lambda: has_ipv6)
    decided = decide(SEED_KEY)
    assert decided is not None
    assert decided.plan.has_ipv6() is has_ipv6
    assert ("no IPv6" in caplog.text) is not has_ipv6
    assert decided.instance == world.host
    if not has_ipv6:
        assert decided.plan == plan_for()
