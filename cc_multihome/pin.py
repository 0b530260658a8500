# SPDX-License-Identifier: Apache-2.0
"""Mark the sockets of the service that is about to start.

`python3 -I -m cc_multihome.pin MARK` is an ExecStartPre= of each service in
`services`: it runs in the service's control group, which is new at every
start. systemd has BPFProgram= for this; before version 256 that works for the
first start of a service alone (systemd issue 26845, and seen with 252).
"""

from __future__ import annotations

import sys
from pathlib import Path

from cc_multihome.bpf import attach_marker
from cc_multihome.errors import ApplyError
from cc_multihome.numbers import MARK_MASK

OWN = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")
# Of a service with Delegate=: commands before its start have one of their own.
CONTROL = "/.control"


def own_cgroup(text: str) -> Path:
    """Read /proc/self/cgroup (cgroups(7)): pure.

    Raises:
        ApplyError: the process is in no control group of version 2.
    """
    for line in text.splitlines():
        if line.startswith("0::/"):
            path = line.removeprefix("0::").removesuffix(CONTROL)
            return MOUNT / path.removeprefix("/")
    raise ApplyError("this process is in no control group of version 2")


def main(argv: list[str]) -> int:
    """Attach the program; return 1 when that failed, and say why."""
    try:
        cgroup = own_cgroup(OWN.read_text(encoding="utf-8"))
        attach_marker(cgroup, int(argv[0], 16), MARK_MASK)
    except (ApplyError, OSError) as err:
        print(f"the service is not pinned to its ENI: {err}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
