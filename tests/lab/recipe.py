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
from tests.lab.host import LabError

HERE = Path(__file__).parent
CUSTOMIZE = HERE / "customize.sh"
INSTALL = HERE / "install_package.sh"
# Sparse: some 600 MB of it are used.
DISK_SIZE = "3G"
SUITES = ("bookworm", "trixie", "forky", "sid")
# Their Release files may be past Valid-Until where the archive is a copy
# that was frozen on some day. Signatures are checked all the same.
MOVING_SUITES = ("forky", "sid", "testing", "unstable")
PACKAGES = (
    # A machine that boots. From forky on, nothing else pulls in mount,
    # login, passwd, adduser, hostname and e2fsprogs.
    "adduser", "dbus", "e2fsprogs", "hostname", "initramfs-tools", "kmod",
    "linux-image-cloud-amd64", "login", "mount", "netbase", "passwd",
    "procps", "qemu-guest-agent", "sudo", "systemd", "systemd-sysv", "udev",
    # What Debian's EC2 images configure the network with.
    "ca-certificates", "cloud-init", "iproute2", "libnss-myhostname",
    "libnss-resolve", "netplan.io", "openssh-server", "systemd-resolved",
    # What the package under test depends on: dpkg installs it offline.
    "python3", "python3-jsonschema", "python3-netifaces",
    "python3-requests", "python3-yaml",
    # What the tests call in the guest.
    "curl", "ethtool", "iputils-ping", "jq", "nftables", "socat",
)  # fmt: skip
# The DHCP client that the suite's cloud-init starts by itself.
DHCP_CLIENTS = {"bookworm": "isc-dhcp-client"}
DEFAULT_DHCP_CLIENT = "dhcpcd-base"


def packages(suite: str) -> tuple[str, ...]:
    """Return the packages that are named for a suite's image."""
    client = DHCP_CLIENTS.get(suite, DEFAULT_DHCP_CLIENT)
    return (*PACKAGES, client)


def apt_options(suite: str) -> tuple[str, ...]:
    """Return the apt options for a suite, on whatever machine."""
    options = ('APT::Install-Recommends "false"', 'Acquire::Retries "3"')
    if suite in MOVING_SUITES:
        return (*options, 'Acquire::Check-Valid-Until "false"')
    return options


def stock_key(suite: str) -> str:
    """Return the hash of what a stock image is made from.

    The day and the mirror are no part of it: an image is good until its
    recipe changes.
    """
    return _hash(
        suite, *packages(suite), *apt_options(suite), DISK_SIZE,
        CUSTOMIZE.read_text(),
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


def mmdebstrap_argv(suite: str, rootfs: Path) -> list[str]:
    """Build mmdebstrap's command line for this machine's archive."""
    source = read_archive()
    keyring = find_keyring(source)
    proxies = (f'{name} "{value}"' for name, value in read_proxies())
    return [
        "mmdebstrap", "--mode=root", "--variant=apt", "--components=main",
        f"--include={','.join(packages(suite))}",
        *(f"--aptopt={item}" for item in (*apt_options(suite), *proxies)),
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        f"--customize-hook={CUSTOMIZE}",
        *([f"--keyring={keyring}"] if keyring else []),
        suite, str(rootfs), *([source.uri] if source else []),
    ]  # fmt: skip


def mke2fs_argv(tree: Path, disk: Path) -> list[str]:
    """Build the command line that makes a root disk of a directory tree."""
    return [
        "mke2fs", "-q", "-t", "ext4", "-L", "labroot",
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
