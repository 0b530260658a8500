# SPDX-License-Identifier: Apache-2.0
"""The drop-ins say what netplan cannot."""

from __future__ import annotations

from configparser import ConfigParser
from dataclasses import replace

from cc_multihome.files import HEADER
from cc_multihome.model import LEARNED, Plan, Route
from cc_multihome.numbers import ENI_IFGROUP
from cc_multihome.render.networkd import drop_in, drop_in_path
from tests.unit.builders import address, network, plan_for, planned, rule


def sections(text: str) -> dict[str, dict[str, str]]:
    """Read a drop-in that has each section once."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def drop_ins(plan: Plan) -> dict[str, dict[str, dict[str, str]]]:
    """Read the drop-ins of all interfaces."""
    return {
        item.name: sections(drop_in(item, plan.ifgroup))
        for item in plan.interfaces
    }


def test_the_seeds_host_has_group_and_rule_in_the_drop_ins() -> None:
    """Golden: the rule once, the group on every ENI."""
    assert drop_ins(plan_for()) == {
        "private": {
            "Match": {"Name": "ens5"},
            "Link": {"Group": str(ENI_IFGROUP)},
            "RoutingPolicyRule": {
                "Priority": "31000",
                "Table": "254",
                "Family": "ipv4",
                "SuppressPrefixLength": "0",
                "SuppressInterfaceGroup": str(ENI_IFGROUP),
            },
        },
        "public": {
            "Match": {"Name": "ens6"},
            "Link": {"Group": str(ENI_IFGROUP)},
        },
    }


def test_an_old_systemd_gets_neither_group_nor_rule() -> None:
    """It would log an unknown key and ignore the rest of the rule."""
    assert drop_ins(plan_for(systemd=249)) == {
        "private": {"Match": {"Name": "ens5"}},
        "public": {"Match": {"Name": "ens6"}},
    }


def test_an_interface_that_keeps_its_name_needs_no_match() -> None:
    """Netplan's own file matches it all the time."""
    assert drop_in(planned("ens5"), None) == ""


def test_the_drop_in_begins_with_the_mark_of_ours() -> None:
    """By that it is found again and taken away."""
    assert drop_in(planned(), 1).startswith(HEADER)


def test_the_drop_in_belongs_to_the_netdef_and_not_to_the_name() -> None:
    """Netplan names networkd's file after the netdef."""
    path = drop_in_path(planned("private", netdef_id="ens5"))
    assert path == "10-netplan-ens5.network.d/50-multihome.conf"


def test_a_suppressor_alone_is_said_alone() -> None:
    """networkd has a key for each."""
    lone = replace(rule(1, 254), suppress_prefixlength=0)
    text = drop_in(planned("ens5", rules=(lone,)), None)
    assert "SuppressInterfaceGroup" not in text
    assert "SuppressPrefixLength=0" in text


def test_a_rule_for_a_subnet_is_for_the_hosts_own_traffic() -> None:
    """Its source is said, and netplan has no key for `iif`."""
    own = replace(rule(31101, 20, "10.0.1.0/24"), iif="lo")
    text = drop_in(planned("ens5", rules=(own,)), None)
    assert sections(text) == {
        "RoutingPolicyRule": {
            "Priority": "31101",
            "Table": "20",
            "From": "10.0.1.0/24",
            "IncomingInterface": "lo",
        }
    }


def test_ipv6_takes_its_router_from_advertisements_and_nothing_else() -> None:
    """Addresses come from the plan, and main's default is for one ENI."""
    text = drop_in(planned("ens5", accept_ra=True), None)
    assert sections(text)["IPv6AcceptRA"] == {
        "UseGateway": "no",
        "UseOnLinkPrefix": "no",
        "UseAutonomousPrefix": "no",
        "UseDNS": "no",
        "UseDomains": "no",
        "DHCPv6Client": "no",
        "RouteTable": "10",
    }
    for said in (False, None):
        assert drop_in(planned("ens5", accept_ra=said), None) == ""


def test_ipv6_routes_stand_in_the_drop_in() -> None:
    """Netplan knows no learned gateway, and writes a scope that is none."""
    routes = (
        Route(network("10.0.0.0/24"), None, 10),
        Route(network("::/0"), LEARNED, 254),
        Route(network("2001:db8::/64"), None, 254, metric=1025),
        Route(
            network("2001:db8:9::/48"),
            address("fe80::9"),
            10,
            address("2001:db8::5"),
        ),
    )
    text = drop_in(planned("ens5", routes=routes), None)
    assert text.partition("\n\n")[2].split("\n\n") == [
        "[Route]\nDestination=::/0\nGateway=_ipv6ra\nTable=254",
        "[Route]\nDestination=2001:db8::/64\nTable=254\nMetric=1025",
        # honor_main_routes: an administrator chose the source, too.
        (
            "[Route]\nDestination=2001:db8:9::/48\nGateway=fe80::9\n"
            "PreferredSource=2001:db8::5\nTable=10\n"
        ),
    ]
