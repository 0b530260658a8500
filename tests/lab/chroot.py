# SPDX-License-Identifier: Apache-2.0
"""Run a command on a throwaway copy of a suite's directory tree.

For what needs a suite's programs but not its kernel: `netplan generate` of
that version, that Python with that cloud-init. No network, nothing is kept.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from cc_multihome.run import RUN_ENV
from tests.lab.host import REPO, LabError, Result, lab_dir

SCRIPT = Path(__file__).with_name("in_rootfs.sh")
CHROOT_TIMEOUT_S = 120.0
# The sources under test, as every command in a tree sees them.
SOURCES = "/src"
# --kill-child: with unshare dies all that it started, whatever it is, and
# with the last process the mounts and the network.
ISOLATE = (
    "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
)  # fmt: skip


def overlay_argv(
    rootfs: Path,
    command: Sequence[str],
    *,
    binds: Mapping[Path, str] | None = None,
    writable: Mapping[Path, str] | None = None,
) -> list[str]:
    """Build the command line that runs `command` beside a copy of `rootfs`.

    The copy is `overlay_root()`; see in_rootfs.sh.
    """
    argv = [*ISOLATE, "--net", "--", str(SCRIPT), str(rootfs), str(_work())]
    for mode, given in (("ro", binds), ("rw", writable)):
        for source, target in (given or {}).items():
            argv += [mode, str(source.resolve()), target]
    return [*argv, "--", *command]


def overlay_root(view: str = "root") -> Path:
    """Return where a command finds its copy: view "root" or "clean"."""
    return _work() / view


def chroot_run(
    rootfs: Path,
    argv: Sequence[str],
    *,
    binds: Mapping[Path, str] | None = None,
    writable: Mapping[Path, str] | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    timeout: float = CHROOT_TIMEOUT_S,
) -> Result:
    """Run a command in a throwaway copy of `rootfs` and return its result.

    The sources are at /src (read-only); /run and /tmp are empty; of network
    devices there is `lo` only. What the command writes is gone afterwards,
    except below `writable`.

    Args:
        binds: host path -> path in the tree, read-only.
        writable: the same, writable.

    Raises:
        LabError: `check` and it exited with another status than 0, or it
            did not end within `timeout` seconds.
    """
    command = ["chroot", str(overlay_root()), *argv]
    full = overlay_argv(
        rootfs, command, binds={REPO: SOURCES, **(binds or {})},
        writable=writable,
    )  # fmt: skip
    try:
        done = subprocess.run(
            full,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**RUN_ENV, "HOME": "/root", **(env or {})},
            check=False,
        )
    except subprocess.TimeoutExpired as err:
        raise LabError(
            f"in {rootfs}: {' '.join(argv)} did not end in {timeout:.0f} s"
        ) from err
    result = Result(done.returncode, done.stdout, done.stderr)
    if check:
        result.require(f"in {rootfs}: {' '.join(argv)}")
    return result


def _work() -> Path:
    """Return the mount point; each caller mounts on it for itself alone."""
    path = lab_dir() / "mnt"
    path.mkdir(parents=True, exist_ok=True)
    return path
