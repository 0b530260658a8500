# SPDX-License-Identifier: Apache-2.0
"""Disk images of Debian suites, built once and reused.

Two layers: `stock(suite)` is Debian as its EC2 images have it,
`with_package(suite, deb)` is the same with one .deb installed. Each lies in
`<lab>/images/<suite>/<layer>/<key>/`; the key is a hash of what it is made
from.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cc_multihome.run import run as run_command
from tests.lab.cache import Build, reuse_or_build
from tests.lab.chroot import ISOLATE, overlay_argv, overlay_root
from tests.lab.cleanup import Run
from tests.lab.host import LabError, lab_dir, require_host, tail
from tests.lab.recipe import (
    INSTALL,
    mke2fs_argv,
    package_key,
    recipe_argv,
    shell_all,
    stock_key,
)

BUILD_TOOLS = ("ip", "mke2fs", "mmdebstrap", "unshare")
# One for the work in hand and one to go back to, for each suite and layer.
KEPT_IMAGES = 2


@dataclass(frozen=True)
class Image:
    """A built image; its files do not change any more.

    Attributes:
        layer: "stock" or "package".
        key: the hash of what it was made from.
    """

    suite: str
    layer: str
    key: str
    dir: Path

    @property
    def disk(self) -> Path:
        """The root disk, raw ext4; boot it through an overlay only."""
        return self.dir / "base.ext4"

    @property
    def kernel(self) -> Path:
        """The kernel, to boot directly."""
        return self.dir / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """The initrd that belongs to the kernel."""
        return self.dir / "initrd"

    @property
    def rootfs(self) -> Path:
        """The unpacked tree, for chroot_run(); of a stock image only."""
        return self.dir / "rootfs"

    def versions(self) -> dict[str, str]:
        """Return package -> version, as dpkg has them."""
        lines = (self.dir / "versions.txt").read_text().splitlines()
        pairs = (line.split("\t", 1) for line in lines)
        return {name.partition(":")[0]: version for name, version in pairs}


def stock(suite: str, *, top: Path | None = None) -> Image:
    """Return the image of a Debian suite, built now if there is none.

    Raises:
        LabError: the build failed (with the end of its log), or this
            machine lacks what it takes.
    """
    top = top or lab_dir()
    image = _locate(top, suite, "stock", stock_key(suite))

    def build(run: Run, target: Path) -> None:
        rootfs = target / "rootfs"
        argv = [*ISOLATE, "--", *recipe_argv(suite, rootfs)]
        _finish(run, "mmdebstrap", argv)
        _copy_boot_files(rootfs, target)
        _finish(run, "mke2fs", mke2fs_argv(rootfs, target / "base.ext4"))

    _make(image, f"image {suite} (stock)", build, top)
    return image


def with_package(suite: str, deb: Path, *, top: Path | None = None) -> Image:
    """Return the stock image with a .deb installed, built now if need be.

    What the package depends on must be in the stock image: there is no
    network. No service is started.

    Raises:
        LabError: as stock(), or dpkg refused the package (with its words).
    """
    top = top or lab_dir()
    base = stock(suite, top=top)
    image = _locate(top, suite, "package", package_key(base.key, deb))

    def build(run: Run, target: Path) -> None:
        inside = "/tmp/package.deb"
        versions = target / "versions.txt"
        root = str(overlay_root())
        steps = (
            (str(INSTALL), root, inside, str(versions)),
            mke2fs_argv(overlay_root("clean"), target / "base.ext4"),
        )
        command = shell_all(steps)
        argv = overlay_argv(base.rootfs, command, binds={deb: inside})
        _finish(run, "install", argv)
        for name in ("vmlinuz", "initrd"):
            shutil.copyfile(base.dir / name, target / name)

    _make(image, f"image {suite} (with {deb.name})", build, top)
    return image


def _locate(top: Path, suite: str, layer: str, key: str) -> Image:
    path = top / "images" / suite / layer / key
    return Image(suite=suite, layer=layer, key=key, dir=path)


def _make(image: Image, what: str, build: Build, top: Path) -> None:
    require_host(BUILD_TOOLS)
    reuse_or_build(image.dir, what, build, top=top, keep=KEPT_IMAGES)


def _finish(run: Run, name: str, argv: Sequence[str]) -> None:
    """Run one step of a build to its end; its log is in the run's."""
    status = run.spawn(name, argv).wait()
    if status:
        said = tail(run.dir / f"{name}.log")
        raise LabError(f"{name} exited with status {status}:\n{said}")


def _copy_boot_files(rootfs: Path, target: Path) -> None:
    """Copy the newest kernel and its initrd; list the packages."""
    kernels = sorted((rootfs / "boot").glob("vmlinuz-*"), key=_numbers)
    if not kernels:
        raise LabError(f"no kernel in {rootfs / 'boot'}")
    version = kernels[-1].name.removeprefix("vmlinuz-")
    shutil.copyfile(kernels[-1], target / "vmlinuz")
    initrd = rootfs / "boot" / f"initrd.img-{version}"
    shutil.copyfile(initrd, target / "initrd")
    database = rootfs / "var/lib/dpkg"
    listing = run_command(["dpkg-query", f"--admindir={database}", "--show"])
    (target / "versions.txt").write_text(listing)


def _numbers(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", path.name))
