# SPDX-License-Identifier: Apache-2.0
"""Take everything back: cloud-init's networking, the former resolver."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from cc_multihome.apply.checkpoint import Checkpoint
from cc_multihome.apply.foreign import keep_foreign, remember_foreign
from cc_multihome.apply.group import set_group
from cc_multihome.apply.host import Changes, find_changes, own_files
from cc_multihome.apply.networkd import taken_back
from cc_multihome.apply.nftables import restore_table
from cc_multihome.apply.rename import rename_links
from cc_multihome.apply.resolver import restore_resolver
from cc_multihome.apply.services import take_up_files
from cc_multihome.apply.sysctl import restore_sysctls
from cc_multihome.discover.links import read_links
from cc_multihome.discover.netplan_files import netdef_ids, read_own_overlay
from cc_multihome.errors import RollbackError
from cc_multihome.files import File, write
from cc_multihome.model import Plan, Resolver

LOG = logging.getLogger(__name__)


def find_restore() -> Changes:
    """Say what restore() would change. Reads only."""
    nothing = Plan((), Resolver((), ()), policy_table=None, ifgroup=None)
    names = _names_back(netdef_ids(read_own_overlay()))
    return replace(find_changes(nothing, ()), names=names)


def restore() -> None:
    """Take everything back, the network first: the rest relies on it.

    Raises:
        CommandError, OSError: the network was not taken back, nor anything
            else.
        RollbackError: the network was, some of the rest was not.
    """
    former_names = netdef_ids(read_own_overlay())
    files = own_files()
    if files:
        _restore_network(files, former_names)
    _take(
        {
            "services without a mark": partial(_restore_services, files),
            "device groups": partial(_restore_groups, former_names),
            "the kernel's settings": restore_sysctls,
            "nftables without its table": restore_table,
            "the former resolver": restore_resolver,
        }
    )


def _restore_network(
    files: Iterable[Path], former_names: Mapping[str, str]
) -> None:
    foreign = remember_foreign()
    with taken_back():
        with Checkpoint() as checkpoint:
            _restore_names(former_names, checkpoint)
        for path in files:
            write(File(path, None))
    keep_foreign(foreign, former_names.values())


def _restore_names(
    former_names: Mapping[str, str], checkpoint: Checkpoint
) -> None:
    rename_links(_names_back(former_names), checkpoint)


def _names_back(former_names: Mapping[str, str]) -> dict[str, str]:
    """Map a device's name now to the one that its MAC had."""
    return {
        link.ifname: former_names[link.mac]
        for link in read_links({}).links
        if link.mac in former_names and former_names[link.mac] != link.ifname
    }


def _restore_services(files: Iterable[Path]) -> None:
    with Checkpoint() as checkpoint:
        take_up_files([File(path, None) for path in files], checkpoint)


def _restore_groups(former_names: Mapping[str, str]) -> None:
    for link in read_links({}).links:
        if link.mac in former_names:
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
