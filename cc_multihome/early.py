# SPDX-License-Identifier: Apache-2.0
"""A boot without cloud-init: put the kept plan in force, if this is its host.

What survives a reboot is cloud-init's own networking alone, so that a wrong
plan cannot come back. Where cloud-init was disabled after the first boot,
nobody makes the plan again: this does, before networkd starts, after it has
compared the instance id and every MAC. Run by multihome-early.service.

Where cloud-init runs this stays away. In its network stage it asks for a
lease with dhcpcd once more, which takes the subnet's route of a statically
configured address away for good (seen with cloud-init 25.1 on Debian 13).
"""

from __future__ import annotations

import logging
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from cc_multihome import state
from cc_multihome.apply.checkpoint import Checkpoint, PutFileBack, Undo
from cc_multihome.apply.host import ROOT, find_changes
from cc_multihome.apply.lock import only_one_run
from cc_multihome.apply.networkd import generate
from cc_multihome.apply.nftables import apply_table, find_table_change
from cc_multihome.apply.rename import rename_links
from cc_multihome.apply.services import take_up_files
from cc_multihome.apply.sysctl import apply_sysctls, find_sysctls
from cc_multihome.apply.validate import validate
from cc_multihome.decide import decide
from cc_multihome.discover.imds_tree import instance_from_tree
from cc_multihome.discover.links import read_links
from cc_multihome.errors import RefusedError
from cc_multihome.files import File, read_text, write
from cc_multihome.model import Instance, Plan
from cc_multihome.plan.choose import has_address
from cc_multihome.record import Result, Run

LOG = logging.getLogger(__name__)

# Written by cloud-init's generator of units, first of all.
CLOUD_INIT_RUNS = Path("/run/cloud-init/enabled")
INSTANCE_ID = Path("/var/lib/cloud/data/instance-id")


@dataclass(frozen=True)
class GenerateAgain(Undo):
    """Let netplan write networkd's files from those that were put back."""

    kind = "generate"

    @property
    def label(self) -> str:
        """What it does."""
        return "let netplan read the former files"

    def run(self) -> None:
        """Write them; networkd starts later."""
        generate()


def main() -> int:
    """Put the kept plan in place; never fail the boot."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run = Run("kept")
    try:
        with only_one_run():
            if put_kept_back(run):
                run.record(Result("kept", changed=True))
    # Whatever it is, also what is kept in another shape than it should be.
    except Exception as err:
        LOG.warning(
            "the kept plan is not put back, cloud-init's networking comes"
            " up: %s",
            err,
        )
        run.record(Result("refused"), error=err)
    return 0


def put_kept_back(run: Run) -> bool:
    """Put the kept plan in force; say whether it is.

    Raises:
        RefusedError: it is not for this host; says why.
    """
    kept = state.load(state.KEPT)
    if kept is None:
        return False
    if CLOUD_INIT_RUNS.exists():
        LOG.info("cloud-init runs in this boot: the module comes with it")
        return False
    instance = instance_from_tree(kept["metadata"])
    why_not = other_host(instance)
    if why_not:
        raise RefusedError(f"the kept plan is not for this host: {why_not}")
    # DHCP is not there yet to give them.
    run.decision = decide(kept["key"], known=instance, leases=kept["leases"])
    if run.decision is None or not run.decision.plan.interfaces:
        return False
    _put_in_place(run.decision.plan, run.decision.files)
    _put_into_kernel(run.decision.plan)
    state.set_active("kept")
    LOG.info("the kept plan is in place for %s", instance.instance_id)
    return True


def other_host(instance: Instance) -> str | None:
    """Say what differs between this host and what was kept; None: nothing."""
    now = (read_text(INSTANCE_ID) or "").strip()
    if now and now != instance.instance_id:
        return f"it is {now}, and was {instance.instance_id}"
    links = {link.mac for link in read_links({}).links}
    known = {eni.mac for eni in instance.enis}
    wanted = {eni.mac for eni in instance.enis if has_address(eni)}
    if not wanted <= links <= known:
        return (
            f"its devices have the MACs {', '.join(sorted(links))}, and had"
            f" {', '.join(sorted(wanted))}"
        )
    return None


def _put_in_place(plan: Plan, rendered: tuple[File, ...]) -> None:
    """Write all files and give all names, or nothing; no networkd yet."""
    # The kernel holds nothing so far, and is not asked.
    changes = find_changes(replace(plan, interfaces=()), rendered)
    validate(plan, changes.files, ROOT)
    with Checkpoint() as checkpoint:
        # Registered first, so it runs last, when the old files are back.
        checkpoint.add(GenerateAgain())
        for file in changes.files:
            checkpoint.add(PutFileBack.of(file.path))
            write(file)
        generate()
        take_up_files(changes.files, checkpoint)
        rename_links(
            {item.ifname: item.name for item in plan.interfaces}, checkpoint
        )


def _put_into_kernel(plan: Plan) -> None:
    """Give the kernel what networkd does not: nftables' table, settings.

    Where it takes one of them not, the network comes up all the same, and
    the timer's first run tries again and says so.
    """
    named = (replace(item, ifname=item.name) for item in plan.interfaces)
    plan = replace(plan, interfaces=tuple(named))
    for put in (_put_table, _put_sysctls):
        try:
            with Checkpoint() as checkpoint:
                put(plan, checkpoint)
        # Whatever it is: files and names are in place.
        except Exception as err:
            LOG.warning("the next run tries again: %s", err)


def _put_table(plan: Plan, checkpoint: Checkpoint) -> None:
    apply_table(find_table_change(plan), checkpoint)


def _put_sysctls(plan: Plan, checkpoint: Checkpoint) -> None:
    changes = find_sysctls(plan)
    if changes:
        apply_sysctls(changes, checkpoint)


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    # The unit's time is up: undo before networkd starts.
    signal.signal(signal.SIGTERM, _end)
    raise SystemExit(main())
