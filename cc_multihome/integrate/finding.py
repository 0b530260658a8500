# SPDX-License-Identifier: Apache-2.0
"""What integrating is made of: parts, and what is found about each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from cc_multihome.errors import IntegrationError
from cc_multihome.files import HEADER, read_text


@dataclass(frozen=True)
class Finding:
    """What was found about one part, and done about it.

    Attributes:
        part: the name of the part.
        state: "right", "changed" (it is right now) or "wrong".
        message: one sentence for a person.
    """

    part: str
    state: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """Return it for JSON."""
        return asdict(self)


Action = Callable[[Path], Iterator[Finding]]


@dataclass(frozen=True)
class Part:
    """One of the things that tie the module in. Each action takes a root."""

    name: str
    put: Action
    check: Action
    remove: Action


def require_no_strangers(root: Path, path: Path) -> None:
    """Let nothing be written where somebody else has a file or a link.

    Raises:
        IntegrationError: somebody has.
    """
    if os.path.lexists(path) and HEADER not in (read_text(path) or ""):
        raise IntegrationError(
            f"/{path.relative_to(root)} is not of this package: left; move it"
            f" to another name, then run `multihome integrate` again"
        )


def remove_file(part: str, root: Path, path: Path) -> Iterator[Finding]:
    """Remove a file of this package; one of somebody else stays."""
    text = read_text(path)
    if text is None:
        return
    shown = Path("/") / path.relative_to(root)
    if HEADER not in text:
        yield Finding(part, "wrong", f"{shown} is not of this package: left")
        return
    path.unlink()
    yield Finding(part, "changed", f"removed {shown}")
