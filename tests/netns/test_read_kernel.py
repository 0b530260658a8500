# SPDX-License-Identifier: Apache-2.0
"""read_kernel() says what `ip` was told, whatever names there are for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from cc_multihome.apply.diff import BUILT_IN_RULES, mismatches
from cc_multihome.model import Route
from tests.lab.netns import Netns
from tests.netns.namespace import (
    install,
    read_inside,
    veth_commands,
    with_names,
)
from tests.unit.builders import network, plan_for, planned, route, rule

pytestmark = pytest.mark.netns

NAMES = "255 local\n254 main\n253 default\n10 private\n20 public\n"
GROUPS = "0 default\n31000 multihome\n"


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """A folder for /etc/iproute2 that names tables, protocols and groups."""
    if not os.path.isdir("/etc/iproute2"):
        pytest.skip("this machine has no /etc/iproute2 to put names over")
    (tmp_path / "rt_tables").write_text(NAMES)
    (tmp_path / "group").write_text(GROUPS)
    (tmp_path / "rt_protos").write_text("2 kernel\n3 boot\n4 static\n")
    (tmp_path / "rt_scopes").write_text("0 global\n253 link\n")
    return tmp_path


def test_an_empty_namespace_has_the_kernels_rules_alone(
    netns: Netns,
) -> None:
    """Which verify expects on every host."""
    observed = read_inside(netns)
    ipv4 = {each for each in observed.rules if each.src.version == 4}
    assert ipv4 == set(BUILT_IN_RULES)
    assert observed.routes == frozenset()


def test_the_seeds_plan_reads_back_without_a_mismatch(netns: Netns) -> None:
    """Addresses, routes and rules, the suppressors included."""
    plan = plan_for()
    install(netns, plan)
    observed = read_inside(netns)
    assert mismatches(plan, observed) == ()
    ours = {each for each in observed.rules if each.src.version == 4}
    assert ours == {*BUILT_IN_RULES, *plan.rules()}


def test_names_of_tables_and_groups_do_not_matter(
    netns: Netns, names: Path
) -> None:
    """Numbers are read, also where iproute2 has a name for each."""
    plan = plan_for()
    install(netns, plan)
    assert mismatches(plan, read_inside(netns, names)) == ()
    # Or the names were not in force, and the test says nothing.
    shown = netns.run(with_names(names, ["ip", "rule", "show"]))
    assert "lookup private" in shown
    assert "suppress_ifgroup multihome" in shown


def test_every_part_of_a_missing_thing_is_seen(netns: Netns) -> None:
    """Negative twin: an address, a route and a rule are taken away."""
    plan = plan_for()
    install(
        netns,
        plan,
        (
            "rule delete priority 31101",
            "route delete 10.224.184.0/26 table 10 dev private",
            "address add 10.224.186.44/26 dev public",
            "address delete 10.224.186.44/26 dev public",
        ),
    )
    assert mismatches(plan, read_inside(netns)) == (
        "route 10.224.184.0/26 dev private table 10 is missing",
        "rule 31101: from 10.224.186.43 lookup 20 is missing",
    )


def test_rules_that_no_plan_can_hold_are_not_taken_for_ours(
    netns: Netns,
) -> None:
    """A device, a destination, two users: all of them are somebody's."""
    netns.ip(
        [
            *veth_commands("docker0"),
            "rule add iif docker0 lookup 10 priority 31101",
            "rule add oif docker0 lookup 10 priority 31102",
            "rule add to 192.0.2.1 lookup 10 priority 31103",
            "rule add not from 192.0.2.1 lookup 10 priority 31104",
            "rule add uidrange 1-2 lookup 10 priority 31105",
            "rule add ipproto tcp dport 22 lookup 10 priority 31106",
            "rule add from 192.0.2.1 tos 0x10 lookup 10 priority 31107",
            "rule add from 192.0.2.1 blackhole priority 31108",
            "rule add from 192.0.2.1 goto 32766 priority 31109",
            "rule add l3mdev priority 31110",
        ]
    )
    observed = read_inside(netns)
    assert {each for each in observed.rules if each.src.version == 4} == set(
        BUILT_IN_RULES
    )


def test_rules_on_marks_and_users_are_read_whole(netns: Netns) -> None:
    """Of both families, as a plan with pins has them."""
    words = ("fwmark 0x1001/0x107f", "iif lo uidrange 0-0", "fwmark 0x5")
    for family, everything in (("-4", "0.0.0.0/0"), ("-6", "::/0")):
        netns.ip(
            [
                f"rule add {each} lookup 10 priority {7 + number}"
                for number, each in enumerate(words)
            ],
            family,
        )
        marked, users, plain = (
            rule(7 + number, 10, everything) for number in range(3)
        )
        assert {
            replace(marked, fwmark=0x1001, fwmask=0x107F),
            replace(users, iif="lo", uid=0),
            replace(plain, fwmark=5, fwmask=0xFFFFFFFF),
        } <= read_inside(netns).rules


def test_rules_of_others_like_ours_are_read_whole(netns: Netns) -> None:
    """A prefix as a source, big tables, a suppressor alone."""
    netns.ip(
        [
            "rule add from 10.9.0.0/16 lookup 4294967295 priority 1",
            "rule add lookup main suppress_prefixlength 8 priority 2",
            "rule add from 10.8.0.0/16 iif lo lookup 7 priority 3",
        ]
    )
    observed = read_inside(netns)
    assert rule(1, 4294967295, "10.9.0.0/16") in observed.rules
    lone = replace(rule(2, 254), suppress_prefixlength=8)
    assert lone in observed.rules
    own = replace(rule(3, 7, "10.8.0.0/16"), iif="lo")
    assert own in observed.rules


def test_both_families_are_read(new_netns: Callable[[], Netns]) -> None:
    """Each with its own rules, routes and addresses."""
    netns = new_netns()
    netns.ip(
        [
            *veth_commands("private"),
            "address add 10.0.0.10/24 dev private",
            "address add 2001:db8::10/64 dev private nodad",
            "route add default via 10.0.0.1 table 10 metric 7 src 10.0.0.10",
        ]
    )
    netns.ip(
        [
            "route add default via 2001:db8::1 dev private table 10",
            "rule add from 2001:db8::10 lookup 10 priority 31100",
        ],
        "-6",
    )
    observed = read_inside(netns)
    for text in ("10.0.0.10/24", "2001:db8::10/64"):
        assert ("private", ip_interface(text)) in observed.addresses
    wanted = Route(
        network("0.0.0.0/0"),
        ip_address("10.0.0.1"),
        10,
        ip_address("10.0.0.10"),
        7,
    )
    assert ("private", wanted) in observed.routes
    ipv6 = {
        (each.to, each.via, each.table)
        for _, each in observed.routes
        if each.to.version == 6
    }
    assert (network("::/0"), ip_address("2001:db8::1"), 10) in ipv6
    assert rule(31100, 10, "2001:db8::10") in observed.rules
    assert rule(0, 255, "::/0") in observed.rules


def test_a_route_is_read_however_its_table_was_given(netns: Netns) -> None:
    """Main has no number in the text; a host has no length."""
    netns.ip(
        [
            *veth_commands("private"),
            "address add 10.0.0.10/24 dev private",
            "route add default via 10.0.0.1",
            "route add 192.0.2.1 via 10.0.0.1 table 300",
            "route add blackhole 192.0.2.2 table 300",
        ]
    )
    observed = read_inside(netns)
    routes = {
        (name, replace(each, prefsrc=None)) for name, each in observed.routes
    }
    assert routes == {
        ("private", route("0.0.0.0/0", "10.0.0.1")),
        ("private", route("10.0.0.0/24")),
        ("private", route("192.0.2.1/32", "10.0.0.1", 300)),
    }


def test_routes_with_two_gateways_are_nobodys(netns: Netns) -> None:
    """A multipath route has no one device; it must not break the reading."""
    netns.ip(
        [
            *veth_commands("private"),
            "address add 10.0.0.10/24 dev private",
            "route add default nexthop via 10.0.0.1 nexthop via 10.0.0.2",
        ]
    )
    targets = {each.to for _, each in read_inside(netns).routes}
    assert targets == {network("10.0.0.0/24")}


def test_an_interface_that_is_called_otherwise_is_another(
    netns: Netns,
) -> None:
    """The rename is part of what is verified."""
    plan = plan_for()
    install(netns, plan, ("link set public down", "link set public name x"))
    missing = mismatches(plan, read_inside(netns))
    assert "address 10.224.186.43/26 on public is missing" in missing
    assert not any("private" in line for line in missing)


def test_an_address_of_a_plan_is_found_by_its_length(netns: Netns) -> None:
    """Not by the address alone."""
    netns.ip([*veth_commands("private"), "address add 10.1.1.1 dev private"])
    observed = read_inside(netns)
    item = planned(addresses=(ip_interface("10.1.1.1/24"),))
    assert ("private", item.addresses[0]) not in observed.addresses
    assert ("private", ip_interface("10.1.1.1/32")) in observed.addresses
