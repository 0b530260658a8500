# SPDX-License-Identifier: Apache-2.0
"""What is kept in another shape counts as never written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cc_multihome import history, state
from cc_multihome.apply import host as apply_host
from cc_multihome.apply import lock
from cc_multihome.cli import core
from cc_multihome.cli.main import main
from cc_multihome.discover.imds_tree import tree_of
from tests.unit.builders import SEED_KEY, instance, plan_for
from tests.unit.cli_host import record

PROVED = {
    "fingerprint": "ab12",
    "key": SEED_KEY,
    "metadata": tree_of(instance()),
    "leases": {},
}
FAILED: dict[str, Any] = {
    "time": "2026-11-24T03:00:00Z",
    "input": "ab12",
    "earlier": [],
    "error": "no route",
    "plan": None,
    "kernel": None,
}
LEVEL = {"level": "kernel", "state": "ok", "seconds": 1, "details": []}
VALUES: dict[str, dict[str, Any]] = {
    state.STATUS: record(plan_for()),
    state.KEPT: PROVED,
    state.PREVIOUS: PROVED,
    state.FAILED: FAILED,
    state.ATTEMPT: {"input": "ab12", "plan": {}},
}


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep all in a folder of the test."""
    monkeypatch.setattr(state, "STATE", tmp_path / "var")
    monkeypatch.setattr(state, "RUN", tmp_path / "run")
    monkeypatch.setattr(lock, "LOCK", tmp_path / "run/lock")
    monkeypatch.setattr(apply_host, "ROOT", tmp_path / "root")
    (tmp_path / "var").mkdir()
    return tmp_path / "var"


@pytest.mark.parametrize("name", VALUES)
def test_what_is_kept_is_read(name: str) -> None:
    """As it was written."""
    state.save(name, VALUES[name])
    assert state.load(name) == json.loads(json.dumps(VALUES[name]))


@pytest.mark.parametrize(
    "text",
    [
        *("5", "[1]", "[]", '"x"', "true", "null", "{}", '{"version": 1}'),
        pytest.param("[" * 100_000, id="deep"),
    ],
)
@pytest.mark.parametrize("name", VALUES)
def test_another_shape_counts_as_never_written(
    folder: Path, name: str, text: str
) -> None:
    """Whoever reads it finds nothing, and no mistake of this package."""
    (folder / name).write_text(text)
    assert state.load(name, "absent") == "absent"
    assert state.read_status() is None
    assert history.read_kept() is None
    assert core.in_force(state.read_status()).plan is None


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (name, key)
        for name, value in VALUES.items()
        for key in value
        if key not in ("version", "kernel", "failed", "key")
    ],
)
def test_a_key_of_another_type_is_another_shape(name: str, key: str) -> None:
    """As one that is missing."""
    other = "x" if key == "seconds" else 5
    state.save(name, {**VALUES[name], key: other})
    assert state.load(name) is None
    value = {it: VALUES[name][it] for it in VALUES[name] if it != key}
    state.save(name, value)
    assert state.load(name) is None


@pytest.mark.parametrize(
    "level", [5, {}, {**LEVEL, "details": None}, {**LEVEL, "seconds": "1"}]
)
def test_a_level_of_another_shape_is_one_of_the_record(level: object) -> None:
    """`status` shows them in one line."""
    state.save(state.STATUS, record(None, verification=[LEVEL]))
    assert state.load(state.STATUS) is not None
    state.save(state.STATUS, record(None, verification=[LEVEL, level]))
    assert state.load(state.STATUS) is None


@pytest.mark.parametrize("text", ["5", "[1]", '"x"', '{"version": 1}'])
def test_the_verbs_find_nothing_in_a_damaged_record(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    text: str,
) -> None:
    """Exit status 3, as before the first run."""
    monkeypatch.setattr(apply_host, "own_files", lambda: ())
    (folder / state.STATUS).write_text(text)
    (folder / state.FAILED).write_text(text)
    for argv in (["status"], ["explain", "192.0.2.1"], ["diagram"]):
        assert main(argv) == 3
        assert "internal error" not in capsys.readouterr().err


def test_metadata_of_another_shape_was_never_kept() -> None:
    """After a failed run the kept plan is asked for."""
    state.set_active("boot")
    state.save(state.KEPT, {**PROVED, "metadata": 5})
    failed = record(None, error="no")
    assert core.in_force(failed) == core.InForce("boot", None)
