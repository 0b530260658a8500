# SPDX-License-Identifier: Apache-2.0
"""Tie the module into the cloud-init that is installed, or untie it.

Four parts, each of which can be done again and undone: the list of modules
(modules.py), the schema of user-data (schema.py), what `cloud-init clean` has
to remove, and the units of systemd (units.py). The .deb's maintainer scripts
call this, and so does a person after `pip install`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cc_multihome.errors import CommandError, IntegrationError
from cc_multihome.files import File, differs, read_text, write
from cc_multihome.integrate import schema as integrate_schema
from cc_multihome.integrate import units
from cc_multihome.integrate.finding import (
    Action,
    Finding,
    Part,
    remove_file,
    require_no_strangers,
)
from cc_multihome.integrate.modules import (
    AFTER,
    KEY,
    MODULE,
    ModuleList,
    file_path,
    plan_module_list,
)
from cc_multihome.integrate.trial import try_import

MAIN_CONFIG = "etc/cloud/cloud.cfg"
CLEAN_SCRIPT = "etc/cloud/clean.d/50-multihome"
CLEAN_SOURCE = "cloud_clean.sh"


def integrate(root: Path) -> tuple[Finding, ...]:
    """Make everything right below root that can be; say what cannot.

    Raises:
        IntegrationError: there is no cloud-init.
    """
    _require_cloud_init(root)
    return _collect([(part.name, part.put) for part in PARTS], root)


def check(root: Path) -> tuple[Finding, ...]:
    """Say what is not right below root. Writes nothing.

    Raises:
        IntegrationError: there is no cloud-init.
    """
    _require_cloud_init(root)
    return _collect([(part.name, part.check) for part in PARTS], root)


def remove(root: Path) -> tuple[Finding, ...]:
    """Take back whatever `integrate` did below root."""
    return _collect([(part.name, part.remove) for part in PARTS], root)


def _collect(
    actions: list[tuple[str, Action]], root: Path
) -> tuple[Finding, ...]:
    """Do every part: the failure of one is no reason to skip the next."""
    findings: list[Finding] = []
    for name, action in actions:
        try:
            findings.extend(action(root))
        except (IntegrationError, OSError, UnicodeError) as err:
            findings.append(Finding(name, "wrong", str(err)))
    return tuple(findings)


def _require_cloud_init(root: Path) -> None:
    if not (root / MAIN_CONFIG).exists():
        raise IntegrationError(
            f"there is no {root / MAIN_CONFIG}: install cloud-init first"
        )


def _put_modules(root: Path) -> Iterator[Finding]:
    problem = _judge_import(root)
    if problem:
        yield problem
        yield from _remove_modules(root)
        return
    require_no_strangers(root, file_path(root))
    try:
        plan = plan_module_list(root)
    except IntegrationError:
        # Made from a list that is in force no more, or with another one.
        yield from _remove_modules(root)
        raise
    if differs(plan.file):
        write(plan.file)
        yield Finding(
            "module list", "changed", f"wrote {plan.shown}: {_describe(plan)}"
        )
    elif plan.runs:
        yield Finding("module list", "right", _describe(plan))
    yield from _judge_winner(plan)


def _check_modules(root: Path) -> Iterator[Finding]:
    problem = _judge_import(root)
    if problem:
        yield problem
    require_no_strangers(root, file_path(root))
    plan = plan_module_list(root)
    stale = read_text(plan.file.path) != plan.file.text
    if plan.winner == plan.shown and stale:
        yield Finding(
            "module list",
            "wrong",
            f"{plan.shown} is missing or was made from another list than"
            f" today's: run `multihome integrate`",
        )
    elif plan.runs:
        yield Finding("module list", "right", _describe(plan))
    yield from _judge_winner(plan)


def _judge_import(root: Path) -> Finding | None:
    """cloud-init imports the module outside of any try."""
    try:
        try_import(root)
    except CommandError as err:
        return Finding(
            "module list",
            "wrong",
            f"the Python of cloud-init cannot import cc_multihome, so that"
            f" {MODULE} must not be in the list: {str(err).splitlines()[-1]}",
        )
    return None


def _judge_winner(plan: ModuleList) -> Iterator[Finding]:
    if not plan.runs:
        yield Finding(
            "module list",
            "wrong",
            f"{plan.winner} has a {KEY} of its own, which is the one in"
            f" force, and {MODULE} is not in it: the module will not run;"
            f" add it there after {AFTER}",
        )


def _describe(plan: ModuleList) -> str:
    if plan.winner != plan.shown and plan.runs:
        return f"{plan.winner} is in force and has {MODULE}"
    base = f"the list of {plan.base}" if plan.base else "an empty list"
    return f"{base}, with {MODULE} {plan.place}"


def _remove_modules(root: Path) -> Iterator[Finding]:
    yield from remove_file("module list", root, file_path(root))


def _put_schema(root: Path) -> Iterator[Finding]:
    for file in _schema_files(root):
        changed = integrate_schema.install(file)
        yield Finding(
            "schema",
            "changed" if changed else "right",
            f"{file.shown} knows the key {MODULE}",
        )


def _check_schema(root: Path) -> Iterator[Finding]:
    for file in _schema_files(root):
        if integrate_schema.is_current(file):
            message = f"{file.shown} knows the key {MODULE}"
            yield Finding("schema", "right", message)
        else:
            yield Finding(
                "schema",
                "wrong",
                f"{file.shown} does not know the key {MODULE} of this version:"
                f" run `multihome integrate`",
            )


def _schema_files(root: Path) -> tuple[integrate_schema.SchemaFile, ...]:
    files = integrate_schema.find_schema_files(root)
    if not files:
        raise IntegrationError(
            f"no {integrate_schema.PATTERN} in"
            f" /{integrate_schema.DIRECTORY}: cloud-init is not Debian's, or"
            f" newer than this package knows"
        )
    return files


def _remove_schema(root: Path) -> Iterator[Finding]:
    for file in integrate_schema.find_schema_files(root):
        if integrate_schema.uninstall(file):
            yield Finding(
                "schema", "changed", f"{file.shown} is cloud-init's own again"
            )


def _clean_script(root: Path) -> File:
    source = Path(__file__).with_name(CLEAN_SOURCE)
    text = f"#!/bin/sh\n{source.read_text('utf-8')}"
    return File(root / CLEAN_SCRIPT, text, 0o755)


def _put_clean_script(root: Path) -> Iterator[Finding]:
    script = _clean_script(root)
    require_no_strangers(root, script.path)
    if differs(script):
        write(script)
        yield Finding("clean script", "changed", f"wrote /{CLEAN_SCRIPT}")
    else:
        yield Finding("clean script", "right", f"/{CLEAN_SCRIPT} is there")


def _check_clean_script(root: Path) -> Iterator[Finding]:
    script = _clean_script(root)
    require_no_strangers(root, script.path)
    if differs(script):
        yield Finding(
            "clean script",
            "wrong",
            f"/{CLEAN_SCRIPT} is missing or of another version, so that"
            f" `cloud-init clean` leaves state behind: run"
            f" `multihome integrate`",
        )
    else:
        yield Finding("clean script", "right", f"/{CLEAN_SCRIPT} is there")


def _remove_clean_script(root: Path) -> Iterator[Finding]:
    yield from remove_file("clean script", root, root / CLEAN_SCRIPT)


PARTS = (
    Part("module list", _put_modules, _check_modules, _remove_modules),
    Part("schema", _put_schema, _check_schema, _remove_schema),
    Part(
        "clean script",
        _put_clean_script,
        _check_clean_script,
        _remove_clean_script,
    ),
    units.PART,
)

__all__ = ["CLEAN_SCRIPT", "Finding", "check", "integrate", "remove"]
