# SPDX-License-Identifier: Apache-2.0
"""How long it takes from an ENI's attaching until it answers by itself."""

from __future__ import annotations

import time

from cc_multihome.cli.style import Style
from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.host import progress
from tests.lab.image import stock, with_package
from tests.lab.instance import LabInstance, booted, build_deb
from tests.lab.pinging import is_answered, pinging
from tests.lab.shape import THIRD, WITH_THIRD
from tests.lab.user_data import SEED_INTENT

RATE = 10.0
ANSWER_WITHIN_S = 180.0
ALIGNED = Style(aligned=True)


def attach(run: Run, suite: str) -> str:
    """Attach an ENI without and with the module; return the table."""
    rows = [["", "answers by its own ENI, s", "packets dropped until then"]]
    shown = (
        ("stock cloud-init", stock(suite), user_data.cloud_config({})),
        (
            "multihome",
            with_package(suite, build_deb()),
            user_data.multihome(SEED_INTENT),
        ),
    )
    for title, image, data in shown:
        label = title.split(maxsplit=1)[0]
        with booted(run, image, SEED_INTENT, data, label=label) as instance:
            rows.append([title, *_attach(instance)])
    return ALIGNED.columns(rows)


def _attach(instance: LabInstance) -> tuple[str, str]:
    """Plug the ENI; return when it first answered, and what was dropped.

    The VPC's source check drops an answer that leaves by another ENI.
    """
    vpc = instance.vpc
    vpc.update(WITH_THIRD)
    vpc.reset_counters()
    started = time.monotonic()
    with progress("an ENI is attached"):
        instance.vm.plug(THIRD)
        taken = f"not within {ANSWER_WITHIN_S:.0f}"
        with pinging(vpc.corp, THIRD.ipv4s[0], rate=RATE):
            while time.monotonic() < started + ANSWER_WITHIN_S:
                if is_answered(vpc.corp, THIRD.ipv4s[0], within=1):
                    taken = f"{time.monotonic() - started:.1f}"
                    break
    return taken, str(sum(each.src for each in vpc.counters().values()))
