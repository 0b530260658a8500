# SPDX-License-Identifier: Apache-2.0
"""Which accelerator works here: found by booting, not by looking.

/dev/kvm may be there, and the firmware run, and a kernel all the same stop
with an emulation failure (nested virtualisation).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path

from tests.lab.cleanup import Run
from tests.lab.host import LabError, lab_dir, say
from tests.lab.image import Image
from tests.lab.process import read_boot_id
from tests.lab.qemu import ACCELERATORS

ACCEL_VARIABLE = "MULTIHOME_LAB_ACCEL"
KVM_DEVICE = Path("/dev/kvm")
PROBE_TIMEOUT_S = 20.0
# initramfs-tools prints it on `break=top`: kernel and programs both run.
MARKER = b"Spawning shell within the initramfs"
# QEMU prints it when the processor meets what KVM cannot do.
FAILURE = b"KVM internal error"


def choose_accelerator(run: Run, image: Image) -> str:
    """Return "kvm" where it boots the image's kernel, else "tcg"; say which.

    MULTIHOME_LAB_ACCEL sets it. The verdict on a kernel is kept until the
    machine boots anew.

    Raises:
        LabError: the variable names no accelerator.
    """
    chosen = os.environ.get(ACCEL_VARIABLE)
    if chosen:
        if chosen not in ACCELERATORS:
            raise LabError(
                f"{ACCEL_VARIABLE}={chosen}: expected one of "
                f"{', '.join(sorted(ACCELERATORS))}"
            )
        return chosen
    return "kvm" if _is_kvm_usable(run, image) else "tcg"


def probe_argv(image: Image) -> list[str]:
    """Build QEMU's command line for the shortest boot that proves it."""
    return [
        "qemu-system-x86_64", "-machine", "pc", "-nodefaults",
        "-no-user-config", "-display", "none", *ACCELERATORS["kvm"],
        "-m", "512", "-no-reboot", "-serial", "stdio", "-monitor", "none",
        "-kernel", str(image.kernel), "-initrd", str(image.initrd),
        "-append", "console=ttyS0 panic=-1 break=top",
    ]  # fmt: skip


def _is_kvm_usable(run: Run, image: Image) -> bool:
    if not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        return False
    kernel = hashlib.sha256(image.kernel.read_bytes()).hexdigest()
    kept = lab_dir() / "kvm" / f"{kernel[:16]}-{read_boot_id()}"
    if not kept.exists():
        verdict = "works" if _boots(run, image) else "fails"
        say(f"/dev/kvm: booting {image.suite}'s kernel {verdict}")
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(verdict)
    return kept.read_text() == "works"


def _boots(run: Run, image: Image) -> bool:
    """Boot the kernel up to a shell in its initramfs; tell if it got there."""
    name = f"kvm-{image.suite}"
    child = run.spawn(name, probe_argv(image))
    try:
        return _has_marker(child, run.dir / f"{name}.log")
    finally:
        run.stop(child)


def _has_marker(child: subprocess.Popen[bytes], log: Path) -> bool:
    deadline = time.monotonic() + PROBE_TIMEOUT_S
    while time.monotonic() < deadline:
        ended = child.poll() is not None
        seen = log.read_bytes()
        if MARKER in seen:
            return True
        if ended or FAILURE in seen:
            return False
        time.sleep(0.2)
    return False
