# SPDX-License-Identifier: Apache-2.0
"""A developer's way into the lab: `python -m tests.lab COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cc_multihome.run import run as run_command
from tests.lab.chroot import chroot_run
from tests.lab.cleanup import Run, sweep
from tests.lab.host import LabError, say
from tests.lab.image import Image, stock, with_package
from tests.lab.recipe import SUITES
from tests.lab.shape import SEED
from tests.lab.vm import Vm
from tests.lab.vpc_rules import tap_name


def main(argv: Sequence[str]) -> int:
    """Run one command; 0, or 1 with an error's message, or its own status."""
    args = _build_parser().parse_args(argv)
    try:
        status: int = args.command(args)
    except LabError as err:
        say(f"error: {err}")
        return 1
    return status


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.lab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("image", _image, "build or reuse an image; print its directory"),
        ("boot", _boot, "boot it, without any VPC; print its timings"),
        ("chroot", _chroot, "run a command in a suite's tree"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        sub.add_argument("suite", choices=SUITES)
        if name == "chroot":
            sub.add_argument("argv", nargs=argparse.REMAINDER)
        else:
            sub.add_argument("--deb", type=Path, help="install this package")
    text = "take away what killed runs left"
    sub = commands.add_parser("sweep", help=text, description=text)
    sub.set_defaults(command=_sweep)
    return parser


def _pick(args: argparse.Namespace) -> Image:
    if args.deb:
        return with_package(args.suite, args.deb)
    return stock(args.suite)


def _image(args: argparse.Namespace) -> int:
    print(_pick(args).dir)
    return 0


def _boot(args: argparse.Namespace) -> int:
    image = _pick(args)
    with Run() as run:
        netns = run.add_netns("hyp")
        for eni in SEED.enis:
            add = ["tuntap", "add", "dev", tap_name(eni), "mode", "tap"]
            run_command(["ip", "-n", netns, *add])
        # No metadata service is there to wait for.
        with Vm(
            run, image, SEED, netns=netns, append="cloud-init=disabled"
        ) as vm:
            print(vm.wait_booted())
    return 0


def _chroot(args: argparse.Namespace) -> int:
    argv = args.argv or ["cat", "/etc/os-release"]
    result = chroot_run(stock(args.suite).rootfs, argv, check=False)
    sys.stdout.write(result.out)
    sys.stderr.write(result.err)
    return result.status


def _sweep(args: argparse.Namespace) -> int:
    for name in sweep():
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
