# SPDX-License-Identifier: Apache-2.0
"""Which Debian archive this machine uses: images come from the same one.

Formats: sources.list(5), both the one-line and the deb822 style.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cc_multihome.errors import CommandError
from cc_multihome.run import run

APT_DIR = Path("/etc/apt")
ARCHIVE_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Aliases and names of whole releases. Their -security and -updates live
# elsewhere, or add nothing that the lab needs.
RELEASES = frozenset(
    (
        "oldoldstable", "oldstable", "stable", "testing", "unstable",
        "bullseye", "bookworm", "trixie", "forky", "duke", "sid",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One archive that apt is told of.

    Attributes:
        signed_by: the keyring's path, or None (apt's own trusted keys, or
            a key written into the sources file).
    """

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str | None = None


def read_archive(directory: Path = APT_DIR) -> Source | None:
    """Return the Debian archive in this machine's apt configuration.

    None if there is none: mmdebstrap then knows Debian's default.
    """
    sources = [
        source
        for source in _read_sources(directory)
        if "main" in source.components and RELEASES & set(source.suites)
    ]
    # Other vendors name their suites after Debian's releases too.
    sources.sort(key=_doubt)
    return sources[0] if sources else None


def find_keyring(source: Source | None) -> Path | None:
    """Return a keyring that knows the keys of every release, if there is one.

    Debian's own comes first: `Signed-By` may name one release's keys only.
    """
    named = [Path(source.signed_by)] if source and source.signed_by else []
    found = [path for path in (ARCHIVE_KEYRING, *named) if path.is_file()]
    return found[0] if found else None


def read_proxies() -> tuple[tuple[str, str], ...]:
    """Return apt options and values for the proxies that apt here uses."""
    found = []
    for scheme in ("http", "https"):
        option = f"Acquire::{scheme}::Proxy"
        value = os.environ.get(f"{scheme}_proxy") or _read_option(option)
        if value:
            found.append((option, value))
    return tuple(found)


def parse_one_line(text: str) -> Iterator[Source]:
    """Yield what a sources.list in the one-line style names."""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "deb":
            continue
        options, rest = _split_options(words[1:])
        if len(rest) >= 2:
            yield Source(
                rest[0],
                (rest[1],),
                tuple(rest[2:]),
                _path_or_none(options.get("signed-by", "")),
            )


def parse_deb822(text: str) -> Iterator[Source]:
    """Yield what a .sources file names, without what is not enabled."""
    for stanza in _read_stanzas(text):
        if stanza.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        if "deb" not in stanza.get("types", "").split():
            continue
        for uri in stanza.get("uris", "").split():
            yield Source(
                uri,
                tuple(stanza.get("suites", "").split()),
                tuple(stanza.get("components", "").split()),
                _path_or_none(stanza.get("signed-by", "")),
            )


def _doubt(source: Source) -> tuple[bool, bool]:
    """Sort what is surely Debian's archive before what may be another's."""
    return (
        "debian-archive" not in (source.signed_by or ""),
        not source.uri.rstrip("/").endswith("/debian"),
    )


def _read_sources(directory: Path) -> Iterator[Source]:
    parts = directory / "sources.list.d"
    for path in (directory / "sources.list", *sorted(parts.glob("*.list"))):
        if path.is_file():
            yield from parse_one_line(path.read_text(errors="replace"))
    for path in sorted(parts.glob("*.sources")):
        yield from parse_deb822(path.read_text(errors="replace"))


def _split_options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split `[a=b c=d] uri suite ...` into its options and the rest."""
    if not words or not words[0].startswith("["):
        return {}, words
    inside, _, rest = " ".join(words)[1:].partition("]")
    pairs = (word.partition("=") for word in inside.split())
    return {key.lower(): value for key, _, value in pairs}, rest.split()


def _read_stanzas(text: str) -> Iterator[dict[str, str]]:
    stanza: dict[str, str] = {}
    key = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza = {}
        elif line[0].isspace():
            stanza[key] = f"{stanza.get(key, '')} {line.strip()}"
        else:
            name, _, value = line.partition(":")
            key = name.strip().lower()
            stanza[key] = value.strip()


def _path_or_none(text: str) -> str | None:
    # One keyring's path; not a fingerprint, a list or a key's own text.
    return text if text.startswith("/") and "," not in text else None


def _read_option(option: str) -> str:
    try:
        text = run(["apt-config", "dump", "--format", "%v%n", option])
    except CommandError:
        return ""
    value = text.strip()
    return "" if value == "DIRECT" else value
