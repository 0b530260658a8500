# SPDX-License-Identifier: Apache-2.0
"""What the VM tests share: one run of the lab, one package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.cleanup import Run
from tests.lab.instance import build_deb
from tests.vm.faults import SEEN, table

FAULT = "fault"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder: each boots virtual machines."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.vm)


@pytest.fixture(autouse=True)
def _tell_faults(
    record_property: Callable[[str, object], None],
) -> Iterator[None]:
    """Have each row of the table go with the test's report.

    The report is what comes to the process that prints the summary.
    """
    SEEN.clear()
    yield
    for row in SEEN:
        record_property(FAULT, row.cells())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> None:
    """Print what became of each fault; the table is shown without -s."""
    rows = [
        tuple(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "teardown"
        for key, value in report.user_properties
        if key == FAULT
    ]
    if rows:
        terminalreporter.section("faults, and what became of the host")
        for line in table(rows):
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def lab_run() -> Iterator[Run]:
    """What is made in a run is taken away at its end, or by the next run."""
    with Run() as run:
        yield run


@pytest.fixture(scope="session")
def deb() -> Path:
    """The package, built from this checkout."""
    return build_deb()
