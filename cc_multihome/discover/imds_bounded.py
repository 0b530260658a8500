# SPDX-License-Identifier: Apache-2.0
"""What bounds the time that the metadata service may take."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from cc_multihome.version import __version__

LONGEST_WAIT_S = 5.0


@dataclass(frozen=True)
class Deadline:
    """A moment on a monotonic clock, `seconds` after it was set."""

    seconds: float
    end: float
    clock: Callable[[], float]

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float]) -> Deadline:
        """Set a deadline that many seconds from now."""
        return cls(seconds, clock() + seconds, clock)

    def sooner(self, seconds: float) -> Deadline:
        """Set one that many seconds from now, but not after this one."""
        seconds = min(seconds, self.remaining())
        return Deadline.after(seconds, self.clock)

    def remaining(self) -> float:
        """Return the seconds that are left, never less than 0."""
        return max(0.0, self.end - self.clock())


@dataclass
class Backoff:
    """Pauses that double, with jitter, until a deadline leaves no room."""

    deadline: Deadline
    sleep: Callable[[float], None]
    next_s: float

    def wait(self, at_least: float = 0.0) -> bool:
        """Pause, or return False at once when the time does not allow it."""
        # Jitter, so that hosts that were started together spread out.
        pause = max(at_least, self.next_s * random.uniform(0.5, 1.0))
        self.next_s = min(2 * self.next_s, LONGEST_WAIT_S)
        if pause >= self.deadline.remaining():
            return False
        self.sleep(pause)
        return True


class BoundedSocket(socket.socket):
    """A socket that reads until a moment, not for a time each read.

    A server that sends a byte now and then keeps every single read within
    its timeout, so those alone bound nothing.
    """

    remaining: Callable[[], float]

    @classmethod
    def of(
        cls, sock: socket.socket, remaining: Callable[[], float]
    ) -> BoundedSocket:
        """Take over a socket that is connected."""
        made = cls(fileno=sock.detach())
        made.remaining = remaining
        return made

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        left_s = self.remaining()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left_s)
        return super().recv_into(*args, **kwargs)


def bounded_session(remaining: Callable[[], float]) -> requests.Session:
    """Make a session whose every read ends when `remaining()` is 0."""

    class Connection(HTTPConnection):
        def connect(self) -> None:
            super().connect()  # type: ignore[no-untyped-call]  # 1.26's stubs
            self.sock = BoundedSocket.of(self.sock, remaining)

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0)
    adapter.poolmanager.pool_classes_by_scheme = {"http": Pool}
    session = requests.Session()
    # Neither proxies nor .netrc: the service is on the link, and a proxy
    # would be given the token.
    session.trust_env = False
    # Even with allow_redirects=False requests reads the whole body of a
    # redirect, and stumbles over a target that is no URL.
    session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]
    session.mount("http://", adapter)
    session.headers["User-Agent"] = f"cc_multihome/{__version__}"
    session.headers["Accept-Encoding"] = "identity"
    return session
