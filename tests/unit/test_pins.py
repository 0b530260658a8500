# SPDX-License-Identifier: Apache-2.0
"""What is pinned to an ENI by who sends it."""

from __future__ import annotations

import json
import pwd
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from cc_multihome.cli.main import main
from cc_multihome.discover.users import read_uids
from cc_multihome.errors import ConfigError
from cc_multihome.explain.lookup import explain
from cc_multihome.explain.question import Sender
from cc_multihome.model import RoutingPolicyRule
from cc_multihome.numbers import PRIORITY_USER
from cc_multihome.plan.as_dict import plan_as_dict
from cc_multihome.plan.from_dict import plan_from_dict
from cc_multihome.render.networkd import drop_in
from tests.unit.builders import SEED_KEY, network, plan_for, planned, rule
from tests.unit.cli_host import make

UIDS = {"_chrony": 105, "puppet": 52, "toor": 0, "root": 0}
NAMED, UNNAMED = ip_address("192.0.2.14"), ip_address("203.0.113.200")


def key(**users: str) -> dict[str, Any]:
    """Make the seed's key with users."""
    return {**SEED_KEY, "users": users}


def user_rule(uid: int, table: int) -> RoutingPolicyRule:
    """Make the rule on a user."""
    return replace(rule(PRIORITY_USER, table), iif="lo", uid=uid)


def wrong(**users: str) -> list[str]:
    """Return the mistakes."""
    with pytest.raises(ConfigError) as caught:
        plan_for(key(**users), uids=UIDS)
    return [str(problem) for problem in caught.value.problems]


def test_each_user_has_a_rule_of_its_eni() -> None:
    """Of what the host sends itself, before the policy."""
    plan = plan_for(key(puppet="private", _chrony="public"), uids=UIDS)
    private, public = plan.interfaces
    assert private.rules[-1] == user_rule(52, 10)
    assert public.rules[-1] == user_rule(105, 20)
    assert [it.uid for it in plan.rules()][-3:-1] == [52, 105]


def test_the_rest_of_the_plan_is_as_without_users() -> None:
    """Nothing else moves."""
    plan = plan_for(key(puppet="private"), uids=UIDS)
    rules = tuple(each for each in plan.rules() if each.uid is None)
    assert rules == plan_for().rules()


def test_two_users_of_one_number_have_one_rule() -> None:
    """As long as both go one way."""
    plan = plan_for(key(root="public", toor="public"), uids=UIDS)
    assert [it for it in plan.rules() if it.uid is not None] == [
        user_rule(0, 20)
    ]


def test_an_interface_that_keeps_its_name_is_found_as_well() -> None:
    """`via` takes the name of the entry, whatever the device is called."""
    renamed = {**key(puppet="private"), "rename": False}
    plan = plan_for(renamed, uids=UIDS)
    assert user_rule(52, 10) in plan.interfaces[0].rules


@pytest.mark.parametrize(
    ("users", "message"),
    [
        pytest.param(
            {"nobody-here": "private"},
            "multihome.users.nobody-here: found 'nobody-here', expected a"
            " user of this host: there is none of that name (yet)",
            id="no such user",
        ),
        pytest.param(
            {"puppet": "privat"},
            "multihome.users.puppet: found 'privat', expected one of private,"
            " public; did you mean private?",
            id="no such interface",
        ),
        pytest.param(
            {"root": "private", "toor": "public"},
            "multihome.users.toor: found 'public', expected one interface for"
            " user 0: multihome.users.root sends it via private",
            id="two ways",
        ),
    ],
)
def test_a_mistake_is_told_with_its_path(
    users: dict[str, str], message: str
) -> None:
    """And with what was expected."""
    assert wrong(**users) == [message]


def test_the_drop_in_says_the_user_as_a_number() -> None:
    """So that networkd needs no name service."""
    item = planned("ens5", rules=(user_rule(52, 10),))
    assert drop_in(item, None).endswith(
        "[RoutingPolicyRule]\nPriority=32610\nTable=10\nFamily=ipv4\n"
        "IncomingInterface=lo\nUser=52\n"
    )


def test_the_drop_in_says_a_mark_with_its_mask() -> None:
    """Netplan has no mask."""
    marked = replace(rule(1, 10), fwmark=0x1001, fwmask=0x107F)
    text = drop_in(planned("ens5", rules=(marked,)), None)
    assert "FirewallMark=4097/4223\n" in text


def test_a_plan_with_users_comes_back_from_json() -> None:
    """`multihome status` reads it from the record of the last run."""
    plan = plan_for(key(puppet="private"), uids=UIDS)
    assert plan_from_dict(json.loads(json.dumps(plan_as_dict(plan)))) == plan


@pytest.mark.parametrize(
    ("uid", "to", "source", "interface"),
    [
        pytest.param(52, UNNAMED, None, "private", id="pinned"),
        pytest.param(53, UNNAMED, None, "public", id="another user"),
        pytest.param(None, UNNAMED, None, "public", id="nobody's"),
        pytest.param(105, NAMED, None, "public", id="before the policy"),
        pytest.param(52, UNNAMED, "10.224.186.43", "public", id="bound"),
    ],
)
def test_explain_knows_whose_socket_it_is(
    uid: int | None, to: Any, source: str | None, interface: str
) -> None:
    """A socket that is bound to an address stays with its ENI."""
    plan = plan_for(key(puppet="private", _chrony="public"), uids=UIDS)
    bound = ip_address(source) if source else None
    found = explain(plan, to, bound, sender=Sender(uid))
    assert found.way is not None
    assert found.way.interface == interface


def test_explain_takes_a_user_by_name(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And refuses one that this host does not have."""
    host = make(monkeypatch, tmp_path)
    host.plan = plan_for(key(puppet="private"), uids=UIDS)
    host.force = replace(host.force, plan=host.plan)
    host.uids = UIDS
    assert 0 == main(["explain", str(UNNAMED), "--user", "puppet"])
    said = capsys.readouterr().out
    assert "user 52 is pinned to private" in said
    assert "iif lo uidrange 52-52 lookup private" in said
    assert 1 == main(["explain", str(UNNAMED), "--user", "nobody-here"])
    assert "expected a user of this host" in capsys.readouterr().err


def test_users_are_looked_up_in_the_name_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that there is not is left out."""
    root = pwd.struct_passwd(("root", "x", 0, 0, "", "/root", "/bin/sh"))

    def look_up(name: str) -> pwd.struct_passwd:
        if name != "root":
            raise KeyError(name)
        return root

    monkeypatch.setattr(pwd, "getpwnam", look_up)
    assert read_uids(["root", "none"]) == {"root": 0}


def test_a_rule_of_ipv6_is_made_where_the_table_has_it() -> None:
    """As far as the ENI's own rules show it."""
    from cc_multihome.plan.pins import families

    both = planned(rules=(rule(1, 10, "10.0.0.1"), rule(1, 10, "2001:db8::1")))
    assert families(both) == (network("0.0.0.0/0"), network("::/0"))
