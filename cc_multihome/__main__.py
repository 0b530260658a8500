# SPDX-License-Identifier: Apache-2.0
"""`python3 -m cc_multihome` is `multihome`."""

from __future__ import annotations

import sys

from cc_multihome.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
