# SPDX-License-Identifier: Apache-2.0
"""Tie the module into the cloud-init that is installed, or untie it.

Three things, each of which can be done again and undone: the list of modules
(integrate_modules.py), the schema of user-data (integrate_schema.py) and what
`cloud-init clean` has to remove. The .deb's maintainer scripts call this, and
so does a person after `pip install`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

from cc_multihome import integrate_schema
from cc_multihome.errors import IntegrationError
from cc_multihome.files import HEADER, File, differs, read_text, write
from cc_multihome.integrate_modules import (
    AFTER,
    KEY,
    MODULE,
    ModuleList,
    file_path,
    plan_module_list,
)

CLEAN_SCRIPT = "etc/cloud/clean.d/50-multihome"


@dataclass(frozen=True)
class Finding:
    """What was found about one part, and done about it.

    Attributes:
        part: "module list", "schema" or "clean script".
        state: "right", "changed" (it was made right) or "wrong".
    """

    part: str
    state: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def integrate(root: Path) -> tuple[Finding, ...]:
    """Make everything right below root that can be; say what cannot."""
    _require_cloud_init(root)
    return _collect(_put_modules, _put_schema, _put_clean_script, root=root)


def check(root: Path) -> tuple[Finding, ...]:
    """Say what is not right below root. Writes nothing."""
    _require_cloud_init(root)
    return _collect(
        _check_modules, _check_schema, _check_clean_script, root=root
    )


def remove(root: Path) -> tuple[Finding, ...]:
    """Take back whatever `integrate` did below root."""
    return _collect(
        _remove_modules, _remove_schema, _remove_clean_script, root=root
    )


Part = Callable[[Path], Iterator[Finding]]


def _collect(*parts: Part, root: Path) -> tuple[Finding, ...]:
    """Run every part: the failure of one is no reason to skip the next."""
    findings: list[Finding] = []
    for part in parts:
        try:
            findings.extend(part(root))
        except (IntegrationError, OSError) as err:
            name = part.__name__.split("_", 2)[2].replace("_", " ")
            findings.append(Finding(_NAMES[name], "wrong", str(err)))
    return tuple(findings)
