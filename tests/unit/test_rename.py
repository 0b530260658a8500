# SPDX-License-Identifier: Apache-2.0
"""Devices get their names in an order that never collides."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cc_multihome.apply import rename
from cc_multihome.apply.checkpoint import Checkpoint
from cc_multihome.apply.rename import rename_links, rename_order
from cc_multihome.errors import ApplyError, CommandError
from tests.unit.builders import FakeRun

NAMES = ("a", "b", "c", "d", "e", "mh-rename0", "mh-rename1")
names = st.lists(st.sampled_from(NAMES), unique=True, max_size=len(NAMES))
# Both lists have each name once, as devices and configurations do.
wishes = st.tuples(names, names).map(
    lambda both: dict(zip(both[0], both[1], strict=False))
)


class Kernel:
    """Devices by name, which refuse as the kernel does; a stand-in for run().

    Attributes:
        devices: name now -> name at first.
        up: names (at first) of devices that are up.
        busy: whether a device that is up refuses a new name.
        raisers: how often a device that is put down is put up at once.
    """

    def __init__(self, *devices: str, busy: bool = False) -> None:
        self.devices = {name: name for name in devices}
        self.up = set(devices)
        self.busy = busy
        self.raisers = 0
        self.refused: set[str] = set()
        self.calls: list[str] = []

    def __call__(self, argv: list[str], *, stdin: str = "") -> str:
        """Take `ip link set NAME name NEW` and `... up|down`, or a batch."""
        if argv == ["ip", "-batch", "-"]:
            for line in stdin.splitlines():
                self(["ip", *line.split()])
            return ""
        words = [word for word in argv if word != "dev"]
        assert words[:3] == ["ip", "link", "set"]
        name, words = words[3], words[4:]
        self.calls.append(" ".join([name, *words]))
        if name not in self.devices:
            raise CommandError(f"Cannot find device {name}")
        if words[0] == "name":
            self._rename(name, words[1])
        elif words == ["up"]:
            self.up.add(self.devices[name])
        else:
            self.up.discard(self.devices[name])
            if self.raisers:
                # networkd, which configures the link just then
                self.raisers -= 1
                self.up.add(self.devices[name])
        return ""

    def _rename(self, old: str, new: str) -> None:
        if new in self.devices:
            raise CommandError("File exists")
        if new in self.refused:
            raise CommandError("Invalid argument")
        if self.busy and self.devices[old] in self.up:
            raise CommandError("Device or resource busy")
        self.devices[new] = self.devices.pop(old)

    def index(self, name: str) -> int:
        """Stand in for if_nametoindex()."""
        if name not in self.devices:
            raise OSError("no such device")
        return 1 + sorted(self.devices.values()).index(self.devices[name])

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put it in the place of the real one."""
        monkeypatch.setattr(rename, "run", self)
        monkeypatch.setattr(rename, "if_nametoindex", self.index)
        monkeypatch.setattr("time.sleep", lambda _: None)


def in_steps(names: Mapping[str, str]) -> dict[str, str]:
    """Take the steps on a dict; return name now -> name at first."""
    devices = {name: name for name in names}
    for old, new in rename_order(names):
        assert new not in devices, f"{new} is taken"
        devices[new] = devices.pop(old)
    return devices


@given(wishes)
def test_every_device_gets_its_name_and_no_two_have_one(
    wanted: dict[str, str],
) -> None:
    """Chains, rings, swaps, and names that look like temporary ones."""
    assert in_steps(wanted) == {new: old for old, new in wanted.items()}


@given(wishes)
def test_no_device_is_renamed_without_need(wanted: dict[str, str]) -> None:
    """One step each, and one more for each ring."""
    steps = rename_order(wanted)
    moving = [old for old, new in wanted.items() if old != new]
    rings = len(steps) - len(moving)
    assert 0 <= rings <= len(moving) // 2


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param({}, 0, id="none"),
        pytest.param({"a": "a"}, 0, id="its own name"),
        pytest.param({"a": "x", "b": "y"}, 2, id="apart"),
        pytest.param({"a": "b", "b": "c"}, 2, id="a chain"),
        pytest.param({"a": "b", "b": "a"}, 3, id="a swap"),
        pytest.param({"a": "b", "b": "c", "c": "a"}, 4, id="a ring"),
    ],
)
def test_a_ring_costs_one_step_more(
    wanted: dict[str, str], expected: int
) -> None:
    """By a temporary name."""
    assert len(rename_order(wanted)) == expected


def test_a_chain_begins_at_its_free_end() -> None:
    """b must be gone before a takes its name."""
    assert rename_order({"a": "b", "b": "c"}) == (("b", "c"), ("a", "b"))


def test_temporary_names_fit_the_kernel() -> None:
    """15 bytes, also with many rings."""
    pairs = {f"{a}{n}": f"{b}{n}" for n in range(32) for a, b in ("ab", "ba")}
    assert max(len(new) for _, new in rename_order(pairs)) <= 15


def test_the_kernel_is_told_each_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A swap, as the kernel sees it."""
    kernel = Kernel("ens5", "ens6")
    kernel.use(monkeypatch)
    with Checkpoint() as checkpoint:
        rename_links({"ens5": "ens6", "ens6": "ens5"}, checkpoint)
    assert kernel.devices == {"ens5": "ens6", "ens6": "ens5"}


def test_an_error_later_on_gives_the_old_names_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A ring too."""
    kernel = Kernel("a", "b", "c")
    kernel.use(monkeypatch)
    with pytest.raises(ApplyError), Checkpoint() as checkpoint:
        rename_links({"a": "b", "b": "c", "c": "a"}, checkpoint)
        raise ApplyError("no")
    assert kernel.devices == {"a": "a", "b": "b", "c": "c"}


def test_a_device_that_is_up_is_put_down_where_the_kernel_wants_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before Linux 6.2; it is up again afterwards."""
    kernel = Kernel("ens5", busy=True)
    kernel.use(monkeypatch)
    rename_links({"ens5": "private"}, Checkpoint())
    assert kernel.devices == {"private": "ens5"}
    assert kernel.up == {"ens5"}


def test_a_networkd_that_puts_the_device_up_again_is_outlasted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen on Debian 12, where networkd is restarted just before."""
    kernel = Kernel("ens5", busy=True)
    kernel.raisers = 3
    kernel.use(monkeypatch)
    rename_links({"ens5": "private"}, Checkpoint())
    assert kernel.devices == {"private": "ens5"}
    assert kernel.up == {"ens5"}


def test_a_device_that_never_stays_down_keeps_its_name_and_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The tries end."""
    kernel = Kernel("ens5", busy=True)
    kernel.raisers = 1000
    kernel.use(monkeypatch)
    with pytest.raises(CommandError, match="busy"), Checkpoint() as undo:
        rename_links({"ens5": "private"}, undo)
    assert kernel.devices == {"ens5": "ens5"}
    assert kernel.up == {"ens5"}


def test_a_device_stays_up_where_the_kernel_lets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Putting it down loses its routes."""
    fake = FakeRun()
    monkeypatch.setattr(rename, "run", fake)
    rename_links({"ens5": "private"}, Checkpoint())
    assert fake.calls == ["ip link set dev ens5 name private"]


def test_a_refused_name_leaves_the_device_up_and_the_host_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first of two was renamed already."""
    kernel = Kernel("a", "b", busy=True)
    kernel.refused = {"bad"}
    kernel.use(monkeypatch)
    with pytest.raises(CommandError), Checkpoint() as checkpoint:
        rename_links({"a": "good", "b": "bad"}, checkpoint)
    assert kernel.devices == {"a": "a", "b": "b"}
    assert kernel.up == {"a", "b"}


def test_a_name_that_another_device_took_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Undoing must not rename somebody's device."""
    kernel = Kernel("a", "theirs")
    kernel.use(monkeypatch)
    with pytest.raises(CommandError, match="exists"), Checkpoint() as undo:
        rename_links({"a": "theirs"}, undo)
    assert kernel.devices == {"a": "a", "theirs": "theirs"}
