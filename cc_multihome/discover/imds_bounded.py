# SPDX-License-Identifier: Apache-2.0
"""What bounds the time that the metadata service may take."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
