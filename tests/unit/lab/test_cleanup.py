# SPDX-License-Identifier: Apache-2.0
"""A run leaves nothing, and the next one takes away what a killed one left.

The runs that are killed are real: a Python of their own, which kills itself
with SIGKILL when it has made what it was asked to make.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cc_multihome.run import run as run_command
from tests.lab.cleanup import NETNS_DIR, Run, sweep
from tests.lab.host import REPO, LabError
from tests.lab.process import find_marked, read_process

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="network namespaces need root"
)
KILLED = """
import os, sys
from pathlib import Path
from tests.lab.cleanup import Run
run = Run(Path(sys.argv[1])).__enter__()
{body}
print(run.id, flush=True)
os.kill(os.getpid(), 9)
"""


def kill_run(top: Path, body: str) -> str:
    """Let a run do what `body` says, kill its owner, return the run's id."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(body=body), str(top)],
        cwd=REPO,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert -signal.SIGKILL == done.returncode
    return done.stdout.strip()


def test_a_run_ends_its_processes_and_leaves_only_logs(tmp_path: Path) -> None:
    """What was printed is kept; disks and sockets are not."""
    with Run(tmp_path) as run:
        child = run.spawn("speaker", ["sh", "-c", "echo hello; sleep 60"])
        (run.dir / "disk").touch()
        while not (run.dir / "speaker.log").read_text():
            assert child.poll() is None

    assert -signal.SIGTERM == child.returncode
    assert not run.dir.exists()
    kept = sorted((tmp_path / "logs" / run.id).iterdir())
    assert ["speaker.log"] == [path.name for path in kept]
    assert "hello\n" == kept[0].read_text()


def test_a_run_ends_what_its_processes_started(tmp_path: Path) -> None:
    """A grandchild that has left its parent carries the run's mark."""
    with Run(tmp_path) as run:
        argv = ["sh", "-c", "setsid sleep 60 & exit"]
        run.spawn("leaver", argv).wait()
        assert 1 == len(find_marked("MULTIHOME_LAB_RUN", str(run.dir)))

    assert () == find_marked("MULTIHOME_LAB_RUN", str(run.dir))


def test_the_end_goes_backwards_and_no_step_stops_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The failure is said, and the first one given still has its turn."""
    ended = []
    with Run(tmp_path) as run:
        run.on_exit(lambda: ended.append("first"))
        run.on_exit(lambda: 1 // 0)
        run.on_exit(lambda: ended.append("last"))

    assert ["last", "first"] == ended
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_the_run_of_a_living_owner_is_not_swept(tmp_path: Path) -> None:
    """Two sessions on one machine do not hurt each other."""
    with Run(tmp_path) as first, Run(tmp_path) as second:
        child = first.spawn("sleeper", ["sleep", "60"])

        assert () == sweep(tmp_path)
        assert child.poll() is None
        assert first.id != second.id


def test_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    """The processes end, and the directory is gone."""
    body = "run.spawn('sleeper', ['sleep', '60'])"
    killed = kill_run(tmp_path, body)
    mark = str(tmp_path / "runs" / killed)
    assert 1 == len(find_marked("MULTIHOME_LAB_RUN", mark))

    assert (killed,) == sweep(tmp_path)

    assert () == find_marked("MULTIHOME_LAB_RUN", mark)
    assert [".lock"] == [p.name for p in (tmp_path / "runs").iterdir()]
    assert () == sweep(tmp_path)


def test_a_process_is_swept_whose_owner_died_before_it_wrote_it_down(
    tmp_path: Path,
) -> None:
    """Between the start and the record there is time to be killed."""
    body = """
run.register_process = lambda pid: None
run.spawn("sleeper", ["sleep", "60"])
"""
    killed = kill_run(tmp_path, body)
    mark = str(tmp_path / "runs" / killed)
    deadline = time.monotonic() + 10.0
    while not find_marked("MULTIHOME_LAB_RUN", mark):
        assert time.monotonic() < deadline, "the process did not start"
        time.sleep(0.05)

    sweep(tmp_path)

    assert () == find_marked("MULTIHOME_LAB_RUN", mark)


@pytest.mark.parametrize(
    "owner",
    [
        pytest.param(None, id="died-before-it-wrote-it"),
        pytest.param("", id="died-writing-it"),
        pytest.param('[1, 2, "another boot"]', id="before-this-boot"),
    ],
)
def test_a_run_without_a_living_owner_is_swept(
    tmp_path: Path, owner: str | None
) -> None:
    """Also with a journal whose last line is cut short."""
    directory = tmp_path / "runs" / "abcdef"
    directory.mkdir(parents=True)
    if owner is not None:
        (directory / "owner").write_text(owner)
    (directory / "journal").write_text('{"kind": "netns", "name": "mh')

    assert ("abcdef",) == sweep(tmp_path)
    assert not directory.exists()


def test_a_pid_that_was_given_anew_is_not_ended(tmp_path: Path) -> None:
    """The journal's start time is not this process's."""
    directory = tmp_path / "runs" / "abcdef"
    directory.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        process = read_process(stranger.pid)
        assert process is not None
        entry = {"kind": "process", "process": process._replace(start=1)}
        (directory / "journal").write_text(json.dumps(entry) + "\n")

        sweep(tmp_path)

        assert stranger.poll() is None
        stranger.kill()


def test_a_polite_kill_ends_the_run_in_good_order(tmp_path: Path) -> None:
    """SIGTERM raises KeyboardInterrupt while a run is open, not after."""
    with pytest.raises(KeyboardInterrupt), Run(tmp_path) as run:
        os.kill(os.getpid(), signal.SIGTERM)

    assert not run.dir.exists()
    assert signal.SIG_DFL is signal.getsignal(signal.SIGTERM)


def test_a_run_in_a_thread_leaves_signals_alone(tmp_path: Path) -> None:
    """Only the main thread may set handlers."""
    seen = []

    def enter() -> None:
        with Run(tmp_path):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()

    assert [signal.SIG_DFL] == seen


def test_a_namespace_of_another_name_is_refused(tmp_path: Path) -> None:
    """A sweep must never delete what someone else may have made."""
    with (
        Run(tmp_path) as run,
        pytest.raises(LabError, match=r"vpc-hyp .* netns_name"),
    ):
        run.register_netns("vpc-hyp")


@needs_root
@pytest.mark.netns
def test_namespaces_go_with_the_run_and_with_what_runs_in_them(
    tmp_path: Path,
) -> None:
    """A process in the namespace that nobody registered ends too."""
    with Run(tmp_path) as run:
        name = run.add_netns("one")
        stranger = subprocess.Popen(
            ["ip", "netns", "exec", name, "sleep", "60"]
        )
        while str(stranger.pid) not in run_command(
            ["ip", "netns", "pids", name]
        ):
            assert stranger.poll() is None

    assert -signal.SIGTERM == stranger.wait()
    assert not (NETNS_DIR / name).exists()


@needs_root
@pytest.mark.netns
def test_the_namespaces_of_a_killed_run_are_swept(tmp_path: Path) -> None:
    """Also one that was on record and never came to be."""
    body = """
run.register_netns(run.netns_name("never"))
run.spawn("sleeper", ["sleep", "60"], netns=run.add_netns("one"))
"""
    killed = kill_run(tmp_path, body)
    assert (NETNS_DIR / f"mh{killed}-one").exists()

    sweep(tmp_path)

    assert [] == list(NETNS_DIR.glob(f"mh{killed}-*"))
