# SPDX-License-Identifier: Apache-2.0
"""The units of systemd, where no package brought them.

The .deb has them in /usr/lib. After `pip install` they are put below /etc,
where they would win over the package's: so they go when that has come.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cc_multihome.errors import CommandError, IntegrationError
from cc_multihome.files import HEADER, File, differs, is_ours, write
from cc_multihome.integrate.finding import (
    Finding,
    Part,
    remove_file,
    require_no_strangers,
)
from cc_multihome.run import run

NAME = "units"
REMEDY = "run `multihome integrate`"
SOURCE = Path(__file__).with_name("units")
SYSTEM = Path("etc/systemd/system")
RULES = Path("etc/udev/rules.d")
DROP_IN = "cloud-init-hotplugd.socket.d/50-multihome.conf"
EARLY = "multihome-early.service"
TIMER = "multihome-refresh.timer"
ENABLED = (EARLY, TIMER)
STOPPED = (TIMER, "multihome-refresh.service", "multihome-hotplug.service")
# /lib is /usr/lib, but not in every root that this may be told of.
OF_PACKAGE = ("usr/lib/systemd/system", "lib/systemd/system")
# There while systemd runs this system (sd_booted(3)).
BOOTED = Path("/run/systemd/system")


def unit_files(root: Path) -> tuple[File, ...]:
    """Return the files as they shall be below root."""
    return tuple(
        File(root / _place(path.name), f"{HEADER}\n{path.read_text('utf-8')}")
        for path in sorted(SOURCE.iterdir())
    )


def _place(name: str) -> Path:
    if name.endswith(".rules"):
        return RULES / name
    return SYSTEM / (DROP_IN if name.endswith(".conf") else name)


def _are_packaged(root: Path) -> bool:
    return any((root / each / EARLY).exists() for each in OF_PACKAGE)


def _put(root: Path) -> Iterator[Finding]:
    if _are_packaged(root):
        yield from _remove(root)
        yield Finding(NAME, "right", "they are the package's")
        return
    changed = _changed(root)
    if not changed:
        yield Finding(NAME, "right", f"they are in /{SYSTEM} and /{RULES}")
        return
    for file in changed:
        write(file)
    # Once: an administrator may disable them later.
    _systemctl(root, "enable", *ENABLED)
    _tell_systemd(root, "start", TIMER)
    yield Finding(NAME, "changed", f"put in /{SYSTEM} and /{RULES}")


def _check(root: Path) -> Iterator[Finding]:
    if _are_packaged(root):
        if _own_files(root):
            message = "copies in /etc hide the package's"
            yield Finding(NAME, "wrong", f"{message}: {REMEDY}")
        else:
            yield Finding(NAME, "right", "they are the package's")
    elif _changed(root):
        message = "some are missing or of another version"
        yield Finding(NAME, "wrong", f"{message}: {REMEDY}")
    else:
        yield Finding(NAME, "right", f"they are in /{SYSTEM} and /{RULES}")


def _changed(root: Path) -> tuple[File, ...]:
    """Find what is to be written.

    Raises:
        IntegrationError: there is one of somebody else's.
    """
    changed = tuple(file for file in unit_files(root) if differs(file))
    for file in changed:
        require_no_strangers(root, file.path)
    return changed


def _remove(root: Path) -> Iterator[Finding]:
    own = _own_files(root)
    if not own:
        return
    _tell_systemd(root, "stop", *STOPPED)
    _systemctl(root, "disable", *ENABLED)
    for path in own:
        yield from remove_file(NAME, root, path)
    with suppress(OSError):
        (root / SYSTEM / DROP_IN).parent.rmdir()
    _tell_systemd(root)


def _own_files(root: Path) -> tuple[Path, ...]:
    """Find the files that this wrote; an administrator's own unit stays."""
    paths = (file.path for file in unit_files(root))
    return tuple(path for path in paths if is_ours(path))


def _systemctl(root: Path, verb: str, *names: str) -> None:
    """Enable or disable by links alone: no manager is asked."""
    try:
        run(["systemctl", "--quiet", "--root", str(root), verb, *names])
    except CommandError as err:
        raise IntegrationError(str(err)) from err


def _tell_systemd(root: Path, *command: str) -> None:
    """Let systemd and udev of this host read what is there now."""
    if root != Path("/") or not BOOTED.is_dir():
        return
    argvs = [["systemctl", "daemon-reload"], ["udevadm", "control", "-R"]]
    if command:
        argvs.append(["systemctl", *command])
    for argv in argvs:
        try:
            run(argv)
        except CommandError as err:
            raise IntegrationError(str(err)) from err


PART = Part(NAME, _put, _check, _remove)
