# SPDX-License-Identifier: Apache-2.0
"""Network namespaces of a run of their own: gone after it, even if killed.

The lab's Run puts each namespace on record before it exists; what a killed
run left is taken away when the next one begins.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from cc_multihome.run import run
from tests.lab.cleanup import Run
from tests.lab.host import LabError, require_host
from tests.lab.netns import Netns

# IPv6 neighbour discovery would send packets that no test asked for.
QUIET = (
    "net.ipv6.conf.all.disable_ipv6=1",
    "net.ipv6.conf.default.disable_ipv6=1",
)


@pytest.fixture(scope="session")
def lab() -> Iterator[Run]:
    """One run of the lab for all tests here."""
    try:
        require_host(("ip", "unshare"))
    except LabError as err:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(err))
    with Run() as made:
        yield made


@pytest.fixture
def new_netns(lab: Run) -> Iterator[Callable[[], Netns]]:
    """Give a function that makes a namespace; all go with the test."""
    made: list[Netns] = []
    numbers = count()

    def make() -> Netns:
        name = lab.add_netns(f"t{os.getpid()}-{next(numbers)}")
        made.append(Netns(name))
        return made[-1]

    yield make
    for netns in made:
        run(["ip", "netns", "delete", netns.name])


@pytest.fixture
def netns(new_netns: Callable[[], Netns]) -> Netns:
    """A namespace with nothing but its loopback, IPv4 alone."""
    made = new_netns()
    made.sysctl(*QUIET)
    return made
