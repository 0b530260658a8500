# SPDX-License-Identifier: Apache-2.0
"""Can this host mark sockets and connections? Changes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from shutil import which

from cc_multihome.errors import ApplyError
from cc_multihome.run import RUN_ENV

# Only version 2 has it at the top (cgroups(7)).
CGROUP2 = Path("/sys/fs/cgroup/cgroup.controllers")


def read_lacks(*, services: bool, containers: bool) -> dict[str, str]:
    """Map each key that is asked and cannot be done to what it would need."""
    lacks = {}
    why = why_no_pins() if services else None
    if why is not None:
        lacks["services"] = why
    if containers and which("nft", path=RUN_ENV["PATH"]) is None:
        lacks["containers"] = (
            "false, or the command nft on this host (package nftables)"
        )
    return lacks


def why_no_pins() -> str | None:
    """Say what is found and what is needed; None where all is there."""
    if not CGROUP2.exists():
        return (
            "control groups of version 2 alone at /sys/fs/cgroup, which"
            " systemd uses unless the kernel's command line says otherwise"
        )
    # Not above: it is needed here alone, and loads a library.
    from cc_multihome import bpf

    try:
        os.close(bpf.load_marker(0, 0))
    except ApplyError as err:
        release = os.uname().release
        return f"a kernel with CONFIG_CGROUP_BPF, not {release}: {err}"
    return None
