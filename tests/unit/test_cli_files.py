# SPDX-License-Identifier: Apache-2.0
"""`render` and `validate`: files in, text or mistakes with lines out."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import cc_multihome.render as rendering
from cc_multihome.cli.main import main
from cc_multihome.config.drop_ins import read_sources
from cc_multihome.config.parse import parse
from cc_multihome.config.text import TextError, read_config_text
from cc_multihome.discover.imds_tree import tree_of
from cc_multihome.errors import ConfigError
from tests.unit.builders import SEED_KEY, eni, instance, plan_for
from tests.unit.cli_host import CliHost, make, read_json

Write = Callable[..., str]
USER_DATA = "#cloud-config\n" + yaml.safe_dump({"multihome": SEED_KEY})
WRONG = """\
#cloud-config
packages: [vim]
multihome:
  interfaces:
    private: {device_number: 0, table: 10}
    public:
      device_number: one
      tabel: 20
  default: public
  policy:
    - to: 192.0.2.14
    - to:
        - 198.51.100.42
        - 10.0.0.1/8
      via: private
"""


@pytest.fixture
def put(tmp_path: Path) -> Write:
    """Write a file, and return its path."""

    def write(text: str, name: str = "user-data.yaml") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def metadata(put: Write) -> str:
    """The seed's host, as a file."""
    return put(json.dumps(tree_of(instance())), "metadata.json")


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what stands on standard error, without the file's name."""
    said = capsys.readouterr().err.splitlines()
    return [line.partition("user-data.yaml:")[2] for line in said]


def test_a_right_file_is_right(
    put: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 0."""
    name = put(USER_DATA)
    assert main(["validate", name]) == 0
    assert capsys.readouterr() == (f"{name}: right\n", "")
    assert read_json(capsys, "validate", name) == {
        "version": 1,
        "file": name,
        "valid": True,
        "problems": [],
    }


def test_every_mistake_comes_with_its_line(
    put: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is absent has the line of what it is absent from."""
    assert main(["validate", put(WRONG)]) == 1
    said = lines(capsys)
    starts = [line.partition(": found")[0] for line in said]
    assert starts == [
        "7:7: multihome.interfaces.public.device_number",
        "8:7: multihome.interfaces.public.tabel",
        "11:7: multihome.policy[0].via",
        "14:11: multihome.policy[1].to[1]",
        " 4 mistakes",
    ]


def test_the_json_has_every_mistake(
    put: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """With path, line, column, found and expected."""
    data = read_json(capsys, "validate", put(WRONG), status=1)
    assert data["valid"] is False
    assert len(data["problems"]) == 4
    assert data["problems"][1] == {
        "path": "multihome.interfaces.public.tabel",
        "line": 8,
        "column": 7,
        "found": "an unknown key",
        "expected": data["problems"][1]["expected"],
    }
    assert data["problems"][1]["expected"].startswith("table (known: ")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("multihome: {default: public}", id="with the key"),
        pytest.param("default: public", id="below the key"),
        pytest.param("#cloud-config\nmultihome: {default: public}", id="user"),
        pytest.param("\ufeff#cloud-config\nmultihome: true", id="BOM"),
        pytest.param("a: &x {default: b}\nmultihome: *x", id="alias"),
        pytest.param("#cloud-config\nmultihome:", id="nothing after it"),
    ],
)
def test_all_forms_are_read(put: Write, text: str) -> None:
    """User-data, a mapping with the key, and a drop-in."""
    assert main(["validate", put(text)]) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "nothing, expected a mapping", id="empty"),
        pytest.param("a: [1\nb: 2", "2:2: no YAML: ", id="no YAML"),
        pytest.param("a:\n\t- b", "2:1: no YAML: ", id="tab"),
        pytest.param("a:\n \x07", "2: no YAML: ", id="control character"),
        pytest.param("a: !!python/object:x {}", "no YAML: ", id="tag"),
        pytest.param("{[]: 1}", "no YAML: ", id="unhashable"),
        pytest.param("a: 2001-99-99", "no YAML that can", id="date"),
        pytest.param("#cloud-config\na: 1", "no key multihome", id="no key"),
        pytest.param("#!/bin/sh\n", "1: user-data of another", id="script"),
        pytest.param("## template: jinja\na: 1", "1: a template", id="jinja"),
        pytest.param("Content-Type: multipart/mixed\n", "MIME", id="MIME"),
        pytest.param("- a\n- b\n", "found ['a', 'b'], expected", id="list"),
        pytest.param("some words", "found 'some words'", id="text"),
        pytest.param("multihome: 3", "1:1: multihome: found 3", id="number"),
    ],
)
def test_what_is_no_configuration_is_said(
    put: Write,
    capsys: pytest.CaptureFixture[str],
    text: str,
    said: str,
) -> None:
    """As a mistake of the file, with its line where there is one."""
    name = put(text)
    assert main(["validate", name]) == 1
    assert said in "\n".join(lines(capsys))
    assert read_json(capsys, "validate", name, status=1)["valid"] is False


def test_a_key_that_stands_twice_is_a_mistake(
    put: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """YAML takes the last one, and says nothing."""
    text = "multihome:\n  default: a\n  policy: []\n  default: b\n"
    assert main(["validate", put(text)]) == 1
    (said, _) = lines(capsys)
    assert said.startswith("4:3: multihome.default: found it again")
    assert "the first is on line 2" in said


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        pytest.param("2020-01-01", "2020-01-02", False, id="dates"),
        pytest.param("2020-01-01", "2020-01-01", True, id="a date"),
        pytest.param("1" + "0" * 20, "2" + "0" * 20, False, id="long numbers"),
        pytest.param("1", "1.0", True, id="a number"),
        pytest.param("1", "'1'", False, id="a number and a text"),
        pytest.param("on", "true", True, id="a boolean"),
        pytest.param('"<<"', '"<<"', True, id="no merge key"),
    ],
)
def test_keys_are_the_same_where_they_are_to_yaml(
    one: str, other: str, *, is_same: bool
) -> None:
    """Not where they are told by the same words."""
    text = f"interfaces:\n  {one}: {{}}\n  {other}: {{}}\n"
    kept = len(yaml.safe_load(text)["interfaces"])
    assert (kept == 1) == is_same
    assert bool(read_config_text(text).repeated) == is_same


@pytest.mark.parametrize(
    "tag", ["bool", "int", "float", "timestamp", "binary", "set", "omap"]
)
@pytest.mark.parametrize("text", ["{}: 1", "default: {}", "- {}"])
def test_a_tag_that_does_not_fit_is_no_yaml(
    put: Write, capsys: pytest.CaptureFixture[str], tag: str, text: str
) -> None:
    """PyYAML stumbles over some of them; that is no fault of ours."""
    for value in ("''", "maybe-\u00e9"):
        name = put(text.format(f"!!{tag} {value}"))
        assert main(["validate", name]) == 1
        assert "internal error" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("#!{}\n", id="a script"),
        pytest.param("a: *{}\n", id="an alias"),
        pytest.param("a: !{} 1\n", id="a tag"),
        pytest.param("a: !!float {}\n", id="a number"),
    ],
)
def test_yaml_is_not_quoted_whole(text: str) -> None:
    """A console would be flooded."""
    with pytest.raises(TextError) as caught:
        read_config_text(text.format("x" * 9999))
    assert len(str(caught.value)) < 400


def test_a_key_that_cannot_be_one_is_said(
    put: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """As YAML says it."""
    assert main(["validate", put("interfaces:\n  !!map x: 1\n")]) == 1
    assert lines(capsys)[0].startswith("2:3: no YAML: ")


@pytest.mark.parametrize(
    "argv", [["render"], ["diagram"], ["explain", "192.0.2.14"]]
)
def test_what_validate_refuses_for_it_the_others_do_too(
    put: Write,
    metadata: str,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
) -> None:
    """Else what was tried out is not what a drop-in would be taken for."""
    config = put("multihome:\n  rename: true\n  rename: false\n")
    found = [*argv, "--metadata", metadata, "--config", config]
    data = read_json(capsys, *found, status=1)
    (problem,) = data["error"]["problems"]
    assert data["error"]["kind"] == "config"
    assert problem["path"] == "multihome.rename"
    assert problem["found"] == "it again on line 3"


def test_a_key_that_is_no_text_has_its_line(
    put: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """`on` is true to YAML, and 10 a number."""
    text = "interfaces:\n  10: {device_number: 0}\n  on: {device_number: 1}\n"
    assert main(["validate", put(text)]) == 1
    starts = [line.partition(": found")[0] for line in lines(capsys)]
    assert starts[0] == "2:3: multihome.interfaces[10]"
    assert starts[1] == "3:3: multihome.interfaces[true]"


def test_a_merged_key_has_the_line_that_it_comes_from(
    put: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """`<<` is no key of ours."""
    text = (
        "x: &x\n  device_number: no\nmultihome:\n  interfaces:\n"
        "    a: {<<: *x}\n"
    )
    assert main(["validate", put(text)]) == 1
    assert lines(capsys)[0].startswith(
        "2:3: multihome.interfaces.a.device_number"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("x: &x {K: {default: a}}\n<<: *x\n", 1, id="one"),
        pytest.param(
            "x: &x {K: {default: a}}\ny: &y {K: {default: b}}\n<<: [*x, *y]\n",
            1,
            id="the first of a list",
        ),
        pytest.param(
            "x: &x {K: {default: a}}\ny: &y {K: {default: b}}\n"
            "<<: *x\n<<: *y\n",
            2,
            id="the last of two",
        ),
        pytest.param(
            "x: &x {K: {default: a}}\ny: &y {<<: *x}\n<<: *y\n",
            1,
            id="one that merges",
        ),
        pytest.param(
            "x: &x {K: {default: a}}\nK: {default: c}\n<<: *x\n",
            2,
            id="the own goes first",
        ),
        pytest.param(
            "x: &x {default: a, policy: []}\n"
            "y: &y {K: {<<: *x, default: b}}\n<<: *y\n",
            2,
            id="within it",
        ),
    ],
)
def test_a_key_that_is_merged_at_the_top_is_found(
    text: str, line: int
) -> None:
    """As cloud-init does, which has YAML alone look for it."""
    text = text.replace("K:", "multihome:")
    found = read_config_text(f"#cloud-config\n{text}")
    assert found.raw == yaml.safe_load(text)["multihome"]
    assert found.places["multihome"][0] == line + 1
    assert found.repeated == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("a: &a {<<: *a}\n<<: *a\n", "itself", id="in a circle"),
        pytest.param(
            "a0: &a0 {x: 1}\n"
            + "".join(
                f"a{n + 1}: &a{n + 1} {{<<: [{','.join([f'*a{n}'] * 9)}]}}\n"
                for n in range(9)
            )
            + "<<: *a9\n",
            "most of them by aliases",
            id="many times",
        ),
    ],
)
def test_what_is_merged_at_the_top_ends(text: str, said: str) -> None:
    """Nine lines stand for a billion keys."""
    with pytest.raises(TextError, match=said):
        read_config_text(f"#cloud-config\n{text}")


def test_an_alias_that_contains_itself_ends(put: Write) -> None:
    """Such a value is a mistake, not an endless loop."""
    assert main(["validate", put("multihome: &a {interfaces: *a}")]) == 1


@pytest.mark.parametrize(
    ("text", "where"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("# nothing\n", "", id="comments"),
        pytest.param("\ufeff# nothing\n", "", id="a mark and comments"),
        pytest.param("multihome:\n", "", id="the key alone"),
        pytest.param("default: private\n", "", id="a part"),
        pytest.param("interfaces: {private: {table: 77}}\n", "", id="a table"),
        pytest.param("resolver: {search: [a.b]}\n", "", id="of the resolver"),
        pytest.param("multihome: true\n", "1:1", id="true"),
        pytest.param("\nmultihome: false\n", "2:1", id="false"),
        pytest.param("- a\n", "1:1", id="a list"),
        pytest.param("a\n", "1:1", id="a word"),
        pytest.param("multihome: {}\n\npolicy: []\n", "3:1", id="beside"),
        pytest.param("default: a\ndefault: a\n", "2:1", id="twice"),
        pytest.param("policy: [\n", "2:1", id="no YAML"),
        pytest.param("#cloud-config\npolicy: []\n", "", id="without key"),
        pytest.param("policy:\n", "1:1", id="a bare key"),
        pytest.param(
            "interfaces: {private: {tabel: 7}}\n", "1:24", id="misspelt"
        ),
        pytest.param("#" * (1 << 20) + "\n", "", id="a megabyte"),
    ],
)
def test_a_drop_in_is_judged_as_it_will_be(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    where: str,
) -> None:
    """What is right is taken up, over a host's key; the rest is not."""
    folder = tmp_path / "multihome.d"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "50-a.yaml").write_text(text)
    (folder / "50-a.yaml").chmod(0o644)
    monkeypatch.chdir(folder)
    key = {**SEED_KEY, "resolver": {"nameservers": ["192.0.2.1"]}}
    try:
        wrong = bool(parse(read_sources(key, folder).raw).problems)
    except ConfigError:
        wrong = True
    for name in ("50-a.yaml", str(folder / "50-a.yaml")):
        assert main(["validate", name]) == int(wrong)
        said = capsys.readouterr().err
        assert not where or said.startswith(f"{name}:{where}: ")


def test_a_file_of_user_data_may_be_what_no_drop_in_is(put: Write) -> None:
    """The rules are those of its folder."""
    assert main(["validate", put("multihome: true\n")]) == 0
    assert main(["validate", put("multihome: {}\npackages: []\n")]) == 0
    assert main(["validate", put("# nothing\n")]) == 1


def test_standard_input_is_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in `cloud-init query userdata | multihome validate -`."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(WRONG))
    assert main(["validate", "-"]) == 1
    assert capsys.readouterr().err.startswith("-:7:7: multihome.interfaces")


def test_a_file_that_is_not_there_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its path; a program gets an error, not a mistake in the file."""
    name = str(tmp_path / "none.yaml")
    data = read_json(capsys, "validate", name, status=1)
    assert data["error"]["kind"] == "file"
    assert name in data["error"]["message"]


def test_a_file_that_is_no_text_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """User-data is often compressed."""
    (tmp_path / "x.gz").write_bytes(b"\x1f\x8b\x08\x00")
    assert main(["validate", str(tmp_path / "x.gz")]) == 1
    assert "gunzip it" in capsys.readouterr().err


def test_with_metadata_the_instance_is_asked_too(
    put: Write, metadata: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Selectors that match no ENI, names that nobody has."""
    text = "interfaces:\n  a: {device_number: 0}\n  b: {device_number: 7}\n"
    name = put(text)
    assert main(["validate", name]) == 0
    assert main(["validate", "--metadata", metadata, name]) == 1
    assert lines(capsys)[0].startswith("3:3: multihome.interfaces.b: found")
    right = put(USER_DATA)
    assert main(["validate", "--metadata", metadata, right]) == 0


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_every_mistake_of_any_value_has_a_place(value: object) -> None:
    """The lines are found by the paths that the checks give."""
    text = yaml.safe_dump({"multihome": value}, allow_unicode=True)
    config = read_config_text(text)
    for problem in parse(config.raw).problems:
        assert config.place(problem.path) is not None


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """And nothing else happens."""
    try:
        read_config_text(text)
    except TextError as err:
        assert str(err)


def test_render_works_away_from_any_instance(
    put: Write, metadata: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a metadata file and a config file."""
    config = put(USER_DATA)
    arguments = ["render", "--metadata", metadata, "--config", config]
    assert main(arguments) == 0
    ethernets = yaml.safe_load(capsys.readouterr().out)["network"]["ethernets"]
    assert list(ethernets) == ["ens5", "ens6"]
    assert ethernets["ens6"]["set-name"] == "public"
    data = read_json(capsys, *arguments)
    assert list(data) == ["version", "files", "plan"]
    assert data["plan"]["interfaces"][0]["name"] == "private"
    paths = [file["path"] for file in data["files"]]
    assert paths[0] == "/run/netplan/55-multihome.yaml"
    assert set(data["files"][0]) == {"path", "mode", "text"}
    assert main([*arguments, "--all"]) == 0
    said = capsys.readouterr().out
    assert [path in said for path in paths] == [True] * len(paths)


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda tree: tree, id="tree"),
        pytest.param(lambda it: {"ds": {"meta_data": it}}, id="cloud-init"),
        pytest.param(lambda it: {"metadata": it, "key": {}}, id="kept"),
    ],
)
def test_metadata_may_be_wrapped(
    put: Write,
    capsys: pytest.CaptureFixture[str],
    wrap: Callable[[object], object],
) -> None:
    """As cloud-init and this package keep it."""
    file = put(json.dumps(wrap(tree_of(instance()))), "m.json")
    config = put(USER_DATA)
    assert main(["render", "--metadata", file, "--config", config]) == 0
    assert "10.224.186.43" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{", "no JSON", id="cut short"),
        pytest.param("[]", "expected a mapping", id="list"),
        pytest.param("[" * 100_000, "no JSON", id="too deep"),
        pytest.param('{"mac": 1}', "instance-id", id="incomplete"),
    ],
)
def test_metadata_that_is_none_is_said(
    put: Write, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    """With the file's name."""
    file, config = put(text, "m.json"), put(USER_DATA)
    assert main(["render", "--metadata", file, "--config", config]) == 1
    error = capsys.readouterr().err
    assert "m.json" in error
    assert said in error


def test_a_wrong_value_of_a_file_has_its_place_there(
    put: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ENI's MAC; and nobody meant to change anything."""
    tree = tree_of(instance())
    mac = instance().enis[1].mac
    path = f"network/interfaces/macs/{mac}/interface-id"
    tree["network"]["interfaces"]["macs"][mac]["interface-id"] = None
    file, config = put(json.dumps(tree), "m.json"), put(USER_DATA)
    assert main(["render", "--metadata", file, "--config", config]) == 1
    head = capsys.readouterr().err.splitlines()[0]
    assert f"{file}: {path} is None, expected text" in head
    assert "service" not in head
    assert "nothing was changed" not in head


def test_metadata_may_begin_with_a_byte_order_mark(
    put: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the configuration may."""
    file = put("\ufeff" + json.dumps(tree_of(instance())), "m.json")
    config = put(USER_DATA)
    assert main(["render", "--metadata", file, "--config", config]) == 0
    assert "10.224.186.43" in capsys.readouterr().out


def test_a_broken_config_of_render_has_its_line(
    put: Write, metadata: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As validate has it."""
    config = put("a: [1\nb: 2")
    assert main(["render", "--metadata", metadata, "--config", config]) == 1
    assert f"{config}:2:2: no YAML" in capsys.readouterr().err


def test_render_of_this_host_takes_its_configuration(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without any option."""
    host: CliHost = make(monkeypatch, tmp_path)
    host.key = SEED_KEY
    assert main(["render"]) == 0
    assert host.asked == [SEED_KEY]
    assert yaml.safe_load(capsys.readouterr().out)["network"]["version"] == 2


def test_a_plan_without_files_is_no_error_of_the_reader(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One ENI and no wishes; or the key is false."""
    host = make(monkeypatch, tmp_path)
    host.plan = plan_for({}, instance(eni(0)))
    assert main(["render"]) == 3
    plain = capsys.readouterr()
    assert plain.out == ""
    assert "one ENI" in plain.err
    assert main(["render", "--all"]) == 3
    assert capsys.readouterr() == plain
    assert main(["render", "--json"]) == 3
    said = capsys.readouterr()
    assert said.err == plain.err
    assert json.loads(said.out)["files"] == []
    host.enabled = False
    assert read_json(capsys, "render", status=3)["error"]["kind"] == "inactive"


ALONE = """\
interfaces: {pods: {device_number: 0, manage: false}}
default: ens6
policy: [{to: 192.0.2.1, via: ens6}]
"""


def test_what_is_left_alone_has_its_rules_offline_too(
    put: Write, metadata: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The host gets them: main comes before the policy for its address."""
    config = put(ALONE)
    files = ["--metadata", metadata, "--config", config]
    assert main(["render", *files]) == 0
    ethernets = yaml.safe_load(capsys.readouterr().out)["network"]["ethernets"]
    rule = {"from": "10.224.184.51", "table": 254, "priority": 32599}
    assert rule in ethernets["ens6"]["routing-policy"]
    drawn = read_json(capsys, "diagram", *files)["rules"]
    assert "from 10.224.184.51" in [each["selector"] for each in drawn]


def test_of_a_secondary_that_is_left_alone_nothing_is_known_offline(
    put: Write, metadata: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """cloud-init has a table for it; main's default is the plan's."""
    config = put("interfaces: {pods: {device_number: 1, manage: false}}\n")
    assert main(["render", "--metadata", metadata, "--config", config]) == 0
    ethernets = yaml.safe_load(capsys.readouterr().out)["network"]["ethernets"]
    routes = ethernets["ens5"]["routes"]
    assert "0.0.0.0/0" in [it["to"] for it in routes if "table" not in it]


def test_an_address_that_is_left_alone_can_be_asked_from(
    put: Write, metadata: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is one of the instance; any other is none."""
    files = ["--metadata", metadata, "--config", put(ALONE)]
    question = ["explain", "192.0.2.1", *files, "--from"]
    data = read_json(capsys, *question, "10.224.184.51")
    assert data["plan"]["steps"][-1]["priority"] == 32599
    assert data["plan"]["way"] is None
    assert "its owner's: by table 254, else" in data["plan"]["why"]
    capsys.readouterr()
    assert main([*question, "10.224.184.51"]) == 0
    assert "as its owner says" in capsys.readouterr().out
    data = read_json(capsys, *question, "10.224.184.52", status=1)
    assert data["error"]["kind"] == "question"


def test_files_are_rendered_for_render_alone(
    monkeypatch: pytest.MonkeyPatch, put: Write, metadata: str
) -> None:
    """The others need the plan."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("it was rendered")

    monkeypatch.setattr(rendering, "render", fail)
    config = put(USER_DATA)
    files = ["--metadata", metadata, "--config", config]
    assert main(["explain", "192.0.2.1", *files]) == 0
    assert main(["diagram", *files]) == 0
    assert main(["validate", "--metadata", metadata, config]) == 0
    assert main(["render", *files]) == 1
