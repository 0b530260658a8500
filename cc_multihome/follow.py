# SPDX-License-Identifier: Apache-2.0
"""Who follows ENIs that come and go in this boot: the module, or cloud-init.

A drop-in for the socket of cloud-init's hotplug has the module's mark as its
condition, which systemd looks at when the socket starts: after the network
stage, in which the module runs. Whatever changes later has to be told.
"""

from __future__ import annotations

import logging

from cc_multihome import state
from cc_multihome.discover.systemd import read_unit
from cc_multihome.errors import CommandError
from cc_multihome.run import run

LOG = logging.getLogger(__name__)

SOCKET = "cloud-init-hotplugd.socket"


def begin(by: str) -> None:
    """Let the module follow them: the key is in force, by `boot` or so."""
    was_active = state.active() is not None
    state.set_active(by)
    if not was_active and _socket().get("ActiveState") == "active":
        _tell("stop", SOCKET)


def end() -> None:
    """Leave them to cloud-init: the key is not in force."""
    if state.active() is None:
        return
    state.set_active(None)
    socket = _socket()
    # In cloud-init's stage its turn is yet to come: not waited for.
    if (socket.get("UnitFileState"), socket.get("ActiveState")) == (
        "enabled",
        "inactive",
    ):
        _tell("start", "--no-block", SOCKET)


def _socket() -> dict[str, str]:
    """Return its state; nothing where systemd does not tell."""
    try:
        return read_unit(SOCKET, "ActiveState", "UnitFileState")
    except CommandError as err:
        LOG.warning("no state of %s: %s", SOCKET, err)
        return {}


def _tell(*words: str) -> None:
    """Have it done; the network is right without it."""
    try:
        run(["systemctl", *words])
        LOG.info("systemctl %s: one of the two follows ENIs", " ".join(words))
    except CommandError as err:
        LOG.warning("cloud-init's hotplug is not as it shall be: %s", err)
