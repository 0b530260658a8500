# SPDX-License-Identifier: Apache-2.0
"""What is remembered between runs: JSON files that hold one value each.

Nothing here decides what the host becomes at boot before the instance and
its MACs were compared (early.py), and nothing is lost with it: what cannot be
read counts as never written.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from cc_multihome.errors import ConfigError, Problem
from cc_multihome.files import File, differs, read_text, write

LOG = logging.getLogger(__name__)

STATE = Path("/var/lib/multihome")
RUN = Path("/run/multihome")

# Whose all of it is: cloud-init's id of the instance.
OWNER = "instance.json"
# The key as cloud-init gave it, for runs that cloud-init has no part in.
KEY = "key.json"
# The key and the metadata of the last plan that was applied and proved.
KEPT = "kept.json"
# The same of the one before, for `multihome rollback`.
PREVIOUS = "previous.json"
STATUS = "status.json"
# The last plan that was taken back, and why.
FAILED = "failed.json"
# What a key has led to; goes with it.
PLANS = (KEY, KEPT, PREVIOUS, FAILED)
# The plan that is being applied; in this boot only.
ATTEMPT = "attempt.json"
# In this boot the key is in force; says who put it so: "boot", "kept" or
# "person".
ACTIVE = "active"


_NOTHING = type(None)
_TEXT, _NUMBER = (str,), (int, float)
_TEXT_OR_NONE, _MAPPING_OR_NONE = (str, _NOTHING), (dict, _NOTHING)
_Shape = dict[str, tuple[type, ...]]
_PROVED: _Shape = {
    "fingerprint": _TEXT,
    "key": (object,),
    "metadata": (dict,),
    "leases": (dict,),
}
_RECORD: _Shape = {
    "time": _TEXT,
    "seconds": _NUMBER,
    "trigger": _TEXT,
    "outcome": _TEXT,
    "error": _TEXT_OR_NONE,
    "instance_id": _TEXT_OR_NONE,
    "plan": _MAPPING_OR_NONE,
    "verification": (list,),
    "input": _TEXT_OR_NONE,
}
_LEVEL: _Shape = {
    "level": _TEXT,
    "state": _TEXT,
    "seconds": _NUMBER,
    "details": (list,),
}
# What readers rely on: damage, or another version's, is no traceback then.
_SHAPES: dict[str, _Shape] = {
    KEPT: _PROVED,
    PREVIOUS: _PROVED,
    STATUS: _RECORD,
    FAILED: {
        "time": _TEXT,
        "input": _TEXT,
        "earlier": (list,),
        "error": _TEXT,
        "plan": _MAPPING_OR_NONE,
    },
    ATTEMPT: {"input": _TEXT, "plan": (dict,)},
}
# JSON's null is a key: one without a value.
_NO_KEY = object()


def load(name: str, default: Any = None) -> Any:
    """Return the value, or the default where none can be read.

    What has another shape than this package gives it cannot be read.
    """
    path = path_of(name)
    text = read_text(path)
    if text is None:
        return default
    try:
        value = json.loads(text)
        _require_shape(value, _SHAPES.get(name, {}), "it")
        if name == STATUS:
            for level in value["verification"]:
                _require_shape(level, _LEVEL, "a level of verification")
    except (ValueError, RecursionError) as err:
        LOG.warning("%s cannot be read and is ignored: %s", path, err)
        return default
    return value


def _require_shape(value: Any, shape: _Shape, what: str) -> None:
    """Look at the keys of a mapping; without a shape, any value is right.

    Raises:
        ValueError: one is missing, or its value is of another type.
    """
    if shape and not isinstance(value, dict):
        raise ValueError(f"{what} is {value!r:.40}, expected a mapping")
    for key, types in shape.items():
        if key not in value:
            raise ValueError(f"{what} has no key {key}")
        if not isinstance(value[key], types):
            raise ValueError(f"{key} of {what} is {value[key]!r:.40}")


def path_of(name: str) -> Path:
    """Return where a value is kept: below /run when the disk refused it."""
    path = RUN / name
    return path if path.exists() else STATE / name


def load_key() -> Any:
    """Return the key as cloud-init gave it; None too where it gave none.

    Raises:
        ConfigError: there was one, and it cannot be read.
    """
    key = load(KEY, _NO_KEY)
    if key is not _NO_KEY:
        return key
    path = path_of(KEY)
    if path.exists() or active() is not None:
        # A key was there. What it said is not the same as all defaults.
        found = f"nothing that can be read in {path}"
        expected = "the key as cloud-init gave it: a reboot writes it again"
        raise ConfigError((Problem("multihome", found, expected),))
    return None


def save(name: str, value: Any) -> None:
    """Keep a value. A disk that refuses it must not undo a good network.

    It is kept until the next boot then, so that what is told stays true.
    """
    if _try_write(File(STATE / name, _as_text(value), 0o600)):
        _try_write(File(RUN / name, None))
    else:
        save_for_boot(name, value)


def save_for_boot(name: str, value: Any) -> None:
    """Keep a value until the next boot."""
    _try_write(File(RUN / name, _as_text(value), 0o600))


def forget(*names: str) -> None:
    """Drop values."""
    for name in names:
        for folder in (RUN, STATE):
            _try_write(File(folder / name, None))


def set_active(by: str | None) -> None:
    """Say that the key is in force in this boot, or (None) that it is not."""
    _try_write(File(RUN / ACTIVE, None if by is None else f"{by}\n"))


def active() -> str | None:
    """Return who put the key in force in this boot, or None."""
    text = read_text(RUN / ACTIVE)
    return None if text is None else text.strip()


def read_status() -> dict[str, Any] | None:
    """Return the last run's status (docs/cli.md), or None before the first.

    The key `failed` holds the last plan that was taken back, or None.
    """
    status = load(STATUS)
    return {**status, "failed": load(FAILED)} if status else None


def _as_text(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, default=str) + "\n"


def _try_write(file: File) -> bool:
    """Write it; say whether it is as it shall be."""
    try:
        if differs(file):
            write(file)
    except OSError as err:
        LOG.warning("%s is not kept: %s", file.path, err)
        return False
    return True
