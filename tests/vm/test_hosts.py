# SPDX-License-Identifier: Apache-2.0
"""Hosts that do more: users that are pinned to an ENI.

One instance, the seed's; each test starts from the state after its boot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.far_server import COMPANY, FAR_PORT, GUEST, INTERNET
from tests.lab.flows import Flow, Probe, run_flows
from tests.lab.image import with_package
from tests.lab.instance import LabInstance, booted
from tests.lab.user_data import SEED_INTENT
from tests.lab.vpc import Runner

PRIVATE, PUBLIC = "10.224.184.51", "10.224.186.43"
ELASTIC = "198.51.100.177"
FAR, NAMED = SEED_INTENT.unnamed, "192.0.2.14"
# Of users that every Debian has, one without a login.
PINNED = "proxy"
DROP_IN = "/etc/multihome.d/50-test.yaml"
BOOTED = "booted"


@pytest.fixture(scope="module")
def machine(lab_run: Run, deb: Path) -> Iterator[LabInstance]:
    """The instance, booted once."""
    data = user_data.multihome(SEED_INTENT, users={PINNED: "private"})
    image = with_package("trixie", deb)
    with booted(lab_run, image, SEED_INTENT, data, label="more") as instance:
        instance.vm.save(BOOTED)
        yield instance


@pytest.fixture
def host(machine: LabInstance) -> LabInstance:
    """The instance as it was after its boot."""
    machine.vm.restore(BOOTED)
    return machine


def out(
    eni: str, *, to: str = FAR, bind: str | None = None
) -> tuple[Flow, ...]:
    """Make the flows from the guest that must leave by an ENI."""
    side = COMPANY if eni == "private" else INTERNET
    saw = PRIVATE if eni == "private" else ELASTIC
    return tuple(
        Flow(
            f"{kind} {bind} {to}",
            "out",
            Probe(f"{kind} {bind} {to}", kind, to, FAR_PORT, bind),
            eni,
            side,
            GUEST,
            saw,
        )
        for kind in ("tcp", "udp")
    )


def wrong(
    host: LabInstance, flows: Sequence[Flow], guest: Runner | None = None
) -> list[str]:
    """Send flows, and say which went wrong; `guest` runs those from it."""
    host.vpc.reset_counters()
    runners: dict[str, Runner] = {
        GUEST: guest or host.guest,
        INTERNET: host.vpc.runner(INTERNET),
        COMPANY: host.vpc.runner(COMPANY),
    }
    verdicts = run_flows(flows, runners, host.vpc.capture)
    dropped = sum(it.src for it in host.vpc.counters().values())
    found = [it.detail for it in verdicts if not it.ok]
    return found + ([f"{dropped} packets dropped"] if dropped else [])


def as_user(
    host: LabInstance, name: str, argv: Sequence[str], stdin: str
) -> str:
    """Run a command in the guest as a user; the shape of vpc.Runner."""
    become = ["setpriv", f"--reuid={name}", "--clear-groups"]
    return host.guest([*become, *argv], stdin)


def configure(host: LabInstance, text: str) -> None:
    """Put a file beside the user-data and apply it."""
    host.vm.run("mkdir -p /etc/multihome.d")
    host.vm.agent.put(text.encode(), DROP_IN)
    host.vm.run("multihome apply", timeout=200)


def test_a_user_is_pinned_and_nobody_else(host: LabInstance) -> None:
    """From the first packet, whatever the policy; bound sockets are not."""
    proxy = partial(as_user, host, PINNED)
    bound = [*out("public", bind=PUBLIC), *out("private", bind=PRIVATE)]

    assert "done" == host.boot.cloud_init, host.boot.why
    assert [] == wrong(host, [*out("private"), *bound], proxy)
    assert [] == wrong(host, [*out("public"), *out("private", to=NAMED)])
    said = host.vm.run(f"multihome explain {FAR} --user {PINNED}").out
    assert "The kernel does the same." in said


def test_users_come_and_go_with_the_configuration(host: LabInstance) -> None:
    """Before the policy, and back when the file is gone."""
    games = partial(as_user, host, "games")
    before = host.priorities()

    assert [] == wrong(host, out("private", to=NAMED), games)
    configure(host, "users: {games: public}\n")
    assert [] == wrong(host, out("public", to=NAMED), games)
    # Negative twin: the rule is what does it.
    host.vm.run(f"rm {DROP_IN}; multihome apply", timeout=200)
    assert [] == wrong(host, out("private", to=NAMED), games)
    assert before == host.priorities()


def test_a_user_that_is_not_there_changes_nothing(host: LabInstance) -> None:
    """The error has the path, the file and the line."""
    before = host.priorities()
    host.vm.run("mkdir -p /etc/multihome.d")
    host.vm.agent.put(b"users:\n  nobody-here: private\n", DROP_IN)
    done = host.vm.run("multihome apply", check=False)

    assert 0 != done.status
    assert f"multihome.users.nobody-here ({DROP_IN}, line 2)" in done.err
    assert "expected a user of this host" in done.err
    assert before == host.priorities()
