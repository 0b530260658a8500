# SPDX-License-Identifier: Apache-2.0
"""The command `multihome`.

Each verb has a module with a function `add_<verb>(verbs)` that describes its
arguments and sets `run`, a function from the parsed arguments to the exit
status. What a verb needs is imported when it runs, so that `--version`,
`--help` and the shell's completion stay quick.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence

from cc_multihome.cli.change import add_apply, add_restore, add_rollback
from cc_multihome.cli.diagram import add_diagram
from cc_multihome.cli.explain import add_explain
from cc_multihome.cli.integrate import add_integrate
from cc_multihome.cli.output import complain, held_back, prepare
from cc_multihome.cli.plan import add_plan
from cc_multihome.cli.render import add_render
from cc_multihome.cli.status import add_status
from cc_multihome.cli.validate import add_validate
from cc_multihome.cli.verb import EXIT_INTERRUPTED, Parser, command_of
from cc_multihome.cli.verify import add_verify
from cc_multihome.version import __version__

# In the order in which a person needs them.
VERBS = (
    *(add_status, add_plan, add_apply, add_verify, add_rollback),
    *(add_explain, add_diagram, add_render, add_validate),
    *(add_integrate, add_restore),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status (docs/cli.md)."""
    args = argparse.Namespace(verb=None, json=False)
    prepare()
    try:
        with held_back():
            status = _run(argv, args)
    except KeyboardInterrupt:
        # A second one (timeout(1) sends two) would end in a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        complain(f"{command_of(args.verb)}: interrupted")
        return EXIT_INTERRUPTED
    # Mistakes of this package too: a traceback helps nobody on a host.
    except Exception as err:
        from cc_multihome.cli.report import report

        return report(err, args.verb, as_json=args.json)
    return status


def _run(argv: Sequence[str] | None, args: argparse.Namespace) -> int:
    """Read the command line into `args`, and do what it asks."""
    _, rest = build_parser().parse_known_args(argv, args)
    if rest:
        # Not by parse_args(): it shows the usage of no verb.
        args.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    status: int = args.run(args)
    return status


def build_parser() -> Parser:
    """Describe every verb and its arguments."""
    parser = Parser(
        prog="multihome",
        description="Multi-homed EC2 instances, see multihome(8).",
    )
    parser.add_argument(
        "--version", action="version", version=f"multihome {__version__}"
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for add in VERBS:
        add(verbs)
    return parser
