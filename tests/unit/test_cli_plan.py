# SPDX-License-Identifier: Apache-2.0
"""`multihome plan` shows every difference, and touches nothing."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cc_multihome.apply.host import Changes
from cc_multihome.apply.nftables import TableChange
from cc_multihome.apply.sysctl import Sysctl
from cc_multihome.cli import core
from cc_multihome.cli.changes import file_change, kernel_changes
from cc_multihome.cli.main import main
from cc_multihome.files import File
from cc_multihome.model import Observed, Plan
from cc_multihome.plan.as_dict import plan_as_dict
from cc_multihome.plan.from_dict import plan_from_dict
from tests.unit.builders import (
    PRIVATE_MAC,
    SEED_KEY,
    eni,
    instance,
    observed_of,
    plan_for,
    route,
    rule,
)
from tests.unit.cli_host import CliHost, make, read_json

OVERLAY = "/run/netplan/55-multihome.yaml"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliHost:
    """A healthy host."""
    return make(monkeypatch, tmp_path)


def texts(changes: object) -> list[str]:
    """Write changes as a person sees them."""
    assert isinstance(changes, tuple)
    return [f"{it.way} {it.what} {it.text}" for it in changes]


def without_names(plan: Plan) -> Plan:
    """Let every device have its name already."""
    items = tuple(replace(item, ifname=item.name) for item in plan.interfaces)
    return replace(plan, interfaces=items)


def test_a_host_that_is_right_would_not_change(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 0 in both ways."""
    host.plan = without_names(host.plan)
    host.force = core.InForce("boot", host.plan)
    assert main(["plan"]) == 0
    assert "nothing would change" in capsys.readouterr().out
    assert main(["plan", "--detailed-exitcode"]) == 0
    data = read_json(capsys, "plan")
    assert data["changes"] is False
    assert data["enabled"] is True


def test_a_change_of_everything_is_shown(
    host: CliHost, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Files, names, addresses, rules, routes and the resolver."""
    old = tmp_path / "old.yaml"
    old.write_text("a: 1\nb: 2\n")
    host.changes = Changes(
        files=(
            File(old, "a: 1\nb: 3\n", 0o600),
            File(tmp_path / "new.conf", "[Link]\nGroup=31000\n"),
        ),
        names={"ens5": "private", "ens6": "public"},
        resolver=True,
        sysctls=(Sysctl((1, "arp_ignore"), 1, 0),),
    )
    host.units = ("systemd-resolved.service",)
    host.force = core.InForce(None, None)
    host.kernel = Observed(frozenset(), frozenset(), frozenset())
    assert main(["plan"]) == 0
    said = capsys.readouterr().out
    for part in (
        *("-b: 2", "+b: 3", "--- /dev/null", "+Group=31000"),
        *("ens5 -> private", PRIVATE_MAC),
        "+ address 10.224.184.51/26 dev ens5",
        "+ rule 31100: from 10.224.184.51 lookup 10",
        "+ rule 32766: from all lookup 254",
        "+ route default via 10.224.186.1 dev ens6 table 254",
        "net.ipv4.conf.lo.arp_ignore: 0 -> 1",
        *("+nameserver 169.254.169.253", "systemd-resolved.service: off"),
        *("2 files, 2 names, 2 addresses", "1 setting", "the resolver"),
        "Nothing was touched.",
    ):
        assert part in said, part
    assert "\x1b" not in said
    assert main(["plan", "--detailed-exitcode"]) == 4


def test_what_boots_lack_alone_is_a_file_and_no_other_resolver(
    host: CliHost, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As after an upgrade of netplan."""
    host.plan = without_names(host.plan)
    host.force = core.InForce("boot", host.plan)
    made = host.resolver_file(host.plan)
    assert made is not None
    made.path.write_text(made.text or "")
    host.boot_files = (File(tmp_path / "online.conf", "[Service]\n"),)
    host.changes = Changes((), {}, resolver=True)
    assert main(["plan"]) == 0
    said = capsys.readouterr().out
    assert "+[Service]" in said
    assert "resolv" not in said


def test_the_json_has_its_documented_keys(
    host: CliHost, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each change is data, too."""
    host.changes = Changes(
        files=(File(tmp_path / "x.yaml", "a: 1\n", 0o600),),
        names={"ens5": "private"},
        resolver=True,
        sysctls=(Sysctl((1, "arp_ignore"), 1, 0),),
        table=TableChange("table"),
    )
    host.kernel = Observed(frozenset(), frozenset(), frozenset())
    assert 0 == main(["plan"])
    assert "inet multihome of nftables is made" in capsys.readouterr().out
    data = read_json(capsys, "plan")
    assert list(data) == [
        *("version", "enabled", "changes", "files", "names", "addresses"),
        *("rules", "routes", "settings", "connection_marks", "resolver"),
        "plan",
    ]
    (file,) = data["files"]
    assert (file["action"], file["mode"]) == ("create", "0600")
    assert data["connection_marks"] is True
    assert data["names"] == [
        {"mac": PRIVATE_MAC, "from": "ens5", "to": "private"}
    ]
    assert data["addresses"][0] == {
        "action": "add",
        "ifname": "ens5",
        "address": "10.224.184.51/26",
    }
    assert set(data["rules"][0]) == {
        *("action", "priority", "table", "src", "iif"),
        *("suppress_prefixlength", "suppress_ifgroup"),
        *("fwmark", "fwmask", "uid"),
    }
    assert set(data["routes"][0]) == {
        *("action", "ifname", "to", "via", "table", "prefsrc", "metric"),
    }
    name = "net.ipv4.conf.lo.arp_ignore"
    assert data["settings"] == [{"name": name, "from": 0, "to": 1}]
    assert set(data["resolver"]) == {"file", "units_off", "put_back"}
    assert data["plan"] == plan_as_dict(host.plan)


def test_false_would_do_nothing_where_nothing_was_done(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says why."""
    host.enabled = False
    host.force = core.InForce(None, None)
    assert main(["plan", "--detailed-exitcode"]) == 0
    said = capsys.readouterr().out
    assert "says false: nothing would change" in said
    data = read_json(capsys, "plan")
    assert (data["enabled"], data["plan"]) == (False, None)


def test_false_would_take_back_what_was_done(
    host: CliHost, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As an apply does: files, names, rules, the resolver."""
    ours = tmp_path / "55-multihome.yaml"
    ours.write_text("network: {}\n")
    host.enabled = False
    host.restore = Changes(
        (File(ours, None),), {"private": "ens5"}, resolver=True
    )
    assert main(["plan", "--detailed-exitcode"]) == 4
    said = capsys.readouterr().out
    for part in (
        "-network: {}",
        f"private -> ens5\t{PRIVATE_MAC}",
        "- rule 31100: from 10.224.184.51",
        "the former resolver comes back",
        "says false: what was done would be taken back: 1 file, 1 name,",
        "4 rules, the resolver. Nothing was touched.",
    ):
        assert part in said, part
    data = read_json(capsys, "plan")
    assert (data["enabled"], data["changes"]) == (False, True)
    assert "remove" == data["files"][0]["action"]
    assert data["resolver"]["put_back"] is True


def test_the_former_resolver_comes_back(
    host: CliHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the plan leaves the resolver alone now."""
    host.plan = plan_for({**SEED_KEY, "resolver": "keep"})
    host.changes = Changes((), {}, True)
    assert main(["plan", "--detailed-exitcode"]) == 4
    assert "the former resolver comes back" in capsys.readouterr().out


def test_a_configuration_that_is_not_in_place_yet_can_be_tried(
    host: CliHost, tmp_path: Path
) -> None:
    """As user-data, or as a drop-in."""
    file = tmp_path / "new.yaml"
    file.write_text("#cloud-config\nmultihome: {default: public}\n")
    assert main(["plan", "--config", str(file)]) == 0
    assert host.asked == [{"default": "public"}]


@pytest.mark.parametrize(
    ("before", "text", "action"),
    [
        pytest.param("", "a\n", "create", id="create"),
        pytest.param("a\n", "b\n", "change", id="change"),
        pytest.param("a\n", None, "remove", id="remove"),
        pytest.param("a\n", "a\n", "change", id="mode alone"),
        pytest.param("a", "a\n", "change", id="no newline at the end"),
    ],
)
def test_what_happens_to_a_file_has_a_word(
    before: str, text: str | None, action: str
) -> None:
    """And its diff ends each line."""
    made = file_change(before, File(Path(OVERLAY), text, 0o600))
    assert (made.action, made.path) == (action, OVERLAY)
    assert made.diff == "" or made.diff.endswith("\n")
    assert (made.diff == "") == (before == text)


def test_what_is_there_already_is_no_change() -> None:
    """By the names that the devices have now."""
    plan = plan_for()
    now = replace(
        plan,
        interfaces=tuple(
            replace(item, name=item.ifname) for item in plan.interfaces
        ),
    )
    assert kernel_changes(plan, None, observed_of(now)) == ()


def test_a_secondary_address_that_went_is_removed() -> None:
    """With its rule, and with nothing of the other ENI's."""
    two = instance(eni(0), eni(1, "10.0.1.10", "10.0.1.11"))
    former, plan = plan_for({}, two), plan_for({}, instance(eni(0), eni(1)))
    changes = kernel_changes(plan, former, observed_of(former))
    assert texts(changes) == [
        "remove address 10.0.1.11/32 dev ens6",
        "remove rule 31101: from 10.0.1.11 lookup 31001",
    ]


def test_a_detached_enis_rules_go() -> None:
    """Its routes and addresses went with its device."""
    key = {"interfaces": {"ens5": {"device_number": 0}}}
    former = plan_for(key, instance(eni(0), eni(1)))
    plan = plan_for(key, instance(eni(0)))
    seen = observed_of(former)
    seen = replace(
        seen,
        addresses=frozenset(it for it in seen.addresses if it[0] == "ens5"),
        routes=frozenset(it for it in seen.routes if it[0] == "ens5"),
    )
    assert texts(kernel_changes(plan, former, seen)) == [
        "remove rule 31101: from 10.0.1.10 lookup 31001"
    ]


def test_what_others_added_is_none_of_ours() -> None:
    """It stays, so it is not shown."""
    plan = plan_for({})
    seen = observed_of(plan)
    seen = Observed(
        seen.addresses | {("ens5", ip_interface("192.0.2.9/32"))},
        seen.routes | {("ens5", route("203.0.113.0/24", "10.224.184.7"))},
        seen.rules | {rule(5210, 52)},
    )
    assert kernel_changes(plan, plan, seen) == ()


def test_the_default_routes_of_dhcp_go_at_the_first_run() -> None:
    """They are what sends replies out by the wrong ENI."""
    plan = plan_for({})
    by_dhcp = replace(route("0.0.0.0/0", "10.224.186.1"), metric=200)
    elsewhere = route("0.0.0.0/0", "172.17.0.1")
    seen = observed_of(plan)
    seen = replace(
        seen,
        routes=seen.routes | {("ens6", by_dhcp), ("docker0", elsewhere)},
    )
    gone = "remove route default via 10.224.186.1 dev ens6 table 254"
    assert texts(kernel_changes(plan, None, seen)) == [gone]


def test_a_record_of_an_older_version_is_read() -> None:
    """What it did not know yet is as it was then."""
    data = plan_as_dict(plan_for())
    for item in data["interfaces"]:
        del item["shares_subnet"]
        for each in item["rules"]:
            del each["iif"]
    data["interfaces"][0]["later"] = "unknown"
    assert plan_from_dict(data) == plan_for()


@given(seed=st.integers(1, 4), policy=st.booleans())
def test_a_plan_survives_its_way_through_json(seed: int, policy: bool) -> None:
    """`status` compares the kernel with what comes back."""
    enis = tuple(eni(number) for number in range(seed))
    name = {"a": {"device_number": 0}}
    entries = [{"to": "192.0.2.0/24", "via": "a"}] if policy else []
    plan = plan_for({"interfaces": name, "policy": entries}, instance(*enis))
    assert plan_from_dict(plan_as_dict(plan)) == plan
    assert plan_from_dict(plan_as_dict(plan_for())) == plan_for()
