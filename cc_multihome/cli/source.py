# SPDX-License-Identifier: Apache-2.0
"""Where a plan comes from: this host, or files, for work away from it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cc_multihome.cli.verb import FileError, InactiveError, name_of_file

if TYPE_CHECKING:
    from cc_multihome.files import File
    from cc_multihome.model import Eni, Instance, Link, Plan

STDIN = "-"
# The name that the kernel gives the first ENI on the Nitro system; those
# after it are numbered on.
FIRST_SLOT = 5
INVENTED_MTU = 1500
# Of nobody: beyond those that are given out, below nobody's own.
FIRST_INVENTED_UID = 60578
# systemd.network(5) has had all that is rendered since 250.
INVENTED_SYSTEMD = 257
# Where the tree is in cloud-init's instance-data.json and in kept.json.
_WRAPPINGS = (("ds", "meta_data"), ("ds", "meta-data"), ("metadata",))


@dataclass(frozen=True)
class Sketch:
    """A plan for an instance.

    Attributes:
        rendered: its files; None: they are rendered when they are asked for.
    """

    plan: Plan
    instance: Instance
    rendered: tuple[File, ...] | None = None

    @property
    def files(self) -> tuple[File, ...]:
        """The files, by paths relative to the root."""
        from cc_multihome.render import render

        if self.rendered is None:
            return render(self.plan, ())
        return self.rendered


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add --config and --metadata."""
    parser.add_argument(
        "--config",
        type=name_of_file,
        metavar="FILE",
        help="take the configuration from FILE: user-data, a mapping with the"
        " key multihome, or what stands below it",
    )
    parser.add_argument(
        "--metadata",
        type=name_of_file,
        metavar="FILE",
        help="work offline, with the instance that FILE describes: JSON as"
        " below /latest/meta-data/, or cloud-init's instance-data.json",
    )


def sketch(args: argparse.Namespace) -> Sketch | None:
    """Plan for what the options name, else for this host; changes nothing.

    None: the configuration says `multihome: false`.

    Raises:
        FileError: a file is not what it should be.
        MultihomeError: as decide() does.
    """
    if args.metadata is not None:
        return offline(key_of(args.config), read_metadata(args.metadata))
    from cc_multihome.cli import core, progress

    # The metadata service may keep a person waiting.
    with progress.shown(quiet=False):
        decision = core.decided(key_of(args.config))
    if decision is None:
        return None
    return Sketch(decision.plan, decision.instance, decision.files)


def names_files(args: argparse.Namespace) -> bool:
    """Say whether the options ask for another plan than that in force."""
    return args.config is not None or args.metadata is not None


def require_plan(args: argparse.Namespace, purpose: str) -> Plan:
    """Return the plan in force, or the one that the options name.

    Raises:
        InactiveError: there is none.
        MultihomeError: as sketch() does.
    """
    if names_files(args):
        return require_sketch(args, purpose).plan
    from cc_multihome.cli import core

    return core.require_plan()


def require_sketch(args: argparse.Namespace, purpose: str) -> Sketch:
    """Plan as sketch() does; `purpose` is what there is nothing to do for.

    Raises:
        InactiveError: the configuration says `multihome: false`.
        MultihomeError: as sketch() does.
    """
    made = sketch(args)
    if made is None:
        raise InactiveError(
            f"the configuration says false: nothing to {purpose}"
        )
    return made


def key_of(config: str | None) -> object:
    """Return the configuration in a file, else this host's.

    Raises:
        FileError, OSError: there is none in the file.
        ConfigError: a key stands twice in it; or the host's cannot be read.
    """
    if config is not None:
        return read_config(config)
    from cc_multihome.cli import core

    return core.read_key()


def offline(raw: object, instance: Instance) -> Sketch | None:
    """Plan for an instance that is elsewhere, with links that are invented.

    What netplan has there for ENIs that are left alone is not known, but for
    the primary, for which cloud-init makes no rules; nor are the static
    routes of its table main.

    Raises:
        ConfigError: every mistake in the configuration.
        LinkError: an ENI lacks something that its routing needs.
    """
    from cc_multihome.config.parse import parse, raise_if
    from cc_multihome.discover.netplan_rules import NetplanRouting
    from cc_multihome.plan.bind import bind_or_raise
    from cc_multihome.plan.build import build_plan
    from cc_multihome.plan.left_alone import with_left_alone

    parsed = parse(raw)
    if parsed.config is None:
        raise_if(parsed.problems)
    if parsed.config is None or not parsed.config.enabled:
        return None
    bound = bind_or_raise(
        parsed,
        instance,
        invent_links(instance.enis),
        uids=invent_uids(pin.name for pin in parsed.config.users),
    )
    plan = build_plan(
        parsed.config, bound, instance, systemd_version=INVENTED_SYSTEMD
    )
    both = frozenset({4, 6})
    main = {eni.mac: both for eni in instance.enis if eni.is_primary}
    netplan = NetplanRouting(main=main)
    return Sketch(with_left_alone(plan, instance.enis, netplan), instance)


def invent_links(enis: tuple[Eni, ...]) -> tuple[Link, ...]:
    """Give every ENI a device: ens5, ens6 and so on, as attached."""
    from cc_multihome.model import Eni, Link

    return tuple(
        Link(f"ens{slot}", slot, eni.mac, INVENTED_MTU)
        for slot, eni in enumerate(sorted(enis, key=Eni.sort_key), FIRST_SLOT)
    )


def invent_uids(names: Iterable[str]) -> dict[str, int]:
    """Give every user a number: they are those of the instance."""
    return {
        name: uid for uid, name in enumerate(sorted(names), FIRST_INVENTED_UID)
    }


def read_config(name: str) -> object:
    """Read a configuration file; `-` is standard input.

    Raises:
        FileError: there is no configuration in it.
        ConfigError: a key stands twice, of which YAML takes the last.
        OSError: it cannot be read.
    """
    from cc_multihome.config.text import TextError, read_config_text
    from cc_multihome.errors import ConfigError

    try:
        text = read_config_text(read_source(name))
    except TextError as err:
        where = "".join(
            f":{each}" for each in (err.line, err.column) if each is not None
        )
        raise FileError(f"{name}{where}: {err}") from err
    if text.repeated:
        raise ConfigError(text.repeated)
    return text.raw


def read_metadata(name: str) -> Instance:
    """Read an instance's metadata from a file.

    Raises:
        FileError: it is no JSON mapping, or the tree in it is incomplete or
            holds something else.
        OSError: it cannot be read.
    """
    from cc_multihome.discover.imds_parse import MalformedError
    from cc_multihome.discover.imds_tree import instance_from_tree
    from cc_multihome.errors import ImdsError

    try:
        # Editors of Windows begin a file with a byte order mark.
        tree = json.loads(read_source(name).removeprefix("\ufeff"))
    # Too deep is as little of use.
    except (ValueError, RecursionError) as err:
        raise FileError(f"{name}: no JSON: {err}") from err
    if not isinstance(tree, dict):
        raise FileError(f"{name}: found {tree!r:.40}, expected a mapping")
    try:
        return instance_from_tree(_unwrapped(tree))
    except MalformedError as err:
        raise FileError(f"{name}: {err.detail}") from err
    except ImdsError as err:
        raise FileError(f"{name}: {err}") from err


def _unwrapped(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    for steps in _WRAPPINGS:
        node: Any = tree
        for step in steps:
            node = node.get(step) if isinstance(node, Mapping) else None
        if isinstance(node, Mapping):
            return node
    return tree


def read_source(name: str) -> str:
    """Read a file as text; `-` is standard input.

    Raises:
        FileError: it is no text.
        OSError: it cannot be read.
    """
    try:
        if name == STDIN:
            return _read_stdin()
        return Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as err:
        raise FileError(
            f"{name}: found bytes that are not UTF-8 at {err.start}, expected"
            " text (gunzip it, if it is compressed)"
        ) from err


def _read_stdin() -> str:
    # It is None where it was closed.
    if sys.stdin is None:
        raise FileError(f"{STDIN}: standard input is closed, expected a file")
    return sys.stdin.read()
