# SPDX-License-Identifier: Apache-2.0
"""What the module and its changes cost, side by side with other ways.

    python -m tests.lab.bench loss|attach|boot [--suite trixie]

The times are an emulation's, for comparing within one run; see docs/lab.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from tests.lab.bench_attach import attach
from tests.lab.bench_boot import boot
from tests.lab.bench_loss import loss
from tests.lab.cleanup import Run
from tests.lab.host import LabError
from tests.lab.recipe import SUITES

Bench = Callable[[Run, argparse.Namespace], str]


def main(argv: list[str] | None = None) -> int:
    """Run one benchmark and print its table."""
    options = _parser().parse_args(argv)
    bench: Bench = options.bench
    try:
        with Run() as run:
            print(bench(run, options))
    except LabError as err:
        print(f"the benchmark could not run: {err}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="script/bench",
        description="Measure what the module and its changes cost, on"
        " instances in a simulated VPC, side by side with other ways.",
    )
    benches = parser.add_subparsers(required=True, metavar="BENCH")
    _add(
        benches.add_parser("loss", help="what changes of the network lose"),
        lambda run, options: loss(run, options.suite),
    )
    _add(
        benches.add_parser("attach", help="until a new ENI answers"),
        lambda run, options: attach(run, options.suite),
    )
    boots = benches.add_parser("boot", help="whole boots without the key")
    boots.add_argument(
        "--runs", type=_count, default=5, help="boots of each (default: 5)"
    )
    boots.add_argument(
        "--with-key", action="store_true", help="boots with the key, too"
    )
    _add(
        boots,
        lambda run, options: boot(
            run, options.suite, runs=options.runs, with_key=options.with_key
        ),
    )
    return parser


def _add(parser: argparse.ArgumentParser, bench: Bench) -> None:
    parser.add_argument(
        "--suite", choices=SUITES, default="trixie", help="Debian release"
    )
    parser.set_defaults(bench=bench)


def _count(text: str) -> int:
    count = int(text)
    if count < 2:
        raise argparse.ArgumentTypeError(
            "expected 2 or more: one boot has no spread"
        )
    return count


if __name__ == "__main__":
    sys.exit(main())
