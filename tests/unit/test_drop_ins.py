# SPDX-License-Identifier: Apache-2.0
"""Files beside user-data: merged in order, and mistakes told with a line."""

from __future__ import annotations

import copy
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cc_multihome.config.drop_ins import Sources, merge, read_sources
from cc_multihome.config.parse import parse
from cc_multihome.errors import ConfigError, Problem
from tests.unit.builders import SEED_KEY

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)
keys = st.fixed_dictionaries(
    {},
    optional={
        "policy": st.lists(scalars, max_size=3),
        "interfaces": st.dictionaries(st.sampled_from("abc"), values),
        "default": scalars,
    },
)
# As the schema has them: no path is a mapping here and a scalar there. Where
# one is, a scalar that comes between two mappings ends the first of them.
even_keys = st.fixed_dictionaries(
    {},
    optional={
        "policy": st.lists(scalars, max_size=3),
        "interfaces": st.dictionaries(
            st.sampled_from("abc"),
            st.dictionaries(st.sampled_from("abc"), scalars, max_size=3),
        ),
        "default": scalars,
    },
)


def put(folder: Path, name: str, text: str) -> Path:
    """Write a drop-in as root would."""
    path = folder / name
    path.write_text(text)
    path.chmod(0o644)
    return path


def mistakes(base: object, folder: Path) -> list[Problem]:
    """Read, parse, and return all mistakes with their places."""
    try:
        sources = read_sources(base, folder)
    except ConfigError as err:
        return list(err.problems)
    located = sources.locate(ConfigError(parse(sources.raw).problems))
    return list(located.problems)


@given(keys)
def test_merging_nothing_changes_nothing(key: dict[str, Any]) -> None:
    """From either side."""
    assert merge(key, {}) == key
    assert merge({}, key) == key


@given(even_keys, even_keys, even_keys)
def test_files_can_be_merged_in_any_grouping(
    one: dict[str, Any], two: dict[str, Any], three: dict[str, Any]
) -> None:
    """The order counts, not who is merged first."""
    assert merge(merge(one, two), three) == merge(one, merge(two, three))


def test_a_scalar_between_two_mappings_ends_the_first() -> None:
    """Each file goes over all that came before it."""
    between = merge({"a": {"b": 1}}, {"a": None})
    assert merge(between, {"a": {"c": 2}}) == {"a": {"c": 2}}


@given(keys, keys)
def test_merging_leaves_both_sides_alone(
    one: dict[str, Any], two: dict[str, Any]
) -> None:
    """cloud-init goes on using its own."""
    before = copy.deepcopy((one, two))
    merge(one, two)
    assert (one, two) == before


def test_destinations_are_appended_and_mappings_are_merged(
    tmp_path: Path,
) -> None:
    """In the order of the names; a later scalar wins."""
    put(tmp_path, "60-b.yaml", "policy: [{to: 10.9.0.2, via: private}]\n")
    put(
        tmp_path,
        "50-a.yaml",
        "multihome:\n  default: private\n"
        "  interfaces: {private: {table: 77}}\n"
        "  policy: [{to: 10.9.0.1, via: private}]\n",
    )
    put(tmp_path, "70-c.yaml", "default: public\n")
    merged: Any = read_sources(SEED_KEY, tmp_path).raw
    assert merged["default"] == "public"
    assert merged["interfaces"]["private"]["table"] == 77
    assert merged["interfaces"]["public"] == SEED_KEY["interfaces"]["public"]
    count = len(SEED_KEY["policy"])
    assert merged["policy"][:count] == SEED_KEY["policy"]
    assert [entry["to"] for entry in merged["policy"][count:]] == [
        "10.9.0.1",
        "10.9.0.2",
    ]


@pytest.mark.parametrize("base", [None, True, {}], ids=str)
def test_all_defaults_is_a_base_like_any_other(
    tmp_path: Path, base: object
) -> None:
    """`multihome:` in user-data, and the rest in files."""
    put(tmp_path, "50-a.yaml", "resolver: keep\n")
    assert read_sources(base, tmp_path).raw == {"resolver": "keep"}


def test_false_stays_false(tmp_path: Path) -> None:
    """The module is off."""
    put(tmp_path, "50-a.yaml", "resolver: keep\n")
    assert read_sources(False, tmp_path).raw is False


def test_without_files_the_key_is_as_it_is(tmp_path: Path) -> None:
    """Also one that is wrong: it is told as a mistake of its own."""
    assert read_sources(["x"], tmp_path) == Sources(["x"])
    assert read_sources(SEED_KEY, tmp_path / "none") == Sources(SEED_KEY)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("link", "a link to what is not there"),
        ("loop", "Too many levels of symbolic links"),
        ("file", "a file that is no directory"),
        ("fifo", "a file that is no directory"),
    ],
)
def test_a_directory_that_is_something_else_is_not_without_files(
    tmp_path: Path, kind: str, found: str
) -> None:
    """A volume that is not mounted yet would take all destinations away."""
    folder = tmp_path / "multihome.d"
    if kind in ("link", "loop"):
        folder.symlink_to("nowhere" if kind == "link" else folder)
    elif kind == "file":
        folder.write_text("")
    else:
        os.mkfifo(folder)
    (problem,) = mistakes(SEED_KEY, folder)
    assert problem.origin == str(folder)
    assert problem.found == found
    assert "take the name away" in problem.expected
    # Where the module is off, no file has a say.
    assert read_sources(False, folder).raw is False


def test_a_directory_that_cannot_be_listed_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure is never an empty answer."""

    def refuse(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refuse)
    (problem,) = mistakes(SEED_KEY, tmp_path)
    assert problem.found == "Permission denied"
    assert problem.origin == str(tmp_path)


def test_a_link_to_a_directory_is_one(tmp_path: Path) -> None:
    """Where the files are deployed as a whole."""
    real = tmp_path / "real"
    real.mkdir()
    put(real, "50-a.yaml", "resolver: keep\n")
    folder = tmp_path / "multihome.d"
    folder.symlink_to(real)
    assert read_sources({}, folder).raw == {"resolver": "keep"}


@pytest.mark.parametrize(
    "text", ["", "\n# nothing\n", "---\n# x\n", "\ufeff", "--- # x\n...\n"]
)
def test_an_empty_file_is_nothing(tmp_path: Path, text: str) -> None:
    """Puppet writes one when there is nothing to say."""
    put(tmp_path, "50-a.yaml", text)
    assert read_sources(SEED_KEY, tmp_path).raw == SEED_KEY


def test_other_files_of_the_directory_are_left_alone(tmp_path: Path) -> None:
    """Editors' backups, package managers' leftovers."""
    for name in (".50-a.yaml", "50-a.yaml~", "50-a.yaml.dpkg-old", "README"):
        put(tmp_path, name, "no: [yaml\n")
    assert read_sources(SEED_KEY, tmp_path).raw == SEED_KEY


def test_a_mistake_in_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    """One of user-data is not."""
    path = put(
        tmp_path,
        "50-a.yaml",
        "# added by Puppet\npolicy:\n"
        "  - to: 10.0.0.1/8\n    via: private\n"
        "  - to: 10.9.0.1\n    via: [private]\n",
    )
    key = {**SEED_KEY, "default": ["public"]}
    found = {item.path: item.origin for item in mistakes(key, tmp_path)}
    count = len(SEED_KEY["policy"])
    assert found[f"multihome.policy[{count}].to"] == f"{path}, line 3"
    assert found[f"multihome.policy[{count + 1}].via"] == f"{path}, line 6"
    assert found["multihome.default"] == ""


def test_what_is_missing_in_a_file_is_told_where_it_belongs(
    tmp_path: Path,
) -> None:
    """An entry without `via`."""
    path = put(tmp_path, "50-a.yaml", "policy:\n\n- to: 10.9.0.1\n")
    (found,) = mistakes(SEED_KEY, tmp_path)
    assert found.origin == f"{path}, line 3"
    assert f"({path}, line 3)" in str(found)


def test_a_mistake_of_user_data_beside_a_file_is_user_datas(
    tmp_path: Path,
) -> None:
    """The file has `interfaces` too, but not this one."""
    put(tmp_path, "50-a.yaml", "interfaces: {public: {table: 30}}\n")
    interfaces = {**SEED_KEY["interfaces"], "bad": {"table": -1}}
    found = mistakes({**SEED_KEY, "interfaces": interfaces}, tmp_path)
    assert found
    assert {item.origin for item in found} == {""}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("services: {}\n", id="the key"),
        pytest.param(
            "services: {}\ninterfaces: {private: {}}\n", id="beside another"
        ),
        pytest.param("multihome:\n  services: {}\n", id="below multihome"),
    ],
)
def test_an_empty_mapping_over_one_of_user_data_has_no_part_in_it(
    tmp_path: Path, text: str
) -> None:
    """Mappings are merged: what is wrong with it is user-data's."""
    key = {**SEED_KEY, "services": {"chrony.service": "private"}}
    path = put(tmp_path, "50-a.yaml", text)
    sources = read_sources(key, tmp_path)
    assert sources.raw == key
    wrong = ConfigError((Problem("multihome.services", "1 of them", "none"),))
    assert [""] == [it.origin for it in sources.locate(wrong).problems]
    # Where user-data has none, it is the file's; and so is one with more.
    ours = read_sources(SEED_KEY, tmp_path).locate(wrong).problems[0]
    assert ours.origin.startswith(f"{path}, line ")
    put(tmp_path, "60-b.yaml", "services: {sshd.service: private}\n")
    put(tmp_path, "70-c.yaml", text)
    theirs = read_sources(key, tmp_path).locate(wrong).problems[0]
    assert theirs.origin == f"{tmp_path / '60-b.yaml'}, line 1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "a: [\nb: 1\n", ", line 3, column 1): found no YAML", id="syntax"
        ),
        pytest.param("- a\n", "expected a mapping", id="a list"),
        pytest.param("default: a\ndefault: b\n", "line 2", id="twice"),
        pytest.param("#!/bin/sh\n", "found", id="a script"),
    ],
)
def test_a_broken_file_is_told_with_its_name_and_line(
    tmp_path: Path, text: str, expected: str
) -> None:
    """And nothing is taken of it."""
    put(tmp_path, "50-a.yaml", text + "x: 1\n" * text.startswith("#!"))
    (found,) = mistakes(SEED_KEY, tmp_path)
    assert "50-a.yaml" in str(found)
    assert expected in str(found)


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """It would let them route the host's traffic."""
    put(tmp_path, "50-a.yaml", "resolver: keep\n").chmod(0o666)
    (found,) = mistakes(SEED_KEY, tmp_path)
    assert "mode 666" in found.found
    assert "chmod" in found.expected


def test_bytes_and_sizes_that_no_person_writes_are_refused(
    tmp_path: Path,
) -> None:
    """A disk that was full, or a wrong file."""
    path = put(tmp_path, "50-a.yaml", "")
    path.write_bytes(b"default: \xff\n")
    assert "UTF-8" in str(mistakes(SEED_KEY, tmp_path)[0])
    path.write_bytes(b"#" * (2 << 20))
    assert "bytes" in str(mistakes(SEED_KEY, tmp_path)[0])


def test_a_directory_or_a_fifo_is_no_file(tmp_path: Path) -> None:
    """Reading a fifo would hang the boot."""
    (tmp_path / "50-a.yaml").mkdir()
    os.mkfifo(tmp_path / "60-b.yaml")
    found = mistakes(SEED_KEY, tmp_path)
    assert ["a regular file"] * 2 == [item.expected for item in found]


def test_a_file_whose_reading_fails_is_told(tmp_path: Path) -> None:
    """As one on a broken disk, or one that goes while it is read."""
    (tmp_path / "50-gone.yaml").symlink_to("/proc/self/mem")
    with pytest.raises(ConfigError, match=r"50-gone.*Input/output error"):
        read_sources({}, tmp_path)


def test_the_mistakes_of_all_files_come_at_once(tmp_path: Path) -> None:
    """One look is enough."""
    for name in ("10-a.yaml", "30-c.yaml"):
        put(tmp_path, name, "policy: [\n")
    put(tmp_path, "20-b.yaml", "resolver: keep\n")
    (tmp_path / "40-d.yaml").symlink_to("nowhere")
    origins = [Path(it.origin).name for it in mistakes(SEED_KEY, tmp_path)]
    assert origins == [
        "10-a.yaml, line 2, column 1",
        "30-c.yaml, line 2, column 1",
        "40-d.yaml",
    ]


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_directory_that_others_may_write_is_refused(
    tmp_path: Path, mode: int
) -> None:
    """They could put another file of root's in the place of one."""
    folder = tmp_path / "multihome.d"
    folder.mkdir()
    put(folder, "50-a.yaml", "resolver: keep\n")
    folder.chmod(mode)
    (found,) = mistakes(SEED_KEY, folder)
    assert found.origin == str(folder)
    assert f"mode {mode:o}" in found.found


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    """A kilobyte that stands for gigabytes, and takes minutes to check."""
    names = "abcdefghi"
    lines = "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n"
        for old, new in pairwise(names)
    )
    put(tmp_path, "50-a.yaml", f"a: &a [x]\n{lines}")
    (found,) = mistakes({}, tmp_path)
    assert "most of them by aliases" in found.found
    put(tmp_path, "50-a.yaml", "default: &a [*a]\n")
    (found,) = mistakes({}, tmp_path)
    assert found.found == "a value that contains itself"
    assert found.origin.endswith("50-a.yaml, line 1, column 10")


def test_aliases_in_moderation_are_fine(tmp_path: Path) -> None:
    """One entry twice, and its `via` for another."""
    text = (
        "policy:\n- &one {to: 10.9.0.1, via: private}\n- *one\n"
        "- {<<: *one, to: 10.9.0.2}\n"
    )
    put(tmp_path, "50-a.yaml", text)
    assert mistakes(SEED_KEY, tmp_path) == []


def test_a_wrong_policy_is_not_covered_up_by_a_later_one(
    tmp_path: Path,
) -> None:
    """Every destination from before would be gone, and nobody would know.

    A template of Puppet's with no destination leaves a bare `policy:`.
    """
    wrong = put(tmp_path, "50-a.yaml", "resolver: vpc\npolicy:\n")
    put(tmp_path, "60-b.yaml", "policy: [{to: 10.9.0.1, via: private}]\n")
    (found,) = mistakes(SEED_KEY, tmp_path)
    assert found.path == "multihome.policy"
    assert found.origin == f"{wrong}, line 2"


def test_a_wrong_policy_of_user_data_is_not_covered_up(
    tmp_path: Path,
) -> None:
    """A dash was forgotten there."""
    put(tmp_path, "50-a.yaml", "policy: [{to: 10.9.0.1, via: private}]\n")
    key = {**SEED_KEY, "policy": {"to": "192.0.2.1", "via": "private"}}
    (found,) = mistakes(key, tmp_path)
    assert found.path == "multihome.policy"
    assert found.origin == ""


def test_a_later_list_for_another_key_replaces(tmp_path: Path) -> None:
    """Only the policy grows, and only that at the top."""
    put(tmp_path, "50-a.yaml", "resolver: {nameservers: [10.0.0.9]}\n")
    key = {**SEED_KEY, "resolver": {"nameservers": ["10.0.0.2"]}}
    raw: Any = read_sources(key, tmp_path).raw
    assert raw["resolver"] == {"nameservers": ["10.0.0.9"]}
    assert merge({"x": [1]}, {"x": [2]}) == {"x": [2]}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param(
            "multihome:\n  default: public\npolicy: []\n", 3, id="beside"
        ),
        pytest.param(
            "multihome: {}\nmultihome: {default: public}\n", 2, id="again"
        ),
    ],
)
def test_what_would_be_lost_without_a_word_is_a_mistake(
    tmp_path: Path, text: str, line: int
) -> None:
    """YAML takes the last of two keys; what stands beside, nobody reads."""
    path = put(tmp_path, "50-a.yaml", text)
    (found,) = mistakes(SEED_KEY, tmp_path)
    assert found.path == "multihome"
    assert found.origin == f"{path}, line {line}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("--- {default: private}\n", id="a document in one line"),
        pytest.param("\ufeffdefault: private\n", id="byte order mark"),
        pytest.param("# {}\n---\ndefault: private\n...\n", id="with an end"),
    ],
)
def test_a_file_that_says_something_is_read(tmp_path: Path, text: str) -> None:
    """However its writer, mostly a program, begins it."""
    put(tmp_path, "50-a.yaml", text)
    raw: Any = read_sources(SEED_KEY, tmp_path).raw
    assert raw["default"] == "private"


def test_user_data_that_contains_itself_is_a_mistake(tmp_path: Path) -> None:
    """YAML can say so; it must not end in an error of the program's."""
    put(tmp_path, "50-a.yaml", "default: private\n")
    endless: dict[str, Any] = {}
    endless["interfaces"] = endless
    found = mistakes(endless, tmp_path)
    assert found
    assert all(item.path.startswith("multihome.interf") for item in found)


def test_values_that_no_configuration_has_are_named(tmp_path: Path) -> None:
    """As they are named in user-data."""
    put(tmp_path, "50-a.yaml", "default: 2026-01-01\n")
    (found,) = mistakes(SEED_KEY, tmp_path)
    assert found.found == "a date"


def test_a_file_of_the_wrong_kind_is_told_in_part(tmp_path: Path) -> None:
    """A list of 120 kB was an error of 160 kB."""
    path = put(tmp_path, "50-a.yaml", "# a list\n" + "- abc\n" * 9999)
    (found,) = mistakes(SEED_KEY, tmp_path)
    assert len(str(found)) < 300
    put(tmp_path, "50-a.yaml", "# a list\n- abc\n- {x: 2026-01-01}\n")
    (found,) = mistakes(SEED_KEY, tmp_path)
    assert found == Problem(
        "multihome",
        "['abc', {x: a date}]",
        "a mapping",
        f"{path}, line 2",
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("policy: [\n", id="no YAML"),
        pytest.param("- a\n", id="no mapping"),
        pytest.param("default: [a]\n", id="a value"),
        pytest.param("default: a\ndefault: a\n", id="twice"),
        pytest.param("multihome: {}\npolicy: []\n", id="beside"),
    ],
)
@pytest.mark.parametrize("name", ["\x1b[31m", "a\nb", "\udcff"])
def test_the_name_of_a_file_is_told_without_escapes(
    tmp_path: Path, text: str, name: str
) -> None:
    """It goes to a terminal, and to the log a line at a time."""
    put(tmp_path, f"{name}.yaml", text)
    (found,) = mistakes(SEED_KEY, tmp_path)
    assert str(found).isprintable()
    assert repr(str(tmp_path / name))[:-1] in found.origin
