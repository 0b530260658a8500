# SPDX-License-Identifier: Apache-2.0
"""What systemd says of its units."""

from __future__ import annotations

from cc_multihome.run import run


def read_unit(name: str, *properties: str) -> dict[str, str]:
    """Return properties of a unit as systemctl(1) shows them.

    A unit that does not exist has the LoadState `not-found`; a property that
    it does not have is left out.

    Raises:
        CommandError: systemd does not answer.
    """
    asked = f"--property={','.join(properties)}"
    lines = run(["systemctl", "show", asked, name]).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)
