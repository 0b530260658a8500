# SPDX-License-Identifier: Apache-2.0
"""What a boot printed becomes seconds, and boots become a table."""

from __future__ import annotations

import pytest

from tests.lab.bench import main
from tests.lab.bench_boot import (
    MODULE_ROW,
    PARTS,
    STARTUP,
    STOCK,
    TOTAL_ROW,
    UNITS,
    UPTIME,
    WITHOUT_KEY,
    Measured,
    parse,
    render,
)

# cloud-init 25.1, shortened.
ANALYZED = """-- Boot Record 01 --
The total time elapsed since completing an event is printed after the "@" ...
Starting stage: init-local
|`->no cache found @00.00400s +00.00000s
Finished stage: (init-local) 02.50000 seconds
Starting stage: init-network
|`->config-write_files ran successfully and took 0.003 seconds @01.00s +00.003s
|`->config-multihome ran successfully and took 0.002 seconds @01.10s +00.00200s
Finished stage: (init-network) 01.25000 seconds

Total Time: 3.75000 seconds

1 boot records analyzed
"""


def shown(*units: str, analyzed: str = ANALYZED) -> str:
    """Write what the guest prints, with these stamps of units."""
    parts = ["70.25 101.00\n", "60000000\n", *units, analyzed]
    return f"{PARTS}\n".join(parts)


def measured(seconds: float, network: str = "routes") -> Measured:
    """One boot that took so long."""
    return Measured({STARTUP: seconds}, network, "systemd 257")


def test_stamps_of_systemd_and_stages_of_cloud_init_are_seconds() -> None:
    """The network stage has two names; a unit never reached has no row."""
    asked = sum(map(len, UNITS.values()))
    stamps = ["30000000\n", "\n", "29000000\n", "59000000\n", "0\n"]
    assert asked == len(stamps)
    assert {
        "network-online.target": 30.0,
        "cloud-init's network stage": 29.0,
        "cloud-final.service": 59.0,
        STARTUP: 60.0,
        UPTIME: 70.25,
        "cloud-init: init-local": 2.5,
        "cloud-init: init-network": 1.25,
        TOTAL_ROW: 3.75,
        MODULE_ROW: 0.002,
    } == parse(shown(*stamps))


def test_a_stock_boot_has_no_row_of_the_module() -> None:
    """Nothing ran, which is not 0 seconds."""
    analyzed = ANALYZED.replace("config-multihome", "config-ntp")
    stamps = ["0\n"] * sum(map(len, UNITS.values()))
    assert MODULE_ROW not in parse(shown(*stamps, analyzed=analyzed))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        pytest.param(62.0, "+1.00, within 4.00", id="within"),
        pytest.param(57.0, "-4.00, within 4.00", id="just-within"),
        pytest.param(66.0, "+5.00, BEYOND 4.00", id="beyond"),
    ],
)
def test_a_difference_is_held_against_the_spread_of_stock(
    seconds: float, said: str
) -> None:
    """Of medians: 61 s, between 59 and 63."""
    stock = [measured(it) for it in (59.0, 63.0, 61.0)]
    ours = [measured(it) for it in (seconds - 1, seconds, seconds + 9)]
    table = render({STOCK: stock, WITHOUT_KEY: ours})
    assert "61.00 (59.00 to 63.00)" in table
    assert f"{seconds / 61:.3f}" in table
    assert said in table


def test_another_route_in_one_boot_is_told() -> None:
    """The network is compared over all boots without the key."""
    stock = [measured(60.0), measured(60.0)]
    same = [measured(60.0), measured(60.0)]
    other = [measured(60.0), measured(60.0, "another route")]
    assert "the same in every boot" in render(
        {STOCK: stock, WITHOUT_KEY: same}
    )
    assert "THEY DIFFER" in render({STOCK: stock, WITHOUT_KEY: other})


def test_one_boot_is_not_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """There is no spread to hold a difference against."""
    with pytest.raises(SystemExit):
        main(["boot", "--runs", "1"])
    assert "2 or more" in capsys.readouterr().err
