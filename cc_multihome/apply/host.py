# SPDX-License-Identifier: Apache-2.0
"""Make the host what the plan says, or leave it as it was."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from cc_multihome.apply.checkpoint import JOURNAL, Checkpoint, PutFileBack
from cc_multihome.apply.deadman import armed
from cc_multihome.apply.diff import (
    lost_built_in,
    lost_interfaces,
    mismatches,
)
from cc_multihome.apply.duplicates import retry_duplicates
from cc_multihome.apply.foreign import (
    PutForeignBack,
    give_back,
    keep_foreign,
    remember_foreign,
)
from cc_multihome.apply.former import AwaitAddresses
from cc_multihome.apply.group import remember_groups
from cc_multihome.apply.learned import drop_outdated, remember_learned
from cc_multihome.apply.networkd import ReloadAgain, take_up
from cc_multihome.apply.networkd_files import keep_what_was_read
from cc_multihome.apply.nftables import (
    TableChange,
    apply_table,
    find_table_change,
)
from cc_multihome.apply.rename import names_back, rename_links
from cc_multihome.apply.resolver import apply_resolver, needs_resolver
from cc_multihome.apply.services import take_up_files
from cc_multihome.apply.sysctl import Sysctl, apply_sysctls, find_sysctls
from cc_multihome.apply.untouched import untouched
from cc_multihome.apply.validate import validate
from cc_multihome.apply.verify import (
    LevelResult,
    probe_baseline,
    read_settled,
    require,
    verify,
)
from cc_multihome.discover.foreign import Foreign
from cc_multihome.discover.kernel import read_kernel
from cc_multihome.discover.links import read_links
from cc_multihome.discover.netplan_files import (
    netdef_ids,
    read_own_overlay,
)
from cc_multihome.errors import (
    ApplyError,
    CommandError,
    RefusedError,
    VerifyError,
)
from cc_multihome.files import File, differs, is_ours, write
from cc_multihome.model import Plan, RoutingPolicyRule
from cc_multihome.render import (
    RT_TABLES,
    RUN_NETPLAN,
    RUN_NETWORKD,
    RUN_SYSTEM,
    SERVICE_DROP_IN,
)
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
        drift: what the kernel lost of the plan, a line each.
        drifted: the interfaces that this concerns.
        built_in: the kernel's own rules that are gone.
        sysctls: the kernel's settings of links that have to change.
        table: what nftables' table has to become, None: it is right.
    """

    files: tuple[File, ...]
    names: dict[str, str]
    resolver: bool
    drift: tuple[str, ...] = ()
    drifted: tuple[str, ...] = ()
    built_in: tuple[RoutingPolicyRule, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()
    table: TableChange | None = None

    def is_empty(self) -> bool:
        """Is the host already what the plan says?"""
        return self == Changes((), {}, resolver=False)


def find_changes(plan: Plan, rendered: Iterable[File]) -> Changes:
    """Compare the host with the plan. Reads only."""
    wanted = {ROOT / file.path: file for file in rendered}
    files = [File(path, file.text, file.mode) for path, file in wanted.items()]
    stale = [File(path, None) for path in own_files() if path not in wanted]
    changed = tuple(file for file in (*files, *stale) if differs(file))
    names = {
        item.ifname: item.name
        for item in plan.interfaces
        if item.ifname != item.name
    }
    if changed:
        # Else the overlay has the plan's ENIs alone, and is long to read.
        names |= _names_of_released(plan)
    resolver = needs_resolver(plan.resolver)
    sysctls = find_sysctls(plan)
    table = find_table_change(plan)
    found = Changes(changed, names, resolver, sysctls=sysctls, table=table)
    # What networkd configures anew it gives back by itself.
    same = untouched(plan, changed, ROOT) if changed or names else None
    if same == ():
        return found
    part = plan if same is None else replace(plan, interfaces=same)
    kernel = read_settled(part, read=read_kernel)
    return replace(
        found,
        drift=mismatches(part, kernel),
        drifted=lost_interfaces(part, kernel),
        built_in=lost_built_in(part, kernel),
    )


def _names_of_released(plan: Plan) -> dict[str, str]:
    """Map devices that the plan leaves alone now to their former names.

    netplan's own files match them by these alone (`set-name`).
    """
    managed = {item.mac for item in plan.interfaces}
    own = netdef_ids(read_own_overlay(ROOT)) if managed else {}
    former = {mac: name for mac, name in own.items() if mac not in managed}
    if not former:
        return {}
    return names_back(read_links({}).links, former)


def own_files() -> tuple[Path, ...]:
    """Find the files that this package has written, except the resolver's."""
    found = [
        *(ROOT / RUN_NETPLAN).glob("*.yaml"),
        *(ROOT / RUN_NETWORKD).glob("*.network.d/*.conf"),
        *(ROOT / RUN_SYSTEM).glob(f"*.service.d/{SERVICE_DROP_IN}"),
        ROOT / RT_TABLES,
    ]
    return tuple(sorted(path for path in found if is_ours(path)))


@dataclass(frozen=True)
class Applied:
    """What an apply came to.

    Attributes:
        changed: whether anything had to change.
        verification: what each level showed; () without verification.
    """

    changed: bool
    verification: tuple[LevelResult, ...] = ()


def apply_plan(
    plan: Plan,
    rendered: Iterable[File],
    *,
    prove: bool = True,
    before_undo: Callable[[], None] = lambda: None,
) -> Applied:
    """Bring the host to the plan, prove that it works, or take it back.

    Args:
        before_undo: called when it fails after something was changed.

    Raises:
        RefusedError: nothing was changed.
        ApplyError: the host is as it was before (VerifyError: the plan was
            applied and did not work).
        RollbackError: the former state could not be put back whole.
    """
    changes = find_changes(plan, rendered)
    if changes.is_empty():
        keep_what_was_read()
        LOG.info("nothing to change: the host is what the plan says")
        return Applied(changed=False)
    validate(plan, changes.files, ROOT)
    baseline = probe_baseline(plan) if prove else frozenset()
    checkpoint = Checkpoint(JOURNAL, before_undo)
    try:
        with armed(JOURNAL), checkpoint:
            foreign = remember_foreign()
            _change(plan, changes, checkpoint, foreign)
            results = verify(plan) if prove else ()
            give_back(foreign)
            require(results, baseline)
            # Now that the rules are proved, so that no packet goes astray.
            take_up_files(changes.files, checkpoint)
    except VerifyError as err:
        raise VerifyError(f"{err}\n{UNDONE}") from err
    except (CommandError, OSError) as err:
        if checkpoint.is_empty():
            raise RefusedError(f"{err}; nothing was changed") from err
        raise ApplyError(f"{err}\n{UNDONE}") from err
    return Applied(True, results)


def _change(
    plan: Plan,
    changes: Changes,
    checkpoint: Checkpoint,
    foreign: frozenset[Foreign],
) -> None:
    retry_duplicates(plan)
    # Registered first, so they run last, when the old files are back.
    ifnames = [it.ifname for it in plan.interfaces]
    if foreign and (changes.files or changes.drifted):
        checkpoint.add(PutForeignBack.of(ifnames, foreign))
    if changes.drifted and not changes.files:
        # So that it counts as begun: a repair that fails is not repeated
        # every five minutes, nor told as if nothing had been done.
        checkpoint.add(ReloadAgain())
    if changes.files:
        checkpoint.add(AwaitAddresses.of(plan))
        remember_groups(ifnames, checkpoint)
        outdated = remember_learned(plan, changes.files, checkpoint)
        checkpoint.add(ReloadAgain())
        for file in changes.files:
            _write_undoable(file, checkpoint)
        every = all(ifname in changes.names for ifname in ifnames)
        take_up(changes.names, checkpoint, every=every)
        drop_outdated(outdated, plan)
    else:
        rename_links(changes.names, checkpoint)
    for line in changes.drift:
        LOG.warning("the kernel lost something: %s", line)
    for name in changes.drifted:
        run(["networkctl", "reconfigure", name])
    if changes.files or changes.drifted:
        keep_foreign(foreign, (it.name for it in plan.interfaces))
    _give_back(changes.built_in)
    if changes.sysctls:
        apply_sysctls(changes.sysctls, checkpoint)
    apply_table(changes.table, checkpoint)
    if changes.resolver:
        apply_resolver(plan.resolver, checkpoint)


def _give_back(built_in: Iterable[RoutingPolicyRule]) -> None:
    """Add the kernel's own rules; networkd gives back those of its own."""
    for rule in built_in:
        words = f"rule add priority {rule.priority} lookup {rule.table}"
        run(["ip", f"-{rule.src.version}", *words.split()])


def _write_undoable(file: File, checkpoint: Checkpoint) -> None:
    checkpoint.add(PutFileBack.of(file.path))
    write(file)
    LOG.info("%s %s", "wrote" if file.text else "removed", file.path)
