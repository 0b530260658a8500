# SPDX-License-Identifier: Apache-2.0
"""`multihome plan`: what an apply would change; nothing is touched."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cc_multihome.cli.verb import (
    EXIT_CHANGES,
    EXIT_OK,
    add_json,
    add_verb,
    name_of_file,
    print_json,
)

if TYPE_CHECKING:
    from cc_multihome.cli.changes import FileChange, KernelChange
    from cc_multihome.cli.style import Style
    from cc_multihome.cli.verb import Verbs
    from cc_multihome.decide import Decision


@dataclass(frozen=True)
class View:
    """What would change, of everything that can.

    Attributes:
        names: MAC, name now, name then.
        settings: name as of sysctl(8), value now, value then.
        resolver_units: those of systemd-resolved that would be stopped.
        puts_resolver_back: the former resolver would come back.
        connection_marks: nftables' table would be made (or made anew), or
            go; None: it stays as it is.
        plan: as plan_as_dict() gives it; None: `multihome: false`, which
            takes back what was done.
    """

    files: tuple[FileChange, ...] = ()
    names: tuple[tuple[str, str, str], ...] = ()
    kernel: tuple[KernelChange, ...] = ()
    settings: tuple[tuple[str, int, int], ...] = ()
    resolver: FileChange | None = None
    resolver_units: tuple[str, ...] = ()
    puts_resolver_back: bool = False
    connection_marks: bool | None = None
    plan: dict[str, Any] | None = None

    @property
    def is_empty(self) -> bool:
        """Would nothing change?"""
        return not any(
            (
                *(self.files, self.names, self.kernel, self.settings),
                *(self.resolver, self.resolver_units),
                self.puts_resolver_back,
                self.connection_marks is not None,
            )
        )


def add_plan(verbs: Verbs) -> None:
    """Describe `multihome plan`."""
    parser = add_verb(
        verbs,
        "plan",
        run_plan,
        summary="show what an apply would change",
        description="Read everything, decide, and show the difference from"
        " what is: files, names, addresses, rules, routes, resolver. Nothing"
        " is touched.",
    )
    parser.add_argument(
        "--config",
        type=name_of_file,
        metavar="FILE",
        help="as if FILE were the configuration: user-data, a mapping with"
        " the key multihome, or what stands below it",
    )
    parser.add_argument(
        "--detailed-exitcode",
        action="store_true",
        help=f"exit status {EXIT_CHANGES} when something would change",
    )
    add_json(parser)


def run_plan(args: argparse.Namespace) -> int:
    """Do `multihome plan`."""
    from cc_multihome.cli import core, progress, source, style

    # The metadata service may keep a person waiting.
    with progress.shown(quiet=False):
        decision = core.decided(source.key_of(args.config))
        view = _look_back() if decision is None else _look(decision)
    if args.json:
        print_json(_as_dict(view))
    else:
        print(_text(view, style.style_of(sys.stdout)))
    if args.detailed_exitcode and not view.is_empty:
        return EXIT_CHANGES
    return EXIT_OK


def _look(decision: Decision) -> View:
    """Compare the decision with the host."""
    from cc_multihome.cli import core
    from cc_multihome.cli.changes import file_change, kernel_changes
    from cc_multihome.plan.as_dict import plan_as_dict

    plan = decision.plan
    changes = core.find_changes(plan, decision.files)
    former = core.in_force(core.read_status()).plan
    macs = {item.ifname: item.mac for item in plan.interfaces}
    resolver = core.resolver_file(plan) if changes.resolver else None
    replaces = resolver is not None
    if resolver and core.read_file(resolver) == resolver.text:
        # What is to change is at its side.
        resolver = None
    return View(
        files=tuple(
            file_change(core.read_file(file), file)
            for file in (*changes.files, *core.boot_files(plan))
        ),
        names=tuple(
            (macs.get(old, ""), old, new) for old, new in changes.names.items()
        ),
        kernel=kernel_changes(plan, former, core.kernel()),
        settings=core.settings(changes),
        resolver=file_change(core.read_file(resolver), resolver)
        if resolver
        else None,
        resolver_units=core.running_resolver_units() if replaces else (),
        puts_resolver_back=changes.resolver and not replaces,
        connection_marks=None
        if changes.table is None
        else changes.table.text is not None,
        plan=plan_as_dict(plan),
    )


def _look_back() -> View:
    """Compare cloud-init's own networking with the host."""
    from cc_multihome.cli import core
    from cc_multihome.cli.changes import file_change, rules_that_go

    changes = core.find_restore()
    former = core.in_force(core.read_status()).plan
    macs = {it.name: it.mac for it in former.interfaces} if former else {}
    return View(
        files=tuple(
            file_change(core.read_file(file), file) for file in changes.files
        ),
        names=tuple(
            (macs.get(old, ""), old, new) for old, new in changes.names.items()
        ),
        kernel=rules_that_go(former, core.kernel()),
        settings=core.settings(changes),
        puts_resolver_back=changes.resolver,
        connection_marks=None if changes.table is None else False,
    )


def _text(view: View, style: Style) -> str:
    if view.is_empty:
        why = "is what the plan says" if view.plan else "was left alone"
        return f"{_head(view)}nothing would change: the host {why}"
    parts = [
        *(_file_text(file, style) for file in view.files),
        *_section("Names", _names(view, style), style),
        *_section("Kernel", _kernel(view, style), style),
        *_section("Settings", _settings(view), style),
        *_section("Connection marks", _marks(view), style),
        *_section("Resolver", _resolver(view, style), style),
        f"{_head(view)}{_summary(view)}",
    ]
    return "\n".join(parts)


def _head(view: View) -> str:
    return "" if view.plan else "The configuration says false: "


def _section(head: str, lines: list[str], style: Style) -> list[str]:
    return [style.paint(f"{head}:", "bold"), *lines] if lines else []


def _file_text(file: FileChange, style: Style) -> str:
    if file.diff:
        return style.diff(file.diff)
    return f"{file.path}: mode becomes {file.mode}"


def _names(view: View, style: Style) -> list[str]:
    if not view.names:
        return []
    rows = [(f"  {old} -> {new}", mac) for mac, old, new in view.names]
    return [style.columns(rows)]


def _kernel(view: View, style: Style) -> list[str]:
    kinds = {"add": "good", "remove": "bad"}
    signs = {"add": "+", "remove": "-"}
    return [
        style.paint(f"  {signs[it.way]} {it.what} {it.text}", kinds[it.way])
        for it in view.kernel
    ]


def _settings(view: View) -> list[str]:
    return [f"  {name}: {now} -> {then}" for name, now, then in view.settings]


def _marks(view: View) -> list[str]:
    if view.connection_marks is None:
        return []
    verb = "is made" if view.connection_marks else "goes"
    return [f"  the table inet multihome of nftables {verb}"]


def _resolver(view: View, style: Style) -> list[str]:
    lines = [_file_text(view.resolver, style)] if view.resolver else []
    lines += [f"  {unit}: off" for unit in view.resolver_units]
    if view.puts_resolver_back:
        lines.append("  the former resolver comes back")
    return lines


def _summary(view: View) -> str:
    counts = (
        (len(view.files), "file"),
        (len(view.names), "name"),
        *(
            (sum(it.what == what for it in view.kernel), what)
            for what in ("address", "rule", "route")
        ),
        (len(view.settings), "setting"),
    )
    parts = [_count(number, noun) for number, noun in counts if number]
    if view.connection_marks is not None:
        parts.append("connection marks")
    if view.resolver or view.resolver_units or view.puts_resolver_back:
        parts.append("the resolver")
    what = "Would change" if view.plan else "what was done would be taken back"
    return f"{what}: {', '.join(parts)}. Nothing was touched."


def _count(number: int, noun: str) -> str:
    plural = "addresses" if noun == "address" else f"{noun}s"
    return f"1 {noun}" if number == 1 else f"{number} {plural}"


def _as_dict(view: View) -> dict[str, Any]:
    def kernel(what: str) -> list[dict[str, Any]]:
        return [it.as_dict() for it in view.kernel if it.what == what]

    return {
        "enabled": view.plan is not None,
        "changes": not view.is_empty,
        "files": [asdict(file) for file in view.files],
        "names": [
            {"mac": mac, "from": old, "to": new}
            for mac, old, new in view.names
        ],
        "addresses": kernel("address"),
        "rules": kernel("rule"),
        "routes": kernel("route"),
        "settings": [
            {"name": name, "from": now, "to": then}
            for name, now, then in view.settings
        ],
        "connection_marks": view.connection_marks,
        "resolver": {
            "file": asdict(view.resolver) if view.resolver else None,
            "units_off": list(view.resolver_units),
            "put_back": view.puts_resolver_back,
        },
        "plan": view.plan,
    }
