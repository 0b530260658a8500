# SPDX-License-Identifier: Apache-2.0
"""The completion, the man page and docs/cli.md know every verb and option."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from cc_multihome.apply.host import Changes
from cc_multihome.cli import report, verb
from cc_multihome.cli.main import build_parser, main
from cc_multihome.files import File
from tests.lab.host import REPO
from tests.unit.cli_host import make

MAN = REPO / "docs/multihome.8.md"
CONTRACT = REPO / "docs/cli.md"
COMPLETION = REPO / "debian/bash-completion/multihome"
# What a shell does before it calls the function.
ASK = """\
multihome() {{ {python} -m cc_multihome "$@"; }}
source {script}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_multihome
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def verbs() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each verb."""
    actions = build_parser()._actions
    for each in actions:
        if isinstance(each, argparse._SubParsersAction):
            return dict(each.choices)
    raise AssertionError("no verbs")


def options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Give the long options of a verb, --help aside."""
    for action in parser._actions:
        if action.option_strings and "--help" not in action.option_strings:
            yield action


EVERY = [
    pytest.param(name, action, id=f"{name} {action.option_strings[-1]}")
    for name, parser in verbs().items()
    for action in options(parser)
]


@cache
def completed(*words: str) -> tuple[str, ...]:
    """Return what the shell offers for the last of the words."""
    script = ASK.format(
        python=shlex.quote(sys.executable),
        script=shlex.quote(str(COMPLETION)),
        words=" ".join(shlex.quote(word) for word in ("multihome", *words)),
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPO,
    )
    assert done.stderr == ""
    return tuple(done.stdout.split())


@pytest.mark.touches("programs")
def test_the_completion_offers_every_verb() -> None:
    """And the options of the command itself."""
    assert set(completed("")) == {*verbs(), "--help", "--version"}
    assert set(completed("r")) == {
        name for name in verbs() if name.startswith("r")
    }


@pytest.mark.touches("programs")
@pytest.mark.parametrize("name", sorted(verbs()))
def test_the_completion_offers_every_option_of_a_verb(name: str) -> None:
    """No more and no less."""
    known = {each.option_strings[-1] for each in options(verbs()[name])}
    assert set(completed(name, "-")) == {*known, "--help"}


@pytest.mark.touches("programs")
@pytest.mark.parametrize(("name", "action"), EVERY)
def test_the_completion_knows_what_an_option_takes(
    name: str, action: argparse.Action
) -> None:
    """Files, folders, the words that there are, or nothing."""
    option = action.option_strings[-1]
    if action.nargs == 0:
        return
    offered = completed(name, option, "d")
    if action.choices is not None:
        assert set(completed(name, option, "")) == set(action.choices)
    elif action.metavar == "FILE":
        assert set(offered) == {path.name for path in REPO.glob("d*")}
    elif action.metavar == "DIR":
        folders = {path.name for path in REPO.glob("d*") if path.is_dir()}
        assert set(offered) == folders
    else:
        assert offered == ()


@pytest.mark.touches("programs")
def test_the_completion_knows_what_a_verb_takes() -> None:
    """`validate` a file; `status` nothing."""
    assert "docs" in completed("validate", "d")
    assert "docs" in completed("validate", "--json", "d")
    assert completed("status", "d") == ()


@pytest.mark.touches("programs")
def test_the_completion_knows_short_options() -> None:
    """They take what their long forms take."""
    assert completed("diagram", "-o", "d") == completed(
        "diagram", "--output", "d"
    )
    assert "docs" in completed("diagram", "-o", "d")


@pytest.mark.touches("programs")
def test_the_completion_takes_an_equals_sign() -> None:
    """bash hands it over as a word of its own."""
    assert completed("apply", "--trigger", "=", "re") == ("refresh",)
    assert set(completed("apply", "--trigger", "=")) >= {"person", "hotplug"}


@pytest.mark.touches("programs")
def test_the_completion_asks_a_command_of_its_own_alone(
    tmp_path: Path,
) -> None:
    """A command that fails offers nothing, and says nothing."""
    script = ASK.format(python="false", script=COMPLETION, words="multihome x")
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")


def section(text: str, head: str) -> str:
    """Return what stands below a head, up to the next of its level."""
    level = head.split()[0]
    found = re.search(
        rf"^{re.escape(head)}$(.*?)(?=^#{{1,{len(level)}}} |\Z)",
        text,
        re.DOTALL | re.MULTILINE,
    )
    assert found is not None, f"there is no {head!r}"
    return found[1]


@pytest.mark.parametrize("name", sorted(verbs()))
def test_the_man_page_has_a_section_for_every_verb(name: str) -> None:
    """With every option that there is, and none that there is not."""
    text = MAN.read_text()
    described = set(
        re.findall(
            r"^\*\*((?:\\-){2}[a-z-]+)\*\*(?: \*[A-Z]+\*)?$",
            section(text, f"## {name}"),
            re.MULTILINE,
        )
    )
    known = {
        each.option_strings[-1].replace("--", "\\-\\-", 1)
        for each in options(verbs()[name])
    }
    assert described == known
    synopsis = section(text, "# SYNOPSIS")
    (line,) = re.findall(rf"^.*\*\*{name}\*\*.*$", synopsis, re.MULTILINE)
    assert set(re.findall(r"(?:\\-){2}[a-z-]+", line)) == known


@pytest.mark.parametrize("page", [MAN, CONTRACT], ids=["man", "contract"])
def test_every_exit_status_is_documented(page: Path) -> None:
    """A script relies on them."""
    text = page.read_text()
    heads = {MAN: "# EXIT STATUS", CONTRACT: "## Exit statuses"}
    found = re.findall(
        r"^(?:\| )?(\d+)(?: \||$)", section(text, heads[page]), re.MULTILINE
    )
    statuses = {
        value for key, value in vars(verb).items() if key.startswith("EXIT_")
    }
    assert {int(each) for each in found} == statuses


def test_every_kind_of_error_is_documented() -> None:
    """A program decides by it."""
    text = section(CONTRACT.read_text(), "### A verb that failed")
    for kind in (*report._KINDS, report._BUG):
        assert f"`{kind.name}`" in text


# How to get JSON out of every verb: its section, and its arguments.
SHAPES = {
    "status": ("### status", []),
    "plan": ("### plan", []),
    "apply": ("### apply, rollback, restore", []),
    "rollback": ("### apply, rollback, restore", []),
    "restore": ("### apply, rollback, restore", []),
    "verify": ("### verify", []),
    "diagram": ("### diagram", []),
    "explain": ("### explain", ["198.51.100.9"]),
    "render": ("### render", []),
    "validate": ("### validate", ["{config}"]),
}


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_every_key_of_the_json_is_documented(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    """And every key of the table is printed."""
    host = make(monkeypatch, tmp_path)
    host.changes = Changes((File(tmp_path / "x", "y"),), {"ens5": "a"}, True)
    config = tmp_path / "config.yaml"
    config.write_text("default: 3")
    head, arguments = SHAPES[name]
    filled = [each.format(config=config) for each in arguments]
    main([name, *filled, "--json"])
    data = json.loads(capsys.readouterr().out)
    text = section(CONTRACT.read_text(), head)
    documented = re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE)
    assert documented == [key for key in data if key != "version"]
    assert data["version"] == verb.JSON_VERSION
    for key, value in data.items():
        if key not in ("plan", "last", "failed", "missing", "verification"):
            check_inner(text, value)


def check_inner(text: str, value: object) -> None:
    """Look for the keys of the mappings inside a value."""
    if isinstance(value, list):
        for each in value:
            check_inner(text, each)
    elif isinstance(value, dict):
        for key in value:
            # Those of a route or a rule are with the plan.
            elsewhere = "priority" in value or "prefsrc" in value
            assert elsewhere or f"`{key}`" in text, key


def test_every_verb_with_json_has_its_shape_documented() -> None:
    """One that is added, too."""
    text = CONTRACT.read_text()
    heads = re.findall(r"^### (.*)$", text, re.MULTILINE)
    documented = {word for head in heads for word in head.split(", ")}
    with_json = {
        name
        for name, parser in verbs().items()
        if any("--json" in each.option_strings for each in options(parser))
    }
    assert with_json <= documented
    statuses = section(text, "## Exit statuses")
    assert [name for name in verbs() if f"`{name}`" not in statuses] == []


def test_the_record_and_the_plan_are_documented(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each of their keys."""
    host = make(monkeypatch, tmp_path)
    assert host.status is not None
    text = CONTRACT.read_text()
    record = section(text, "### The record of a run")
    for key in host.status.keys() - {"version", "failed"}:
        assert f"| `{key}` |" in record, key
    plan = section(text, "### The plan")
    interface = host.status["plan"]["interfaces"][0]
    route, rule = interface["routes"][0], interface["rules"][0]
    for mapping in (host.status["plan"], interface, route, rule):
        for key in mapping:
            assert f"`{key}`" in plan, key


@pytest.mark.touches("programs")
@pytest.mark.parametrize("width", ["80", "200"])
def test_the_man_page_is_a_man_page(tmp_path: Path, width: str) -> None:
    """As the package's build makes it, and without a complaint.

    lintian and most terminals have 80 columns; no word is wider than those.
    """
    made = tmp_path / "multihome.8"
    subprocess.run(["go-md2man", "-in", MAN, "-out", made], check=True)
    shown = subprocess.run(
        ["man", "--warnings", "-l", made],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": width, "LANG": "C.UTF-8"},
    )
    assert shown.stderr == ""
    for name in verbs():
        # Blanks fill a line.
        assert f"multihome {name}" in " ".join(shown.stdout.split())
    assert "\\-" not in shown.stdout
