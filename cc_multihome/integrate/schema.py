# SPDX-License-Identifier: Apache-2.0
"""Make cloud-init's schema know the key `multihome`.

cloud-init 23.4 and later holds user-data against a JSON Schema that knows its
own keys only; any other makes `cloud-init status` say "degraded" and exit 2
(https://github.com/canonical/cloud-init/issues/5558). There is no hook: the
schema is read from the package's own file, both at boot and by
`cloud-init schema`. So dpkg is told to keep that file under another name
(dpkg-divert(1)), and its place is taken by a copy with the key added, which is
made again from the current original whenever that changes. Before it is put
in place, the cloud-init that is to read it has judged samples by it.

At every moment the file is there and is whole: it is first copied, then
diverted without being moved, then replaced in one step.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from cc_multihome.config import schema
from cc_multihome.errors import CommandError, IntegrationError
from cc_multihome.files import File, read_text, write
from cc_multihome.integrate.schema_text import KEY, extend
from cc_multihome.integrate.trial import try_out
from cc_multihome.run import run

PACKAGE = "cc-multihome"
DIRECTORY = "usr/lib/python3/dist-packages/cloudinit/config/schemas"
PATTERN = "schema-cloud-config-v*.json"
# A name of our own: by it the diversion is known as this package's.
SUFFIX = ".without-multihome"


@dataclass(frozen=True)
class SchemaFile:
    """One of cloud-init's schema files.

    Attributes:
        path: where cloud-init reads it.
        root: the directory that the system is below.
        truename: where dpkg keeps cloud-init's own, as the system sees it.
    """

    path: Path
    root: Path
    truename: Path

    @property
    def shown(self) -> Path:
        """The path as the system below root sees it."""
        return _seen(self.root, self.path)

    @property
    def kept(self) -> Path:
        """Where this package has dpkg keep cloud-init's own file."""
        return self.path.with_name(self.path.name + SUFFIX)

    @property
    def is_diverted(self) -> bool:
        """Does this package's diversion apply?"""
        return self.truename == _seen(self.root, self.kept)

    @property
    def original(self) -> Path:
        """Where cloud-init's own file is now.

        Raises:
            IntegrationError: somebody else's diversion applies.
        """
        if self.is_diverted:
            return self.kept
        if self.truename == self.shown:
            return self.path
        raise IntegrationError(
            f"{self.shown} is diverted to {self.truename} by another package"
            f" or administrator (see dpkg-divert --list), so {KEY} cannot be"
            f" added to it: `cloud-init status` may call {KEY} an unknown key"
        )


def find_schema_files(root: Path) -> tuple[SchemaFile, ...]:
    """Return the schema files of the cloud-init installed below root.

    Also one that the cloud-init of now has no more, but this package diverted.

    Raises:
        IntegrationError: there is no dpkg, or it cannot say what is diverted.
    """
    directory = root / DIRECTORY
    paths = set(directory.glob(PATTERN))
    for kept in directory.glob(PATTERN + SUFFIX):
        paths.add(kept.with_name(kept.name.removesuffix(SUFFIX)))
    return tuple(
        SchemaFile(path, root, _ask_truename(root, path))
        for path in sorted(paths)
    )


def install(file: SchemaFile) -> bool:
    """Put the extended schema in the original's place.

    Returns:
        Whether anything had to be changed.

    Raises:
        IntegrationError: somebody else diverted the file, or the original is
            of an unknown kind, or cloud-init does not get on with what came
            out (cloud-init's own file is in its place then).
    """
    if not file.original.exists():
        return uninstall(file)
    try:
        wanted = _extend_original(file)
        if _is_there(file, wanted):
            return False
        _try_out(file, wanted)
    except IntegrationError:
        uninstall(file)
        raise
    if not file.is_diverted:
        _copy(file.path, file.kept)
        _divert(file, "--add")
    write(File(file.path, wanted))
    return True


def uninstall(file: SchemaFile) -> bool:
    """Put cloud-init's own schema back; return whether that was needed."""
    if not file.is_diverted:
        return False
    # A copy first, so that whatever interrupts this leaves a whole schema.
    if file.kept.exists():
        _copy(file.kept, file.path)
    else:
        file.path.unlink(missing_ok=True)
    _divert(file, "--remove")
    file.kept.unlink(missing_ok=True)
    _remove_empty(file.path.parent)
    return True


def is_current(file: SchemaFile) -> bool:
    """Does cloud-init read a schema with the key, made from its current one?

    Raises:
        IntegrationError: as `install`.
    """
    if not file.original.exists():
        return not file.is_diverted
    return _is_there(file, _extend_original(file))


def _is_there(file: SchemaFile, wanted: str) -> bool:
    """Is it in place? Tried out once more: the code around it may be new."""
    if not file.is_diverted or read_text(file.path) != wanted:
        return False
    _require_accepted(file, file.path)
    return True


def _try_out(file: SchemaFile, text: str) -> None:
    trial = File(file.path.with_name(f".{file.path.name}.trial"), text)
    try:
        write(trial)
        _require_accepted(file, trial.path)
    finally:
        trial.path.unlink(missing_ok=True)


def _require_accepted(file: SchemaFile, path: Path) -> None:
    try:
        try_out(file.root, _seen(file.root, path))
    except CommandError as err:
        last_line = str(err).splitlines()[-1]
        raise IntegrationError(
            f"cloud-init's schema {file.shown} stays as it is, without the"
            f" key {KEY}: cloud-init does not get on with that ({last_line})"
        ) from err


def _extend_original(file: SchemaFile) -> str:
    document = schema.load()
    try:
        return extend(file.original.read_bytes(), document["properties"][KEY])
    except IntegrationError as err:
        raise IntegrationError(
            f"cloud-init's schema {file.shown} {err}; it stays in force as"
            f" it is, so that `cloud-init status` may call {KEY} an unknown"
            f" key"
        ) from err


def _ask_truename(root: Path, path: Path) -> Path:
    shown = str(_seen(root, path))
    return Path(_dpkg_divert(root, "--truename", shown).strip())


def _divert(file: SchemaFile, action: str) -> None:
    _dpkg_divert(
        file.root,
        *("--package", PACKAGE),
        *("--divert", str(_seen(file.root, file.kept))),
        *("--no-rename", action, str(file.shown)),
    )


def _dpkg_divert(root: Path, *argv: str) -> str:
    try:
        return run(("dpkg-divert", "--root", str(root), *argv))
    except CommandError as err:
        raise IntegrationError(str(err)) from err


def _seen(root: Path, path: Path) -> Path:
    return Path("/") / path.relative_to(root)


def _copy(source: Path, target: Path) -> None:
    """Copy a file, with mode and times, in one step that replaces target."""
    new = target.with_name(f".{target.name}.new")
    shutil.copy2(source, new)
    os.replace(new, target)


def _remove_empty(directory: Path) -> None:
    """Remove what dpkg left of a removed cloud-init, because of our file."""
    with contextlib.suppress(OSError):
        for empty in (directory, *directory.parents[:2]):
            empty.rmdir()
