# SPDX-License-Identifier: Apache-2.0
"""The only place that starts other programs."""

from __future__ import annotations

import logging
import shlex
import subprocess
from collections.abc import Mapping, Sequence

from cc_multihome.errors import CommandError

LOG = logging.getLogger(__name__)

RUN_TIMEOUT_S = 60.0
# Built from nothing: a proxy or a locale of the caller's must not change
# what a command does or prints.
RUN_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}


def run(
    argv: Sequence[str],
    *,
    stdin: str = "",
    timeout: float = RUN_TIMEOUT_S,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        CommandError: it is not installed, exited with another status than 0,
            or did not end within `timeout` seconds (it is then killed).
    """
    command = shlex.join(argv)
    LOG.debug("running %s", command)
    try:
        # subprocess.run kills and reaps the child when its time is up.
        done = subprocess.run(
            list(argv),
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**RUN_ENV, **(env or {})},
            check=False,
        )
    except FileNotFoundError as err:
        raise CommandError(f"{argv[0]} is not installed ({command})") from err
    except subprocess.TimeoutExpired as err:
        raise CommandError(
            f"{command} did not end within {timeout:.0f} s"
        ) from err
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip() or "nothing"
        raise CommandError(
            f"{command} exited with status {done.returncode} and said: {said}"
        )
    return done.stdout
