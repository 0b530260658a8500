# SPDX-License-Identifier: Apache-2.0
"""What a disk still holds of an instance that it no longer is.

An image is made of an instance that ran the module: with `cloud-init clean`,
which calls this from /etc/cloud/clean.d, or without it, and then the boot of
the next instance finds it out. `/run` is on no disk; what is left is the
state in /var/lib/multihome, the names of the tables, and the resolver.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from cc_multihome import state
from cc_multihome.apply.host import ROOT
from cc_multihome.apply.lock import only_one_run
from cc_multihome.apply.resolver import restore_resolver
from cc_multihome.early import INSTANCE_ID
from cc_multihome.errors import MultihomeError, RecordError
from cc_multihome.files import File, is_ours, read_text, write
from cc_multihome.render import RT_TABLES

LOG = logging.getLogger(__name__)

# cloud-init's name for: nobody said which instance this is.
UNKNOWN = ("", "iid-datasource-none")
USER_DATA = Path("/var/lib/cloud/instance/user-data.txt")


def begin_boot() -> None:
    """Drop what is another instance's, and say whose the rest is.

    Never fails: the run that follows makes the host right.
    """
    now = _read_instance_id()
    if now is None:
        return
    if _is_of_another(now):
        try:
            drop_everything()
        except (MultihomeError, OSError) as err:
            LOG.warning("not all of another instance's was dropped: %s", err)
    state.save(state.OWNER, now)


def on_boot_without_key() -> None:
    """Leave nothing of a former key, or of another instance's.

    Raises:
        MultihomeError, OSError: it could not be done.
    """
    now = _read_instance_id()
    if now is None or state.active() is not None:
        return
    if _is_of_another(now) or read_text(USER_DATA):
        drop_everything()
        return
    # cloud-init takes user-data that it could not read for none at all.
    LOG.info(
        "this instance had a key and has no user-data now: what is kept for"
        " it stays; `multihome restore` takes it back"
    )


def drop_everything(*, for_image: bool = False) -> None:
    """Put the former resolver back, and forget the rest. Not the network.

    Where nobody knows the former one any more, a boot goes on without. An
    image must not: it would have this VPC's in another, and no trace of why.

    Raises:
        MultihomeError, OSError: it could not be done.
    """
    with only_one_run():
        # First: no run by a timer or a device may write it all again.
        state.set_active(None)
        # A plan must not outlive a resolver that cannot be put back: a
        # rollback would go to another instance's.
        state.forget(*state.PLANS)
        tables = ROOT / RT_TABLES
        if is_ours(tables):
            write(File(tables, None))
        try:
            restore_resolver()
        except RecordError as err:
            if for_image:
                raise
            LOG.warning("%s", err)
        if state.STATE.exists():
            shutil.rmtree(state.STATE)
    LOG.info("what was kept of an instance is dropped")


def _read_instance_id() -> str | None:
    """Return cloud-init's id of this instance, None where it knows none."""
    now = (read_text(INSTANCE_ID) or "").strip()
    return None if now in UNKNOWN else now


def _is_of_another(now: str) -> bool:
    """Is there anything, and is it not this instance's?"""
    if not state.STATE.is_dir() or not any(state.STATE.iterdir()):
        return False
    return bool(state.load(state.OWNER) != now)


def main() -> int:
    """Run for `cloud-init clean`."""
    logging.basicConfig(
        level=logging.WARNING, format="cc_multihome: %(message)s"
    )
    try:
        drop_everything(for_image=True)
    except (MultihomeError, OSError) as err:
        LOG.error("the former resolver could not be put back: %s", err)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
