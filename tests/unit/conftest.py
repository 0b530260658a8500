# SPDX-License-Identifier: Apache-2.0
"""No unit test touches the machine that it runs on.

An audit hook (sys.addaudithook) sees every way there: programs started, files
opened, removed or renamed, addresses connected to. It is on while a test
runs. What a test needs all the same it asks for by a marker:

    @pytest.mark.touches("programs")    # or "files", "network"
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.unit.imds_stub import Stub

# A loaded machine is no failure; nothing here asserts a time.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")

# What a wrong path of the module's would reach.
GUARDED = tuple(f"/{name}/" for name in ("etc", "run", "sys", "var"))
# Python's own http.server reads this one (mimetypes.knownfiles).
HARMLESS = frozenset({"/etc/mime.types"})
# The first argument of each is a path; of os.rename the second one too.
FILE_EVENTS = frozenset(
    f"os.{name}"
    for name in (
        *("chmod", "chown", "link", "listdir", "mkdir", "remove"),
        *("rename", "rmdir", "scandir", "symlink", "truncate"),
    )
) | {"open"}
PROGRAM_EVENTS = frozenset(
    ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")
)
NETWORK_EVENTS = frozenset(
    f"socket.{name}" for name in ("bind", "connect", "sendto", "sendmsg")
)
# The tests of the lab are tests of programs and processes.
FREE = Path(__file__).parent / "lab"


class TouchedHostError(AssertionError):
    """A unit test reached for the machine that it runs on."""


class Guard:
    """The one hook of this process, and what it forbids right now.

    Attributes:
        allowed: kinds that the running test asked for; None: no guard.
        scratch: folders that tests may write to.
    """

    def __init__(self) -> None:
        self.allowed: frozenset[str] | None = None
        self.scratch: tuple[str, ...] = ()

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """Refuse what the running test has not asked for."""
        if self.allowed is None:
            return
        if event in PROGRAM_EVENTS and "programs" not in self.allowed:
            raise TouchedHostError(f"{event} {args[:2]}")
        if event in FILE_EVENTS and "files" not in self.allowed:
            for path in args[: 2 if event == "os.rename" else 1]:
                self._check_path(event, path)
        if event in NETWORK_EVENTS and "network" not in self.allowed:
            _check_address(event, args[1])

    def _check_path(self, event: str, path: object) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        text = os.path.abspath(os.fsdecode(path))
        if text in HARMLESS or text.startswith(self.scratch):
            return
        if f"{text}/".startswith(GUARDED):
            raise TouchedHostError(f"{event} {text}")


def _check_address(event: str, address: object) -> None:
    """Let loopback and unix sockets pass."""
    if not isinstance(address, tuple):
        return
    host = str(address[0]).partition("%")[0]
    if host in ("", "localhost") or ip_address(host).is_loopback:
        return
    raise TouchedHostError(f"{event} {host}")


GUARD = Guard()


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and install the hook, which can never be removed."""
    config.addinivalue_line(
        "markers", "touches(*kinds): may use the host's programs, files, ..."
    )
    sys.addaudithook(GUARD)


@pytest.fixture(autouse=True)
def _no_host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Guard the host while the test runs."""
    marks = request.node.iter_markers("touches")
    allowed = frozenset(kind for mark in marks for kind in mark.args)
    if request.path.is_relative_to(FREE):
        yield
        return
    GUARD.scratch = (str(tmp_path_factory.getbasetemp()),)
    GUARD.allowed = allowed
    yield
    GUARD.allowed = None


@pytest.fixture(name="stub")
def fixture_stub() -> Iterator[Stub]:
    """Serve two ENIs with IPv4, in place of the metadata service."""
    stub = Stub()
    yield stub
    stub.close()


@pytest.fixture(autouse=True)
def _interrupts_as_at_a_terminal() -> Iterator[None]:
    """Let Ctrl-C be KeyboardInterrupt, and what it was before afterwards.

    A run in the background of a shell has it ignored from the start.
    """
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)
