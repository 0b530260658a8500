# SPDX-License-Identifier: Apache-2.0
"""The whole way: read everything, then decide, then act."""

from __future__ import annotations

import fcntl
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cc_multihome.apply.host import apply_plan
from cc_multihome.config.parse import parse
from cc_multihome.discover.imds import read_instance
from cc_multihome.discover.links import read_links
from cc_multihome.discover.netplan_files import (
    netdef_ids,
    read_netplan_files,
    read_own_overlay,
)
from cc_multihome.errors import ApplyError, ConfigError, ImdsError
from cc_multihome.files import File, make_directory
from cc_multihome.model import Plan
from cc_multihome.plan.bind import bind_or_raise
from cc_multihome.plan.build import build_plan
from cc_multihome.render import render
from cc_multihome.run import run

LOG = logging.getLogger(__name__)

LOCK = Path("/run/multihome/lock")


def configure(raw: object) -> bool:
    """Make the host what the `multihome` key asks; say whether it changed.

    Raises:
        ConfigError: the key is wrong; nothing was changed.
        MultihomeError: reading or applying failed; the host is as before.
    """
    with only_one_run():
        decided = decide(raw)
        if decided is None:
            LOG.info("multihome is false: nothing is done")
            return False
        plan, files = decided
        return apply_plan(plan, files)


def decide(raw: object) -> tuple[Plan, tuple[File, ...]] | None:
    """Read all there is to read and derive the plan. Changes nothing.

    Returns None where the key says `false`.

    Raises:
        ConfigError: carries every mistake, those that only show on this host
            (a selector that matches no ENI) beside those in the text.
        ImdsError, LinkError, CommandError: something could not be read.
    """
    parsed = parse(raw)
    if parsed.config is None:
        raise ConfigError(parsed.problems)
    if not parsed.config.enabled:
        return None
    try:
        instance = read_instance()
    except ImdsError:
        if parsed.problems:
            raise ConfigError(parsed.problems) from None
        raise
    files = read_netplan_files()
    # This package's own overlay first: it keeps the id that cloud-init's
    # file, or the kernel's name, had when the ENI was first seen.
    host = read_links(netdef_ids((*read_own_overlay(), *files)))
    bound = bind_or_raise(
        parsed, instance, host.links, taken_names=host.other_names
    )
    plan = build_plan(
        parsed.config, bound, instance, systemd_version=read_systemd_version()
    )
    _log_plan(plan)
    return plan, render(plan, files)


def read_systemd_version() -> int:
    """Return systemd's version number, as in 252."""
    text = run(["networkctl", "--version"])
    found = re.match(r"systemd (\d+)", text)
    if not found:
        raise ApplyError(f"networkctl --version says {text.strip()!r}")
    return int(found[1])


def _log_plan(plan: Plan) -> None:
    for item in plan.interfaces:
        LOG.info(
            "%s (%s, %s) becomes %s: table %s, %s",
            item.ifname,
            item.eni_id,
            item.mac,
            item.name,
            item.table,
            ", ".join(map(str, item.addresses)) or "no IPv4 address",
        )
    if plan.interfaces and plan.ifgroup is None:
        LOG.warning(
            "this systemd is older than 250 and cannot suppress routes by"
            " interface group: replies from an ENI's address to containers"
            " and VPNs of this host go to the VPC router"
        )


@contextmanager
def only_one_run() -> Iterator[None]:
    """Hold the one lock; a second run waits for the first.

    Raises:
        OSError: the lock file cannot be made.
    """
    make_directory(LOCK.parent)
    with LOCK.open("w", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
