# SPDX-License-Identifier: Apache-2.0
"""cloud-init module: multi-homed EC2 instances as strong end hosts.

cloud-init imports this file while it prepares the whole stage, outside of the
try that protects one module from the others: an error here would take the
stage down. So it imports next to nothing, and the rest inside `handle`.
"""

from __future__ import annotations

import os
from typing import Any

from cc_multihome.version import __version__

# The value of cloudinit.settings.PER_ALWAYS, in every release.
PER_ALWAYS = "always"
# That of cc_multihome.state, which is not worth its import without the key.
STATE = "/var/lib/multihome"

meta: dict[str, Any] = {
    "id": "cc_multihome",
    "name": "Multihome",
    "title": "Multi-homed EC2 instances as strong end hosts",
    "description": (
        "Writes netplan policy routing for every attached ENI, names the"
        " interfaces and replaces the resolver."
    ),
    "distros": ["debian", "ubuntu"],
    "frequency": PER_ALWAYS,
    # Called without the key, too: an image may hold what was another's.
    "activate_by_schema_keys": [],
    "examples": [],
}


def handle(
    name: str, cfg: dict[str, Any], *_cloud_and_args: Any, **_named: Any
) -> None:
    """Do what the key `multihome` asks; called by cloud-init at every boot.

    cloud-init up to 23.1 calls handle(name, cfg, cloud, log, args) by
    position, later ones handle(name=, cfg=, cloud=, args=); those take five
    parameters for the old form and warn. Only the first two are needed.

    Raises:
        MultihomeError: the key is wrong, or the host could not be made what
            it asks; the host is then as it was.
    """
    import logging

    log = logging.getLogger(__name__)
    if "multihome" not in cfg:
        log.debug("Skipping module named %s, no 'multihome' key", name)
        if os.path.isdir(STATE):
            from cc_multihome.inherited import on_boot_without_key

            on_boot_without_key()
        return
    from cc_multihome.apply.deadman import ended_alone
    from cc_multihome.triggers import on_boot

    with ended_alone():
        on_boot(cfg["multihome"])


__all__ = ["__version__", "handle", "meta"]
