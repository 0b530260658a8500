# SPDX-License-Identifier: Apache-2.0
"""What comes from an ENI that is left alone goes as its owner says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from cc_multihome.diagram.content import content_of
from cc_multihome.discover.netplan_rules import SourceRule, rules_of_netplan
from cc_multihome.errors import ConfigError
from cc_multihome.explain.lookup import explain
from cc_multihome.model import Eni, Plan
from cc_multihome.plan.left_alone import with_left_alone
from cc_multihome.render import render
from tests.unit.builders import (
    eni,
    instance,
    netplan_file,
    network,
    plan_for,
    rule,
    texts,
    with_ipv6,
)

THEIRS = eni(1)
OWNERS = {THEIRS.mac: (SourceRule(network("10.0.1.10"), 101, None),)}
ALONE = {"interfaces": {"theirs": {"device_number": 1, "manage": False}}}
USERS = {"users": {"proxy": "ens5"}}
POLICY = {"policy": [{"to": "192.0.2.1", "via": "ens5"}]}
TO_IPV6 = "2001:db8:ffff::/48"
DROP_IN = "run/systemd/network/10-netplan-ens5.network.d/50-multihome.conf"
COPY, MAIN = 32590, 32591


def plan(
    more: Mapping[str, Any],
    theirs: Eni = THEIRS,
    owners: Mapping[str, tuple[SourceRule, ...]] = OWNERS,
) -> Plan:
    """Plan for two ENIs, the second one left alone."""
    host = instance(eni(0), theirs)
    made = plan_for({**ALONE, **more}, host, uids={"proxy": 13})
    return with_left_alone(made, host.enis, owners)


def added(made: Plan) -> list[Any]:
    """Return the rules in question, in order."""
    return [it for it in made.rules() if it.priority in (COPY, MAIN)]


def test_the_owners_rule_and_main_come_before_the_pins() -> None:
    """So that a pinned user's bound socket is not led astray."""
    made = plan({**USERS, **POLICY})
    assert added(made) == [
        replace(rule(COPY, 101, "10.0.1.10"), iif="lo"),
        rule(MAIN, 254, "10.0.1.10"),
    ]
    assert [it.priority for it in made.rules()][-4:] == [
        COPY,
        MAIN,
        32610,
        32765,
    ]


@pytest.mark.parametrize("table", [101, 254], ids=["own table", "by main"])
def test_none_has_the_very_selectors_of_the_owners(table: int) -> None:
    """networkd would take the two for one, and remove one by chance."""
    theirs = network("10.0.1.10")
    owners = {THEIRS.mac: (SourceRule(theirs, table, None),)}
    found = added(plan(USERS, owners=owners))
    assert {COPY, MAIN} == {it.priority for it in found}
    alike = [it.iif for it in found if (it.src, it.table) == (theirs, table)]
    assert alike
    assert set(alike) == {"lo"}


def test_containers_have_marks_and_so_the_same() -> None:
    """As services have."""
    assert len(added(plan({"containers": True}))) == 2


@pytest.mark.parametrize("more", [{}, POLICY], ids=["bare", "policy"])
def test_without_pins_the_owners_rules_serve_as_they_are(
    more: dict[str, Any],
) -> None:
    """The policy comes behind them."""
    assert added(plan(more)) == []


def test_a_table_of_an_eni_that_is_left_alone_is_not_taken() -> None:
    """cloud-init's own for device 1; two default routes would be in it."""
    ours = {"ours": {"device_number": 0, "table": 101}}
    with pytest.raises(ConfigError) as caught:
        plan({"interfaces": {**ALONE["interfaces"], **ours}})
    (found,) = caught.value.problems
    assert "multihome.interfaces.ours.table" == found.path
    assert THEIRS.describe() in found.expected
    ours["ours"]["table"] = 102
    assert plan({"interfaces": {**ALONE["interfaces"], **ours}}).interfaces


def test_explain_knows_the_policy_in_its_other_place() -> None:
    """It says who decides."""
    found = explain(plan(POLICY), ip_address("192.0.2.1"), None)
    assert "the policy sends 192.0.2.1/32 via ens5" in found.why


def test_an_eni_without_rules_goes_by_main_before_the_policy() -> None:
    """Such as the primary, for which cloud-init makes none."""
    assert added(plan(POLICY, owners={})) == [rule(MAIN, 254, "10.0.1.10")]
    assert added(plan({}, owners={})) == []


def defaults(made: Plan) -> set[tuple[int, int]]:
    """Return (family, table) of the default routes that are not an ENI's."""
    own = {item.table for item in made.interfaces}
    return {
        (route.to.version, route.table)
        for item in made.interfaces
        for route in item.routes
        if not route.to.prefixlen and route.table not in own
    }


SAID_BY_MAIN = SourceRule(network("10.0.1.10"), 254, None)


@pytest.mark.parametrize(
    "owners",
    [
        pytest.param({THEIRS.mac: ()}, id="no rules"),
        pytest.param({THEIRS.mac: (SAID_BY_MAIN,)}, id="a rule by main"),
    ],
)
def test_main_is_left_to_an_owner_who_relies_on_it(
    owners: Mapping[str, tuple[SourceRule, ...]],
) -> None:
    """One table has one default route: what is the plan's goes by rules."""
    made = plan(POLICY, owners=owners)
    (item,) = made.interfaces
    assert defaults(made) == set()
    assert [
        (it.priority, it.table, it.suppress_prefixlength)
        for it in item.rules
        if it.priority > MAIN
    ] == [(32700, 30999, None), (32710, 254, 0), (32720, item.table, None)]
    found = explain(made, ip_address("198.51.100.1"), None)
    assert found.way and found.way.table == item.table
    assert "takes the default route, which ens5 has" in found.why
    found = explain(made, ip_address("192.0.2.1"), ip_address("10.0.1.10"))
    assert (found.way, found.owner) == (None, "others")
    assert "its owner's: by table 254" in found.why


@pytest.mark.parametrize("owners", [OWNERS, {}], ids=["table", "unknown"])
def test_an_owner_who_has_no_use_for_main_leaves_it_to_the_plan(
    owners: Mapping[str, tuple[SourceRule, ...]],
) -> None:
    """Nothing is otherwise than without that ENI."""
    made = plan({}, owners=owners)
    assert defaults(made) == {(4, 254)}
    assert all(it.priority < MAIN for it in made.rules())


def test_each_family_has_its_own_answer() -> None:
    """cloud-init makes rules of IPv4 alone."""
    theirs = with_ipv6(THEIRS)
    host = instance(with_ipv6(eni(0)), theirs)
    made = with_left_alone(plan_for(ALONE, host), host.enis, OWNERS)
    assert defaults(made) == {(4, 254)}
    assert {it.src.version for it in made.rules() if it.priority > MAIN} == {6}
    assert [str(it.src) for it in added(made)] == [f"{theirs.ipv6s[0]}/128"]


def test_a_main_without_a_default_of_the_plans_is_left_as_it_is() -> None:
    """The primary is left alone, and nobody names another one."""
    primary = {"theirs": {"device_number": 0, "manage": False}}
    host = instance(eni(0), eni(1))
    made = plan_for({"interfaces": primary}, host)
    assert with_left_alone(made, host.enis, {}) == made


def test_the_picture_names_the_default_that_goes_by_rule() -> None:
    """It is what is chosen, wherever the route is."""
    (drawn,) = content_of(plan({}, owners={THEIRS.mac: ()})).interfaces
    assert drawn.is_default


def test_a_managed_eni_and_one_without_address_have_none() -> None:
    """The rules on their addresses are others, or there is nothing."""
    efa = eni(1, local_ipv4s=())
    host = instance(eni(0), efa)
    made = plan_for(USERS, host, uids={"proxy": 13})
    assert with_left_alone(made, host.enis, OWNERS) == made


@pytest.mark.parametrize(
    ("priority", "expected"),
    [
        pytest.param(100, [MAIN], id="wins by itself"),
        pytest.param(32700, [COPY, MAIN], id="behind the pins"),
        pytest.param(32767, [MAIN], id="behind main"),
    ],
)
def test_an_owners_rule_with_a_place_of_its_own(
    priority: int, expected: list[int]
) -> None:
    """It is repeated where it would come too late."""
    owners = {
        THEIRS.mac: (SourceRule(network("10.0.1.10"), 101, priority),),
    }
    made = plan(USERS, owners=owners)
    assert [it.priority for it in added(made)] == expected


def test_ipv6_has_them_where_ipv6_is_pinned() -> None:
    """A user's rule is there for the families of its ENI."""
    theirs = with_ipv6(THEIRS)
    six = SourceRule(network("2001:db8:0:11::5"), 101, None)
    owners = {THEIRS.mac: (*OWNERS[THEIRS.mac], six)}
    made = plan(USERS, theirs, owners)
    assert {it.src.version for it in added(made)} == {4}
    host = instance(with_ipv6(eni(0)), theirs)
    key = {**ALONE, **USERS}
    both = with_left_alone(
        plan_for(key, host, uids={"proxy": 13}), host.enis, owners
    )
    assert [str(it.src) for it in added(both)] == [
        "10.0.1.10/32",
        "2001:db8:0:11::5/128",
    ] * 2


def test_a_rule_of_ipv4_says_nothing_of_ipv6() -> None:
    """An ENI whose owner has rules of one family goes by main in the other."""
    theirs = with_ipv6(THEIRS)
    policy = {"policy": [{"to": ["192.0.2.1", TO_IPV6], "via": "ens5"}]}
    host = instance(with_ipv6(eni(0)), theirs)
    made = plan_for({**ALONE, **policy}, host)
    found = added(with_left_alone(made, host.enis, OWNERS))
    assert found == [rule(MAIN, 254, f"{theirs.ipv6s[0]}/128")]


def test_many_addresses_have_few_rules() -> None:
    """Those by main; an owner's are repeated as they are."""
    theirs = eni(1, *(f"10.0.1.{last}" for last in range(10, 30)))
    (only,) = added(plan(USERS, theirs, {}))
    assert (str(only.src), only.iif) == ("10.0.1.0/24", "lo")


def test_the_overlay_says_them_at_a_managed_eni() -> None:
    """Nothing is said of the other one itself."""
    made = texts(render(plan(USERS), ()))
    overlay = made["run/netplan/55-multihome.yaml"] or ""
    assert "table: 254\n        priority: 32591" in overlay
    drop_in = made[DROP_IN] or ""
    assert "Priority=32590\nTable=101\nFrom=10.0.1.10/32\n" in drop_in
    for text in (overlay, drop_in):
        assert THEIRS.mac not in text
        assert "ens6" not in text


def test_rules_are_read_of_every_file_of_netplans() -> None:
    """By MAC, or by the id that another file gives the MAC."""
    match = {"match": {"macaddress": "0A:00:00:00:00:01"}}
    first = {"from": "10.0.1.10", "table": 101}
    files = (
        netplan_file(
            "50-cloud-init.yaml",
            {"ens6": {**match, "routing-policy": [first]}, "ens5": {}},
        ),
        netplan_file(
            "60-more.yaml",
            {
                "ens6": {
                    "routing-policy": [
                        {"from": "10.0.1.0/28", "table": 7, "priority": 9},
                        {"from": "10.0.1.9", "to": "10.9.0.0/16", "table": 7},
                        {"to": "10.9.0.0/16", "table": 7},
                        {"from": "10.0.1.8", "table": 7, "mark": 1},
                        {"from": "10.0.1.7"},
                        {"from": "nonsense", "table": 7},
                        {"from": "10.0.1.6", "table": None},
                    ]
                },
                "ens5": {"routing-policy": None},
            },
        ),
    )
    assert rules_of_netplan(files) == {
        THEIRS.mac: (
            SourceRule(network("10.0.1.10"), 101, None),
            SourceRule(network("10.0.1.0/28"), 7, 9),
        )
    }
