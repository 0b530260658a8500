# SPDX-License-Identifier: Apache-2.0
"""Which way a packet goes; that the kernel agrees is tests/netns's to show."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from cc_multihome.cli.main import main
from cc_multihome.cli.source import Sketch
from cc_multihome.errors import CommandError
from cc_multihome.explain import ask
from cc_multihome.explain.ask import ask_kernel, differences
from cc_multihome.explain.lookup import explain
from cc_multihome.explain.routing import Entry, Hop
from cc_multihome.explain.way import Way
from cc_multihome.model import LEARNED, Plan
from tests.unit.builders import address, eni, instance, plan_for, with_ipv6
from tests.unit.cli_host import CliHost, host_of, make, read_json

PRIVATE, PUBLIC = "10.224.184.51", "10.224.186.43"
NAMED, UNNAMED = "192.0.2.14", "203.0.113.200"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliHost:
    """The seed's host, as its plan says."""
    return make(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("to", "source", "interface", "table", "why"),
    [
        pytest.param(NAMED, None, "private", 30999, "the policy", id="named"),
        pytest.param(UNNAMED, None, "public", 254, "default", id="default"),
        pytest.param(NAMED, PUBLIC, "public", 20, "comes from", id="bound"),
        pytest.param(UNNAMED, PRIVATE, "private", 10, "comes", id="private"),
        pytest.param(PUBLIC, None, "lo", 255, "this host's own", id="self"),
        pytest.param(
            "10.224.184.9", None, "private", 254, "subnet of", id="on link"
        ),
    ],
)
def test_the_plan_says_which_way(
    to: str, source: str | None, interface: str, table: int, why: str
) -> None:
    """By rule, table and ENI."""
    bound = ip_address(source) if source else None
    found = explain(plan_for(), ip_address(to), bound)
    assert found.way is not None
    assert (interface, table) == (found.way.interface, found.way.table)
    assert why in found.why
    assert found.steps[-1].result.startswith("decides")
    assert (found.eni_id is None) == (interface == "lo")


@pytest.mark.parametrize(
    ("to", "kind"),
    [("255.255.255.255", "broadcast"), ("224.0.0.1", "multicast")],
)
def test_what_is_for_all_on_the_link_has_no_gateway(
    to: str, kind: str
) -> None:
    """Neither in the way nor in the words, whatever the route has."""
    found = explain(plan_for(), ip_address(to))
    assert found.way is not None
    assert (found.way.kind, found.way.gateway) == (kind, None)
    assert found.why.endswith(
        f"the default route, which public has; a {kind} goes to no gateway"
    )
    unicast = explain(plan_for(), ip_address(UNNAMED))
    assert unicast.why.endswith("its gateway is 10.224.186.1")


def test_the_policy_is_known_by_its_table() -> None:
    """Where an ENI is left alone its rule has another priority."""
    key = {
        "interfaces": {"pods": {"device_number": 1, "manage": False}},
        "policy": [{"to": NAMED, "via": "ens5"}],
    }
    plan = plan_for(key, instance(eni(0), eni(1)))
    found = explain(plan, ip_address(NAMED))
    assert 32765 == found.steps[-1].priority
    assert f"the policy sends {NAMED}/32 via ens5" in found.why


def test_every_rule_that_was_looked_at_is_told() -> None:
    """In order, with why it did not decide."""
    steps = explain(plan_for(), ip_address("10.224.184.9")).steps
    priorities = [step.priority for step in steps]
    assert priorities == sorted(priorities)
    told = {step.priority: step.result for step in steps}
    assert "no route" in told[0]
    assert "an ENI's" in told[31000]
    assert "bound to no address" in told[31100]


def test_an_ipv6_destination_has_no_route_in_an_ipv4_plan() -> None:
    """And no rule of IPv4 is looked at."""
    found = explain(plan_for(), ip_address("2001:db8::1"))
    assert found.way is None
    assert [0, 32766] == [step.priority for step in found.steps]
    assert "IPv6" in found.why


def test_agreement_is_told(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """Text for people, exit status 0."""
    assert 0 == main(["explain", NAMED])
    out = capsys.readouterr().out
    assert "by private (eni-" in out
    assert "gateway 10.224.184.1" in out
    assert "table multihome-policy (30999)" in out
    assert "The kernel does the same." in out


def test_disagreement_is_told(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """What differs, and exit status 1."""
    host.way = Way("docker0", 254, None, ip_address("172.17.0.1"))
    assert 1 == main(["explain", NAMED, "--json"])
    data = json.loads(capsys.readouterr().out)
    assert data["agree"] is False
    assert "docker0" in data["kernel"]["way"]["interface"]
    assert (
        "interface: expected private, the kernel has docker0"
        in data["differences"]
    )


def test_what_others_added_is_no_disagreement(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """A container: the plan alone says default, and the kernel is right."""
    held = host_of(host.plan)
    gateway = ip_address("172.17.0.1")
    bridge = Entry(
        ip_network("172.17.0.0/16"), 254, hops=(Hop("docker0", None),), place=9
    )
    host.routing = replace(held, entries=(*held.entries, bridge))
    host.way = Way("docker0", 254, None, gateway)
    assert 0 == main(["explain", "172.17.0.5"])
    out = capsys.readouterr().out
    assert "by docker0" in out
    assert "The plan has no part in it." in out
    data = read_json(capsys, "explain", "172.17.0.5")
    assert "public" == data["plan"]["way"]["interface"]
    assert "others" == data["expected"]["decided_by"]


def test_what_is_missing_is_named(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rule that somebody deleted, and what comes of it."""
    held = host_of(host.plan)
    rules = tuple(rule for rule in held.rules if rule.priority != 32700)
    host.routing = replace(held, rules=rules)
    host.way = explain(host.plan, ip_address(UNNAMED)).way
    assert 1 == main(["explain", NAMED])
    out = capsys.readouterr().out
    assert "rule 32700: from all lookup multihome-policy is missing" in out
    assert "interface: expected private, the kernel has public" in out


def test_a_source_that_the_host_lost_is_named(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kernel is not asked: it would only refuse."""
    held = host_of(host.plan)
    host.routing = replace(held, addresses=held.addresses[:1])
    assert 1 == main(["explain", NAMED, "--from", PUBLIC])
    assert "an address of no link" in capsys.readouterr().out
    assert [] == host.asked


def test_files_are_asked_without_the_kernel(
    host: CliHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --config the plan is another one than the kernel's."""
    config = tmp_path / "key.yaml"
    config.write_text("{}")
    assert 0 == main(["explain", NAMED, "--config", str(config)])
    assert "was not asked" in capsys.readouterr().out
    # The decision alone.
    assert [{}] == host.asked


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["example.com"], "DEST: found 'example.com'", id="name"),
        pytest.param([NAMED, "--from", "x"], "--from: found 'x'", id="from"),
        pytest.param(
            [NAMED, "--from", "10.9.9.9"],
            f"as of an ENI: {PRIVATE}, {PUBLIC}",
            id="of no ENI",
        ),
        pytest.param(
            ["2001:db8::1", "--from", PUBLIC], "no packet", id="families"
        ),
        pytest.param(["0.0.0.0"], "DEST: found 0.0.0.0", id="nowhere"),
    ],
)
def test_a_question_without_an_answer_is_refused(
    host: CliHost,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    """With what was found, and what was expected."""
    assert 1 == main(["explain", *words])
    assert message in capsys.readouterr().err


def test_a_kernel_without_a_route_has_no_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refusal is one; other errors of ip(8) are errors."""

    def refuse(argv: list[str]) -> str:
        raise CommandError(message)

    monkeypatch.setattr(ask, "run", refuse)
    message = "RTNETLINK answers: Network is unreachable"
    assert ask_kernel(ip_address(NAMED)) is None
    message = "RTNETLINK answers: Permission denied"
    refused = Way(None, None, None, None, "prohibit")
    assert ask_kernel(ip_address(NAMED)) == refused
    message = "ip is not installed"
    with pytest.raises(CommandError, match="not installed"):
        ask_kernel(ip_address(NAMED))


def ipv6_plan() -> Plan:
    """Two ENIs in one subnet of IPv6, three addresses on the second."""
    enis = [
        with_ipv6(
            eni(number),
            *(f"2001:db8::{number}:{it}" for it in (5, 9, 1)),
            subnet="2001:db8::/64",
        )
        for number in range(2)
    ]
    policy = [{"to": "2001:db8:ffff::/48", "via": "ens6"}]
    return plan_for({"policy": policy}, instance(*enis))


@pytest.mark.parametrize(
    ("to", "source", "expected"),
    [
        pytest.param(
            "2001:db8:ffff::1",
            None,
            Way("ens6", 30999, LEARNED, address("2001:db8::1:5")),
            id="named",
        ),
        pytest.param(
            "2001:db8:9::1",
            None,
            Way("ens5", 254, LEARNED, address("2001:db8::5")),
            id="default",
        ),
        pytest.param(
            "2001:db8:9::1",
            "2001:db8::1:9",
            Way("ens6", 31001, LEARNED, address("2001:db8::1:9")),
            id="bound",
        ),
        pytest.param(
            "2001:db8::77",
            None,
            Way("ens5", 254, None, address("2001:db8::5")),
            id="a neighbour of both",
        ),
    ],
)
def test_the_plan_says_which_way_ipv6_goes(
    to: str, source: str | None, expected: Way
) -> None:
    """The first address is the source; the lower metric has the subnet."""
    bound = address(source) if source else None
    assert explain(ipv6_plan(), address(to), bound).way == expected


def test_a_learned_gateway_agrees_with_whichever_the_kernel_has() -> None:
    """But not with none."""
    source = address("2001:db8::5")
    expected = explain(ipv6_plan(), address("2001:db8:9::1"))
    kernel = Way("ens5", 254, address("fe80::1"), source)
    assert differences(expected, kernel) == ()
    assert differences(expected, replace(kernel, gateway=None)) == (
        "gateway: expected _ipv6ra, the kernel has none",
    )


def test_a_learned_gateway_is_told_in_words(
    host: CliHost,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`_ipv6ra` is networkd's word, and that of the JSON."""
    made = Sketch(ipv6_plan(), instance())
    monkeypatch.setattr(
        "cc_multihome.cli.explain.require_sketch", lambda *_: made
    )
    monkeypatch.setattr("cc_multihome.cli.explain.names_files", lambda _: True)
    assert 0 == main(["explain", "2001:db8:9::1"])
    out = capsys.readouterr().out
    assert "gateway learned from router advertisements" in out
    assert "_ipv6ra" not in out
