# SPDX-License-Identifier: Apache-2.0
"""Let the real netplan read what is to be written, before it is."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cc_multihome.apply.networkd import generate
from cc_multihome.discover.netplan_files import DIRECTORIES
from cc_multihome.errors import CommandError, RefusedError
from cc_multihome.files import File, write
from cc_multihome.model import Plan
from cc_multihome.render import RUN_NETWORKD


def validate(plan: Plan, files: Iterable[File], root: Path) -> None:
    """Let netplan read the configuration in a scratch root.

    Args:
        files: to write or to remove, by paths below `root`.

    Raises:
        RefusedError: netplan refuses it, or makes no file for an ENI;
            nothing was changed.
    """
    with tempfile.TemporaryDirectory(prefix="multihome-") as scratch:
        trial = Path(scratch)
        for directory in DIRECTORIES:
            if (root / directory).is_dir():
                shutil.copytree(root / directory, trial / directory)
        for file in files:
            if file.path.suffix == ".yaml":
                inside = trial / file.path.relative_to(root)
                write(File(inside, file.text, file.mode))
        try:
            generate(trial)
        except CommandError as err:
            raise RefusedError(
                f"netplan refuses it; nothing was changed: {err}"
            ) from err
        for item in plan.interfaces:
            name = f"10-netplan-{item.netdef_id}.network"
            if not (trial / RUN_NETWORKD / name).exists():
                raise RefusedError(
                    f"netplan made no {name} for {item.eni_id}; nothing was"
                    " changed"
                )
