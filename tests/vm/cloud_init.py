# SPDX-License-Identifier: Apache-2.0
"""What cloud-init says of its boot."""

from __future__ import annotations

import json
from typing import Any

from tests.lab.instance import LabInstance


def read_status(instance: LabInstance) -> tuple[int, dict[str, Any]]:
    """Return the exit status and the JSON of `cloud-init status`."""
    shell = "cloud-init status --long --format json"
    done = instance.vm.run(shell, check=False)
    return done.status, json.loads(done.out)


def assert_content(instance: LabInstance, why: str) -> None:
    """cloud-init is content: exit status 0, and not a word.

    Args:
        why: is said when it is not; see Boot.
    """
    code, told = read_status(instance)
    assert (0, "done") == (code, told["status"]), why
    assert [] == told["errors"]
    # cloud-init 22.4 has neither.
    assert "done" == told.get("extended_status", "done")
    assert {} == told.get("recoverable_errors", {})
