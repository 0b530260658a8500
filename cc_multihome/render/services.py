# SPDX-License-Identifier: Apache-2.0
"""The drop-ins that pin services to ENIs (systemd.service(5))."""

from __future__ import annotations

from cc_multihome.files import HEADER
from cc_multihome.model import PinnedService

DROP_IN_NAME = "50-multihome.conf"


def service_drop_in_path(service: PinnedService) -> str:
    """Return the path below systemd's folder."""
    return f"{service.unit}.d/{DROP_IN_NAME}"


def service_drop_in(service: PinnedService) -> str:
    """Render the drop-in of one service.

    `-`: whatever goes wrong does not keep the service from starting. `+`: as
    root, whoever the service's user is. `-I`: nothing from the service's own
    directory or environment is run.
    """
    return (
        f"{HEADER}\n# Sockets of this service leave by {service.interface}.\n"
        "[Service]\n"
        f"ExecStartPre=-+/usr/bin/python3 -I -m cc_multihome.pin"
        f" {service.mark:#x}\n"
    )
