# SPDX-License-Identifier: Apache-2.0
"""Run things inside a network namespace of the lab."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

from cc_multihome.errors import CommandError
from cc_multihome.run import RUN_TIMEOUT_S, run

# IFNAMSIZ less the closing NUL, include/uapi/linux/if.h.
IFNAME_MAX = 15
POLL_S = 0.05
# For what is there at once, unless the machine is busy.
WAIT_S = 60.0


def device_name(prefix: str, name: str) -> str:
    """Return `prefix-name`, made to fit the kernel's 15 bytes.

    A name that is too long ends in a checksum: two long names that begin
    alike would otherwise be one device.
    """
    full = f"{prefix}-{name}"
    if len(full) <= IFNAME_MAX:
        return full
    check = f"{crc32(full.encode()) & 0xFFFF:04x}"
    return f"{full[: IFNAME_MAX - 5]}-{check}"


@dataclass(frozen=True)
class Netns:
    """A network namespace, by the name that `ip netns` knows it by."""

    name: str

    def argv(self, argv: Sequence[str]) -> list[str]:
        """Return the command that runs `argv` inside."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(
        self,
        argv: Sequence[str],
        stdin: str = "",
        *,
        timeout: float = RUN_TIMEOUT_S,
    ) -> str:
        """Run `argv` inside to its end and return what it printed.

        Raises:
            CommandError: it failed or did not end within `timeout` seconds.
        """
        return run(self.argv(argv), stdin=stdin, timeout=timeout)

    def ip(self, commands: Iterable[str], *family: str) -> None:
        """Give ip(8) a batch of commands; the first error stops it.

        Args:
            commands: without the leading word `ip`.
            family: "-4" or "-6", for commands that need to be told.
        """
        lines = list(commands)
        if not lines:
            return
        argv = ["ip", *family, "-n", self.name, "-batch", "-"]
        try:
            run(argv, stdin="".join(f"{line}\n" for line in lines))
        except CommandError as err:
            listed = "\n".join(
                f"  {number}: ip {line}"
                for number, line in enumerate(lines, start=1)
            )
            raise CommandError(f"{err}; the batch was\n{listed}") from err

    def nft(self, ruleset: str) -> None:
        """Load an nftables ruleset, all of it or nothing."""
        try:
            self.run(["nft", "-f", "-"], ruleset)
        except CommandError as err:
            raise CommandError(f"{err}; the ruleset was\n{ruleset}") from err

    def sysctl(self, *settings: str) -> None:
        """Set `key=value` pairs."""
        self.run(["sysctl", "-qw", *settings])

    def links(self) -> tuple[str, ...]:
        """Return the names of all devices in it."""
        lines = run(["ip", "-n", self.name, "-o", "link", "show"])
        names = (line.split(": ")[1] for line in lines.splitlines())
        return tuple(name.split("@")[0] for name in names)

    def wait_for_listener(
        self,
        child: subprocess.Popen[bytes],
        *,
        port: int,
        udp: bool = False,
        timeout: float = WAIT_S,
    ) -> None:
        """Wait until something listens on a port in here.

        Raises:
            CommandError: `child`, which was to listen, ended first, or the
                time was up.
        """
        argv = ["ss", "-Hnl", "-u" if udp else "-t", f"sport = :{port}"]
        wait_until(
            lambda: bool(self.run(argv).strip()) or child.poll() is not None,
            what=f"a listener on port {port} in {self.name}",
            timeout=timeout,
        )
        if child.poll() is not None:
            raise CommandError(
                f"{child.args!r} ended with status {child.returncode} before"
                f" it listened on port {port} in {self.name}: see its log in"
                " the run's directory"
            )

    def delete(self) -> None:
        """Remove the name; it is fine if it is gone already."""
        if os.path.exists(f"/run/netns/{self.name}"):
            run(["ip", "netns", "delete", self.name])


def wait_until(
    holds: Callable[[], bool], *, what: str, timeout: float = WAIT_S
) -> None:
    """Wait until `holds()` is true.

    Raises:
        CommandError: the time was up; `what` says what was waited for.
    """
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise CommandError(f"{what}: not there within {timeout:.0f} s")
        time.sleep(POLL_S)
