# SPDX-License-Identifier: Apache-2.0
"""What starts a run: cloud-init, a device that comes or goes, a timer.

`python3 -m cc_multihome.triggers hotplug|refresh` is what the units of
systemd start.
"""

from __future__ import annotations

import logging
import signal
import sys
import time

from cc_multihome import follow, state
from cc_multihome.config.schema import plain
from cc_multihome.discover.imds import read_instance
from cc_multihome.discover.imds_tree import instance_from_tree
from cc_multihome.discover.links import read_links
from cc_multihome.discover.netplan_files import read_own_overlay
from cc_multihome.early import other_host
from cc_multihome.errors import (
    ConfigError,
    ImdsError,
    MultihomeError,
    RefusedError,
)
from cc_multihome.inherited import begin_boot
from cc_multihome.model import Instance
from cc_multihome.pipeline import Result, configure, read_key
from cc_multihome.plan.choose import has_address

LOG = logging.getLogger(__name__)

# EC2 shows an ENI in the metadata some seconds after the kernel has it.
AGREE_TIMEOUT_S = 60.0
AGREE_INTERVAL_S = 2.0
# Devices that come while a run goes on; the timer catches what is left.
MOST_RUNS = 5


def on_boot(key: object) -> Result:
    """Run for cloud-init, with the key that it has.

    Raises:
        MultihomeError: it could not be done. Where the metadata service did
            not answer, or a drop-in is broken, what was kept is in force
            again if this is its host. Where the user-data is wrong, and
            nothing is in force, ENIs are left to cloud-init.
    """
    begin_boot()
    # JSON takes text alone as a key; parse() calls anything else a mistake.
    state.save(state.KEY, plain(key))
    follow.begin("boot")
    try:
        # Not what was saved: a disk that refused it would give another key.
        return configure(key, trigger="boot")
    except ImdsError as err:
        _fall_back(err)
        raise
    except ConfigError as err:
        # What is wrong in the user-data its writer has to see at once; a
        # drop-in was broken later, on a host that was right before.
        in_user_data = [it for it in err.problems if not it.origin]
        if not in_user_data:
            _fall_back(err)
        elif not all(it.may_pass for it in in_user_data):
            _leave_to_cloud_init()
        raise


def _fall_back(why: MultihomeError) -> None:
    kept = state.load(state.KEPT)
    if kept is None:
        return
    instance = instance_from_tree(kept["metadata"])
    if other_host(instance):
        return
    LOG.warning("the plan that was kept is applied, since %s", why)
    configure(kept["key"], trigger="kept", known=instance, because=why)


def _leave_to_cloud_init() -> None:
    """Let cloud-init follow ENIs, as no run of this boot will be able to.

    Not where an earlier run of this boot has put a plan in force.
    """
    if not read_own_overlay():
        follow.end()


def on_refresh() -> Result | None:
    """Look whether anything has changed; None where nothing is managed.

    Raises:
        MultihomeError: as configure() does.
    """
    if state.active() is None:
        return None
    return configure(read_key(), trigger="refresh", while_active=True)


def on_hotplug() -> Result | None:
    """Follow ENIs that were attached or detached.

    Raises:
        MultihomeError: as configure() does.
    """
    result = None
    for _ in range(MOST_RUNS):
        if state.active() is None:
            return result
        before = _link_macs()
        known = _wait_until_they_agree()
        result = configure(
            read_key(), trigger="hotplug", known=known, while_active=True
        )
        if _link_macs() == before:
            break
    return result


def _wait_until_they_agree() -> Instance | None:
    """Wait for metadata and kernel to show the same ENIs; return the first.

    None after the time is up. A new reading decides then: a new device that
    has no ENI is left alone; an ENI that has no device is an error, and so is
    one that is managed, has its device, and is not listed.
    """
    deadline = time.monotonic() + AGREE_TIMEOUT_S
    while True:
        instance = read_instance()
        links = _link_macs()
        known = {eni.mac for eni in instance.enis}
        wanted = {eni.mac for eni in instance.enis if has_address(eni)}
        if wanted <= links <= known:
            return instance
        if time.monotonic() > deadline:
            LOG.warning(
                "the metadata service shows the ENIs %s, the kernel has %s",
                ", ".join(sorted(wanted)),
                ", ".join(sorted(links)),
            )
            return None
        time.sleep(AGREE_INTERVAL_S)


def _link_macs() -> frozenset[str]:
    return frozenset(link.mac for link in read_links({}).links)


def main(argv: list[str]) -> int:
    """Run for a unit of systemd; return 1 when it failed."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # A unit that is stopped: undo at once, the timer would do it later.
    signal.signal(signal.SIGTERM, _end)
    known = _last_error() if argv[0] == "refresh" else None
    try:
        {"hotplug": on_hotplug, "refresh": on_refresh}[argv[0]]()
    except RefusedError as err:
        # Known since the first time: no unit that fails every 5 minutes.
        LOG.warning("%s", err)
    except (MultihomeError, OSError) as err:
        if isinstance(err, ConfigError) and str(err) == known:
            # As above: who broke the file mends it, and this follows.
            LOG.warning("%s", err)
            return 0
        LOG.error("%s", err)
        return 1
    return 0


def _last_error() -> str | None:
    """Return what `multihome status` tells that the last run came to."""
    status = state.load(state.STATUS)
    return status.get("error") if isinstance(status, dict) else None


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
