# SPDX-License-Identifier: Apache-2.0
"""The .deb as a file, and in the suites' own dpkg and cloud-init: no boot.

The scripts beside this file run in throwaway copies of the images' trees.
What the package does to a running host is in tests/vm/test_package.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from cc_multihome.run import RUN_ENV
from cc_multihome.run import run as run_command
from tests.lab.chroot import SOURCES, chroot_run
from tests.lab.host import REPO
from tests.lab.image import stock
from tests.lab.instance import BUILD_TIMEOUT_S, build_deb
from tests.lab.recipe import recipe_argv

HERE = "tests/package"
SCRIPT_TIMEOUT_S = 300.0
# Debian's own pip, for trees that have none; it runs on Python up to 3.11.
PIP_WHEELS = Path("/usr/share/python-wheels")
PIP_SUITE = "bookworm"
# The oldest cloud-init and the newest; what lies between.
SUITES = (
    "bookworm",
    "sid",
    pytest.param("trixie", marks=pytest.mark.thorough),
)
# The newest: what is missing there is missing first.
RECIPE_SUITE = "sid"
RECIPES = REPO / "docs/image-pipelines"
TOE_KEYS = {"name", "description", "schemaVersion", "parameters", "phases"}
# Two builders that have nothing in common but the source.
BUILDERS = (
    {"TZ": "Pacific/Kiritimati", "LC_ALL": "C.UTF-8", "umask": "0077"},
    {"TZ": "America/Nome", "LC_ALL": "C", "umask": "0002"},
)


@pytest.fixture(scope="module")
def deb() -> Path:
    """The package, built from this checkout."""
    return build_deb()


def run_script(suite: str, name: str, binds: Mapping[Path, str]) -> None:
    """Run a script in a copy of a suite's tree; it says what is wrong."""
    done = chroot_run(
        stock(suite).rootfs,
        ["sh", f"{SOURCES}/{HERE}/{name}.sh"],
        binds=binds,
        check=False,
        timeout=SCRIPT_TIMEOUT_S,
    )
    print(done.out, done.err)
    assert 0 == done.status, done.err[-2000:]


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("script", ["lifecycle", "cloud_init"])
def test_in_a_suites_tree(deb: Path, suite: str, script: str) -> None:
    """Installed and purged, and with cloud-init changing under it."""
    run_script(suite, script, {deb: "/deb/cc-multihome.deb"})


@pytest.mark.parametrize("suite", SUITES)
def test_cleaning_a_mounted_image_puts_the_resolver_back(
    deb: Path, suite: str
) -> None:
    """No systemd runs there; and it fails where nobody knows which one."""
    run_script(suite, "clean", {deb: "/deb/cc-multihome.deb"})


def test_pip_and_integrate_do_what_the_package_does(tmp_path: Path) -> None:
    """And undo it."""
    argv = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps"]
    argv += ["--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([*argv, str(copy_source(tmp_path))], check=True)
    wheels = [*tmp_path.glob("*.whl"), *PIP_WHEELS.glob("pip-*.whl")]
    run_script(PIP_SUITE, "pip", {it: f"/deb/{it.name}" for it in wheels})


@pytest.mark.thorough
def test_an_image_is_made_with_it(deb: Path, tmp_path: Path) -> None:
    """By the recipe that the lab's images are made by, too; not kept.

    It ends in an error where `multihome integrate --check` does.
    """
    out = f"copy-out /etc/cloud/cloud.cfg.d /var/lib/dpkg/status {tmp_path}"
    argv = recipe_argv(RECIPE_SUITE, Path(os.devnull), str(deb))
    run_command([*argv, f"--customize-hook={out}"], timeout=BUILD_TIMEOUT_S)

    assert (tmp_path / "cloud.cfg.d/95_multihome.cfg").exists()
    assert "\nPackage: cc-multihome\n" in (tmp_path / "status").read_text()


def test_lintian_has_nothing_to_say(deb: Path) -> None:
    """At its most pedantic."""
    argv = ["lintian", "--allow-root", "--pedantic", "--display-experimental"]
    done = subprocess.run(
        [*argv, "--tag-display-limit", "0", str(deb)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == done.stdout
    assert 0 == done.returncode


def test_the_image_builder_component_is_of_the_documented_kind() -> None:
    """AWSTOE itself needs AWS; its documents are described at
    https://docs.aws.amazon.com/imagebuilder/latest/userguide/toe-use-documents.html
    """
    text = (RECIPES / "image-builder-component.yaml").read_text()
    document = yaml.safe_load(text)
    assert set(document) <= TOE_KEYS
    assert 1.0 == document["schemaVersion"]
    for parameter in document["parameters"]:
        ((name, described),) = parameter.items()
        assert {"type", "description"} == set(described)
        assert f"{{{{ {name} }}}}" in text
    phases = {it["name"]: it["steps"] for it in document["phases"]}
    assert ["build", "validate", "test"] == list(phases)
    for step in (step for steps in phases.values() for step in steps):
        assert {"name", "action", "inputs"} == set(step)
        if step["action"] == "S3Download":
            for item in step["inputs"]:
                assert {"source", "destination"} == set(item)
            continue
        assert "ExecuteBash" == step["action"]
        assert ["commands"] == list(step["inputs"])
        script = "\n".join(step["inputs"]["commands"])
        subprocess.run(["bash", "-n", "-c", script], check=True)


def test_two_builders_make_the_same_package(tmp_path: Path) -> None:
    """Other directory, umask, time zone, locale and home."""
    first, second = (
        build_elsewhere(tmp_path / str(number), builder)
        for number, builder in enumerate(BUILDERS)
    )
    assert first == second


def build_elsewhere(home: Path, builder: Mapping[str, str]) -> bytes:
    """Build the package in a copy of the source; return its bytes."""
    home.mkdir()
    top = copy_source(home)
    env = {**RUN_ENV, **builder, "HOME": str(home)}
    command = f"umask {builder['umask']} && exec script/build-deb"
    subprocess.run(
        ["sh", "-c", command],
        cwd=top,
        env=env,
        capture_output=True,
        check=True,
        timeout=BUILD_TIMEOUT_S,
    )
    (built,) = (top / "build").glob("*.deb")
    return built.read_bytes()


def copy_source(into: Path) -> Path:
    """Copy the checkout without what is not source."""
    ignored = shutil.ignore_patterns(
        ".*", "build", "dist", "__pycache__", "*.egg-info"
    )
    return Path(shutil.copytree(REPO, into / "source", ignore=ignored))
