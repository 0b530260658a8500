# SPDX-License-Identifier: Apache-2.0
"""What the installed package costs a boot that does not ask for it.

Whole boots of the stock image and of the image with the package, without the
key, in turn: one VM at a time, in one VPC, with the same user-data. The times
are the guest's own: systemd's, the kernel's, cloud-init's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from cc_multihome.cli.style import Style
from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.host import LabError, progress
from tests.lab.image import Image, stock, with_package
from tests.lab.instance import build_deb
from tests.lab.matrix import VERSIONS
from tests.lab.user_data import SEED_INTENT
from tests.lab.vm import Vm
from tests.lab.vpc import Vpc

NO_KEY = user_data.cloud_config({"preserve_hostname": False})
STOCK, WITHOUT_KEY, WITH_KEY = "stock", "package, no key", "package, key"
ALIGNED = Style(aligned=True)
PARTS = "====="
# Row -> the unit whose being active ends it; the first that there is.
# cloud-init's network stage is called cloud-init.service up to 24.2.
UNITS = {
    "network-online.target": ("network-online.target",),
    "cloud-init's network stage": (
        "cloud-init-network.service",
        "cloud-init.service",
    ),
    "cloud-final.service": ("cloud-final.service",),
    "the default target": ("default.target",),
}
STARTUP, UPTIME = "systemd: startup finished", "/proc/uptime, all settled"
STAGE = re.compile(r"Finished stage: \((\S+)\) ([\d.]+) seconds")
MODULE = re.compile(r"config-multihome .*\+([\d.]+)s")
MODULE_ROW, TOTAL_ROW = "cloud-init: the module", "cloud-init: all stages"
HOST_CPU = "the emulator's processor time"
READ_TIMEOUT_S = 200.0
# What a boot leaves of the network: files and kernel.
NETWORK = """for f in /etc/netplan/* /run/netplan/* /etc/resolv.conf; do
    [ -f "$f" ] && echo "== $f" && cat "$f"
done
ip -N -br link; ip -N rule; ip -N -6 rule; ip -N route show table all
"""


@dataclass(frozen=True)
class Kind:
    """What is booted: an image, and the user-data that it gets."""

    title: str
    image: Image
    data: str


@dataclass(frozen=True)
class Measured:
    """One boot.

    Attributes:
        seconds: row -> seconds; those of units and of startup since the
            kernel's start.
        network: netplan's files, links, rules and routes.
    """

    seconds: Mapping[str, float]
    network: str = field(repr=False)
    versions: str = ""


def boot(run: Run, suite: str, *, runs: int, with_key: bool) -> str:
    """Boot each kind `runs` times in turn; return the table."""
    package = with_package(suite, build_deb())
    kinds = [
        Kind(STOCK, stock(suite), NO_KEY),
        Kind(WITHOUT_KEY, package, NO_KEY),
    ]
    if with_key:
        data = user_data.multihome(SEED_INTENT)
        kinds.append(Kind(WITH_KEY, package, data))
    found: dict[str, list[Measured]] = {kind.title: [] for kind in kinds}
    shape = SEED_INTENT.shape
    with Vpc(run, shape, user_data=NO_KEY, label="boot-") as vpc:
        for number in range(runs):
            # The other way round each time: a machine that gets busier, or
            # warmer, is no one's fault.
            for kind in kinds if number % 2 == 0 else reversed(kinds):
                vpc.set_user_data(kind.data)
                with progress(f"{number + 1} of {runs}: {kind.title}"):
                    found[kind.title].append(_boot(run, vpc, kind, number))
    return render(found)


def _boot(run: Run, vpc: Vpc, kind: Kind, number: int) -> Measured:
    shape = SEED_INTENT.shape
    label = f"{kind.title.replace(', ', '-').replace(' ', '-')}-{number + 1}"
    netns = vpc.hyp.name
    with Vm(run, kind.image, shape, netns=netns, name=label) as vm:
        booted = vm.wait_booted()
        cpu_s = vm.cpu_seconds()
        if booted.why:
            raise LabError(f"{label} did not boot well: {booted.why}")
        shown = vm.run(_read(), timeout=READ_TIMEOUT_S).out
        network = vm.run(NETWORK).out
        versions = vm.run(VERSIONS).out.strip()
    return Measured({**parse(shown), HOST_CPU: cpu_s}, network, versions)


def _read() -> str:
    """Return the shell commands whose output parse() reads."""
    asked = [
        "cat /proc/uptime",
        "systemctl show -P FinishTimestampMonotonic",
        *(
            f"systemctl show -P ActiveEnterTimestampMonotonic {unit}"
            for units in UNITS.values()
            for unit in units
        ),
        "cloud-init analyze show",
    ]
    return f"; echo {PARTS}; ".join(asked)


def parse(shown: str) -> dict[str, float]:
    """Return row -> seconds from what the commands of _read() print."""
    uptime, finished, *units, analyzed = shown.split(f"{PARTS}\n")
    seconds = {}
    for row, names in UNITS.items():
        stamps = [int(units.pop(0).strip() or 0) for _ in names]
        reached = next((stamp for stamp in stamps if stamp), None)
        if reached is not None:
            seconds[row] = reached / 1e6
    seconds[STARTUP] = int(finished) / 1e6
    seconds[UPTIME] = float(uptime.split()[0])
    stages = [(name, float(took)) for name, took in STAGE.findall(analyzed)]
    seconds |= {f"cloud-init: {name}": took for name, took in stages}
    seconds[TOTAL_ROW] = sum(took for _, took in stages)
    module = MODULE.search(analyzed)
    if module:
        seconds[MODULE_ROW] = float(module[1])
    return seconds


def render(found: Mapping[str, Sequence[Measured]]) -> str:
    """Return the table, and whether the network was the same."""
    base, *others = found
    head = ["s: median (least to most)", base]
    for title in others:
        head += [title, "ratio", "difference, and stock's spread"]
    names = dict.fromkeys(
        row for each in found.values() for it in each for row in it.seconds
    )
    rows = [head, *(_row(name, found) for name in names)]
    runs = len(found[base])
    lines = [f"{runs} boots of each; {found[base][0].versions}", ""]
    lines += [ALIGNED.columns(rows), "", _same_network(found)]
    return "\n".join(lines)


def _row(name: str, found: Mapping[str, Sequence[Measured]]) -> list[str]:
    base, *others = (
        [it.seconds[name] for it in each if name in it.seconds]
        for each in found.values()
    )
    cells = [name, _cell(base)]
    for values in others:
        cells += [_cell(values), *_compare(base, values)]
    return cells


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    least, most = min(values), max(values)
    return f"{median(values):.2f} ({least:.2f} to {most:.2f})"


def _compare(base: Sequence[float], values: Sequence[float]) -> list[str]:
    """Return the medians' ratio, and what their difference is worth."""
    if not base or not values:
        return ["-", "-"]
    ours, theirs = median(values), median(base)
    spread, difference = max(base) - min(base), ours - theirs
    within = "within" if abs(difference) <= spread else "BEYOND"
    return [
        f"{ours / theirs:.3f}",
        f"{difference:+.2f}, {within} {spread:.2f}",
    ]


def _same_network(found: Mapping[str, Sequence[Measured]]) -> str:
    without = [it.network for it in (*found[STOCK], *found[WITHOUT_KEY])]
    same = len(set(without)) == 1
    return (
        "netplan's files, resolv.conf, links, rules and routes without the"
        f" key: {'the same in every boot' if same else 'THEY DIFFER'}"
    )
