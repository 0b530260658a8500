# SPDX-License-Identifier: Apache-2.0
"""Netplan's configuration as the host has it without this package.

A file in /run/netplan wins over one of the same name in /etc/netplan, and
that over /lib/netplan; all that remain are merged in the order of their names
(netplan-generate(8)). This package's own files are left out, so what is read
here is the same before and after it ran.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cc_multihome.errors import LinkError
from cc_multihome.files import is_ours

LOG = logging.getLogger(__name__)

DIRECTORIES = ("lib/netplan", "etc/netplan", "run/netplan")
OVERLAY_NAME = "55-multihome.yaml"
_NUMBERS = tuple(
    f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp")
)


class _Loader(yaml.SafeLoader):
    """Reads numbers as netplan does.

    YAML 1.1, as PyYAML reads it, takes the MAC 12:34:56:10:20:30 for a number
    to base 60 and 010 for an octal one; to netplan both are text.
    """


_Loader.yaml_implicit_resolvers = {
    first: [item for item in resolvers if item[0] not in _NUMBERS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"-?(?:0|[1-9][0-9]*)$"),
    list("-0123456789"),
)


@dataclass(frozen=True)
class NetplanFile:
    """One YAML file of netplan's.

    Attributes:
        name: without its folder; decides the order and who shadows whom.
        content: the parsed mapping, {} for an empty file.
    """

    name: str
    path: Path
    content: Mapping[str, Any]

    def ethernets(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the netdefs of Ethernet devices by id."""
        network = self.content.get("network") or {}
        netdefs = network.get("ethernets") or {}
        return {str(key): value or {} for key, value in netdefs.items()}


def read_netplan_files(root: Path = Path("/")) -> tuple[NetplanFile, ...]:
    """Read the files that are in force, without this package's own.

    Raises:
        LinkError: a file is no YAML mapping; netplan could not read it
            either, so nothing may be built on top of it.
    """
    effective: dict[str, Path] = {}
    for directory in DIRECTORIES:
        for path in sorted((root / directory).glob("*.yaml")):
            if not is_ours(path):
                effective[path.name] = path
    return tuple(_read(effective[name]) for name in sorted(effective))


def _read(path: Path) -> NetplanFile:
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, Loader=_Loader) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as err:
        raise LinkError(f"netplan's {path} cannot be read: {err}") from err
    if not isinstance(content, dict):
        raise LinkError(f"netplan's {path} holds no mapping")
    _require_netdefs(path, content)
    return NetplanFile(path.name, path, content)


def _require_netdefs(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse what netplan refuses, too: all that follows reads mappings."""
    network = _mapping(path, "network", content.get("network"))
    where = "network.ethernets"
    for key, value in _mapping(path, where, network.get("ethernets")).items():
        netdef = _mapping(path, f"{where}.{key}", value)
        _mapping(path, f"{where}.{key}.match", netdef.get("match"))


def _mapping(path: Path, where: str, value: Any) -> Mapping[str, Any]:
    """Return it, empty where nothing is said."""
    if not isinstance(value or {}, dict):
        raise LinkError(f"netplan's {path}: {where} is no mapping")
    return value or {}


def read_own_overlay(root: Path = Path("/")) -> tuple[NetplanFile, ...]:
    """Read the overlay that an earlier run of this boot wrote, if any.

    One that somebody has damaged counts as none: the next run writes it anew,
    and `multihome restore` takes it away.
    """
    path = root / "run/netplan" / OVERLAY_NAME
    try:
        return (_read(path),) if is_ours(path) else ()
    except LinkError as err:
        LOG.warning("%s; it counts as not there", err)
        return ()


def netdefs_in(text: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the netdefs of Ethernet devices that a file's text has, by id."""
    content = yaml.load(text, Loader=_Loader) or {}
    return NetplanFile(OVERLAY_NAME, Path(OVERLAY_NAME), content).ethernets()


def netdef_ids(files: Iterable[NetplanFile]) -> dict[str, str]:
    """Map MAC (lower case) to the netdef id under which netplan knows it.

    Where several netdefs match a MAC, the first file's is taken.
    """
    ids: dict[str, str] = {}
    for file in files:
        for netdef_id, netdef in file.ethernets().items():
            mac = matched_mac(netdef)
            if mac:
                ids.setdefault(mac, netdef_id)
    return ids


def former_names(
    own: Iterable[NetplanFile],
    files: Iterable[NetplanFile],
    root: Path = Path("/"),
) -> dict[str, str]:
    """Map MAC (lower case) to the name of its device before this package.

    The overlay knows. Where somebody has damaged it, or taken it away, and
    the rest of this package's files is there, devices may still have their
    new names: the former one is what the files of others give (`set-name`),
    without which those do not match the device.
    """
    found = netdef_ids(own)
    if found or not _has_own(root):
        return found
    return {
        mac: str(netdef["set-name"])
        for file in files
        for netdef in file.ethernets().values()
        if (mac := matched_mac(netdef)) and netdef.get("set-name")
    }


def _has_own(root: Path) -> bool:
    """Is a file of this package's there, of those that come with a plan?"""
    patterns = (
        "run/netplan/*.yaml",
        "run/systemd/network/10-netplan-*.network.d/*.conf",
    )
    return any(is_ours(path) for each in patterns for path in root.glob(each))


def matched_mac(netdef: Mapping[str, Any]) -> str | None:
    """Return the MAC that a netdef matches, in lower case."""
    mac = (netdef.get("match") or {}).get("macaddress")
    return str(mac).lower() if mac else None
