# SPDX-License-Identifier: Apache-2.0
"""cloud-init's door: light to import, and called in two ways."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cc_multihome
from cc_multihome import handle, inherited, meta, state, triggers
from cc_multihome.errors import ConfigError
from tests.lab.host import REPO

# One line: what is loaded more than a bare interpreter has.
LOADED = (
    "import __future__, json, sys, typing; sys.path.insert(0, sys.argv[1]);"
    "before = set(sys.modules); import cc_multihome;"
    "print(json.dumps(sorted(set(sys.modules) - before)))"
)


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What on_boot() was called with."""
    calls: list[object] = []
    monkeypatch.setattr(triggers, "on_boot", calls.append)
    return calls


@pytest.mark.touches("programs")
def test_importing_the_package_imports_next_to_nothing() -> None:
    """An import error there takes down cloud-init's whole stage."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED, str(REPO)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == ["cc_multihome", "cc_multihome.version"]


def test_cloud_init_22_calls_by_position(configured: list[object]) -> None:
    """handle(name, cfg, cloud, log, args)."""
    handle("multihome", {"multihome": {}}, object(), object(), [])
    assert configured == [{}]


def test_cloud_init_23_and_later_calls_by_keyword(
    configured: list[object],
) -> None:
    """handle(name=, cfg=, cloud=, args=)."""
    arguments: dict[str, Any] = {
        "name": "multihome",
        "cfg": {"multihome": True},
        "cloud": object(),
        "args": [],
    }
    handle(**arguments)
    assert configured == [True]


def test_the_signature_is_not_taken_for_the_old_one() -> None:
    """cloud-init counts parameters: five are the form before 23.2."""
    assert len(inspect.signature(handle).parameters) != 5


@pytest.mark.parametrize(
    "value", [None, False, True, {}], ids=["nothing", "false", "true", "{}"]
)
def test_whatever_the_key_says_is_passed_on(
    configured: list[object], value: object
) -> None:
    """`multihome:` with nothing after it is a key, too."""
    handle("multihome", {"multihome": value}, None, None, [])
    assert configured == [value]


def test_without_the_key_nothing_is_done(configured: list[object]) -> None:
    """cloud-init before 22.4 calls modules without looking at the keys."""
    handle("multihome", {"users": []}, None, None, [])
    assert configured == []


def test_without_the_key_what_was_kept_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is of a key that is gone, or of another instance."""
    asked: list[bool] = []
    monkeypatch.setattr(
        inherited, "on_boot_without_key", lambda: asked.append(True)
    )
    monkeypatch.setattr(cc_multihome, "STATE", str(tmp_path / "none"))
    handle("multihome", {}, None, None, [])
    assert asked == []
    monkeypatch.setattr(cc_multihome, "STATE", str(tmp_path))
    handle("multihome", {}, None, None, [])
    assert asked == [True]


def test_the_folder_of_what_is_kept_is_named_once() -> None:
    """The door names it itself, to import nothing."""
    assert str(state.STATE) == cc_multihome.STATE


def test_an_error_goes_on_to_cloud_init(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It logs it once, and goes on with the next module."""

    def fail(_: object) -> None:
        raise ConfigError(())

    monkeypatch.setattr(triggers, "on_boot", fail)
    with pytest.raises(ConfigError):
        handle("multihome", {"multihome": {}}, None, None, [])


def test_meta_says_when_and_where_it_runs() -> None:
    """The values that cloud-init checks them against."""
    assert meta["frequency"] == "always"
    assert meta["activate_by_schema_keys"] == []
    assert set(meta["distros"]) == {"debian", "ubuntu"}
    assert meta["id"] == "cc_multihome"
    assert cc_multihome.__version__
