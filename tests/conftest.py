# SPDX-License-Identifier: Apache-2.0
"""Which tests are run: CI has no time for all of them."""

from __future__ import annotations

import pytest

THOROUGH = "--thorough"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that asks for all."""
    parser.addoption(
        THOROUGH,
        action="store_true",
        help="also what other tests have shown in much the same way",
    )


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what is marked; pytest says how many those are."""
    if config.getoption(THOROUGH):
        return
    left_out = [it for it in items if it.get_closest_marker("thorough")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [it for it in items if it not in left_out]
