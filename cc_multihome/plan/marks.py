# SPDX-License-Identifier: Apache-2.0
"""The mark of each ENI: pure."""

from __future__ import annotations

from collections.abc import Sequence

from cc_multihome.errors import LinkError
from cc_multihome.model import Eni
from cc_multihome.numbers import MARK_FLAG, MARKS, MARKS_PER_CARD


def marks_of(enis: Sequence[Eni]) -> dict[str, int]:
    """Map each ENI's MAC to its mark.

    It follows from the attachment, so that it does not move when another
    ENI comes or goes; with many network cards, where two would have one,
    the later one takes the next that is free.

    Raises:
        LinkError: there are more ENIs than marks.
    """
    if len(enis) > MARKS:
        raise LinkError(f"{len(enis)} ENIs, expected at most {MARKS}")
    taken: dict[int, str] = {}
    for eni in sorted(enis, key=Eni.sort_key):
        number = MARKS_PER_CARD * eni.network_card + eni.device_number
        while number % MARKS in taken:
            number += 1
        taken[number % MARKS] = eni.mac
    return {mac: MARK_FLAG | (1 + number) for number, mac in taken.items()}
