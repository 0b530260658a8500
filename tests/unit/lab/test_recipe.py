# SPDX-License-Identifier: Apache-2.0
"""What images are made of, and when they must be made anew."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab import image as image_module
from tests.lab import recipe
from tests.lab.apt import Source
from tests.lab.host import LabError
from tests.lab.image import Image
from tests.lab.recipe import (
    SUITES,
    mke2fs_argv,
    package_key,
    recipe_argv,
    shell_all,
    stock_key,
)


def test_a_stock_image_is_known_by_its_suite_and_recipe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another package, hook or script: another image."""
    before = stock_key("trixie")

    assert before == stock_key("trixie")
    assert 4 == len({stock_key(suite) for suite in SUITES})
    monkeypatch.setattr(recipe, "PACKAGES", (*recipe.PACKAGES, "frr"))
    with_frr = stock_key("trixie")
    other = tmp_path / "other"
    other.write_text("true")
    monkeypatch.setattr(recipe, "CUSTOMIZE", other)
    with_hook = stock_key("trixie")
    monkeypatch.setattr(recipe, "RECIPE", other)
    assert 4 == len({before, with_frr, with_hook, stock_key("trixie")})


def test_the_machine_s_mirror_is_no_part_of_an_image_s_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An image that was moved to another machine is good there."""
    before = stock_key("trixie")
    source = Source("http://other.example/debian", ("sid",), ("main",))
    monkeypatch.setattr(recipe, "read_archive", lambda: source)

    assert before == stock_key("trixie")


def test_a_package_image_is_known_by_the_package_s_bytes_and_its_base(
    tmp_path: Path,
) -> None:
    """The file's name and time do not matter."""
    one, two = tmp_path / "one.deb", tmp_path / "two.deb"
    one.write_bytes(b"same")
    two.write_bytes(b"same")

    assert package_key("base", one) == package_key("base", two)
    assert package_key("base", one) != package_key("other", one)
    two.write_bytes(b"changed")
    assert package_key("base", one) != package_key("base", two)


def test_a_package_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The path is what a person can check."""
    with pytest.raises(LabError, match=r"cannot read .*/no\.deb"):
        package_key("base", tmp_path / "no.deb")


def test_only_suites_that_move_may_have_an_expired_release_file() -> None:
    """A released suite's Release file has no end of validity."""
    expired = {
        suite
        for suite in SUITES
        if any(
            "Check-Valid-Until" in word
            for word in recipe_argv(suite, Path("x"))
        )
    }

    assert {"forky", "sid"} == expired


@pytest.mark.parametrize(
    ("source", "mirror"),
    [
        pytest.param(None, "MIRROR=", id="default-mirror"),
        pytest.param(
            Source("http://m.example/debian", ("sid",), ("main",)),
            "MIRROR=http://m.example/debian",
            id="this-machine-s",
        ),
    ],
)
def test_the_recipe_is_told_of_this_machine_s_mirror(
    monkeypatch: pytest.MonkeyPatch, source: Source | None, mirror: str
) -> None:
    """Without one it takes Debian's own."""
    monkeypatch.setattr(recipe, "read_archive", lambda: source)
    argv = recipe_argv("sid", Path("tree"))

    assert ["env", mirror] == argv[:2]
    assert ["none", "sid", "tree"] == argv[3:6]
    assert not any("example" in word for word in argv[2:])


def test_steps_are_run_up_to_the_first_that_fails(tmp_path: Path) -> None:
    """Words with spaces stay whole."""
    path = tmp_path / "a file"
    after = tmp_path / "after"
    argv = shell_all([["touch", str(path)], ["false"], ["touch", str(after)]])

    assert 1 == subprocess.run(argv, check=False).returncode
    assert path.exists()
    assert not after.exists()


def test_the_tree_comes_before_the_disk_for_mke2fs() -> None:
    """`-d TREE DISK SIZE`."""
    argv = mke2fs_argv(Path("/tree"), Path("/disk"))

    assert ["-d", "/tree", "/disk", recipe.DISK_SIZE] == argv[-4:]


def test_versions_are_read_without_their_architecture(tmp_path: Path) -> None:
    """dpkg writes it behind the name of a multi-arch package."""
    (tmp_path / "versions.txt").write_text("libc6:amd64\t2.41-1\nudev\t257\n")
    image = Image("trixie", "stock", "key", tmp_path)

    assert {"libc6": "2.41-1", "udev": "257"} == image.versions()


def test_the_newest_kernel_is_taken_by_number_not_by_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6.12 is newer than 6.9."""
    boot = tmp_path / "rootfs" / "boot"
    boot.mkdir(parents=True)
    for version in ("6.9.1-cloud", "6.12.3-cloud"):
        (boot / f"vmlinuz-{version}").write_text(f"kernel {version}")
        (boot / f"initrd.img-{version}").write_text(f"initrd {version}")
    monkeypatch.setattr(image_module, "run_command", lambda _argv: "a\t1\n")

    image_module._copy_boot_files(tmp_path / "rootfs", tmp_path)

    assert "kernel 6.12.3-cloud" == (tmp_path / "vmlinuz").read_text()
    assert "initrd 6.12.3-cloud" == (tmp_path / "initrd").read_text()
