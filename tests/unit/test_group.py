# SPDX-License-Identifier: Apache-2.0
"""Links come back to their former device group."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cc_multihome.apply import group
from cc_multihome.apply.checkpoint import Checkpoint
from cc_multihome.apply.rollback import undo_journal
from cc_multihome.errors import ApplyError
from cc_multihome.numbers import ENI_IFGROUP
from tests.unit.builders import plan_for
from tests.unit.fake_host import FakeHost

OURS = str(ENI_IFGROUP)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """A host whose links are in group 7."""
    made = FakeHost(tmp_path, plan_for())
    made.use(monkeypatch)
    for name in made.links:
        made.put(f"sys/class/net/{name}/netdev_group", "7\n")
    return made


def networkd_sets_the_group(host: FakeHost) -> None:
    """Do what networkd does."""
    for name in host.links:
        host.put(f"sys/class/net/{name}/netdev_group", f"{OURS}\n")


def groups_set(host: FakeHost) -> list[str]:
    """Return the commands that put links into a group."""
    return [call for call in host.calls if " group " in call]


def test_a_failed_apply_puts_the_links_back(host: FakeHost) -> None:
    """After networkd has read the former files: it may still be at it."""
    first = host.links[0]
    with pytest.raises(ValueError, match="broken"), Checkpoint() as point:
        group.remember_groups(host.links, point)
        networkd_sets_the_group(host)
        raise ValueError("broken")
    assert f"ip link set dev {first} group 7" in groups_set(host)


def test_a_link_that_is_in_its_group_is_left_alone(host: FakeHost) -> None:
    """No command is started for it."""
    with pytest.raises(ValueError, match="broken"), Checkpoint() as point:
        group.remember_groups(host.links, point)
        raise ValueError("broken")
    assert [] == groups_set(host)


def test_another_process_does_it_from_the_journal(host: FakeHost) -> None:
    """The one that wrote it was killed; one link is gone since."""
    journal = host.root / "journal"
    point = Checkpoint(journal)
    group.remember_groups(host.links, point)
    networkd_sets_the_group(host)
    gone = host.links.pop()
    assert undo_journal(journal)
    assert [f"ip link set dev {host.links[0]} group 7"] == groups_set(host)
    assert gone not in " ".join(groups_set(host))


def test_a_failed_apply_does_it_last(
    host: FakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    """Only then has networkd read the former files, which name no group."""
    caplog.set_level(logging.INFO)
    host.failing = {"networkctl reload": 1}
    with pytest.raises(ApplyError, match="former state"):
        host.apply()
    steps = [text for text in caplog.messages if text.startswith("undoing: ")]
    last = [f"undoing: put link {n} back into group 7" for n in (2, 1)]
    seen = steps[-4:-1]
    assert ["undoing: let networkd read the former files", *last] == seen
