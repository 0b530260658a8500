# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line makes a machine that looks like an EC2 instance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.host import LabError
from tests.lab.qemu import (
    FIRST_SLOT,
    Machine,
    Nic,
    assign_slots,
    build_argv,
    device_options,
    instance_uuid,
)
from tests.lab.shape import SEED, LabEni


def eni(name: str) -> LabEni:
    """An ENI of which only the name matters."""
    return LabEni(
        name, f"eni-{name}", "02:00:00:00:00:01", 0, "s", ("10.0.0.4",)
    )


def machine(**given: object) -> Machine:
    """A machine with the seed's ENIs."""
    slots = assign_slots(SEED.enis)
    nics = tuple(Nic(item, slots[item.name]) for item in SEED.enis)
    base = Machine(kernel=Path("/k"), initrd=Path("/i"), nics=nics)
    return replace(base, **given)  # type: ignore[arg-type]


def values(argv: list[str], option: str) -> list[str]:
    """What follows each `option`."""
    return [argv[i + 1] for i, word in enumerate(argv) if word == option]


def test_enis_sit_in_slots_from_5_on_and_have_their_taps_and_macs() -> None:
    """ens5 and ens6, as on Nitro."""
    argv = build_argv(SEED, machine())

    front = (
        "virtio-net-pci,netdev=net-{0},id=eni-{0},mac={1},addr={2},romfile="
    )
    assert [
        front.format("private", "0a:93:1b:88:fa:fb", "0x5"),
        front.format("public", "0a:c9:4e:3c:89:65", "0x6"),
    ] == [v for v in values(argv, "-device") if "net-pci" in v]
    assert [
        "tap,id=net-private,ifname=tap-private,script=no,downscript=no",
        "tap,id=net-public,ifname=tap-public,script=no,downscript=no",
    ] == values(argv, "-netdev")


def test_smbios_says_amazon_ec2_where_cloud_init_looks() -> None:
    """The uuid and serial begin with ec2; the asset is the instance."""
    one, two, three = values(build_argv(SEED, machine()), "-smbios")[1:]
    number = instance_uuid(SEED)

    assert number.startswith("ec2")
    assert one.endswith(f"uuid={number},serial={number}")
    assert two.endswith(f"asset={SEED.instance_id}")
    assert three.endswith("asset=Amazon EC2")


def test_each_instance_has_a_uuid_of_its_own() -> None:
    """Always the same one."""
    other = replace(SEED, instance_id="i-other")

    assert instance_uuid(SEED) == instance_uuid(SEED)
    assert instance_uuid(SEED) != instance_uuid(other)


def test_a_snapshot_is_loaded_only_when_it_is_asked_for() -> None:
    """And the kernel's parameters end in what was appended."""
    assert "-loadvm" not in build_argv(SEED, machine())
    argv = build_argv(SEED, machine(load="s1", append="quiet-please"))

    assert ["s1"] == values(argv, "-loadvm")
    assert values(argv, "-append")[0].endswith(" quiet-please")


@pytest.mark.parametrize(
    ("accelerator", "processor"),
    [("tcg", "Nehalem"), ("kvm", "host,-arch-capabilities")],
)
def test_the_accelerator_is_the_one_that_was_chosen(
    accelerator: str, processor: str
) -> None:
    """With the processor that belongs to it."""
    argv = build_argv(SEED, machine(accelerator=accelerator))

    assert values(argv, "-accel")[0].startswith(accelerator)
    assert [processor] == values(argv, "-cpu")


def test_the_name_of_a_tap_fits_the_kernel_for_any_eni() -> None:
    """QEMU and the VPC must come to the same name."""
    nic = Nic(eni("a-name-that-is-long"), 5)
    argv = build_argv(SEED, machine(nics=(nic,)))
    options = values(argv, "-netdev")[0].split(",")

    assert len(options[2].partition("=")[2]) <= 15


def test_an_eni_keeps_its_slot_when_another_comes_or_goes() -> None:
    """A new one gets the lowest that was never taken."""
    first = assign_slots([eni("a"), eni("b")])

    assert {"a": 5, "b": 6} == first
    assert {"a": 5, "b": 6, "c": 7} == assign_slots([eni("c")], first)
    assert first == assign_slots([eni("b")], first)


def test_fifteen_enis_have_slots_and_too_many_are_refused_by_name() -> None:
    """The largest instances take 15; one bus takes 25."""
    enis = [eni(f"e{number}") for number in range(26)]

    assert FIRST_SLOT + 24 == assign_slots(enis[:25])["e24"]
    with pytest.raises(LabError, match=r"no PCI slot for ENI 'e25'.*25 ENIs"):
        assign_slots(enis)


def test_a_plugged_device_is_the_same_as_one_from_the_start() -> None:
    """QMP takes as a mapping what the command line takes as a list."""
    nic = Nic(SEED.enis[0], 9)

    options = device_options(nic)

    assert "virtio-net-pci" == options["driver"]
    assert "0x9" == options["addr"]
    assert SEED.enis[0].mac == options["mac"]
