# SPDX-License-Identifier: Apache-2.0
"""Either the module follows ENIs, or cloud-init does; not both."""

from __future__ import annotations

from pathlib import Path

import pytest

from cc_multihome import follow, state
from cc_multihome.errors import CommandError
from tests.unit.builders import Socket

STOP = f"systemctl stop {follow.SOCKET}"
START = f"systemctl start --no-block {follow.SOCKET}"


@pytest.fixture
def socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Socket:
    """A host where nothing is in force."""
    monkeypatch.setattr(state, "RUN", tmp_path / "run")
    return Socket(monkeypatch)


def test_in_a_boot_the_mark_is_there_before_the_socket_starts(
    socket: Socket,
) -> None:
    """Its condition does the rest: no job of systemd's is cancelled."""
    follow.begin("boot")
    assert state.active() == "boot"
    assert socket.calls == []


def test_a_socket_that_listens_is_stopped(socket: Socket) -> None:
    """A person has mended what the boot refused."""
    socket.unit = {"ActiveState": "active", "UnitFileState": "enabled"}
    follow.begin("person")
    follow.begin("boot")
    assert state.active() == "boot"
    assert socket.calls == [STOP]


def test_what_is_left_to_cloud_init_is_listened_for(socket: Socket) -> None:
    """Its condition was false when the boot came by."""
    follow.begin("boot")
    follow.end()
    follow.end()
    assert state.active() is None
    assert socket.calls == [START]


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(
            {"ActiveState": "inactive", "UnitFileState": "disabled"},
            id="disabled",
        ),
        pytest.param(
            {"ActiveState": "inactive", "UnitFileState": "masked"}, id="masked"
        ),
        pytest.param(
            {"ActiveState": "inactive", "UnitFileState": ""}, id="none"
        ),
        pytest.param(
            {"ActiveState": "active", "UnitFileState": "enabled"},
            id="listens already",
        ),
    ],
)
def test_a_socket_that_nobody_wants_is_not_started(
    socket: Socket, unit: dict[str, str]
) -> None:
    """An administrator may have turned cloud-init's hotplug off."""
    state.set_active("boot")
    socket.unit = unit
    follow.end()
    assert state.active() is None
    assert socket.calls == []


def test_where_nothing_is_in_force_nobody_is_asked(socket: Socket) -> None:
    """As in a tree without a running systemd."""
    socket.unit = CommandError("no systemd")
    follow.end()
    assert state.active() is None


def test_a_systemd_that_does_not_answer_stops_nothing(
    socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is what matters."""
    socket.unit = CommandError("no answer")
    follow.begin("boot")
    assert state.active() == "boot"
    follow.end()
    assert state.active() is None

    def refuse(_: object) -> str:
        raise CommandError("refused")

    monkeypatch.setattr(follow, "run", refuse)
    socket.unit = {"ActiveState": "active", "UnitFileState": "enabled"}
    follow.begin("person")
    assert state.active() == "person"
