# SPDX-License-Identifier: Apache-2.0
"""Let services take up, or lose, what pins them to an ENI."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cc_multihome.apply.checkpoint import Checkpoint, Undo
from cc_multihome.apply.networkd_files import keeping_networkd_files
from cc_multihome.discover.systemd import read_unit
from cc_multihome.errors import CommandError
from cc_multihome.files import File
from cc_multihome.render import SERVICE_DROP_IN
from cc_multihome.run import run

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TakeUpAgain(Undo):
    """Let systemd and services read the drop-ins that were put back."""

    kind = "services"
    units: list[str]

    @property
    def label(self) -> str:
        """What it does."""
        return f"let {', '.join(self.units)} read the former drop-ins"

    def run(self) -> None:
        """Reload systemd, start the services again."""
        take_up_units(self.units)


def units_of(files: Iterable[File]) -> list[str]:
    """Name the services whose drop-ins are among the files."""
    return [unit for file in files if (unit := unit_of(file.path))]


def unit_of(path: Path) -> str | None:
    """Name the service that a file is a drop-in of."""
    folder = path.parent.name
    if path.name != SERVICE_DROP_IN or not folder.endswith(".service.d"):
        return None
    return folder.removesuffix(".d")


def take_up_files(files: Iterable[File], checkpoint: Checkpoint) -> None:
    """Take up what changed of services' drop-ins; nothing, if nothing did.

    Raises:
        CommandError: systemd refused.
    """
    units = units_of(files)
    if units:
        checkpoint.add(TakeUpAgain(units))
        take_up_units(units)


def take_up_units(units: Iterable[str]) -> None:
    """Let systemd read the drop-ins; start again what runs.

    Not waited for: early in a boot a service may wait for cloud-init, and
    one that does not come up again is no reason to undo the network.

    Raises:
        CommandError: systemd refused.
    """
    with keeping_networkd_files():
        run(["systemctl", "daemon-reload"])
    for unit in units:
        try:
            state = read_unit(unit, "LoadState", "SubState")
        except CommandError as err:
            LOG.warning("no state of %s: %s", unit, err)
            continue
        if state.get("LoadState") == "not-found":
            LOG.info("%s does not exist (yet): nothing to start", unit)
        elif state.get("SubState") == "running":
            run(["systemctl", "try-restart", "--no-block", unit])
            LOG.info("%s starts again, to make its sockets anew", unit)
