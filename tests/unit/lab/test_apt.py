# SPDX-License-Identifier: Apache-2.0
"""Which archive this machine's apt configuration names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import apt
from tests.lab.apt import (
    Source,
    find_keyring,
    parse_deb822,
    parse_one_line,
    read_archive,
    read_proxies,
)

DEB822 = """\
# A comment.
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm
 bookworm-updates
components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: http://inline.example/x
Suites: stable
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----
"""
ONE_LINE = """\
# deb http://old.example/debian bookworm main
deb-src http://mirror.example/debian trixie main
deb [arch=amd64 signed-by=/k.gpg] http://vendor.example/x trixie main # why
deb [ trusted=yes ] http://mirror.example/debian trixie main contrib
deb http://mirror.example/flat ./
"""
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def test_deb822_stanzas_are_read_with_continuations_and_without_disabled() -> (
    None
):
    """Field names have no case; a stanza may be switched off."""
    expected = [
        Source(
            "http://mirror.example/debian",
            ("bookworm", "bookworm-updates"),
            ("main",),
            DEBIAN_KEYRING,
        ),
        Source("http://inline.example/x", ("stable",), ("main",)),
    ]

    assert expected == list(parse_deb822(DEB822))


def test_one_line_sources_are_read_with_options_and_comments() -> None:
    """Options stand in brackets, with spaces inside or not."""
    expected = [
        Source("http://vendor.example/x", ("trixie",), ("main",), "/k.gpg"),
        Source(
            "http://mirror.example/debian", ("trixie",), ("main", "contrib")
        ),
        Source("http://mirror.example/flat", ("./",), ()),
    ]

    assert expected == list(parse_one_line(ONE_LINE))


def test_debians_archive_is_preferred_to_a_vendors_with_its_suite_names(
    tmp_path: Path,
) -> None:
    """A vendor's `trixie main` comes first in the file and loses."""
    (tmp_path / "sources.list").write_text(ONE_LINE)

    archive = read_archive(tmp_path)

    assert archive is not None
    assert "http://mirror.example/debian" == archive.uri


def test_an_archive_with_debians_keyring_is_preferred_to_all(
    tmp_path: Path,
) -> None:
    """The key tells more than the path."""
    (tmp_path / "sources.list").write_text(ONE_LINE)
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "debian.sources").write_text(
        DEB822.replace("mirror.example", "surely.example")
    )

    archive = read_archive(tmp_path)

    assert archive is not None
    assert "http://surely.example/debian" == archive.uri


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("deb http://x.example/u jammy main", id="other-system"),
        pytest.param("deb http://x.example/d sid contrib", id="no-main"),
    ],
)
def test_without_debians_archive_there_is_none(
    tmp_path: Path, text: str
) -> None:
    """Mmdebstrap then takes Debian's default."""
    (tmp_path / "sources.list").write_text(text)

    assert read_archive(tmp_path) is None


def test_the_keyring_is_debians_own_before_the_one_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Signed-By` may hold the keys of one release only."""
    named = tmp_path / "named.gpg"
    own = tmp_path / "own.gpg"
    monkeypatch.setattr(apt, "ARCHIVE_KEYRING", own)
    source = Source("u", ("sid",), ("main",), str(named))

    assert find_keyring(source) is None
    named.touch()
    assert named == find_keyring(source)
    own.touch()
    assert own == find_keyring(source)


def test_proxies_come_from_the_environment_before_apt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`DIRECT` is apt's word for none."""
    said = {
        "Acquire::http::Proxy": "http://apt.example:1\n",
        "Acquire::https::Proxy": "DIRECT\n",
    }
    monkeypatch.setattr(apt, "run", lambda argv: said[argv[-1]])
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)

    assert (("Acquire::http::Proxy", "http://apt.example:1"),) == (
        read_proxies()
    )
    monkeypatch.setenv("http_proxy", "http://env.example:2")
    assert (("Acquire::http::Proxy", "http://env.example:2"),) == (
        read_proxies()
    )
