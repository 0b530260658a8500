# SPDX-License-Identifier: Apache-2.0
"""What images are made of, and the command lines that make them.

Nothing is run here; this machine's apt configuration is read.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path

from tests.lab.apt import find_keyring, read_archive, read_proxies
from tests.lab.host import REPO, LabError

HERE = Path(__file__).parent
# The one that people are told of.
RECIPE = REPO / "docs/image-pipelines/mmdebstrap.sh"
NO_PACKAGE = "none"
CUSTOMIZE = HERE / "customize.sh"
INSTALL = HERE / "install_package.sh"
# Sparse: some 600 MB of it are used.
DISK_SIZE = "3G"
SUITES = ("bookworm", "trixie", "forky", "sid")
# Their Release files may be past Valid-Until where the archive is a copy
# that was frozen on some day. Signatures are checked all the same.
MOVING_SUITES = ("forky", "sid", "testing", "unstable")
# Besides those of the recipe: the tests' way in, and what they call.
PACKAGES = (
    "curl", "ethtool", "iputils-ping", "jq", "nftables", "qemu-guest-agent",
    "socat",
)  # fmt: skip


def apt_options(suite: str) -> tuple[str, ...]:
    """Return the apt options for a suite, on whatever machine."""
    options = ('Acquire::Retries "3"',)
    if suite in MOVING_SUITES:
        return (*options, 'Acquire::Check-Valid-Until "false"')
    return options


def stock_key(suite: str) -> str:
    """Return the hash of what a stock image is made from.

    The day and the mirror are no part of it: an image is good until its
    recipe changes.
    """
    return _hash(
        suite, *PACKAGES, *apt_options(suite), DISK_SIZE,
        RECIPE.read_text(), CUSTOMIZE.read_text(),
    )  # fmt: skip


def package_key(base_key: str, deb: Path) -> str:
    """Return the hash of what a package image is made from.

    Raises:
        LabError: there is no such .deb.
    """
    try:
        content = deb.read_bytes()
    except OSError as err:
        raise LabError(f"cannot read the package {deb}: {err}") from err
    digest = hashlib.sha256(content).hexdigest()
    return _hash(base_key, digest, INSTALL.read_text())


def recipe_argv(
    suite: str, target: Path, package: str = NO_PACKAGE
) -> list[str]:
    """Build the recipe's command line for this machine's archive.

    Args:
        package: the path of a .deb to install.
    """
    source = read_archive()
    keyring = find_keyring(source)
    proxies = (f'{name} "{value}"' for name, value in read_proxies())
    return [
        # Without one mmdebstrap takes Debian's own.
        "env", f"MIRROR={source.uri if source else ''}",
        str(RECIPE), package, suite, str(target),
        "--mode=root", f"--include={','.join(PACKAGES)}",
        *(f"--aptopt={item}" for item in (*apt_options(suite), *proxies)),
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        f"--customize-hook={CUSTOMIZE}",
        *([f"--keyring={keyring}"] if keyring else []),
    ]  # fmt: skip


def mke2fs_argv(tree: Path, disk: Path) -> list[str]:
    """Build the command line that makes a root disk of a directory tree."""
    return [
        "mke2fs", "-q", "-t", "ext4", "-L", "root",
        "-E", "lazy_itable_init=1,root_owner=0:0",
        "-d", str(tree), str(disk), DISK_SIZE,
    ]  # fmt: skip


def shell_all(commands: Sequence[Sequence[str]]) -> list[str]:
    """Build one command that runs several, up to the first that fails."""
    script = " && ".join(shlex.join(command) for command in commands)
    return ["sh", "-c", script]


def _hash(*parts: str) -> str:
    text = "\0".join(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
