# SPDX-License-Identifier: Apache-2.0
"""What systemd-networkd says of its links, read from its state files.

networkctl reads the same ones (sd_network_link_get_setup_state(3)), but
newer releases of it ask networkd over a bus that boots late.
"""

from __future__ import annotations

from pathlib import Path

from cc_multihome.files import read_text

LINK_STATES = Path("/run/systemd/netif/links")


def read_link_state(ifindex: int) -> tuple[float, dict[str, str]]:
    """Return when networkd wrote its record of a link, and the record.

    The time is in seconds since 1970. The record has keys such as
    ADMIN_STATE and NETWORK_FILE.

    Raises:
        OSError: networkd has no record: it has just started, or the link is
            gone.
    """
    path = LINK_STATES / str(ifindex)
    written = path.stat().st_mtime
    text = read_text(path) or ""
    return written, dict(
        line.split("=", 1)
        for line in text.splitlines()
        if "=" in line and not line.startswith("#")
    )
