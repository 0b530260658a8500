# SPDX-License-Identifier: Apache-2.0
"""Netplan's configuration as the host has it without this package."""

from __future__ import annotations

from pathlib import Path

import pytest

from cc_multihome.discover.netplan_files import (
    OVERLAY_NAME,
    former_names,
    netdef_ids,
    read_netplan_files,
    read_own_overlay,
)
from cc_multihome.errors import LinkError
from cc_multihome.files import HEADER
from tests.unit.builders import PRIVATE_MAC, netplan_file

ENS5 = (
    "network: {ethernets: {ens5: {match: {macaddress: 0a:93:1b:88:fa:fb}}}}\n"
)


def put(root: Path, name: str, text: str | bytes = ENS5) -> Path:
    """Write a file below the root."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def names(root: Path) -> list[str]:
    """Read and return 'folder/name' of each file in force."""
    return [
        f"{file.path.parent.parent.name}/{file.name}"
        for file in read_netplan_files(root)
    ]


def test_a_host_without_netplan_has_no_files(tmp_path: Path) -> None:
    """Nor folders."""
    assert read_netplan_files(tmp_path) == ()


def test_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Whatever folder they are in: netplan merges them so."""
    put(tmp_path, "run/netplan/20.yaml")
    put(tmp_path, "etc/netplan/30.yaml")
    put(tmp_path, "lib/netplan/10.yaml")
    assert names(tmp_path) == ["lib/10.yaml", "run/20.yaml", "etc/30.yaml"]


def test_run_wins_over_etc_and_etc_over_lib(tmp_path: Path) -> None:
    """Where the names are the same."""
    for folder in ("lib", "etc"):
        put(tmp_path, f"{folder}/netplan/50.yaml")
    assert names(tmp_path) == ["etc/50.yaml"]
    put(tmp_path, "run/netplan/50.yaml")
    assert names(tmp_path) == ["run/50.yaml"]


def test_this_packages_own_files_are_not_seen(tmp_path: Path) -> None:
    """So the second run reads what the first one read."""
    put(tmp_path, "etc/netplan/50-cloud-init.yaml")
    put(tmp_path, "run/netplan/50-cloud-init.yaml", f"{HEADER}\nnetwork: {{}}")
    put(tmp_path, f"run/netplan/{OVERLAY_NAME}", f"{HEADER}\n{ENS5}")
    assert names(tmp_path) == ["etc/50-cloud-init.yaml"]


def test_what_does_not_end_in_yaml_is_not_read(tmp_path: Path) -> None:
    """Netplan does not read it either."""
    put(tmp_path, "etc/netplan/50.yaml.dpkg-old")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("network: {", id="no YAML"),
        pytest.param("- a list\n", id="a list"),
        pytest.param("text\n", id="text"),
        pytest.param(b"# \xe9t\xe9\nnetwork: {}\n", id="Latin-1"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_with_its_path(
    tmp_path: Path, text: str | bytes
) -> None:
    """Nothing may be built on top of what netplan cannot read either."""
    path = put(tmp_path, "etc/netplan/60-site.yaml", text)
    with pytest.raises(LinkError, match=str(path)):
        read_netplan_files(tmp_path)


def test_a_dangling_link_is_an_error_with_its_path(tmp_path: Path) -> None:
    """And no missing file."""
    put(tmp_path, "etc/netplan/10.yaml")
    (tmp_path / "etc/netplan/60.yaml").symlink_to("/nowhere")
    with pytest.raises(LinkError, match=r"60\.yaml"):
        read_netplan_files(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("network:\n", id="an empty network"),
        pytest.param("network: {ethernets: }\n", id="no ethernets"),
        pytest.param("other: 1\n", id="no network"),
    ],
)
def test_a_file_without_netdefs_has_none(tmp_path: Path, text: str) -> None:
    """Netplan takes them all."""
    put(tmp_path, "etc/netplan/10.yaml", text)
    (file,) = read_netplan_files(tmp_path)
    assert file.ethernets() == {}


def test_a_netdef_with_nothing_in_it_is_an_empty_one(tmp_path: Path) -> None:
    """`ens5:` with nothing after it."""
    put(tmp_path, "etc/netplan/10.yaml", "network: {ethernets: {ens5: }}")
    (file,) = read_netplan_files(tmp_path)
    assert file.ethernets() == {"ens5": {}}


def test_a_mac_of_digits_alone_is_read_as_it_is_written(
    tmp_path: Path,
) -> None:
    """YAML 1.1 takes it for a number to base 60; netplan does not."""
    text = (
        "network: {ethernets: {a: {match: {macaddress: 12:34:56:10:20:30}}}}"
    )
    put(tmp_path, "etc/netplan/10.yaml", text)
    files = read_netplan_files(tmp_path)
    assert netdef_ids(files) == {"12:34:56:10:20:30": "a"}


def test_a_netdef_is_found_by_its_mac_in_any_case() -> None:
    """IMDS has lower case."""
    match = {"macaddress": PRIVATE_MAC.upper()}
    file = netplan_file("10.yaml", {"id0": {"match": match}})
    assert netdef_ids([file]) == {PRIVATE_MAC: "id0"}


def test_a_netdef_that_matches_no_mac_has_no_part() -> None:
    """Debian's wildcard, a netdef for a name."""
    netdefs = {"all-en": {"match": {"name": "en*"}}, "ens5": {}}
    assert netdef_ids([netplan_file("10.yaml", netdefs)]) == {}


def test_the_first_file_that_matches_a_mac_gives_the_id() -> None:
    """cloud-init's comes before what people add."""
    match = {"match": {"macaddress": PRIVATE_MAC}}
    files = [netplan_file(name, {name: match}) for name in ("50", "60")]
    assert netdef_ids(files) == {PRIVATE_MAC: "50"}


def test_the_overlay_of_an_earlier_run_is_read_by_itself(
    tmp_path: Path,
) -> None:
    """It knows the id that an ENI had at first."""
    put(tmp_path, f"run/netplan/{OVERLAY_NAME}", f"{HEADER}\n{ENS5}")
    assert netdef_ids(read_own_overlay(tmp_path)) == {PRIVATE_MAC: "ens5"}


@pytest.mark.parametrize("text", ["network: {{", "- a list"])
def test_a_damaged_overlay_keeps_nobody_from_writing_it_anew(
    tmp_path: Path, text: str
) -> None:
    """Nor from taking it away: apply, rollback and restore all read it."""
    put(tmp_path, f"run/netplan/{OVERLAY_NAME}", f"{HEADER}\n{text}\n")
    assert read_own_overlay(tmp_path) == ()


def test_a_file_of_the_overlays_name_that_is_not_ours_is_not_read_as_ours(
    tmp_path: Path,
) -> None:
    """Somebody's."""
    put(tmp_path, f"run/netplan/{OVERLAY_NAME}")
    assert read_own_overlay(tmp_path) == ()


@pytest.mark.parametrize("is_there", [True, False])
def test_without_the_overlay_the_name_is_that_of_set_name(
    tmp_path: Path, is_there: bool
) -> None:
    """Not where nothing is this package's: there it has not renamed any."""
    match = {"match": {"macaddress": PRIVATE_MAC}, "set-name": "ens5"}
    files = [netplan_file("50-cloud-init.yaml", {"id0": match})]
    if is_there:
        put(tmp_path, "run/netplan/50-cloud-init.yaml", f"{HEADER}\n{{}}\n")
    found = former_names((), files, tmp_path)
    assert found == ({PRIVATE_MAC: "ens5"} if is_there else {})
