# SPDX-License-Identifier: Apache-2.0
"""Put `multihome` into the list of modules that cloud-init runs at boot.

A list in a file of /etc/cloud/cloud.cfg.d replaces the one of
/etc/cloud/cloud.cfg: nothing can be added to it from there. So our file holds
the list that would be in force without it, with `multihome` put in.

How cloud-init merges its configuration:
https://docs.cloud-init.io/en/latest/reference/merging.html
and `read_conf_with_confd` in its util.py: the last file by name wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cc_multihome.errors import IntegrationError
from cc_multihome.files import HEADER, File

KEY = "cloud_init_modules"
MODULE = "multihome"
# After the files of Debian's packages (90_dpkg.cfg), before what an
# administrator adds last (99-*.cfg): theirs wins over ours.
FILE_NAME = "95_multihome.cfg"
# The module may need what write_files wrote. Where the list has no write_files
# the place is after the last of the modules that stand before it in
# cloud-init's own lists.
AFTER = "write_files"
BEFORE_IT = ("migrator", "seed_random", "bootcmd")
MERGE_KEYS = ("merge_how", "merge_type")

Modules = tuple[Any, ...]


@dataclass(frozen=True)
class Source:
    """One file of cloud-init's configuration.

    Attributes:
        path: as seen by the booted system.
        config: () when the file is empty or is no mapping, as cloud-init
            takes it then.
    """

    path: Path
    config: Mapping[str, Any]

    def has_list(self) -> bool:
        """Does this file say which modules run?"""
        return KEY in self.config

    def modules(self) -> Modules:
        """Return its list of modules; () where that is empty.

        Raises:
            IntegrationError: it is no list.
        """
        value = self.config[KEY]
        if value is None:
            return ()
        if not isinstance(value, list):
            raise IntegrationError(
                f"{self.path}: {KEY} is no list: make it one, or remove it"
            )
        return tuple(value)


@dataclass(frozen=True)
class ModuleList:
    """What is to be written, and what there is to say about it.

    Attributes:
        file: the generated file.
        base: the file whose list it takes over, None where none has one.
        place: where in the list `multihome` went.
        shown: the generated file as the system below root sees it.
        winner: the file whose list is in force with ours in place.
        runs: whether `multihome` is in that list.
    """

    file: File
    shown: Path
    base: Path | None
    place: str
    winner: Path
    runs: bool


def file_path(root: Path) -> Path:
    """Return where the generated file is below a root directory."""
    return conf_d(root) / FILE_NAME


def conf_d(root: Path) -> Path:
    """Return cloud-init's directory of configuration files.

    `conf_d` in /etc/cloud/cloud.cfg can name another one than the usual.
    """
    main = _read(root, root / "etc/cloud/cloud.cfg")
    named = main.config.get("conf_d")
    if isinstance(named, str) and named.strip():
        return root / named.strip().lstrip("/")
    return root / "etc/cloud/cloud.cfg.d"


def read_sources(root: Path) -> tuple[Source, ...]:
    """Read cloud-init's configuration without our file, strongest first."""
    directory = conf_d(root)
    names = sorted(
        (
            path
            for path in directory.glob("*.cfg")
            if path.is_file() and path.name != FILE_NAME
        ),
        key=lambda path: path.name,
        reverse=True,
    )
    return tuple(
        _read(root, path) for path in (*names, root / "etc/cloud/cloud.cfg")
    )


def plan_module_list(root: Path) -> ModuleList:
    """Decide what the generated file has to say. Writes nothing.

    Raises:
        IntegrationError: cloud-init's configuration holds a list that cannot
            be taken over.
    """
    with_list = [item for item in read_sources(root) if item.has_list()]
    _refuse_merging(with_list)
    base = with_list[0] if with_list else None
    modules, place = add_module(base.modules() if base else ())
    path = file_path(root)
    shown = Path("/") / path.relative_to(root)
    later = base is not None and _is_later(base.path, shown)
    winner = base.path if base is not None and later else shown
    return ModuleList(
        file=File(path, _render(modules, base, place, shown)),
        shown=shown,
        base=base.path if base else None,
        place=place,
        winner=winner,
        runs=not later or (base is not None and has_module(base.modules())),
    )


def _is_later(path: Path, ours: Path) -> bool:
    return path.parent == ours.parent and path.name > ours.name


def add_module(modules: Modules) -> tuple[Modules, str]:
    """Return the list with `multihome` in it, and say where it is."""
    if has_module(modules):
        return modules, "where that list has it"
    names = [canonical_name(item) for item in modules]
    if AFTER in names:
        at = names.index(AFTER) + 1
        place = f"after {AFTER}"
    else:
        at = max(
            (names.index(n) + 1 for n in BEFORE_IT if n in names), default=0
        )
        place = f"after {names[at - 1]}" if at else "first"
        place += f" (that list has no {AFTER})"
    return (*modules[:at], MODULE, *modules[at:]), place


def has_module(modules: Modules) -> bool:
    """Does the list run `multihome`?"""
    return MODULE in map(canonical_name, modules)


def canonical_name(item: object) -> str:
    """Return the one spelling of a list entry's module, "" for no module.

    cloud-init takes write-files, write_files, cc_write_files and
    write_files.py for the same (`form_module_name`), and an entry may be a
    list or a mapping that also holds the frequency (`_read_modules`).
    """
    if isinstance(item, list):
        item = item[0] if item else ""
    elif isinstance(item, dict):
        item = item.get("name")
    if not isinstance(item, str):
        return ""
    name = item.strip().replace("-", "_")
    if name.lower().endswith(".py"):
        name = name[:-3]
    return name.removeprefix("cc_")


def _refuse_merging(with_list: list[Source]) -> None:
    """A file that merges its list into ours would run every module twice."""
    for source in with_list:
        if any(key in source.config for key in MERGE_KEYS):
            raise IntegrationError(
                f"{source.path} has {KEY} and {' or '.join(MERGE_KEYS)}:"
                f" which list is in force depends on the merging; add"
                f" {MODULE} to a list of your own after {AFTER}"
            )


def _render(
    modules: Modules, base: Source | None, place: str, ours: Path
) -> str:
    origin = f"of {base.path}" if base else "of nobody: cloud-init has none"
    body = yaml.safe_dump(
        {KEY: list(modules)}, default_flow_style=False, sort_keys=False
    )
    return (
        f"{HEADER}\n"
        f"# The list {origin}, with {MODULE} {place}.\n"
        f"# A list here replaces the other, so this one is made again by\n"
        f"# `multihome integrate` when cloud-init's changes. For a list of\n"
        f"# your own use a file with a name after {ours.name}.\n"
        f"{body}"
    )


def _read(root: Path, path: Path) -> Source:
    """Read a file as cloud-init does: what is no mapping counts as empty."""
    try:
        config = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError, ValueError):
        config = None
    shown = Path("/") / path.relative_to(root)
    return Source(shown, config if isinstance(config, dict) else {})
