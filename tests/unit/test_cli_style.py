# SPDX-License-Identifier: Apache-2.0
"""Colour, columns and progress are for people at a terminal alone."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from cc_multihome.apply.deadman import held_back
from cc_multihome.cli import core, progress
from cc_multihome.cli.main import main
from cc_multihome.cli.progress import Progress, shown
from cc_multihome.cli.style import Style, style_of
from cc_multihome.decide import Decision
from cc_multihome.pipeline import Result
from tests.unit.cli_host import make

LOG = logging.getLogger("cc_multihome.apply.host")
PERSON = Style(colour=True, aligned=True)


class Terminal(io.StringIO):
    """A stream that a person reads."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class Gone(Terminal):
    """A terminal whose connection was cut."""

    def write(self, _: str) -> int:
        """Fail as the kernel lets it."""
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize(
    ("stream", "environ", "style"),
    [
        pytest.param(io.StringIO(), {}, Style(), id="pipe"),
        pytest.param(Terminal(), {}, PERSON, id="terminal"),
        pytest.param(
            Terminal(), {"NO_COLOR": "1"}, Style(aligned=True), id="NO_COLOR"
        ),
        pytest.param(Terminal(), {"NO_COLOR": ""}, PERSON, id="empty"),
        pytest.param(
            Terminal(), {"TERM": "dumb"}, Style(aligned=True), id="dumb"
        ),
    ],
)
def test_the_style_is_the_readers(
    stream: io.StringIO, environ: dict[str, str], style: Style
) -> None:
    """https://no-color.org/: any value but the empty one."""
    assert style_of(stream, environ) == style


def test_columns_are_aligned_whatever_their_colour() -> None:
    """Escape sequences take no room."""
    rows = [("a", PERSON.paint("ok", "good"), "x"), ("long", "failed", "y")]
    plain, coloured = Style(aligned=True), PERSON
    assert plain.columns([("a", "ok", "x"), rows[1]]) == (
        "a     ok      x\nlong  failed  y"
    )
    first, second = coloured.columns(rows).splitlines()
    assert first == "a     \x1b[32mok\x1b[0m      x"
    assert second == "long  failed  y"


def test_for_a_program_columns_are_parted_by_one_tab() -> None:
    """As cut(1) wants it."""
    assert Style().table(("A", "B"), [("1", "2")]) == "A\tB\n1\t2"


def test_a_diff_is_coloured_by_line() -> None:
    """Heads are no additions."""
    text = "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n z"
    assert Style().diff(text) == text
    coloured = PERSON.diff(text).splitlines()
    assert coloured[0].startswith("\x1b[1m")
    assert [line[:5] for line in coloured[3:5]] == ["\x1b[31m", "\x1b[32m"]
    assert coloured[5] == " z"


def test_status_at_a_terminal_has_colour(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And none when NO_COLOR is set."""
    make(monkeypatch, tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for forbidden, has_colour in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", forbidden)
        stream = Terminal()
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["status"]) == 0
        assert ("\x1b[32mhealthy" in stream.getvalue()) is has_colour


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def log(handler: Progress, level: int, text: str) -> None:
    """Hand over a line of the log."""
    handler.handle(logging.LogRecord("x", level, "", 0, text, None, None))


def test_steps_are_shown_once_it_takes_long() -> None:
    """Those that were held back first, each once, with its time."""
    clock, stream = Clock(), io.StringIO()
    handler = Progress(stream, steps=True, clock=clock)
    log(handler, logging.INFO, "wrote a file")
    clock.now += 1.9
    handler.tick()
    assert stream.getvalue() == ""
    clock.now += 0.2
    handler.tick()
    log(handler, logging.INFO, "renamed ens5")
    assert stream.getvalue().splitlines() == [
        "  2.1 s  wrote a file",
        "  2.1 s  renamed ens5",
    ]


def test_a_long_wait_is_said_again() -> None:
    """Nobody should think that it hangs."""
    clock, stream = Clock(), io.StringIO()
    handler = Progress(stream, steps=True, clock=clock)
    clock.now += 3
    log(handler, logging.INFO, "waiting")
    for _ in range(3):
        clock.now += 7
        handler.tick()
    again = [it for it in stream.getvalue().splitlines() if "still" in it]
    assert again == [" 17.0 s  still at it: waiting"]


def test_warnings_are_shown_at_once_and_to_everybody() -> None:
    """A file that takes standard error has them as well."""
    stream = io.StringIO()
    log(Progress(stream, steps=False), logging.WARNING, "systemd is old")
    assert stream.getvalue() == "warning: systemd is old\n"


def test_a_terminal_that_is_gone_ends_nothing() -> None:
    """The change that cut it must go on."""
    handler = Progress(Gone(), steps=True)
    log(handler, logging.WARNING, "any")


def test_a_slow_apply_shows_its_steps_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not to a pipe, and not when it is to be quiet."""

    def slow(**_: object) -> Result:
        LOG.info("wrote the overlay")
        time.sleep(0.3)
        return Result("applied", True)

    make(monkeypatch, tmp_path)
    monkeypatch.setattr(core, "apply", slow)
    monkeypatch.setattr(progress, "PATIENCE_S", 0.1)
    said = {}
    for name, stream, options in (
        ("person", Terminal(), []),
        ("pipe", io.StringIO(), []),
        ("quiet", Terminal(), ["--quiet"]),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        assert main(["apply", *options]) == 0
        said[name] = stream.getvalue()
    assert "wrote the overlay" in said["person"]
    assert (said["pipe"], said["quiet"]) == ("", "")


@pytest.mark.parametrize("verb", [["plan"], ["render"], ["diagram"]])
def test_a_slow_answer_of_the_metadata_service_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verb: list[str]
) -> None:
    """At a terminal; nobody is to think that nothing happens."""
    host = make(monkeypatch, tmp_path)
    config = tmp_path / "user-data.yaml"
    config.write_text("multihome: {}\n")

    def slow(raw: object) -> Decision | None:
        LOG.info("IMDS: no answer yet")
        time.sleep(0.3)
        return host.decided(raw)

    monkeypatch.setattr(core, "decided", slow)
    monkeypatch.setattr(progress, "PATIENCE_S", 0.1)
    said = Terminal()
    monkeypatch.setattr(sys, "stderr", said)
    assert main([*verb, "--config", str(config)]) == 0
    assert "IMDS: no answer yet" in said.getvalue()


def test_the_log_is_as_before_afterwards() -> None:
    """Handlers do not pile up."""
    logger = logging.getLogger("cc_multihome")
    before = (logger.level, list(logger.handlers))
    with shown(quiet=False, stream=io.StringIO()):
        assert len(logger.handlers) == len(before[1]) + 1
    assert (logger.level, list(logger.handlers)) == before


def test_who_shows_it_takes_no_signal_that_is_held_back() -> None:
    """Ctrl-C in an undoing waits for its end, also where a person watches."""
    undone = False
    with (
        pytest.raises(KeyboardInterrupt),
        shown(quiet=False, stream=io.StringIO()),
        held_back(),
    ):
        os.kill(os.getpid(), signal.SIGINT)
        # In which Python would have raised it, were it handed to a thread.
        time.sleep(0.2)
        undone = True
    assert undone
