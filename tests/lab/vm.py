# SPDX-License-Identifier: Apache-2.0
"""A virtual machine that takes itself for an EC2 instance."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from tests.lab.accel import choose_accelerator
from tests.lab.boot import Boot, explain, wait_settled
from tests.lab.cleanup import Run
from tests.lab.guest import Agent, GuestError
from tests.lab.host import LabError, Result, progress, require_host, say
from tests.lab.image import Image
from tests.lab.qemu import (
    AGENT_SOCKET,
    CONSOLE_LOG,
    Machine,
    Nic,
    assign_slots,
    build_argv,
    device_id,
    device_options,
    netdev_id,
    netdev_options,
)
from tests.lab.qemu_process import QemuProcess
from tests.lab.qmp import QmpError
from tests.lab.shape import LabEni, Shape

VM_TOOLS = ("ip", "qemu-img", "qemu-system-x86_64")
# Four times what emulation takes on two cores.
BOOT_TIMEOUT_S = 420.0
RESTORE_TIMEOUT_S = 120.0
# The guest lets go of a PCI device when its ACPI handler comes to it.
UNPLUG_TIMEOUT_S = 90.0
POWER_OFF_TIMEOUT_S = 120.0


class Vm:
    """One virtual machine; as a context manager it runs while that is open.

    Its ENIs are taps `tap-<name>` in the namespace `netns`, which must exist
    before it starts or before they are plugged.

    Args:
        disk: of another VM of this image, made by copy_disk(), to begin
            with; the image's own when None. It is not written to.

    Attributes:
        agent: commands in the guest; see also run().
        dir: its disk, sockets and logs.
        console: what the serial console printed, all boots.
        enis: the ENIs that it has now.
    """

    def __init__(
        self,
        run: Run,
        image: Image,
        shape: Shape,
        *,
        netns: str,
        name: str = "vm",
        accelerator: str | None = None,
        append: str = "",
        memory_mib: int = 1024,
        disk: Path | None = None,
    ) -> None:
        require_host(VM_TOOLS)
        self._image = image
        self._baked = disk
        self._shape = shape
        self._name = name
        self._slots = assign_slots(shape.enis)
        self._machine = Machine(
            kernel=image.kernel,
            initrd=image.initrd,
            nics=self._nics(eni for eni in shape.enis if eni.at_boot),
            accelerator=accelerator or choose_accelerator(run, image),
            append=append,
            memory_mib=memory_mib,
        )
        self._snapshots: dict[str, tuple[LabEni, ...]] = {}
        self._qemu = QemuProcess(run, name, netns=netns)
        self._started = 0.0
        self.dir = self._qemu.dir
        self.console = self.dir / CONSOLE_LOG
        self.agent = Agent(self.dir / AGENT_SOCKET)
        self.enis = tuple(nic.eni for nic in self._machine.nics)

    def __enter__(self) -> Vm:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Boot on a fresh disk; what an earlier boot wrote is gone."""
        self.stop()
        if self._baked is not None:
            self._qemu.make_disk(self._baked, "qcow2")
        else:
            self._qemu.make_disk(self._image.disk, "raw")
        self._snapshots.clear()
        self.enis = tuple(nic.eni for nic in self._machine.nics)
        kind = "KVM" if self._machine.accelerator == "kvm" else "emulation"
        say(f"{self._name}: {self._image.suite} boots under {kind}")
        self._launch(self._machine)

    def wait_booted(self, *, timeout: float = BOOT_TIMEOUT_S) -> Boot:
        """Wait until cloud-init has ended and the system has settled.

        Raises:
            LabError: it did not within `timeout` seconds from now, or QEMU
                ended (with the end of the console's log).
        """
        deadline = time.monotonic() + timeout
        with progress(f"{self._name}: booting"), self._qemu.explained():
            self._connect(deadline)
            agent_s = time.monotonic() - self._started
            left = deadline - time.monotonic()
            cloud_init, system = wait_settled(self.agent, timeout=left)
            settled_s = time.monotonic() - self._started
        why = explain(self.agent, cloud_init, system)
        return Boot(agent_s, settled_s, cloud_init, system, why)

    def run(
        self, shell: str, *, check: bool = True, timeout: float = 120.0
    ) -> Result:
        """Run a shell command in the guest; see Agent.run()."""
        return self.agent.run(shell, check=check, timeout=timeout)

    def reboot(self, *, timeout: float = BOOT_TIMEOUT_S) -> Boot:
        """Reboot in good order and wait until it has booted."""
        before = self._boot_id()
        self.agent.tell("guest-shutdown", mode="reboot")
        return self._await_boot_after(before, timeout)

    def reset(self, *, timeout: float = BOOT_TIMEOUT_S) -> Boot:
        """Pull the plug, power on again, and wait until it has booted."""
        before = self._boot_id()
        with self._qemu.qmp() as qmp:
            qmp.execute("system_reset")
        return self._await_boot_after(before, timeout)

    def save(self, name: str) -> None:
        """Keep the running machine's whole state under a name."""
        with self._qemu.qmp() as qmp:
            qmp.monitor(f"savevm {name}")
        self._snapshots[name] = self.enis

    def restore(self, name: str) -> None:
        """Go back to a saved state, and set the guest's clock.

        The namespaces and taps must be as they were. What was saved before
        stays saved.

        Raises:
            LabError: nothing was saved under that name, or the agent does
                not answer.
        """
        if name not in self._snapshots:
            raise LabError(
                f"{self._name}: no snapshot {name!r} since its start; there "
                f"is {', '.join(sorted(self._snapshots)) or 'none'}"
            )
        self.stop()
        self.enis = self._snapshots[name]
        nics = self._nics(self.enis)
        self._launch(replace(self._machine, load=name, nics=nics))
        with self._qemu.explained():
            self.agent.connect(RESTORE_TIMEOUT_S)
        self.run(f"date --set=@{time.time():.3f}")

    def copy_disk(self, target: Path) -> None:
        """Copy the disk while the guest stands still, as a snapshot does.

        What the guest had not written yet is not there: `sync` it before.
        """
        with self._qemu.qmp() as qmp:
            # QEMU writes out what it keeps of the disk as it stops.
            qmp.execute("stop")
            try:
                self._qemu.copy_disk(target)
            finally:
                qmp.execute("cont")

    def power_off(self, *, timeout: float = POWER_OFF_TIMEOUT_S) -> None:
        """Shut down in good order; the disk stays until the next start.

        Raises:
            LabError: the guest did not end in time.
        """
        self.agent.tell("guest-shutdown", mode="powerdown")
        self._qemu.wait_ended(timeout=timeout)
        self.stop()

    def plug(self, eni: LabEni | str) -> None:
        """Attach an ENI; its tap must exist already.

        Args:
            eni: one of the shape, or a name there; or any other one.
        """
        eni = self._find(eni)
        self._slots = assign_slots((eni,), self._slots)
        with self._qemu.qmp() as qmp:
            qmp.execute("netdev_add", **netdev_options(eni))
            device = device_options(Nic(eni, self._slots[eni.name]))
            try:
                qmp.execute("device_add", **device)
            except QmpError:
                qmp.execute("netdev_del", id=netdev_id(eni))
                raise
        self.enis = (*self.enis, eni)

    def unplug(self, eni: LabEni | str) -> None:
        """Detach an ENI and wait until the guest has let go of it."""
        eni = self._find(eni)
        device = device_id(eni)
        with self._qemu.qmp() as qmp:
            qmp.execute("device_del", id=device)
            qmp.wait_event(
                "DEVICE_DELETED", timeout=UNPLUG_TIMEOUT_S, device=device
            )
            qmp.execute("netdev_del", id=netdev_id(eni))
        self.enis = tuple(kept for kept in self.enis if kept.name != eni.name)

    def cpu_seconds(self) -> float:
        """Return the processor time that QEMU has taken since its start."""
        return self._qemu.cpu_seconds()

    def stop(self) -> None:
        """End QEMU at once, as a power failure does; does no harm twice."""
        self.agent.close()
        self._qemu.stop()

    def _launch(self, machine: Machine) -> None:
        self._qemu.start(build_argv(self._shape, machine))
        self._started = self._qemu.started

    def _find(self, eni: LabEni | str) -> LabEni:
        """Return an ENI by its name: one that is there, or of the shape."""
        if isinstance(eni, LabEni):
            return eni
        known = {item.name: item for item in (*self._shape.enis, *self.enis)}
        if eni not in known:
            raise LabError(
                f"{self._name}: no ENI {eni!r}; there is {', '.join(known)}"
            )
        return known[eni]

    def _nics(self, enis: Iterable[LabEni]) -> tuple[Nic, ...]:
        return tuple(Nic(eni, self._slots[eni.name]) for eni in enis)

    def _connect(self, deadline: float) -> None:
        """Wait for the agent, but not for one whose QEMU has ended."""
        while True:
            try:
                return self.agent.connect(timeout=2.0)
            except GuestError:
                late = time.monotonic() > deadline
                if late or not self._qemu.is_running():
                    raise

    def _boot_id(self) -> str:
        # A guest that hangs may still be reset.
        with suppress(LabError):
            return self.run("cat /proc/sys/kernel/random/boot_id").out
        return ""

    def _await_boot_after(self, before: str, timeout: float) -> Boot:
        """Wait for another boot than `before`, then until it has settled."""
        self._started = time.monotonic()
        deadline = self._started + timeout
        self.agent.close()
        while True:
            self._connect(deadline)
            now = self._boot_id()
            if now and now != before:
                break
            if time.monotonic() > deadline:
                raise LabError(f"{self._name} did not reboot")
            self.agent.close()
            time.sleep(0.5)
        return self.wait_booted(timeout=deadline - time.monotonic())
