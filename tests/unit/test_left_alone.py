# SPDX-License-Identifier: Apache-2.0
"""What comes from an ENI that is left alone goes as its owner says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

import pytest

from cc_multihome.diagram.content import content_of
from cc_multihome.discover.netplan_files import (
    NetplanFile,
)
from cc_multihome.discover.netplan_rules import (
    NetplanRouting,
    SourceRule,
    netplan_routing,
)
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
from tests.unit.cli_host import host_of

THEIRS = eni(1)
OWNERS = {THEIRS.mac: (SourceRule(network("10.0.1.10"), 101, None),)}
ALONE = {"interfaces": {"theirs": {"device_number": 1, "manage": False}}}
USERS = {"users": {"proxy": "ens5"}}
POLICY = {"policy": [{"to": "192.0.2.1", "via": "ens5"}]}
TO_IPV6 = "2001:db8:ffff::/48"
DROP_IN = "run/systemd/network/10-netplan-ens5.network.d/50-multihome.conf"
BOTH_POLICY = {"policy": [{"to": ["192.0.2.1", TO_IPV6], "via": "ens5"}]}
# What cloud-init 25.1 writes for a secondary with both families.
AS_CLOUD_INIT = netplan_file(
    "50-cloud-init.yaml",
    {
        "ens6": {
            "match": {"macaddress": THEIRS.mac},
            "dhcp4": True,
            "dhcp6": True,
            "routes": [
                {"to": "0.0.0.0/0", "via": "10.0.1.1", "table": 101},
                {"to": "10.0.1.0/24", "scope": "link", "table": 101},
                {"to": "2001:db8:0:11::/64", "scope": "link", "table": 101},
            ],
            "routing-policy": [
                {"from": "10.0.1.10", "table": 101},
                {"from": "2001:db8:0:11::5", "table": 101},
            ],
        }
    },
)
COPY, MAIN = 32590, 32599


def routing(owners: Mapping[str, tuple[SourceRule, ...]]) -> NetplanRouting:
    """Have netplan know these MACs, each with a default route in main."""
    rules = tuple(it for each in owners.values() for it in each)
    return NetplanRouting(rules, dict.fromkeys(owners, frozenset({4, 6})))


def plan(
    more: Mapping[str, Any],
    theirs: Eni = THEIRS,
    owners: Mapping[str, tuple[SourceRule, ...]] = OWNERS,
) -> Plan:
    """Plan for two ENIs, the second one left alone."""
    host = instance(eni(0), theirs)
    made = plan_for({**ALONE, **more}, host, uids={"proxy": 13})
    return with_left_alone(made, host.enis, routing(owners))


def added(made: Plan) -> list[Any]:
    """Return the rules in question, in order."""
    return [it for it in made.rules() if COPY <= it.priority <= MAIN]


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


def test_a_rule_on_more_than_the_eni_may_mean_our_table() -> None:
    """As an administrator's on the whole VPC; netplan has no default there."""
    ours = {"ours": {"device_number": 0, "table": 10}}
    key = {"interfaces": {**ALONE["interfaces"], **ours}}
    wide = SourceRule(network("10.0.0.0/16"), 10, 9, has_default=False)
    assert plan(key, owners={THEIRS.mac: (wide,)}).interfaces
    with pytest.raises(ConfigError):
        plan(key, owners={THEIRS.mac: (replace(wide, has_default=True),)})
    own = replace(wide, src=network("10.0.1.10"))
    with pytest.raises(ConfigError):
        plan(key, owners={THEIRS.mac: (own,)})


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
    ] == [(32700, 30999, None), (32764, 254, 0), (32765, item.table, None)]
    found = explain(made, ip_address("198.51.100.1"), None)
    assert found.way and found.way.table == item.table
    assert "takes the default route, which ens5 has" in found.why
    found = explain(made, ip_address("192.0.2.1"), ip_address("10.0.1.10"))
    assert (found.way, found.owner) == (None, "others")
    assert "its owner's: by table 254, else" in found.why


def test_what_the_kernel_holds_is_no_guess() -> None:
    """Where main has no default of the owner's, it goes on, and so do we."""
    made = plan(POLICY, owners={THEIRS.mac: ()})
    own = ("ens6", ip_interface("10.0.1.10/24"))
    host = replace(host_of(made), addresses=(*host_of(made).addresses, own))
    asked = ip_address("192.0.2.1"), ip_address("10.0.1.10")
    found = explain(made, *asked, host)
    assert found.way and found.way.table == 30999


@pytest.mark.parametrize("owners", [OWNERS, {}], ids=["table", "unknown"])
def test_an_owner_who_has_no_use_for_main_leaves_it_to_the_plan(
    owners: Mapping[str, tuple[SourceRule, ...]],
) -> None:
    """Nothing is otherwise than without that ENI."""
    made = plan({}, owners=owners)
    assert defaults(made) == {(4, 254)}
    assert all(it.priority < MAIN for it in made.rules())


def test_each_family_has_its_own_answer() -> None:
    """cloud-init's rules of IPv6 lead to the subnet, and nowhere else."""
    theirs = with_ipv6(THEIRS)
    netplan = netplan_routing([AS_CLOUD_INIT], {})
    host = instance(with_ipv6(eni(0)), theirs)
    made = with_left_alone(
        plan_for({**ALONE, **BOTH_POLICY}, host), host.enis, netplan
    )
    assert defaults(made) == {(4, 254)}
    late = [it for it in made.rules() if it.priority > MAIN]
    assert {(it.src.version, it.priority) for it in late} == {
        (4, 32765),
        (6, 32700),
        (6, 32764),
        (6, 32765),
    }
    assert [(str(it.src), it.table) for it in added(made)] == [
        (f"{theirs.ipv6s[0]}/128", 101),
        (f"{theirs.ipv6s[0]}/128", 254),
    ]
    # The policy alone asks for as much.
    alone = {**ALONE, **BOTH_POLICY, "default": "ens5"}
    assert added(
        with_left_alone(plan_for(alone, host), host.enis, netplan)
    ) == added(made)


def test_a_main_without_a_default_of_the_plans_is_left_as_it_is() -> None:
    """The primary is left alone, and nobody names another one."""
    primary = {"theirs": {"device_number": 0, "manage": False}}
    host = instance(eni(0), eni(1))
    made = plan_for({"interfaces": primary}, host)
    owners = {host.enis[0].mac: ()}
    assert with_left_alone(made, host.enis, routing(owners)) == made


def test_a_default_without_a_family_leaves_the_primarys() -> None:
    """Nobody named the third ENI, and it must not take what is IPv6."""
    primary = {"theirs": {"device_number": 0, "manage": False}}
    enis = with_ipv6(eni(0)), eni(1), with_ipv6(eni(2))
    key = {"interfaces": primary, "default": "ens6"}
    made = plan_for(key, instance(*enis))
    owners = {enis[0].mac: ()}
    assert defaults(made) == {(4, 254)}
    late = with_left_alone(made, enis, routing(owners)).rules()
    assert {4} == {it.src.version for it in late if it.priority > MAIN}


def test_one_that_netplan_does_not_know_has_its_own_rules_as_they_are() -> (
    None
):
    """A network plugin's; main before them was another way."""
    enis = eni(0), eni(1), eni(2)
    pods = {"device_number": 2, "manage": False}
    key = {"interfaces": {**ALONE["interfaces"], "pods": pods}}
    made = with_left_alone(
        plan_for(key, instance(*enis)), enis, routing({enis[1].mac: ()})
    )
    assert [str(it.src) for it in added(made)] == ["10.0.1.10/32"]


@pytest.mark.parametrize(
    "owner",
    [
        SourceRule(network("10.0.1.10"), 101, 32767),
        SourceRule(network("10.0.1.11"), 101, None),
        SourceRule(network("10.0.1.10"), 101, None, has_default=False),
    ],
    ids=["behind main", "of another address", "no way out"],
)
def test_a_rule_may_be_no_way_out(owner: SourceRule) -> None:
    """What comes from the address is main's all the same."""
    made = plan({}, owners={THEIRS.mac: (owner,)})
    assert defaults(made) == set()
    *copies, last = added(made)
    assert last == rule(MAIN, 254, "10.0.1.10")
    # That is what the ENI's own rule may still be for.
    assert bool(copies) == (not owner.has_default)


def test_a_rule_on_a_prefix_is_repeated_for_what_is_forwarded_too() -> None:
    """By its halves, as the same selectors would be the owner's rule."""
    theirs = eni(1, ipv4_prefixes=(network("10.0.1.16/28"),))
    owners = {THEIRS.mac: (SourceRule(network("10.0.1.16/28"), 101, None),)}
    found = [
        it for it in added(plan(USERS, theirs, owners)) if it.table == 101
    ]
    assert found == [
        rule(COPY, 101, "10.0.1.16/29"),
        rule(COPY, 101, "10.0.1.24/29"),
    ]


def test_rules_of_several_places_keep_their_order() -> None:
    """Of one priority they would come in any."""
    owners = {
        THEIRS.mac: (
            SourceRule(network("10.0.1.0/24"), 102, None),
            SourceRule(network("10.0.1.10"), 101, 32650),
        )
    }
    found = added(plan(USERS, owners=owners))
    assert [(it.priority, it.table) for it in found] == [
        (COPY, 101),
        (COPY + 1, 102),
        (COPY + 1, 102),
        (MAIN, 254),
    ]
    many = tuple(
        SourceRule(network(f"10.0.1.{it}"), 101, 32600 + it)
        for it in range(10, 30)
    )
    theirs = eni(1, *(str(it.src.network_address) for it in many))
    found = added(plan(USERS, theirs, {THEIRS.mac: many}))
    assert {it.priority for it in found} == {*range(COPY, MAIN + 1)}


def test_the_picture_names_the_default_that_goes_by_rule() -> None:
    """It is what is chosen, wherever the route is."""
    enis = eni(0), THEIRS, eni(2)
    made = plan_for(ALONE, instance(*enis))
    drawn = content_of(with_left_alone(made, enis, routing({THEIRS.mac: ()})))
    assert [it.is_default for it in drawn.interfaces] == [True, False]


def test_a_managed_eni_and_one_without_address_have_none() -> None:
    """The rules on their addresses are others, or there is nothing."""
    efa = eni(1, local_ipv4s=())
    host = instance(eni(0), efa)
    made = plan_for(USERS, host, uids={"proxy": 13})
    assert with_left_alone(made, host.enis, routing(OWNERS)) == made


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
        plan_for(key, host, uids={"proxy": 13}), host.enis, routing(owners)
    )
    assert [str(it.src) for it in added(both)] == [
        "10.0.1.10/32",
        "2001:db8:0:11::5/128",
    ] * 2


def test_a_rule_of_ipv4_says_nothing_of_ipv6() -> None:
    """An ENI whose owner has rules of one family goes by main in the other."""
    theirs = with_ipv6(THEIRS)
    host = instance(with_ipv6(eni(0)), theirs)
    made = plan_for({**ALONE, **BOTH_POLICY}, host)
    found = added(with_left_alone(made, host.enis, routing(OWNERS)))
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
    assert "table: 254\n        priority: 32599" in overlay
    drop_in = made[DROP_IN] or ""
    assert "Priority=32590\nTable=101\nFrom=10.0.1.10/32\n" in drop_in
    for text in (overlay, drop_in):
        assert THEIRS.mac not in text
        assert "ens6" not in text


def netplan_of(**sections: object) -> tuple[NetplanFile, ...]:
    """Make a file with these sections of netplan's."""
    return (NetplanFile("a.yaml", Path("a.yaml"), {"network": sections}),)


def test_rules_are_the_hosts_wherever_they_stand() -> None:
    """Below a bridge or another ENI: by the address they are this one's."""
    rules = [{"from": "10.0.1.10", "table": 101}]
    routes = [{"to": "default", "via": "10.0.1.1", "table": 101}]
    ours = {"ens5": {"routing-policy": rules}, "ens6": {"dhcp4": True}}
    for sections in (
        {"ethernets": ours, "bridges": {"br0": {"routes": routes}}},
        {
            "ethernets": {"ens6": {"dhcp4": True}},
            "bridges": {"br0": {"routes": routes, "routing-policy": rules}},
        },
    ):
        files = netplan_of(**sections)
        host = instance(eni(0), THEIRS)
        made = with_left_alone(
            plan_for(ALONE, host),
            host.enis,
            netplan_routing(files, {"ens6": THEIRS.mac}),
        )
        assert defaults(made) == {(4, 254)}
        assert added(made) == []


def test_a_rule_for_several_is_repeated_once_and_in_its_place() -> None:
    """Places are those of the host, not of an ENI."""
    enis = eni(0), eni(1), eni(2)
    pods = {"device_number": 2, "manage": False}
    key = {"interfaces": {**ALONE["interfaces"], "pods": pods}, **USERS}
    wide = SourceRule(network("10.0.0.0/16"), 101, 32700)
    narrow = SourceRule(network("10.0.2.10"), 102, 32650)
    made = plan_for(key, instance(*enis), uids={"proxy": 13})
    made = with_left_alone(made, enis, NetplanRouting((wide, narrow)))
    copies = [it for it in added(made) if it.priority < MAIN]
    assert [(it.priority, it.table) for it in copies] == [
        (COPY, 102),
        (COPY + 1, 101),
        (COPY + 1, 101),
    ]


def test_main_is_not_left_to_who_does_not_use_it() -> None:
    """As an administrator keeps networkd off a plugin's ENI."""
    said = {"dhcp4": False, "accept-ra": False, "optional": True}
    files = [netplan_file("a.yaml", {"ens6": said})]
    host = instance(eni(0), THEIRS)
    netplan = netplan_routing(files, {"ens6": THEIRS.mac})
    made = with_left_alone(plan_for(ALONE, host), host.enis, netplan)
    assert defaults(made) == {(4, 254)}
