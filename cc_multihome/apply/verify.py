# SPDX-License-Identifier: Apache-2.0
"""Wait until the kernel holds the plan."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from cc_multihome.apply.diff import mismatches
from cc_multihome.discover.kernel import read_kernel
from cc_multihome.errors import VerifyError
from cc_multihome.model import Observed, Plan

LOG = logging.getLogger(__name__)

# networkd needs well under a second; a loaded or emulated machine far more.
VERIFY_TIMEOUT_S = 60.0
VERIFY_INTERVAL_S = 0.25


def wait_until_converged(
    plan: Plan,
    *,
    read: Callable[[], Observed] = read_kernel,
    timeout: float = VERIFY_TIMEOUT_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when everything planned is there.

    Raises:
        VerifyError: it is not, `timeout` seconds after the call; says what
            is missing and what the kernel has instead.
    """
    started = clock()
    while True:
        observed = read()
        missing = mismatches(plan, observed)
        if not missing:
            LOG.info("verified in %.1f s", clock() - started)
            return
        if clock() - started >= timeout:
            raise VerifyError(_explain(missing, observed, timeout))
        sleep(VERIFY_INTERVAL_S)


def _explain(
    missing: tuple[str, ...], observed: Observed, timeout: float
) -> str:
    wanted = "".join(f"\n  {line}" for line in missing)
    rules = sorted(observed.rules, key=lambda rule: rule.priority)
    seen = ", ".join(
        f"{rule.priority}: from {rule.src} lookup {rule.table}"
        for rule in rules
        if rule.src.version == 4
    )
    addresses = ", ".join(
        sorted(f"{name} {address}" for name, address in observed.addresses)
    )
    return (
        f"the kernel does not hold the plan after {timeout:.0f} s:{wanted}\n"
        f"Seen instead: rules {seen}; addresses {addresses}"
    )
