# SPDX-License-Identifier: Apache-2.0
"""The module's place in cloud-init's list, schema and clean.d.

dpkg, systemd and cloud-init are not asked here: tests/vm and debian/tests do
that in the real suites.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cc_multihome.cli.main import main
from cc_multihome.config import schema
from cc_multihome.errors import CommandError, IntegrationError
from cc_multihome.files import HEADER, File, differs, read_text, write
from cc_multihome.integrate import schema as integrate_schema
from cc_multihome.integrate import schema_text, units
from cc_multihome.integrate import trial as integrate_trial
from cc_multihome.integrate.modules import (
    FILE_NAME,
    add_module,
    canonical_name,
    plan_module_list,
)
from cc_multihome.integrate.steps import CLEAN_SCRIPT, check, integrate, remove

STOCK = ["seed_random", "bootcmd", "write-files", "growpart", "ssh"]
WITH_IT = ["seed_random", "bootcmd", "write-files", "multihome", "growpart"]
ORIGINAL: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "$defs": {
        "all_modules": {"enum": ["ssh"]},
        "cc_ssh": {"type": "object", "properties": {"ssh": {}}},
    },
    "allOf": [{"$ref": "#/$defs/cc_ssh"}],
    "properties": {"hostname": {}, "ssh": {}},
    "additionalProperties": False,
}


class Dpkg:
    """Stands in for dpkg-divert, and for the cloud-init that is asked."""

    def __init__(self) -> None:
        self.diverted: dict[str, str] = {}
        self.refused = "nothing"
        self.systemctl: list[str] = []

    def run(self, argv: Sequence[str]) -> str:
        """Do what dpkg-divert does, or try the samples out."""
        if argv[0] == "systemctl":
            self.systemctl.append(" ".join(argv))
            return ""
        if argv[0] != "dpkg-divert":
            code = argv[argv.index("-c") + 1]
            if self.refused in code:
                raise CommandError("python3 said:\nTypeError: boom")
            return ""
        path = argv[-1]
        if "--truename" in argv:
            return self.diverted.get(path, path) + "\n"
        if "--add" in argv:
            self.diverted[path] = argv[argv.index("--divert") + 1]
        if "--remove" in argv:
            del self.diverted[path]
        return ""


@pytest.fixture
def dpkg(monkeypatch: pytest.MonkeyPatch) -> Dpkg:
    """Replace every program that integrating starts."""
    stand_in = Dpkg()
    for module in (integrate_schema, integrate_trial, units):
        monkeypatch.setattr(module, "run", stand_in.run)
    return stand_in


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a system with the files of cloud-init that matter here."""
    (tmp_path / "etc/cloud/cloud.cfg.d").mkdir(parents=True)
    write_config(tmp_path, "cloud.cfg", STOCK)
    schema_path(tmp_path).parent.mkdir(parents=True)
    schema_path(tmp_path).write_text(json.dumps(ORIGINAL))
    return tmp_path


def write_config(
    root: Path, name: str, modules: object, **more: object
) -> None:
    """Write a file of configuration with a list of modules."""
    config = {"cloud_init_modules": modules, **more}
    (root / "etc/cloud" / name).write_text(yaml.safe_dump(config))


def generated(root: Path) -> list[str]:
    """Read the list of the generated file."""
    path = root / "etc/cloud/cloud.cfg.d" / FILE_NAME
    modules: list[str] = yaml.safe_load(path.read_text())["cloud_init_modules"]
    return modules


def schema_path(root: Path) -> Path:
    """Return where cloud-init reads its schema."""
    return root / integrate_schema.DIRECTORY / "schema-cloud-config-v1.json"


def tree(root: Path) -> dict[str, bytes]:
    """Read every file below a directory."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def states(findings: Sequence[Any]) -> set[str]:
    """Return what there is among the states of the findings."""
    return {item.state for item in findings}


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        pytest.param("write-files", "write_files", id="dash"),
        pytest.param("cc_write_files", "write_files", id="prefix"),
        pytest.param(" write_files.py", "write_files", id="file name"),
        pytest.param(["multihome", "always"], "multihome", id="list"),
        pytest.param({"name": "multihome"}, "multihome", id="mapping"),
        pytest.param([], "", id="empty list"),
        pytest.param({"frequency": "once"}, "", id="no name"),
        pytest.param(None, "", id="nothing"),
    ],
)
def test_every_spelling_that_cloud_init_takes_is_one_name(
    entry: object, name: str
) -> None:
    """write-files, cc_write_files and write_files.py are one module."""
    assert name == canonical_name(entry)


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        pytest.param(
            ("bootcmd", "write-files", "ssh"),
            ("bootcmd", "write-files", "multihome", "ssh"),
            "after write_files",
            id="stock",
        ),
        pytest.param(
            (["write_files", "always"], "ssh"),
            (["write_files", "always"], "multihome", "ssh"),
            "after write_files",
            id="write_files with a frequency",
        ),
        pytest.param(
            ("migrator", "bootcmd", "ssh"),
            ("migrator", "bootcmd", "multihome", "ssh"),
            "after bootcmd (that list has no write_files)",
            id="no write_files",
        ),
        pytest.param(
            ("ssh",),
            ("multihome", "ssh"),
            "first (that list has no write_files)",
            id="none of those before it",
        ),
        pytest.param(
            (),
            ("multihome",),
            "first (that list has no write_files)",
            id="empty",
        ),
        pytest.param(
            ("ssh", ["cc_multihome", "always"]),
            ("ssh", ["cc_multihome", "always"]),
            "where that list has it",
            id="already in it",
        ),
    ],
)
def test_the_module_goes_after_write_files(
    before: tuple[object, ...], after: tuple[object, ...], place: str
) -> None:
    """Or, without write_files, after what comes before that."""
    assert (after, place) == add_module(before)


def test_the_list_is_that_of_cloud_cfg_with_the_module(
    root: Path, dpkg: Dpkg
) -> None:
    """On a stock system cloud.cfg's list is the one in force."""
    assert {"changed"} == states(integrate(root))

    assert [*WITH_IT, "ssh"] == generated(root)
    assert {"right"} == states(check(root))


def test_an_earlier_file_of_the_administrator_is_the_base(
    root: Path, dpkg: Dpkg
) -> None:
    """The last file before ours replaces cloud.cfg's list, so it counts."""
    write_config(root, "cloud.cfg.d/10_a.cfg", ["nope"])
    write_config(root, "cloud.cfg.d/90_b.cfg", ["write_files", "own"])
    (root / "etc/cloud/cloud.cfg.d/91_c.txt").write_text(": no YAML")
    (root / "etc/cloud/cloud.cfg.d/92_c.cfg").write_text(": no: YAML: [")

    integrate(root)

    assert generated(root) == ["write_files", "multihome", "own"]


def test_a_later_file_of_the_administrator_wins_and_is_told(
    root: Path, dpkg: Dpkg
) -> None:
    """Their list stays in force; check names the file and what to do."""
    write_config(root, "cloud.cfg.d/99-own.cfg", ["ssh"])

    (finding,) = [f for f in integrate(root) if f.state == "wrong"]

    assert "/etc/cloud/cloud.cfg.d/99-own.cfg" in finding.message
    assert "add it there after write_files" in finding.message
    assert finding in check(root)


def test_a_later_file_that_has_the_module_is_right(
    root: Path, dpkg: Dpkg
) -> None:
    """An administrator who lists the module keeps their order."""
    write_config(root, "cloud.cfg.d/99-own.cfg", ["multihome", "ssh"])

    integrate(root)

    assert {"right"} == states(check(root))


def test_check_sees_a_list_made_from_another_one(
    root: Path, dpkg: Dpkg
) -> None:
    """After cloud-init changed its list, ours is stale until made again."""
    integrate(root)
    write_config(root, "cloud.cfg", ["bootcmd", "write_files", "brand_new"])

    (finding,) = [f for f in check(root) if f.state == "wrong"]
    assert "made from another list" in finding.message
    integrate(root)
    expected = ["bootcmd", "write_files", "multihome", "brand_new"]
    assert expected == generated(root)


def test_a_list_that_merges_is_refused(root: Path) -> None:
    """With merge_how, cloud-init would append its list to ours."""
    write_config(root, "cloud.cfg", STOCK, merge_how="list(append)+dict()")

    with pytest.raises(IntegrationError, match="merge_how"):
        plan_module_list(root)


def test_a_list_that_is_none_is_refused(root: Path) -> None:
    """A string would be taken apart into letters."""
    write_config(root, "cloud.cfg", "ssh")

    with pytest.raises(IntegrationError, match="is no list"):
        plan_module_list(root)


def test_conf_d_in_cloud_cfg_names_the_directory(
    root: Path, dpkg: Dpkg
) -> None:
    """cloud-init reads no other directory then."""
    (root / "srv/cloud").mkdir(parents=True)
    write_config(root, "cloud.cfg", STOCK, conf_d="/srv/cloud")

    integrate(root)

    assert (root / "srv/cloud" / FILE_NAME).exists()
    assert not (root / "etc/cloud/cloud.cfg.d" / FILE_NAME).exists()


def test_integrating_twice_writes_nothing(
    root: Path, dpkg: Dpkg, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second run finds nothing to do, and says so."""
    integrate(root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}

    assert main(["integrate", "--root", str(root)]) == 0

    after = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert before == after
    assert "nothing to do" in capsys.readouterr().out


def test_removing_leaves_what_was_there(root: Path, dpkg: Dpkg) -> None:
    """Every byte is as before; a second removal finds nothing."""
    before = tree(root)
    integrate(root)

    assert {"changed"} == states(remove(root))

    assert before == tree(root)
    assert dpkg.diverted == {}
    assert remove(root) == ()


def test_a_strangers_file_is_not_removed(root: Path, dpkg: Dpkg) -> None:
    """A file of our name that somebody else wrote stays."""
    path = root / CLEAN_SCRIPT
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")

    (finding,) = remove(root)

    assert finding.state == "wrong"
    assert path.exists()


STRANGERS = pytest.mark.parametrize(
    "name",
    [
        pytest.param(f"etc/cloud/cloud.cfg.d/{FILE_NAME}", id="list"),
        pytest.param(CLEAN_SCRIPT, id="clean script"),
        pytest.param(
            f"etc/systemd/system/{units.TIMER}", id="unit of systemd"
        ),
    ],
)


@STRANGERS
@pytest.mark.parametrize("text", ["ssh: {}\n", "", "\udcff"])
def test_a_strangers_file_is_not_overwritten(
    root: Path,
    dpkg: Dpkg,
    name: str,
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All else is tied in, and once it has moved, this is, too."""
    path = root / name
    write(File(path, text, 0o600))

    (finding,) = [f for f in integrate(root) if f.state == "wrong"]

    assert f"/{name} is not of this package" in finding.message
    assert "move it" in finding.message
    assert not differs(File(path, text, 0o600))
    assert [finding] == [f for f in check(root) if f.state != "right"]
    assert 1 == main(["integrate", "--check", "--root", str(root)])
    assert finding.message in capsys.readouterr().err
    path.rename(path.with_name("60-own"))
    integrate(root)
    assert {"right"} == states(check(root))


@STRANGERS
def test_a_strangers_link_is_not_replaced(
    root: Path, dpkg: Dpkg, name: str
) -> None:
    """Wherever it leads to."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("nowhere")
    assert ["wrong"] == [f.state for f in integrate(root) if name in f.message]
    remove(root)
    assert path.is_symlink()


def test_the_extended_schema_judges_the_key(root: Path, dpkg: Dpkg) -> None:
    """It accepts and refuses the samples, and keeps its other rules."""
    integrate(root)

    document = json.loads(schema_path(root).read_text())
    validator = jsonschema.Draft4Validator(document)
    for sample in integrate_trial.RIGHT_SAMPLES:
        assert validator.is_valid(sample), sample
    for sample in (*integrate_trial.WRONG_SAMPLES, {"nope": 1}):
        assert not validator.is_valid(sample), sample
    assert "multihome" in document["$defs"]["all_modules"]["enum"]


def test_the_schema_of_old_cloud_init_stays_open() -> None:
    """Up to 23.3 any top-level key may be there."""
    old: dict[str, object] = {"$defs": {}, "allOf": []}
    document = json.loads(schema_text.extend(json.dumps(old), {}))

    assert "properties" not in document
    assert jsonschema.Draft4Validator(document).is_valid({"own": 1})


def test_keywords_that_cloud_init_breaks_are_left_out() -> None:
    """`not` raises a TypeError in cloud-init 25.1, at every depth."""
    key_schema = schema.load()["properties"]["multihome"]
    assert '"not"' in json.dumps(key_schema)

    safe = schema_text.keep_safe_keywords(key_schema)

    assert '"not"' not in json.dumps(safe)
    assert set(key_schema["properties"]) == set(safe["properties"])


def test_the_samples_use_every_part_of_the_schema() -> None:
    """A key that no sample has would be tried at somebody's boot."""

    def keys_of(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(keys_of, value.values()))
        if isinstance(value, (list, tuple)):
            return set().union(*map(keys_of, value))
        return set()

    def names_in(part: object) -> set[str]:
        if isinstance(part, list):
            return set().union(*map(names_in, part))
        if not isinstance(part, dict):
            return set()
        return set(part.get("properties", ())).union(
            *map(names_in, part.values())
        )

    used = keys_of(
        (*integrate_trial.RIGHT_SAMPLES, *integrate_trial.WRONG_SAMPLES)
    )

    assert names_in(schema.load()) <= used


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("{", "is no JSON", id="cut off"),
        pytest.param("[]", "allOf", id="a list"),
        pytest.param('{"oneOf": []}', "allOf", id="another kind"),
        pytest.param('{"allOf": [], "$defs": []}', "$defs", id="no names"),
        pytest.param('{"allOf": [], "$defs": null}', "$defs", id="null"),
        pytest.param("\udcff", "is no JSON", id="no UTF-8"),
        pytest.param("[" * 20_000, "is no JSON", id="deep"),
    ],
)
def test_a_schema_of_an_unknown_kind_is_put_back(
    root: Path, dpkg: Dpkg, text: str, reason: str
) -> None:
    """cloud-init's own is in force then, and check says why."""
    integrate(root)
    kept = schema_path(root).with_name(
        "schema-cloud-config-v1.json.without-multihome"
    )
    kept.write_bytes(text.encode(errors="surrogateescape"))

    (finding,) = [f for f in integrate(root) if f.state == "wrong"]

    assert reason in finding.message
    assert text == read_text(schema_path(root))
    assert not kept.exists()
    assert dpkg.diverted == {}


def test_a_schema_that_can_be_read_but_not_written_is_put_back(
    root: Path, dpkg: Dpkg, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From Python 3.12 on, the reader goes deeper than the writer."""
    integrate(root)

    def give_up(*_: object, **__: object) -> str:
        raise RecursionError("too deep")

    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", give_up)
        findings = integrate(root)

    (finding,) = [f for f in findings if f.state == "wrong"]
    assert "nested too deeply" in finding.message
    assert json.loads(schema_path(root).read_text()) == ORIGINAL
    assert dpkg.diverted == {}


def test_a_schema_that_cloud_init_fails_with_is_not_put_in_place(
    root: Path, dpkg: Dpkg
) -> None:
    """A failure of cloud-init's validator would end its stage at boot."""
    before = tree(root / integrate_schema.DIRECTORY)
    dpkg.refused = "validate_cloudconfig_schema"

    (finding,) = [f for f in integrate(root) if f.state == "wrong"]

    assert "TypeError: boom" in finding.message
    assert before == tree(root / integrate_schema.DIRECTORY)


def test_a_schema_that_cloud_init_has_begun_to_fail_with_is_taken_back(
    root: Path, dpkg: Dpkg
) -> None:
    """An upgrade changed its code, and not the JSON."""
    integrate(root)
    before = (
        schema_path(root)
        .with_name("schema-cloud-config-v1.json.without-multihome")
        .read_text()
    )
    dpkg.refused = "validate_cloudconfig_schema"
    assert "TypeError: boom" in "".join(f.message for f in check(root))

    (finding,) = [f for f in integrate(root) if f.state == "wrong"]

    assert "TypeError: boom" in finding.message
    assert before == schema_path(root).read_text()
    assert dpkg.diverted == {}


def test_a_list_that_came_to_merge_has_ours_taken_away(
    root: Path, dpkg: Dpkg
) -> None:
    """cloud-init would run the modules of both."""
    integrate(root)
    write_config(
        *(root, "cloud.cfg.d/50-own.cfg", ["ssh"]),
        merge_how="list(append)+dict()",
    )
    assert ["wrong"] == [
        f.state for f in integrate(root) if "merge_how" in f.message
    ]
    assert not (root / "etc/cloud/cloud.cfg.d" / FILE_NAME).exists()


def test_a_module_that_cannot_be_imported_stays_out_of_the_list(
    root: Path, dpkg: Dpkg
) -> None:
    """An error while cloud-init imports it would end the stage at boot."""
    integrate(root)
    dpkg.refused = "import cc_multihome"

    assert "TypeError: boom" in check(root)[0].message
    assert "TypeError: boom" in integrate(root)[0].message
    assert not (root / "etc/cloud/cloud.cfg.d" / FILE_NAME).exists()


def test_a_strangers_diversion_is_left_alone(root: Path, dpkg: Dpkg) -> None:
    """Two diversions of one file cannot be; theirs was first."""
    shown = f"/{integrate_schema.DIRECTORY}/schema-cloud-config-v1.json"
    dpkg.diverted[shown] = f"{shown}.distrib"
    before = tree(root / integrate_schema.DIRECTORY)

    (finding,) = [f for f in integrate(root) if f.state == "wrong"]

    assert "diverted" in finding.message
    assert before == tree(root / integrate_schema.DIRECTORY)
    remove(root)
    assert {shown: f"{shown}.distrib"} == dpkg.diverted


def test_a_schema_that_cloud_init_has_no_more_is_cleared(
    root: Path, dpkg: Dpkg
) -> None:
    """A newer cloud-init with another file leaves ours behind."""
    integrate(root)
    path = schema_path(root)
    path.with_name(f"{path.name}.without-multihome").unlink()
    path.with_name("schema-cloud-config-v2.json").write_text(
        json.dumps(ORIGINAL)
    )

    integrate(root)

    assert not path.exists()
    assert list(dpkg.diverted) == [
        "/" + integrate_schema.DIRECTORY + "/schema-cloud-config-v2.json"
    ]


def test_an_interrupted_installation_is_finished(
    root: Path, dpkg: Dpkg
) -> None:
    """Diverted but not replaced: the next run writes the extended schema."""
    integrate(root)
    path = schema_path(root)
    path.write_text(json.dumps(ORIGINAL))

    assert "changed" in states(integrate(root))
    assert "multihome" in json.loads(path.read_text())["properties"]


def test_without_cloud_init_the_command_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing to tie into; removing still works."""
    assert main(["integrate", "--root", str(tmp_path)]) == 1
    assert "install cloud-init first" in capsys.readouterr().err
    assert main(["integrate", "--remove", "--root", str(tmp_path)]) == 0


def test_check_exits_1_and_prints_json(
    root: Path, dpkg: Dpkg, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipeline can test the exit status and read the findings."""
    arguments = ["integrate", "--check", "--json", "--root", str(root)]

    assert main(arguments) == 1

    findings = json.loads(capsys.readouterr().out)
    assert [item["part"] for item in findings] == [
        "module list",
        "schema",
        "clean script",
        "units",
    ]
    assert {"wrong"} == {item["state"] for item in findings}


def test_without_the_package_the_units_are_put_below_etc(
    root: Path, dpkg: Dpkg
) -> None:
    """All that the .deb has, for systemd and udev, and enabled once."""
    integrate(root)
    system = root / "etc/systemd/system"
    names = {path.name for path in units.SOURCE.iterdir()}
    put = {path.name for path in system.iterdir() if path.is_file()}
    assert put == {name for name in names if name.startswith("multihome")}
    assert (system / units.DROP_IN).read_text().startswith(HEADER)
    assert (root / "etc/udev/rules.d/75-multihome.rules").exists()
    enable = f"systemctl --quiet --root {root} enable"
    assert dpkg.systemctl == [f"{enable} {units.EARLY} {units.TIMER}"]
    integrate(root)
    assert len(dpkg.systemctl) == 1


def test_with_the_package_nothing_hides_its_units(
    root: Path, dpkg: Dpkg
) -> None:
    """It was installed after `pip install`, whose copies would win."""
    integrate(root)
    packaged = root / "usr/lib/systemd/system" / units.EARLY
    packaged.parent.mkdir(parents=True)
    packaged.touch()
    assert "wrong" in states(check(root))
    integrate(root)
    left = (root / "etc/systemd").rglob("*.*")
    assert [path for path in left if path.is_file()] == []
    assert {"right"} == states(check(root))


def test_an_administrators_own_unit_stays(root: Path, dpkg: Dpkg) -> None:
    """With the package it wins; without it nothing is overwritten."""
    own = root / "etc/systemd/system" / units.TIMER
    own.parent.mkdir(parents=True)
    own.write_text("[Timer]\n")
    assert "wrong" in states(integrate(root))
    assert {units.TIMER} == {path.name for path in own.parent.iterdir()}
    packaged = root / "usr/lib/systemd/system" / units.EARLY
    packaged.parent.mkdir(parents=True)
    packaged.touch()
    assert "wrong" not in states(integrate(root))
    remove(root)
    assert own.read_text() == "[Timer]\n"


def test_the_version_is_that_of_the_changelog(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """apt and cloud-init's log name the same version."""
    changelog = Path(__file__).parents[2] / "debian/changelog"
    version = changelog.read_text().split("(", 1)[1].split(")", 1)[0]

    with pytest.raises(SystemExit):
        main(["--version"])

    assert f"multihome {version}\n" == capsys.readouterr().out


def test_the_units_have_one_sandbox() -> None:
    """The same code runs in each: what one has to be given, all have."""
    boxes = {
        path.read_text()
        .partition("# What its work leaves")[2]
        .split("\n\n")[0]
        for path in units.SOURCE.glob("*.service")
    }
    (box,) = {each.rstrip() for each in boxes}
    assert "ProtectSystem=strict" in box
