# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line for an instance, from its shape. Pure.

https://www.qemu.org/docs/master/system/invocation.html
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.host import LabError
from tests.lab.shape import LabEni, Shape
from tests.lab.vpc_rules import tap_name

# As on Nitro instances: the first ENI in slot 5 is ens5, and so on. The
# last slots of the bus are for what is not an ENI.
FIRST_SLOT = 0x05
LAST_SLOT = 0x1D
DISK_SLOT = 0x03
SERIAL_SLOT = 0x04
RANDOM_SLOT = 0x1E
# Relative to QEMU's working directory: a socket's path must be short.
AGENT_SOCKET = "agent.sock"
QMP_SOCKET = "qmp.sock"
CONSOLE_LOG = "console.log"
DISK = "disk.qcow2"
# Without arch-capabilities: some nested hypervisors offer the register and
# then refuse to have it set, at which QEMU aborts. An emulated processor that
# can less (x86-64-v2, as any Debian runs on) is quicker than one that can all.
ACCELERATORS = {
    "kvm": ("-accel", "kvm", "-cpu", "host,-arch-capabilities"),
    "tcg": ("-accel", "tcg,thread=multi", "-cpu", "Nehalem"),
}


@dataclass(frozen=True)
class Nic:
    """An ENI and the PCI slot that it sits in."""

    eni: LabEni
    slot: int


@dataclass(frozen=True)
class Machine:
    """What one start of a virtual machine needs to know besides its shape.

    Attributes:
        accelerator: "kvm" or "tcg".
        append: kernel parameters besides the root disk and the console.
        load: a snapshot of the disk to go on from, instead of booting.
        nics: what is plugged from the start.
    """

    kernel: Path
    initrd: Path
    nics: tuple[Nic, ...]
    accelerator: str = "tcg"
    append: str = ""
    memory_mib: int = 1024
    # One is a quarter less to emulate than two, which wait for each other.
    processors: int = 1
    load: str | None = None


def build_argv(shape: Shape, machine: Machine) -> list[str]:
    """Build QEMU's command line; run it in the machine's own directory."""
    argv = [
        "qemu-system-x86_64", "-machine", "pc", "-nodefaults",
        "-no-user-config", "-display", "none",
        *ACCELERATORS[machine.accelerator],
        "-m", str(machine.memory_mib), "-smp", str(machine.processors),
        "-kernel", str(machine.kernel), "-initrd", str(machine.initrd),
        "-append", _kernel_parameters(machine.append),
        *_smbios(shape), *_disk(), *_channels(),
        "-device", f"virtio-rng-pci,addr={RANDOM_SLOT:#x}",
    ]  # fmt: skip
    for nic in machine.nics:
        argv += ["-netdev", _join(netdev_options(nic.eni))]
        argv += ["-device", _join(device_options(nic))]
    if machine.load:
        argv += ["-loadvm", machine.load]
    return argv


def netdev_options(eni: LabEni) -> dict[str, str]:
    """Return the options of an ENI's tap, which must exist already."""
    return {
        "type": "tap", "id": netdev_id(eni), "ifname": tap_name(eni),
        "script": "no", "downscript": "no",
    }  # fmt: skip


def device_options(nic: Nic) -> dict[str, str]:
    """Return the options of an ENI's network device.

    virtio, as it has a permanent MAC (netplan's MAC match needs one). No
    option ROM: nothing boots from the network.
    """
    return {
        "driver": "virtio-net-pci", "netdev": netdev_id(nic.eni),
        "id": device_id(nic.eni), "mac": nic.eni.mac,
        "addr": f"{nic.slot:#x}", "romfile": "",
    }  # fmt: skip


def netdev_id(eni: LabEni) -> str:
    """Return the id of an ENI's backend."""
    return f"net-{eni.name}"


def device_id(eni: LabEni) -> str:
    """Return the id of an ENI's network device."""
    return f"eni-{eni.name}"


def assign_slots(
    enis: Sequence[LabEni], taken: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Return ENI name -> PCI slot: by their order, from slot 5 on.

    Args:
        taken: slots that ENIs have had so far; they keep them, in `enis` or
            not, as an ENI does on Nitro until it is detached for good.

    Raises:
        LabError: the bus has no slot left.
    """
    slots = dict(taken or {})
    room = range(FIRST_SLOT, LAST_SLOT + 1)
    free = [slot for slot in room if slot not in slots.values()]
    new = [eni.name for eni in enis if eni.name not in slots]
    if len(new) > len(free):
        raise LabError(
            f"no PCI slot for ENI {new[len(free)]!r}: one bus has room for "
            f"{len(room)} ENIs beside the disk"
        )
    # More slots than ENIs is the rule.
    slots.update(zip(new, free, strict=False))
    return slots


def instance_uuid(shape: Shape) -> str:
    """Return the machine's UUID; EC2's begin with `ec2`."""
    digest = hashlib.sha256(shape.instance_id.encode()).hexdigest()
    return str(uuid.UUID(f"ec2{digest[:29]}"))


def _kernel_parameters(append: str) -> str:
    # panic=1: emulation on several threads breaks a kernel about once in
    # thirty boots (an int3 of the kernel's own patching, seen at 1.2 s): it
    # is reset after a second, and boots. Nobody spies on an emulated machine.
    words = (
        "root=/dev/vda ro console=ttyS0 quiet loglevel=4 panic=1 "
        f"mitigations=off systemd.show_status=0 {append}"
    )
    return words.strip()


def _smbios(shape: Shape) -> list[str]:
    """What cloud-init (ds-identify, DataSourceEc2) knows an instance by."""
    number = instance_uuid(shape)
    made_by = "manufacturer=Amazon EC2"
    kind = f"product={shape.instance_type}"
    return [
        "-smbios", "type=0,vendor=Amazon EC2,version=1.0",
        "-smbios", f"type=1,{made_by},{kind},uuid={number},serial={number}",
        "-smbios", f"type=2,{made_by},asset={shape.instance_id}",
        "-smbios", f"type=3,{made_by},asset=Amazon EC2",
    ]  # fmt: skip


def _disk() -> list[str]:
    # cache=unsafe: nobody needs this disk after a power failure.
    drive = f"file={DISK},if=none,id=root,format=qcow2"
    return [
        "-drive", f"{drive},cache=unsafe,discard=unmap",
        "-device", f"virtio-blk-pci,drive=root,addr={DISK_SLOT:#x}",
    ]  # fmt: skip


def _channels() -> list[str]:
    """The guest agent's port, the console's log and QMP."""
    agent = "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"
    return [
        "-device", f"virtio-serial-pci,addr={SERIAL_SLOT:#x}",
        "-chardev", f"socket,id=agent,path={AGENT_SOCKET},server=on,wait=off",
        "-device", agent,
        "-chardev", f"file,id=console,path={CONSOLE_LOG},append=on",
        "-serial", "chardev:console",
        "-qmp", f"unix:{QMP_SOCKET},server=on,wait=off",
    ]  # fmt: skip


def _join(options: dict[str, str]) -> str:
    """Write options as `-netdev` and `-device` take them: the kind first."""
    head, *rest = options.items()
    return ",".join([head[1], *(f"{key}={value}" for key, value in rest)])
