# SPDX-License-Identifier: Apache-2.0
"""The time of a run is up: end it if it hangs, and undo what it did.

Started by the timer of apply/deadman.py, which a run that ends disarms.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from contextlib import suppress

from cc_multihome.apply.checkpoint import JOURNAL
from cc_multihome.apply.deadman import SIGNAL
from cc_multihome.apply.lock import holder
from cc_multihome.errors import MultihomeError
from cc_multihome.pipeline import end_unfinished

LOG = logging.getLogger(__name__)

# A run that ends by itself undoes by itself; that takes as long as addresses
# are waited for, and a few commands.
GRACE_S = 120.0
INTERVAL_S = 0.2


def main() -> int:
    """Undo the unfinished run; return 1 when that failed."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not JOURNAL.exists():
        # The run has ended just now; it, or the next one, is not to be
        # killed.
        return 0
    process = holder()
    if process is not None:
        _end(process)
    try:
        end_unfinished()
    except (MultihomeError, OSError) as err:
        LOG.error("%s", err)
        return 1
    return 0


def _end(process: int) -> None:
    """Tell it to end; kill it if it does not."""
    LOG.warning("process %d hangs: it is told to end", process)
    # It may have ended by itself just now; there is a journal anyway.
    with suppress(ProcessLookupError):
        os.kill(process, SIGNAL)
        last = time.monotonic() + GRACE_S
        while holder() == process:
            if time.monotonic() > last:
                LOG.warning("process %d still hangs: it is killed", process)
                os.kill(process, signal.SIGKILL)
                return
            time.sleep(INTERVAL_S)


if __name__ == "__main__":
    sys.exit(main())
