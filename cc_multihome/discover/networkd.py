# SPDX-License-Identifier: Apache-2.0
"""What systemd-networkd says of its links, read from its state files.

networkctl reads the same ones (sd_network_link_get_setup_state(3)), but
newer releases of it ask networkd over a bus that boots late.
"""

from __future__ import annotations

from pathlib import Path

from cc_multihome.files import read_text

LINK_STATES = Path("/run/systemd/netif/links")


def read_link_state(ifindex: int) -> dict[str, str]:
    """Return networkd's record of a link, such as ADMIN_STATE.

    The record is empty where networkd has none: it has just started, or
    the link is gone.
    """
    text = read_text(LINK_STATES / str(ifindex)) or ""
    return dict(
        line.split("=", 1)
        for line in text.splitlines()
        if "=" in line and not line.startswith("#")
    )
