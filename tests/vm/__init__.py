# SPDX-License-Identifier: Apache-2.0
"""Tests that boot virtual machines."""

import pytest

# A failure there says what differs, as it does in a test.
pytest.register_assert_rewrite(
    "tests.vm.cloud_init",
    "tests.vm.faults",
    "tests.vm.others",
    "tests.vm.package_host",
    "tests.vm.pins",
    "tests.vm.state",
)
