# SPDX-License-Identifier: Apache-2.0
"""The time of a run is up: end it if it hangs, and undo what it did.

Started by the timer of apply/deadman.py, which a run that ends disarms.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress

from cc_multihome.apply.checkpoint import JOURNAL
from cc_multihome.apply.lock import holder
from cc_multihome.errors import MultihomeError
from cc_multihome.pipeline import end_unfinished

LOG = logging.getLogger(__name__)


def main() -> int:
    """Undo the unfinished run; return 1 when that failed."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not JOURNAL.exists():
        # The run has ended just now; it, or the next one, is not to be
        # killed.
        return 0
    process = holder()
    if process is not None:
        LOG.warning("process %d hangs: it is killed", process)
        # It may have ended by itself just now; there is a journal anyway.
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    try:
        end_unfinished()
    except (MultihomeError, OSError) as err:
        LOG.error("%s", err)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
