# SPDX-License-Identifier: Apache-2.0
"""The users of this host, as the name service knows them."""

from __future__ import annotations

import pwd
from collections.abc import Iterable


def read_uids(names: Iterable[str]) -> dict[str, int]:
    """Return the numbers of those users that there are."""
    found = {}
    for name in names:
        try:
            found[name] = pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    return found
