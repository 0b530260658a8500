# SPDX-License-Identifier: Apache-2.0
"""Put the VPC's resolver in the place of systemd-resolved, and back.

systemd-resolved does not work with several routing tables: it sends queries
out by the interface that told it of the server (see the seed, runcmd).
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cc_multihome.apply.checkpoint import Checkpoint, PutFileBack, Undo
from cc_multihome.apply.networkd_files import keeping_networkd_files
from cc_multihome.discover.systemd import read_unit
from cc_multihome.errors import CommandError, RecordError
from cc_multihome.files import (
    HEADER,
    File,
    differs,
    is_ours,
    read_text,
    snapshot,
    write,
)
from cc_multihome.model import Resolver
from cc_multihome.render.resolv_conf import resolv_conf
from cc_multihome.run import run

LOG = logging.getLogger(__name__)

RESOLV_CONF = Path("/etc/resolv.conf")
# What was there before, so that it can be put back, also after a reboot.
FORMER_STATE = Path("/var/lib/multihome/resolver.json")
# The unit that network-online.target waits for. From netplan 1.2 on it wants
# to hear of a name server from systemd-resolved, and fails at each boot where
# that is off: this takes the place of netplan's two commands, as 1.1 has them
# but for the names of links, which may be others at the next boot.
WAIT_ONLINE = "systemd-networkd-wait-online.service"
WAIT_ONLINE_FILE = Path(
    f"/etc/systemd/system/{WAIT_ONLINE}.d/50-multihome.conf"
)
WAIT_ONLINE_TEXT = f"""{HEADER}
[Service]
ExecStart=
ExecStart=/usr/lib/systemd/systemd-networkd-wait-online -o degraded
ExecStart=/usr/lib/systemd/systemd-networkd-wait-online --any -o routable
"""
# From systemd 258 on sockets start the service again: they go with it.
RESOLVED_UNITS = (
    "systemd-resolved-varlink.socket",
    "systemd-resolved-monitor.socket",
    "systemd-resolved.service",
)


@dataclass(frozen=True)
class Unit:
    """A systemd unit: is it running, and would it start at boot?"""

    name: str
    active: bool
    enabled: bool


@dataclass(frozen=True)
class PutUnitsBack(Undo):
    """Bring units to what they were: a dict of Unit's fields each."""

    kind = "units"
    units: list[dict[str, Any]]

    @property
    def label(self) -> str:
        """What it does."""
        names = ", ".join(unit["name"] for unit in self.units)
        return f"put {names or 'no unit'} back"

    def run(self) -> None:
        """Enable and start, or disable and stop, what differs."""
        for former in (Unit(**fields) for fields in self.units):
            try:
                unit = _ask(former.name)
            except CommandError as err:
                LOG.info("%s; it is not started", err)
                _enable_unasked(former)
                continue
            if unit is not None:
                _bring(unit, former)


def needs_resolver(resolver: Resolver) -> bool:
    """Would `apply_resolver` change anything?"""
    if not resolver.nameservers:
        return FORMER_STATE.exists()
    return not is_replaced(resolver) or wait_online_file() is not None


def is_replaced(resolver: Resolver) -> bool:
    """Is resolv.conf the planned one, and systemd-resolved off for good?"""
    return not differs(_wanted(resolver)) and not any(
        unit.active or unit.enabled for unit in resolved_units()
    )


def apply_resolver(resolver: Resolver, checkpoint: Checkpoint) -> None:
    """Make the resolver what the plan says; the checkpoint takes it back.

    Raises:
        CommandError: systemd refused.
        OSError: a file could not be written.
    """
    units = resolved_units()
    checkpoint.add(PutUnitsBack([vars(unit) for unit in units]))
    checkpoint.add(PutFileBack.of(RESOLV_CONF))
    checkpoint.add(PutFileBack.of(FORMER_STATE))
    checkpoint.add(PutFileBack.of(WAIT_ONLINE_FILE))
    if not resolver.nameservers:
        restore_resolver()
        return
    if not FORMER_STATE.exists():
        before = _former_state(units)
        write(File(FORMER_STATE, json.dumps(before, indent=1) + "\n"))
    write(_wanted(resolver))
    online = wait_online_file()
    if online:
        write(online)
    names = [unit.name for unit in units if unit.active or unit.enabled]
    if names:
        with keeping_networkd_files():
            run(["systemctl", "disable", "--now", *names])
    LOG.info(
        "resolver: %s in %s, systemd-resolved is off",
        ", ".join(map(str, resolver.nameservers)),
        RESOLV_CONF,
    )


def restore_resolver() -> None:
    """Put back the resolver that was there before this package's.

    A resolv.conf that somebody has replaced in the meantime stays.

    Raises:
        RecordError: nobody knows what was there before; nothing was done.
        CommandError: systemd refused.
        OSError: a file could not be written.
    """
    text = read_text(FORMER_STATE)
    if text is None:
        return
    file, units = _read_former(text)
    if is_ours(RESOLV_CONF):
        write(file)
    if is_ours(WAIT_ONLINE_FILE):
        write(File(WAIT_ONLINE_FILE, None))
    units.run()
    FORMER_STATE.unlink()
    LOG.info("resolver: the former one is back")


def _read_former(text: str) -> tuple[File, PutUnitsBack]:
    """Read the whole record: a half of it would be put back otherwise."""
    try:
        state = json.loads(text)
        former = state["resolv_conf"]
        file = File(RESOLV_CONF, former.get("text"), link=former.get("link"))
        units = [vars(Unit(**fields)) for fields in state["units"]]
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise RecordError(
            f"{FORMER_STATE} does not say any more which resolver there was"
            f" ({err!r}): see to {RESOLV_CONF} and systemd-resolved, then"
            f" remove {FORMER_STATE}"
        ) from err
    return file, PutUnitsBack(units)


def resolved_units() -> tuple[Unit, ...]:
    """Return the units of systemd-resolved that this host has."""
    units = []
    for name in RESOLVED_UNITS:
        try:
            unit = _ask(name)
        except CommandError as err:
            LOG.debug("no state of %s: %s", name, err)
            continue
        if unit is not None:
            units.append(unit)
    return tuple(units)


def _ask(name: str) -> Unit | None:
    """Return the unit as systemd has it, None where there is none.

    Raises:
        CommandError: systemd does not say. In a chroot systemctl ignores
            the question, and calls that a success.
    """
    shown = read_unit(name, "LoadState", "ActiveState", "UnitFileState")
    if "LoadState" not in shown:
        raise CommandError(f"systemctl says nothing of {name}")
    if shown["LoadState"] != "loaded":
        return None
    return Unit(
        name,
        active=shown["ActiveState"] in ("active", "activating"),
        enabled=shown["UnitFileState"] == "enabled",
    )


def _bring(unit: Unit, former: Unit) -> None:
    if former.enabled != unit.enabled:
        verb = "enable" if former.enabled else "disable"
        with keeping_networkd_files():
            run(["systemctl", verb, former.name])
    if former.active != unit.active:
        verb = "start" if former.active else "stop"
        run(["systemctl", verb, former.name])


def _enable_unasked(former: Unit) -> None:
    """Make the links alone: an image must not boot without a resolver."""
    if former.enabled:
        # With a root, systemctl makes them itself and asks no systemd.
        run(["systemctl", "enable", "--root=/", former.name])


def wait_online_file() -> File | None:
    """Return what has to be written for boots without systemd-resolved.

    None where they do not wait for it, or there is a file already.
    """
    if os.path.lexists(WAIT_ONLINE_FILE):
        return None
    try:
        # Not by read_unit(): there are several commands, and it keeps one.
        shown = run(["systemctl", "show", "--property=ExecStart", WAIT_ONLINE])
    except CommandError as err:
        LOG.debug("no command of %s: %s", WAIT_ONLINE, err)
        return None
    if "--dns" not in shown:
        return None
    return File(WAIT_ONLINE_FILE, WAIT_ONLINE_TEXT)


def _wanted(resolver: Resolver) -> File:
    return File(RESOLV_CONF, resolv_conf(resolver))


def _former_state(units: tuple[Unit, ...]) -> dict[str, Any]:
    former = snapshot(RESOLV_CONF)
    file = {"link": former.link} if former.link else {"text": former.text}
    return {"resolv_conf": file, "units": [vars(unit) for unit in units]}
