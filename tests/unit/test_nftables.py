# SPDX-License-Identifier: Apache-2.0
"""The table of connection marks; a real kernel takes it in tests/netns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cc_multihome.apply import nftables
from cc_multihome.apply.checkpoint import Checkpoint
from cc_multihome.apply.rollback import KINDS
from cc_multihome.discover.pinning import read_lacks
from cc_multihome.errors import CommandError
from cc_multihome.render.nftables import PRIORITY, table, wanted_comments
from cc_multihome.run import RUN_ENV
from tests.unit.builders import SEED_KEY, FakeRun, plan_for

PLAN = plan_for({**SEED_KEY, "containers": True})
WITHOUT = plan_for()
TEXT = table(PLAN) or ""
AWAY = "table inet multihome\ndelete table inet multihome\n"


class FakeNft(FakeRun):
    """An nft that notes what it is given to read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def __call__(self, argv: object, *, stdin: str = "", **_: object) -> str:
        """Take a command."""
        if stdin:
            self.read.append(stdin)
        return super().__call__(argv)  # type: ignore[arg-type]

    def shows(self, comments: list[str], priority: int = PRIORITY) -> None:
        """Have a table with rules of these comments."""
        items = [
            {"chain": {"prio": priority}},
            *({"rule": {"comment": each}} for each in comments),
        ]
        self.outputs = {"nft -j list": json.dumps({"nftables": items})}


@pytest.fixture
def nft(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeNft:
    """A host whose nftables has no table of ours."""
    fake = FakeNft()
    monkeypatch.setattr(nftables, "run", fake)
    monkeypatch.setattr(nftables, "ROOT", tmp_path)
    (tmp_path / nftables.IN_FORCE).parent.mkdir(parents=True)
    fake.outputs = {"nft -j list": CommandError("No such file")}
    return fake


def in_force() -> Path:
    """Where the table is written down."""
    return nftables.ROOT / nftables.IN_FORCE


def test_each_eni_marks_its_connections_and_their_replies() -> None:
    """Golden: other bits stay, and what ENIs bring is never a reply."""
    rules = [line.rpartition(" comment ")[0].strip() for line in lines()]
    others = 'iifname != { "private", "public" } ct direction reply ct mark'
    keep = "mark and 0xffffef80 or"
    assert rules == [
        f'iifname "private" ct state new ct mark set ct {keep} 0x1001',
        f'iifname "public" ct state new ct mark set ct {keep} 0x1002',
        f"{others} and 0x107f == 0x1001 meta mark set meta {keep} 0x1001",
        f"{others} and 0x107f == 0x1002 meta mark set meta {keep} 0x1002",
    ]


def lines() -> list[str]:
    """Return the lines that are rules."""
    return [line for line in TEXT.splitlines() if " comment " in line]


def test_every_eni_has_a_rule_on_its_mark() -> None:
    """Of forwarded packets: without iif."""
    marked = [it for it in PLAN.rules() if it.fwmark is not None]
    assert [(it.fwmark, it.table, it.iif) for it in marked] == [
        (0x1001, 10, None),
        (0x1002, 20, None),
    ]


def test_without_the_key_there_is_no_table() -> None:
    """Nor a mark."""
    assert table(WITHOUT) is None
    assert {item.mark for item in WITHOUT.interfaces} == {None}


def test_comments_differ_when_a_rule_does() -> None:
    """By them a change is seen."""
    other = replace(PLAN, interfaces=PLAN.interfaces[:1])
    assert not set(wanted_comments(other)) & set(wanted_comments(PLAN))
    assert [line.split('"')[-2] for line in lines()] == wanted_comments(PLAN)


def test_a_host_without_the_key_does_not_ask_nftables(nft: FakeNft) -> None:
    """It need not have it."""
    assert nftables.find_table_change(WITHOUT) is None
    nftables.restore_table()
    assert [] == nft.calls


@pytest.mark.touches("files")
def test_a_table_is_made_kept_and_taken_away(nft: FakeNft) -> None:
    """In one step each."""
    made = nftables.find_table_change(PLAN)
    assert made == nftables.TableChange(TEXT)
    with Checkpoint() as checkpoint:
        nftables.apply_table(made, checkpoint)
    nft.shows(wanted_comments(PLAN))
    assert nftables.find_table_change(PLAN) is None
    gone = nftables.find_table_change(WITHOUT)
    assert gone == nftables.TableChange(None)
    with Checkpoint() as checkpoint:
        nftables.apply_table(gone, checkpoint)
    assert nftables.find_table_change(WITHOUT) is None
    assert nft.read == [AWAY + TEXT, AWAY]


@pytest.mark.touches("files")
@pytest.mark.parametrize(
    ("comments", "priority"),
    [
        pytest.param([], PRIORITY, id="flushed"),
        pytest.param(wanted_comments(PLAN)[1:], PRIORITY, id="a rule less"),
        pytest.param(wanted_comments(PLAN), 0, id="another chain"),
    ],
)
def test_what_others_did_to_the_table_is_found(
    nft: FakeNft, comments: list[str], priority: int
) -> None:
    """At the next run."""
    in_force().write_text(TEXT)
    nft.shows(comments, priority)
    assert nftables.find_table_change(PLAN) == nftables.TableChange(TEXT)


@pytest.mark.touches("files")
def test_a_failed_run_puts_the_former_table_back(nft: FakeNft) -> None:
    """By the journal, too: it is plain data."""
    in_force().write_text("former\n")
    with pytest.raises(KeyError), Checkpoint() as checkpoint:
        nftables.apply_table(nftables.TableChange(TEXT), checkpoint)
        raise KeyError("something later")
    assert nft.read[-1] == f"{AWAY}former\n"
    assert in_force().read_text() == "former\n"
    undo = nftables.PutTableBack("former\n")
    fields = json.loads(json.dumps(undo.as_dict()))
    assert KINDS[fields.pop("kind")](**fields) == undo


@pytest.mark.touches("files")
def test_restore_takes_the_table_away(nft: FakeNft) -> None:
    """Once."""
    in_force().write_text(TEXT)
    nftables.restore_table()
    nftables.restore_table()
    assert nft.read == [AWAY]


def test_a_host_without_nft_is_told_by_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only where it is needed."""
    monkeypatch.setitem(RUN_ENV, "PATH", "/nowhere")
    lacks = read_lacks(services=False, containers=True)
    assert "package nftables" in lacks["containers"]
    assert {} == read_lacks(services=False, containers=False)
