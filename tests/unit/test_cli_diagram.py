# SPDX-License-Identifier: Apache-2.0
"""`multihome diagram`: which plan it draws, and where to."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import yaml

from cc_multihome.cli import core
from cc_multihome.cli.main import main
from cc_multihome.diagram import diagram
from cc_multihome.discover.imds_tree import tree_of
from tests.unit.builders import SEED_KEY, eni, instance, plan_for
from tests.unit.cli_host import CliHost, make, read_json


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliHost:
    """A healthy host with the seed's plan."""
    return make(monkeypatch, tmp_path)


@pytest.fixture
def metadata(tmp_path: Path) -> str:
    """The seed's host, as a file."""
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(tree_of(instance())))
    return str(path)


@pytest.fixture
def config(tmp_path: Path) -> str:
    """The seed's configuration, as a file."""
    path = tmp_path / "user-data.yaml"
    path.write_text(yaml.safe_dump({"multihome": SEED_KEY}))
    return str(path)


def test_the_plan_in_force_is_drawn(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without reading the metadata or the configuration anew."""
    assert main(["diagram"]) == 0
    assert capsys.readouterr() == (diagram(host.plan), "")
    assert host.asked == []


def test_without_a_plan_there_is_nothing_to_draw(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 3, as `verify` has it."""
    host.force = core.InForce(None, None)
    assert main(["diagram"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert "no plan" in said.err


def test_a_configuration_is_decided_on_this_host(
    host: CliHost, capsys: pytest.CaptureFixture[str], config: str
) -> None:
    """As `plan --config` does."""
    assert main(["diagram", "--config", config]) == 0
    assert host.asked == [SEED_KEY]
    host.enabled = False
    assert main(["diagram", "--config", config]) == 3
    assert "says false" in capsys.readouterr().err


def test_it_works_away_from_any_instance(
    capsys: pytest.CaptureFixture[str], metadata: str, config: str
) -> None:
    """From two files."""
    argv = ["diagram", "--metadata", metadata, "--config", config]
    assert main(argv) == 0
    assert capsys.readouterr() == (diagram(plan_for()), "")


def test_one_eni_without_wishes_has_nothing_to_draw(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plan is empty then."""
    host.force = core.InForce("boot", plan_for({}, instance(eni(0))))
    assert main(["diagram"]) == 3
    assert "nothing to draw" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["-o", "--output"])
def test_it_is_written_to_a_file(
    host: CliHost,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    option: str,
) -> None:
    """Whole, with nothing beside it, and nothing is printed."""
    folder = tmp_path / "out"
    folder.mkdir()
    path = folder / "x.svg"
    assert main(["diagram", option, str(path)]) == 0
    assert capsys.readouterr() == ("", "")
    assert path.read_text() == diagram(host.plan)
    assert list(folder.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_file_that_is_there_keeps_its_mode_and_its_link(
    host: CliHost, tmp_path: Path
) -> None:
    """What others were not to read, they are not to read now."""
    path, link = tmp_path / "x.svg", tmp_path / "link.svg"
    path.write_text("old")
    path.chmod(0o600)
    link.symlink_to(path)
    assert main(["diagram", "-o", str(link)]) == 0
    assert link.is_symlink()
    assert path.read_text() == diagram(host.plan)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_a_dash_is_standard_output(
    host: CliHost, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """As for the files that are read."""
    assert main(["diagram", "-o", name]) == 0
    assert capsys.readouterr().out == diagram(host.plan)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("absent/x.svg", "found no folder", id="no folder"),
        pytest.param("folder", "found a folder", id="folder"),
    ],
)
def test_what_is_no_file_stays_as_it_is(
    host: CliHost,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    said: str,
) -> None:
    """A folder, or nothing at all."""
    (tmp_path / "folder").mkdir()
    assert host.plan.interfaces
    before = sorted(tmp_path.iterdir())
    assert main(["diagram", "-o", str(tmp_path / name)]) == 1
    assert said in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_a_pipe_takes_the_picture_and_stays_one(
    host: CliHost, tmp_path: Path
) -> None:
    """As root, a file in its place would end /dev/null for everybody."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(reader, encoding="utf-8") as stream:
        assert main(["diagram", "-o", str(pipe)]) == 0
        assert stream.read() == diagram(host.plan)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_device_takes_it_or_says_why_not(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its name."""
    assert host.plan.interfaces
    assert main(["diagram", "-o", "/dev/null"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["diagram", "-o", "/dev/full"]) == 1
    assert "/dev/full: No space left" in capsys.readouterr().err
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_the_json_has_what_the_picture_shows(
    host: CliHost, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """And --output writes the picture beside it."""
    path = tmp_path / "x.svg"
    data = read_json(capsys, "diagram", "-o", str(path))
    assert path.read_text() == diagram(host.plan)
    assert data == read_json(capsys, "diagram")
    assert data["rules"][2] == {
        "priority": 31100,
        "selector": "from 10.224.184.51",
        "table": 10,
        "table_name": "private",
        "suppress": [],
        "by": "plan",
    }
    assert [it["name"] for it in data["interfaces"]] == ["private", "public"]
    assert data["destinations"][1]["default"] is True
    assert data["tables"][0]["routes"][1]["via"] is None
