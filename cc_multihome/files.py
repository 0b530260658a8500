# SPDX-License-Identifier: Apache-2.0
"""Files that are read whole and written all or nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import ENOSPC
from functools import partial
from pathlib import Path

# Stands in the first line of every file that this package writes, so that it
# recognises its own and touches no other.
HEADER = "# Written by cc_multihome; changes are overwritten."
# For files of others, which are read and put back (PEP 383).
AS_IT_IS = "surrogateescape"
DROP_IN_FOLDERS = (".network.d", ".service.d")


@dataclass(frozen=True)
class File:
    """A file as it shall be. `text` None: it shall not exist.

    Attributes:
        link: it shall be a symbolic link to this, and `text` is None.
    """

    path: Path
    text: str | None
    mode: int = 0o644
    link: str | None = None


def read_text(path: Path) -> str | None:
    """Return what the file says, or None where there is none.

    Bytes that are not UTF-8 come back as they were when written again.
    """
    try:
        return path.read_text(encoding="utf-8", errors=AS_IT_IS)
    except FileNotFoundError:
        return None


def snapshot(path: Path) -> File:
    """Return the file as it is, a symbolic link not followed."""
    if path.is_symlink():
        return File(path, None, link=os.readlink(path))
    text = read_text(path)
    if text is None:
        return File(path, None)
    return File(path, text, path.stat().st_mode & 0o777)


def is_ours(path: Path) -> bool:
    """Did this package write the file?"""
    text = read_text(path) if path.is_file() else None
    return text is not None and text.startswith(HEADER)


def differs(file: File) -> bool:
    """Would writing the file change anything?"""
    if file.path.is_symlink():
        return True
    text = read_text(file.path)
    if text != file.text:
        return True
    return text is not None and file.path.stat().st_mode & 0o777 != file.mode


def write(file: File) -> None:
    """Bring the file to what it shall be, in one step.

    A symbolic link in its place is replaced, not followed. The temporary
    file's name does not end like one that netplan or networkd reads.
    """
    if file.link is not None:
        _put_in_place(file.path, partial(os.symlink, file.link))
        return
    if file.text is None:
        file.path.unlink(missing_ok=True)
        _remove_empty_drop_in_folder(file.path.parent)
        return
    make_directory(file.path.parent)
    handle, temporary = tempfile.mkstemp(
        prefix=f".{file.path.name}.", suffix=".new", dir=file.path.parent
    )
    try:
        with os.fdopen(
            handle, "w", encoding="utf-8", errors=AS_IT_IS
        ) as stream:
            stream.write(file.text)
            stream.flush()
            os.fchmod(stream.fileno(), file.mode)
            os.fsync(stream.fileno())
        os.replace(temporary, file.path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def put_hard_link(path: Path, file: Path) -> None:
    """Make the path the same file as another, in one step."""
    if not (path.exists() and path.samefile(file)):
        _put_in_place(path, partial(os.link, file))


def _put_in_place(path: Path, make: Callable[[Path], None]) -> None:
    temporary = path.with_name(f".{path.name}.multihome")
    temporary.unlink(missing_ok=True)
    make(temporary)
    os.replace(temporary, path)


def append_line(path: Path, line: str) -> None:
    """Add a line to a file that only its owner reads; at once, or not."""
    make_directory(path.parent)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    handle = os.open(path, flags, 0o600)
    try:
        data = f"{line}\n".encode()
        if os.write(handle, data) != len(data):
            raise OSError(ENOSPC, "no space left", str(path))
    finally:
        os.close(handle)


def write_kernel_value(path: Path, text: str) -> None:
    """Write to a file of the kernel's, which takes the value at once.

    It is no file of a disk: it cannot be made beside and put in place.
    """
    with path.open("w", encoding="utf-8") as stream:
        stream.write(text)


@contextmanager
def keeping_unchanged(
    directory: Path, pattern: str, scratch: Path
) -> Iterator[None]:
    """Let a block write files anew; those with the same content stay.

    Same inode, same time: as if they had not been written. When the block
    fails, all are as they were: netplan removes its files before it writes
    them, and finds no space for them on a full file system. A rename needs
    none.

    Args:
        scratch: a directory on the same file system as `directory`.
    """
    make_directory(scratch)
    with tempfile.TemporaryDirectory(dir=scratch) as kept:
        before = Path(kept)
        for path in files_in(directory, pattern):
            with suppress(FileNotFoundError):  # written anew just now
                os.link(path, before / path.name)
        try:
            yield
        except BaseException:
            names = {path.name for path in before.iterdir()}
            for name in names:
                os.replace(before / name, directory / name)
            for path in files_in(directory, pattern):
                if path.name not in names:
                    path.unlink(missing_ok=True)
            raise
        for path in before.iterdir():
            now = directory / path.name
            with suppress(FileNotFoundError):
                if is_alike(path, now):
                    os.replace(path, now)


def files_in(directory: Path, pattern: str) -> list[Path]:
    """List the files of a directory whose names are like that."""
    return [path for path in directory.glob(pattern) if path.is_file()]


def is_alike(path: Path, other: Path) -> bool:
    """Do two files say the same, to the same readers?

    Leaves no trace that they were read.

    Raises:
        FileNotFoundError: one is gone.
    """
    return _look_at(path) == _look_at(other)


def _look_at(path: Path) -> tuple[object, ...]:
    found = path.stat()
    return found.st_mode, found.st_uid, found.st_gid, _read_untraced(path)


def was_read(path: Path) -> bool:
    """Has anybody read the file since it was written?

    The kernel keeps the time of the first reading at least: mount(8),
    relatime. Where it was told not to, the answer is no.
    """
    found = path.stat()
    return found.st_atime_ns > found.st_mtime_ns


def _read_untraced(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOATIME), "rb") as stream:
        return stream.read()


def make_directory(path: Path) -> None:
    """Make a directory that every service may read, whatever the umask."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(exist_ok=True)
    path.chmod(0o755)


def _remove_empty_drop_in_folder(path: Path) -> None:
    drop_ins = path.name.endswith(DROP_IN_FOLDERS) and path.is_dir()
    if drop_ins and not any(path.iterdir()):
        path.rmdir()
