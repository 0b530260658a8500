# SPDX-License-Identifier: Apache-2.0
"""A program of the kernel's that marks sockets when they are made (bpf(2)).

It is six instructions, which are put into the kernel by bpf(2) itself: there
is no tool for it that every host has, and no library among those that
cloud-init brings. It lives as long as the control group that it belongs to.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from pathlib import Path

from cc_multihome.errors import ApplyError

# include/uapi/linux/bpf.h
PROG_LOAD = 5
PROG_ATTACH = 8
PROG_TYPE_CGROUP_SOCK = 9
CGROUP_INET_SOCK_CREATE = 2
# Beside programs of others, systemd's among them.
ALLOW_MULTI = 2
MARK_OFFSET = 16  # of `mark` in struct bpf_sock
# The number of bpf(2), on what EC2 has.
SYSCALLS = {"x86_64": 321, "aarch64": 280}
NAME = b"multihome"
LICENSE = b"Apache-2.0"


def attach_marker(cgroup: Path, mark: int, mask: int) -> None:
    """Have every socket of a control group get `mark` in the bits of `mask`.

    Also of those below it; sockets that are there already stay as they are.

    Raises:
        ApplyError: the kernel refused.
        OSError: there is no such control group.
    """
    program = load_marker(mark, mask)
    directory = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    try:
        attributes = struct.pack(
            "=IIII", directory, program, CGROUP_INET_SOCK_CREATE, ALLOW_MULTI
        )
        _bpf(PROG_ATTACH, attributes, f"no program for {cgroup}")
    finally:
        os.close(directory)
        os.close(program)


def load_marker(mark: int, mask: int) -> int:
    """Load the program; return a file descriptor, which holds it.

    Raises:
        ApplyError: the kernel refused.
    """
    program = instructions(mark, mask)
    code = ctypes.create_string_buffer(program, len(program))
    license_ = ctypes.create_string_buffer(LICENSE)
    attributes = struct.pack(
        "=IIQQIIQII16sII",
        PROG_TYPE_CGROUP_SOCK,
        len(program) // 8,
        ctypes.addressof(code),
        ctypes.addressof(license_),
        *(0, 0, 0),  # no log of the verifier
        *(0, 0),  # kern_version, prog_flags
        NAME,
        0,  # prog_ifindex
        CGROUP_INET_SOCK_CREATE,
    )
    return _bpf(PROG_LOAD, attributes, "no program that marks sockets")


def instructions(mark: int, mask: int) -> bytes:
    """Return the program: pure.

    The context is a struct bpf_sock: mark = mark & ~mask | value; return 1,
    which lets the socket be.
    """
    kept = ~mask & 0xFFFFFFFF
    return b"".join(
        (
            _instruction(0x61, 2, 1, MARK_OFFSET, 0),  # r2 = *(u32 *)(r1+16)
            _instruction(0x54, 2, 0, 0, kept),  # w2 &= kept
            _instruction(0x44, 2, 0, 0, mark),  # w2 |= mark
            _instruction(0x63, 1, 2, MARK_OFFSET, 0),  # *(u32 *)(r1+16) = r2
            _instruction(0xB7, 0, 0, 0, 1),  # r0 = 1
            _instruction(0x95, 0, 0, 0, 0),  # exit
        )
    )


def _instruction(
    code: int, target: int, source: int, offset: int, value: int
) -> bytes:
    return struct.pack("=BBhI", code, target | source << 4, offset, value)


def _bpf(command: int, attributes: bytes, what: str) -> int:
    number = SYSCALLS.get(platform.machine())
    if number is None:
        raise ApplyError(
            f"{what}: found a {platform.machine()}, expected one of"
            f" {', '.join(SYSCALLS)}"
        )
    memory = ctypes.create_string_buffer(attributes, len(attributes))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    result: int = libc.syscall(
        ctypes.c_long(number),
        ctypes.c_long(command),
        memory,
        ctypes.c_long(len(attributes)),
    )
    if result < 0:
        said = os.strerror(ctypes.get_errno())
        raise ApplyError(f"{what}: bpf(2) says {said}")
    return result
