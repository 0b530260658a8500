# SPDX-License-Identifier: Apache-2.0
"""Make the host what the plan says, or leave it as it was."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cc_multihome.apply.checkpoint import Checkpoint
from cc_multihome.apply.diff import mismatches
from cc_multihome.apply.networkd import reload_networkd, take_up
from cc_multihome.apply.rename import rename_links
from cc_multihome.apply.resolver import (
    apply_resolver,
    needs_resolver,
    restore_resolver,
)
from cc_multihome.apply.verify import wait_until_converged
from cc_multihome.discover.kernel import read_kernel
from cc_multihome.discover.links import read_links
from cc_multihome.discover.netplan_files import (
    DIRECTORIES,
    netdef_ids,
    read_own_overlay,
)
from cc_multihome.errors import ApplyError, CommandError, VerifyError
from cc_multihome.files import File, differs, is_ours, read_text, write
from cc_multihome.model import Plan
from cc_multihome.render import RT_TABLES, RUN_NETPLAN, RUN_NETWORKD
from cc_multihome.run import run

LOG = logging.getLogger(__name__)

ROOT = Path("/")
UNDONE = "The former state was put back."


@dataclass(frozen=True)
class Changes:
    """What an apply will do; all empty when there is nothing to do.

    Attributes:
        files: to write or (text None) to remove, by absolute path.
        names: device name now -> name that it gets.
        drift: interfaces of which the kernel lost something.
    """

    files: tuple[File, ...]
    names: dict[str, str]
    drift: tuple[str, ...]
    resolver: bool

    def is_empty(self) -> bool:
        """Is the host already what the plan says?"""
        return not (self.files or self.names or self.drift or self.resolver)


def find_changes(plan: Plan, rendered: Iterable[File]) -> Changes:
    """Compare the host with the plan. Reads only."""
    wanted = {ROOT / file.path: file for file in rendered}
    files = [File(path, file.text, file.mode) for path, file in wanted.items()]
    stale = [File(path, None) for path in own_files() if path not in wanted]
    names = {
        item.ifname: item.name
        for item in plan.interfaces
        if item.ifname != item.name
    }
    changed = tuple(file for file in (*files, *stale) if differs(file))
    return Changes(
        files=changed,
        names=names,
        drift=() if changed or names else mismatches(plan, read_kernel()),
        resolver=needs_resolver(plan.resolver),
    )


def own_files() -> tuple[Path, ...]:
    """Find the files that this package has written, except the resolver's."""
    found = [
        *(ROOT / RUN_NETPLAN).glob("*.yaml"),
        *(ROOT / RUN_NETWORKD).glob("*.network.d/*.conf"),
        ROOT / RT_TABLES,
    ]
    return tuple(sorted(path for path in found if is_ours(path)))


def apply_plan(plan: Plan, rendered: Iterable[File]) -> bool:
    """Bring the host to the plan; say whether anything had to change.

    Raises:
        ApplyError: the host is as it was before (VerifyError: the plan was
            applied and the kernel did not come to hold it).
        RollbackError: the former state could not be put back whole.
    """
    changes = find_changes(plan, rendered)
    if changes.is_empty():
        LOG.info("nothing to change: the host is what the plan says")
        return False
    validate(plan, changes)
    try:
        with Checkpoint() as checkpoint:
            _change_links(plan, changes, checkpoint)
            if changes.resolver:
                apply_resolver(plan.resolver, checkpoint)
    except VerifyError as err:
        raise VerifyError(f"{err}\n{UNDONE}") from err
    except (CommandError, OSError) as err:
        raise ApplyError(f"{err}\n{UNDONE}") from err
    return True


def _change_links(
    plan: Plan, changes: Changes, checkpoint: Checkpoint
) -> None:
    if changes.files:
        # Registered first, so it runs last, when the old files are back.
        checkpoint.add("let networkd read the former files", reload_networkd)
        for file in changes.files:
            _write_undoable(file, checkpoint)
        take_up(changes.names, checkpoint)
    else:
        rename_links(changes.names, checkpoint)
    if changes.drift:
        for line in changes.drift:
            LOG.warning("the kernel lost something: %s", line)
        for item in plan.interfaces:
            run(["networkctl", "reconfigure", item.name])
    if plan.interfaces:
        wait_until_converged(plan)


def _write_undoable(file: File, checkpoint: Checkpoint) -> None:
    text = read_text(file.path)
    mode = file.path.stat().st_mode & 0o777 if text is not None else file.mode
    former = File(file.path, text, mode)
    checkpoint.add(f"put {file.path} back", lambda: write(former))
    write(file)
    LOG.info("%s %s", "wrote" if file.text else "removed", file.path)


def validate(plan: Plan, changes: Changes) -> None:
    """Let the real netplan read the configuration in a scratch root.

    Raises:
        ApplyError: netplan refuses it, or makes no file for an ENI; nothing
            was changed.
    """
    with tempfile.TemporaryDirectory(prefix="multihome-") as scratch:
        root = Path(scratch)
        for directory in DIRECTORIES:
            if (ROOT / directory).is_dir():
                shutil.copytree(ROOT / directory, root / directory)
        for file in changes.files:
            if file.path.suffix == ".yaml":
                inside = root / file.path.relative_to(ROOT)
                write(File(inside, file.text, file.mode))
        try:
            run(["netplan", "generate", "--root-dir", str(root)])
        except CommandError as err:
            raise ApplyError(
                f"netplan refuses it; nothing was changed: {err}"
            ) from err
        for item in plan.interfaces:
            name = f"10-netplan-{item.netdef_id}.network"
            if not (root / RUN_NETWORKD / name).exists():
                raise ApplyError(
                    f"netplan made no {name} for {item.eni_id}; nothing was"
                    " changed"
                )


def restore() -> None:
    """Take everything back: cloud-init's networking, the former resolver.

    Raises:
        CommandError: a command failed.
        OSError: a file could not be removed.
    """
    former_names = netdef_ids(read_own_overlay())
    files = own_files()
    with Checkpoint() as checkpoint:
        _restore_names(former_names, checkpoint)
    for path in files:
        write(File(path, None))
    if files:
        reload_networkd()
    restore_resolver()


def _restore_names(
    former_names: dict[str, str], checkpoint: Checkpoint
) -> None:
    links = read_links({}).links
    names = {
        link.ifname: former_names[link.mac]
        for link in links
        if link.mac in former_names and former_names[link.mac] != link.ifname
    }
    rename_links(names, checkpoint)
