# SPDX-License-Identifier: Apache-2.0
"""Boot the seed's instance without and with the module; show both.

    python -m tests.lab.demo [--suite trixie] [--all]

Prints the flows side by side, then the rules, tables and resolver that the
guest ended with. Exit status 1 when a flow is wrong with the module.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.host import LabError, say
from tests.lab.image import Image, stock, with_package
from tests.lab.instance import LabInstance, booted, build_deb
from tests.lab.recipe import SUITES
from tests.lab.report import Column, render
from tests.lab.user_data import SEED_INTENT

STOCK = "stock cloud-init"
BY_HAND = "the seed by hand"
NO_POLICY = "two defaults, no policy"
MULTIHOME = "with multihome"

SHOWN = (
    "cat /run/netplan/55-multihome.yaml",
    "ip rule show",
    "ip route show",
    "ip route show table private",
    "ip route show table public",
    "ip route show table multihome-policy",
    "cat /etc/resolv.conf",
    "systemctl is-active systemd-resolved",
    "cloud-init status --long",
)

# Title -> the image that it needs and its user-data.
COLUMNS: dict[str, tuple[Callable[[str], Image], str]] = {
    STOCK: (stock, user_data.cloud_config({})),
    BY_HAND: (stock, user_data.seed_by_hand(SEED_INTENT)),
    NO_POLICY: (stock, user_data.two_defaults(SEED_INTENT)),
    MULTIHOME: (
        lambda suite: with_package(suite, build_deb()),
        user_data.multihome(SEED_INTENT),
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Run the demo."""
    options = _parse(argv)
    titles = tuple(COLUMNS) if options.all else (STOCK, MULTIHOME)
    columns = []
    ended_with = ""
    try:
        with Run() as run:
            for number, title in enumerate(titles, 1):
                say(f"{number} of {len(titles)}: {title}")
                column, ended_with = _boot(run, title, options.suite)
                columns.append(column)
    except LabError as err:
        print(f"the demo could not run: {err}", file=sys.stderr)
        return 2
    print(render(columns))
    print(ended_with)
    wrong = [item for item in columns[-1].verdicts if not item.ok]
    for verdict in wrong:
        print(f"WRONG: {verdict.flow.id}: {verdict.detail}")
    return 1 if wrong else 0


def _boot(run: Run, title: str, suite: str) -> tuple[Column, str]:
    """Return the flows, and what the guest ended with."""
    image, data = COLUMNS[title]
    label = title.split(maxsplit=1)[0].replace(",", "")
    built = image(suite)
    with booted(run, built, SEED_INTENT, data, label=label) as instance:
        return instance.column(title, SEED_INTENT), _describe(instance)


def _describe(instance: LabInstance) -> str:
    """Run the commands that show the guest's network; return their output."""
    shown = [
        f"$ {command}\n{instance.vm.run(command, check=False).out}"
        for command in SHOWN
    ]
    return "\n".join(shown)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="script/demo",
        description="Boot an EC2-like instance with two ENIs in a simulated"
        " VPC, without and with cc_multihome, and show where packets go.",
    )
    parser.add_argument(
        "--suite", choices=SUITES, default="trixie", help="Debian release"
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="also the seed by hand, and two default routes without policy",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
