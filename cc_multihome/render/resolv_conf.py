# SPDX-License-Identifier: Apache-2.0
"""resolv.conf(5)."""

from __future__ import annotations

from cc_multihome.files import HEADER
from cc_multihome.model import Resolver


def resolv_conf(resolver: Resolver) -> str:
    """Render /etc/resolv.conf."""
    lines = [HEADER]
    if resolver.search:
        lines.append(f"search {' '.join(resolver.search)}")
    lines += [f"nameserver {server}" for server in resolver.nameservers]
    return "\n".join(lines) + "\n"
