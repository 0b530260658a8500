# SPDX-License-Identifier: Apache-2.0
"""Take everything back: cloud-init's networking, the former resolver."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from cc_multihome.apply.checkpoint import JOURNAL, Checkpoint, PutFileBack
from cc_multihome.apply.deadman import armed
from cc_multihome.apply.foreign import (
    NOBODY,
    PutForeignBack,
    keep_foreign,
    remember_foreign,
)
from cc_multihome.apply.group import set_group
from cc_multihome.apply.host import ROOT, Changes, find_changes, own_files
from cc_multihome.apply.networkd import ReloadAgain, taken_back
from cc_multihome.apply.nftables import restore_table
from cc_multihome.apply.rename import names_back, rename_links
from cc_multihome.apply.resolver import restore_resolver
from cc_multihome.apply.services import take_up_files
from cc_multihome.apply.sysctl import restore_sysctls
from cc_multihome.discover.foreign import Foreign
from cc_multihome.discover.links import read_links
from cc_multihome.discover.netplan_files import (
    NetplanFile,
    former_names,
    netdef_ids,
    read_netplan_files,
    read_own_overlay,
)
from cc_multihome.errors import LinkError, RefusedError, RollbackError
from cc_multihome.files import File, is_ours, write
from cc_multihome.model import Plan, Resolver
from cc_multihome.render import RT_TABLES

LOG = logging.getLogger(__name__)


def find_restore() -> Changes:
    """Say what restore() would change. Reads only."""
    nothing = Plan((), Resolver((), ()), policy_table=None, ifgroup=None)
    names = names_back(read_links({}).links, _read_former_names())
    return replace(find_changes(nothing, ()), names=names)


def restore() -> None:
    """Take everything back, the network first: the rest relies on it.

    Raises:
        CommandError, OSError: the network was not taken back, nor anything
            else.
        RollbackError: the network was, some of the rest was not; or neither
            that nor the plan is in force whole.
    """
    names_before = _read_former_names()
    files, tables = own_files(), ROOT / RT_TABLES
    network = [path for path in files if path != tables]
    foreign = _remember_foreign() if network else NOBODY
    if network:
        _restore_network(network, names_before, foreign)
    names = names_before.values()
    _take(
        {
            "rules of others": partial(keep_foreign, foreign, names),
            "services without a mark": partial(_restore_services, network),
            "device groups": partial(_restore_groups, names_before),
            "the kernel's settings": restore_sysctls,
            "nftables without its table": restore_table,
            # Not with the network: /etc may be read-only, /run never is.
            "tables without names": partial(_remove, tables),
            "the former resolver": restore_resolver,
        }
    )


def _read_former_names() -> dict[str, str]:
    own = read_own_overlay()
    files: tuple[NetplanFile, ...] = ()
    # Of use without the overlay alone.
    if not netdef_ids(own):
        try:
            files = read_netplan_files(ROOT)
        except LinkError as err:
            LOG.warning("devices keep their names: %s", err)
    return former_names(own, files, ROOT)


def _restore_network(
    files: Iterable[Path],
    names_before: Mapping[str, str],
    foreign: frozenset[Foreign],
) -> None:
    with ExitStack() as stack:
        checkpoint = stack.enter_context(Checkpoint(_arm(stack)))
        # Registered first, so they run last, when the files are there again.
        if foreign:
            checkpoint.add(PutForeignBack.of(names_before.values(), foreign))
        checkpoint.add(ReloadAgain())
        stack.enter_context(taken_back())
        names = names_back(read_links({}).links, names_before)
        rename_links(names, checkpoint)
        for path in files:
            checkpoint.add(PutFileBack.of(path))
            write(File(path, None))


def _remember_foreign() -> frozenset[Foreign]:
    try:
        return remember_foreign()
    except OSError as err:
        LOG.warning("rules and routes of others are not kept: %s", err)
        return NOBODY


def _arm(stack: ExitStack) -> Path | None:
    """Set the timer that finishes this when it is killed, and say where
    what it needs is written; None where there can be none: it is the safe
    state that is wanted here, with a timer or without.
    """
    try:
        stack.enter_context(armed(JOURNAL))
    except RefusedError as err:
        LOG.warning("without a timer: %s", err)
        return None
    return JOURNAL


def _remove(path: Path) -> None:
    if is_ours(path):
        write(File(path, None))


def _restore_services(files: Iterable[Path]) -> None:
    with Checkpoint() as checkpoint:
        take_up_files([File(path, None) for path in files], checkpoint)


def _restore_groups(names_before: Mapping[str, str]) -> None:
    for link in read_links({}).links:
        if link.mac in names_before:
            set_group(link.ifname, 0)


def _take(steps: Mapping[str, Callable[[], None]]) -> None:
    """Take every step, whatever becomes of the others."""
    failed = []
    for label, step in steps.items():
        try:
            step()
        # One that cannot be taken must not stop the other ones.
        except Exception as err:
            LOG.warning("not put back: %s: %s", label, err)
            failed.append(f"{label}: {err}")
    if failed:
        raise RollbackError(
            "The network is cloud-init's own again; not all of the rest"
            f" could be put back; look at the host. What failed:"
            f" {'; '.join(failed)}"
        )
