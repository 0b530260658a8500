# SPDX-License-Identifier: Apache-2.0
"""iproute2 and a real kernel give a device its name while it is down."""

from __future__ import annotations

import json
import sys

import pytest

from tests.lab.netns import Netns

pytestmark = pytest.mark.netns

# As the module does it before Linux 6.2, on any kernel.
RENAME = """
import sys
from cc_multihome.apply.rename import _rename_while_down
_rename_while_down(*sys.argv[1:])
"""


@pytest.mark.parametrize("name", ["private", "a", "up", "dev", "name", "mtu"])
def test_a_name_that_iproute2_knows_as_a_word_is_a_name(
    netns: Netns, name: str
) -> None:
    """And the device is up again, as it was."""
    netns.ip(["link add ens5 type veth peer name far", "link set dev ens5 up"])
    netns.run([sys.executable, "-c", RENAME, "ens5", name])
    shown = json.loads(netns.run(["ip", "-j", "link", "show", "dev", name]))
    assert "UP" in shown[0]["flags"]
