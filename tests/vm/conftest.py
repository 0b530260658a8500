# SPDX-License-Identifier: Apache-2.0
"""What the VM tests share: one run of the lab, one package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cleanup import Run
from tests.lab.instance import build_deb


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder: each boots virtual machines."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.vm)


@pytest.fixture(scope="session")
def lab_run() -> Iterator[Run]:
    """What is made in a run is taken away at its end, or by the next run."""
    with Run() as run:
        yield run


@pytest.fixture(scope="session")
def deb() -> Path:
    """The package, built from this checkout."""
    return build_deb()
