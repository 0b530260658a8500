# SPDX-License-Identifier: Apache-2.0
"""Netplan's YAML means what the seed's does, and shadows what it must."""

from __future__ import annotations

from ipaddress import ip_interface
from typing import Any

import pytest
import yaml

from cc_multihome.discover.netplan_files import OVERLAY_NAME
from cc_multihome.files import HEADER
from cc_multihome.model import LEARNED, Plan, PlannedInterface, Route
from cc_multihome.numbers import POLICY_TABLE
from cc_multihome.render import render
from cc_multihome.render.netplan import LAST_ID_PREFIX, overlay, shadows
from cc_multihome.render.resolv_conf import resolv_conf
from cc_multihome.render.rt_tables import names
from tests.unit.builders import (
    DATA,
    DESTINATIONS,
    PRIVATE_MAC,
    PUBLIC_MAC,
    address,
    eni,
    instance,
    netplan_file,
    network,
    plan,
    plan_for,
    planned,
    rule,
)

CLOUD_INIT = "50-cloud-init.yaml"
ALL_EN = {"match": {"name": "en*"}, "dhcp4": True}


def seed() -> dict[str, Any]:
    """Read the netplan file of the seed's article."""
    text = (DATA / "seed-55-terraform.yaml").read_text("utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def rendered(plan: Plan) -> dict[str, Any]:
    """Render the overlay and read it again."""
    content: dict[str, Any] = yaml.safe_load(overlay(plan))
    return content


def netdefs(plan: Plan) -> dict[str, Any]:
    """Return what the overlay says of each netdef."""
    found: dict[str, Any] = rendered(plan)["network"]["ethernets"]
    return found


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Map the path of each leaf to it; a list's items stand by content."""
    if isinstance(value, dict):
        pairs = [(f"{path}.{key}", item) for key, item in value.items()]
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        pairs = [(f"{path}[{_name_item(item)}]", item) for item in value]
        assert len(dict(pairs)) == len(pairs), f"two alike in {path}"
    else:
        return {path: tuple(value) if isinstance(value, list) else value}
    leaves: dict[str, Any] = {}
    for where, item in pairs:
        leaves |= flatten(item, where)
    return leaves


def _name_item(item: dict[str, Any]) -> str:
    key = "to" if "to" in item else "from"
    return f"{key} {item[key]} table {item.get('table', 'main')}"


def test_the_seeds_host_differs_from_the_seed_as_meant_and_no_more() -> None:
    """Each difference has its reason; any other one is a mistake."""
    network = "network.ethernets."
    private, public = f".{network}ens5", f".{network}ens6"
    policy = {
        f"{private}.routes[to {to}/32 table {POLICY_TABLE}].{key}": value
        for to in DESTINATIONS
        for key, value in (
            ("to", f"{to}/32"),
            ("via", "10.224.184.1"),
            ("table", POLICY_TABLE),
        )
    }
    rule = f"{private}.routing-policy[from 0.0.0.0/0 table {POLICY_TABLE}]"
    own = "routing-policy[from 10.224.184.51 table 10]"
    other = "routing-policy[from 10.224.186.43 table 20]"
    meant_more = {
        # Stated, so that a global renderer of another file cannot win.
        ".network.renderer": "networkd",
        # A secondary that never comes up must not hold up the boot.
        f"{public}.optional": True,
        # Without it chance decides about the order of the rules.
        f"{private}.{own}.priority": 31100,
        f"{public}.{other}.priority": 31101,
        # The seed's Puppet overlay has a rule for each destination.
        f"{rule}.from": "0.0.0.0/0",
        f"{rule}.table": POLICY_TABLE,
        f"{rule}.priority": 32700,
        **policy,
    }
    # networkd takes the kernel's route for a foreign one because of it.
    meant_less = {
        f"{private}.routes[to 10.224.184.0/26 table 10].via": "0.0.0.0",
        f"{public}.routes[to 10.224.186.0/26 table 20].via": "0.0.0.0",
    }
    ours, theirs = flatten(rendered(plan_for())), flatten(seed())
    assert dict(ours.items() - theirs.items()) == meant_more
    assert dict(theirs.items() - ours.items()) == meant_less


def test_a_default_mtu_is_left_out_and_another_stated() -> None:
    """DHCP gave it; without DHCP networkd would put the default back."""
    assert "mtu" not in netdefs(plan(planned()))["ens5"]
    assert netdefs(plan(planned(mtu=9001)))["ens5"]["mtu"] == 9001


def test_every_eni_is_matched_by_its_mac() -> None:
    """Kernel names are not stable; MACs are the ENI's own."""
    matches = {key: item["match"] for key, item in netdefs(plan_for()).items()}
    assert matches == {
        "ens5": {"macaddress": PRIVATE_MAC},
        "ens6": {"macaddress": PUBLIC_MAC},
    }


def test_an_interface_that_keeps_its_name_has_no_set_name() -> None:
    """Netplan would rename it to what it is called."""
    found = netdefs(plan(planned("ens5")))["ens5"]
    assert "set-name" not in found


def test_the_netdef_keeps_its_id_after_the_rename() -> None:
    """A second run that renders other ids would change every file."""
    first = planned(ifname="ens5", netdef_id="ens5", name="private")
    second = planned(ifname="private", netdef_id="ens5", name="private")
    assert overlay(plan(first)) == overlay(plan(second))


def test_a_rule_for_a_subnet_is_left_to_the_drop_in() -> None:
    """Netplan has no `iif`."""
    crowd = eni(
        0, *(f"10.0.0.{it}" for it in range(10, 15)), subnet="10.0.0.0/24"
    )
    found = netdefs(plan_for({}, instance(crowd, eni(1))))
    assert "routing-policy" not in found["ens5"]


def test_rules_that_netplan_cannot_say_are_left_to_the_drop_in() -> None:
    """Netplan refuses unknown keys, and then the whole file."""
    priorities = [
        each["priority"]
        for each in netdefs(plan_for())["ens5"]["routing-policy"]
    ]
    assert sorted(priorities) == [31100, 32700]


def test_ipv6_addresses_but_the_first_are_deprecated() -> None:
    """So they are never the source of traffic that is not bound to one."""
    item = planned(
        addresses=tuple(
            map(
                ip_interface,
                (
                    "10.224.184.51/26",
                    "2001:db8::5/128",
                    "2001:db8::6/128",
                    "2001:db8::4/128",
                ),
            )
        ),
        accept_ra=True,
    )
    assert netdefs(plan(item))["ens5"]["addresses"] == [
        "10.224.184.51/26",
        "2001:db8::5/128",
        {"2001:db8::6/128": {"lifetime": 0}},
        {"2001:db8::4/128": {"lifetime": 0}},
    ]


def test_an_ipv6_only_eni_has_no_dhcp_and_hears_its_router() -> None:
    """Its routes stand in the drop-in: netplan cannot say them."""
    item = planned(
        addresses=(ip_interface("2001:db8::5/128"),),
        routes=(Route(network("::/0"), LEARNED, 10),),
        rules=(rule(31100, 10, "2001:db8::5"),),
        accept_ra=True,
    )
    assert netdefs(plan(item))["ens5"] == {
        "match": {"macaddress": PRIVATE_MAC},
        "set-name": "private",
        "dhcp4": False,
        "dhcp6": False,
        "accept-ra": True,
        "addresses": ["2001:db8::5/128"],
        "routing-policy": [
            {"from": "2001:db8::5", "table": 10, "priority": 31100}
        ],
    }


@pytest.mark.parametrize("said", [True, False])
def test_router_advertisements_are_heard_or_not(said: bool) -> None:
    """And nothing is said of them where no ENI has IPv6."""
    assert netdefs(plan(planned(accept_ra=said)))["ens5"]["accept-ra"] is said
    assert "accept-ra" not in netdefs(plan(planned()))["ens5"]


def test_several_addresses_are_all_listed_and_the_first_is_the_source() -> (
    None
):
    """`from` of a route is netplan's word for the preferred source."""
    host = instance(
        eni(0), eni(1, "10.0.1.10", "10.0.1.11", subnet="10.0.1.0/24")
    )
    found = netdefs(plan_for({}, host))["ens6"]
    assert found["addresses"] == ["10.0.1.10/24", "10.0.1.11/32"]
    assert {item["from"] for item in found["routes"]} == {"10.0.1.10"}
    assert [item["from"] for item in found["routing-policy"]] == [
        "10.0.1.10",
        "10.0.1.11",
    ]


def test_a_prefix_as_a_source_is_written_with_its_length() -> None:
    """A single address without."""
    prefix = ip_interface("10.0.1.64/28").network
    host = instance(eni(0), eni(1, ipv4_prefixes=(prefix,)))
    found = netdefs(plan_for({}, host))["ens6"]["routing-policy"]
    assert [item["from"] for item in found] == ["10.0.1.10", "10.0.1.64/28"]


@pytest.mark.parametrize(
    "mac",
    [
        pytest.param("12:34:56:10:20:30", id="a number to base 60"),
        pytest.param("0e:00:00:00:00:01", id="digits and an e"),
    ],
)
def test_a_mac_that_looks_like_a_number_stays_text(mac: str) -> None:
    """YAML 1.1 reads some of them as numbers when they are not quoted."""
    found = netdefs(plan(planned(mac=mac)))["ens5"]
    assert found["match"]["macaddress"] == mac


def test_rendering_twice_gives_the_same_text() -> None:
    """Or every boot would reload networkd."""
    assert overlay(plan_for()) == overlay(plan_for())


# --- shadows --------------------------------------------------------------


def shadows_of(
    *files: Any, plan_: Plan | None = None
) -> dict[str, dict[str, Any]]:
    """Map each shadowed file to the netdefs that remain in it."""
    return {
        name: yaml.safe_load(text)["network"].get("ethernets", {})
        for name, text in shadows(plan_ or plan_for(), files)
    }


def test_cloud_inits_netdefs_of_the_enis_are_left_out() -> None:
    """Netplan adds lists together, so its routes and rules would remain."""
    file = netplan_file(
        CLOUD_INIT,
        {
            "ens5": {"match": {"macaddress": PRIVATE_MAC}, "dhcp4": True},
            "ens6": {"match": {"macaddress": PUBLIC_MAC}, "dhcp4": True},
        },
    )
    assert shadows_of(file) == {CLOUD_INIT: {}}


def test_a_netdef_of_another_device_stays_in_cloud_inits_file() -> None:
    """Shadowing must not take away what is not ours."""
    other = {"match": {"macaddress": "0a:ff:ff:ff:ff:ff"}, "dhcp4": True}
    file = netplan_file(CLOUD_INIT, {"ens5": {"dhcp4": True}, "ens9": other})
    assert shadows_of(file) == {CLOUD_INIT: {"ens9": other}}


def test_cloud_inits_netdef_of_another_id_goes_by_its_mac() -> None:
    """In upper case too."""
    match = {"macaddress": PRIVATE_MAC.upper()}
    file = netplan_file(CLOUD_INIT, {"id0": {"match": match}})
    assert shadows_of(file) == {CLOUD_INIT: {}}


def test_what_is_no_ethernet_stays_in_a_shadowed_file() -> None:
    """Bridges, tunnels and the renderer are somebody's."""
    file = netplan_file(CLOUD_INIT, {"ens5": {"dhcp4": True}})
    network = file.content["network"]
    network["bridges"] = {"br0": {"interfaces": []}}
    ((_, text),) = shadows(plan_for(), [file])
    assert yaml.safe_load(text)["network"] == {
        "version": 2,
        "bridges": {"br0": {"interfaces": []}},
    }


def test_debians_wildcard_gives_way_under_an_id_that_sorts_last() -> None:
    """networkd takes the first file that matches: all-en before ens5."""
    file = netplan_file("90-default.yaml", {"all-en": ALL_EN})
    found = shadows_of(file)
    assert found == {"90-default.yaml": {f"{LAST_ID_PREFIX}all-en": ALL_EN}}
    (key,) = found["90-default.yaml"]
    assert key > max(netdefs(plan_for()))


@pytest.mark.parametrize(
    "match",
    [
        pytest.param({"name": "eth*"}, id="other names"),
        pytest.param({"macaddress": "0a:ff:ff:ff:ff:ff"}, id="another MAC"),
        pytest.param(
            {"macaddress": "0a:ff:ff:ff:ff:ff", "name": "en*"}, id="both"
        ),
    ],
)
def test_a_match_of_other_devices_is_no_reason_to_shadow(
    match: dict[str, str],
) -> None:
    """The file stays as it is."""
    file = netplan_file("90-default.yaml", {"other": {"match": match}})
    assert shadows_of(file) == {}


@pytest.mark.parametrize(
    "match",
    [
        pytest.param({"name": "private"}, id="the new name"),
        pytest.param({"driver": "ena"}, id="a driver"),
        pytest.param({"macaddress": PUBLIC_MAC}, id="the MAC"),
        pytest.param({}, id="everything"),
    ],
)
def test_a_match_of_an_eni_by_another_id_gives_way(
    match: dict[str, str],
) -> None:
    """Whichever way it matches."""
    netdef = {"match": match}
    file = netplan_file("70-site.yaml", {"aaa": netdef})
    assert shadows_of(file) == {
        "70-site.yaml": {f"{LAST_ID_PREFIX}aaa": netdef}
    }


@pytest.mark.parametrize("mac", [PUBLIC_MAC, "0a:ff:ff:ff:ff:ff"])
def test_the_same_id_for_another_device_gives_way(mac: str) -> None:
    """netplan would merge the two, and match the last one's MAC."""
    netdef = {"match": {"macaddress": mac}, "dhcp4": True}
    file = netplan_file("70-site.yaml", {"ens5": netdef})
    assert shadows_of(file) == {
        "70-site.yaml": {f"{LAST_ID_PREFIX}ens5": netdef}
    }
    same = {"match": {"macaddress": PRIVATE_MAC}, "dhcp4": True}
    assert shadows_of(netplan_file("70-site.yaml", {"ens5": same})) == {}


def test_puppets_amendment_of_the_same_netdef_is_not_touched() -> None:
    """The seed's own 60-policy-routes.yaml still applies on top."""
    text = (DATA / "seed-60-policy-routes.yaml").read_text("utf-8")
    ethernets = yaml.safe_load(text)["network"]["ethernets"]
    file = netplan_file("60-policy-routes.yaml", ethernets)
    assert shadows_of(file) == {}


def test_a_netdef_without_match_of_another_id_is_not_touched() -> None:
    """It is for the device of that name alone."""
    file = netplan_file("60-more.yaml", {"ens9": {"dhcp4": True}})
    assert shadows_of(file) == {}


def test_a_file_without_any_netdef_is_not_touched() -> None:
    """`network: {version: 2}` is what some images ship."""
    assert shadows_of(netplan_file("01-empty.yaml", {})) == {}


# --- all files ------------------------------------------------------------


def test_every_file_is_marked_as_ours() -> None:
    """By that mark it is found again and taken away."""
    files = render(plan_for(), [netplan_file(CLOUD_INIT, {"ens5": {}})])
    assert all((file.text or "").startswith(HEADER) for file in files)


def test_the_files_stand_where_they_are_read() -> None:
    """Only netplan's are for root alone; it warns about others."""
    files = render(plan_for(), [netplan_file(CLOUD_INIT, {"ens5": {}})])
    assert {str(file.path): file.mode for file in files} == {
        f"run/netplan/{OVERLAY_NAME}": 0o600,
        f"run/netplan/{CLOUD_INIT}": 0o600,
        **{
            f"run/systemd/network/10-netplan-{name}.network.d"
            "/50-multihome.conf": 0o644
            for name in ("ens5", "ens6")
        },
        "etc/iproute2/rt_tables.d/multihome.conf": 0o644,
    }


def test_a_plan_without_interfaces_has_no_files() -> None:
    """Only the resolver is managed then."""
    cloud_init = netplan_file(CLOUD_INIT, {"ens5": {}})
    assert render(plan(), [cloud_init]) == ()


def test_the_shadow_sorts_before_the_overlay() -> None:
    """Later files win: the overlay has to be later than cloud-init's."""
    assert CLOUD_INIT < OVERLAY_NAME < "60-policy-routes.yaml"


def test_tables_have_the_interfaces_names() -> None:
    """`ip route show table private` works."""
    lines = names(plan_for()).splitlines()
    assert lines == [
        HEADER,
        "10\tprivate",
        "20\tpublic",
        f"{POLICY_TABLE}\tmultihome-policy",
    ]


def test_tables_are_listed_by_their_number() -> None:
    """Whichever ENI has which."""
    items = (planned("a", table=20), planned("b", table=10))
    assert names(plan(*items)).splitlines()[1:] == ["10\tb", "20\ta"]


def test_without_a_policy_its_table_has_no_name() -> None:
    """There is no such table."""
    assert "policy" not in names(plan(planned()))


def test_resolv_conf_names_the_search_domain_and_the_servers() -> None:
    """In the order that resolv.conf(5) reads them."""
    assert resolv_conf(plan_for().resolver) == (
        f"{HEADER}\nsearch ec2.internal\nnameserver 169.254.169.253\n"
    )


def test_resolv_conf_without_a_search_domain_has_no_such_line() -> None:
    """An empty one is an error to some resolvers."""
    key = {"resolver": {"nameservers": ["10.9.9.9", "2001:db8::53"]}}
    text = resolv_conf(plan_for(key, instance(eni(0))).resolver)
    assert text == (
        f"{HEADER}\nnameserver 10.9.9.9\nnameserver 2001:db8::53\n"
    )


def test_interfaces_stand_in_order_of_attachment() -> None:
    """A file that moves its lines about would be written again."""
    made: PlannedInterface = planned("b", netdef_id="ens9")
    assert list(netdefs(plan(made, planned("a")))) == ["ens9", "ens5"]


def test_name_servers_that_are_kept_stand_in_the_netdef() -> None:
    """For systemd-resolved; search domains only where there are some."""
    servers = (address("10.9.0.2"), address("2001:db8::53"))
    item = planned("ens5", nameservers=servers, search=("a.example",))

    assert netdefs(plan(item))["ens5"]["nameservers"] == {
        "addresses": ["10.9.0.2", "2001:db8::53"],
        "search": ["a.example"],
    }
    bare = planned("ens5", nameservers=servers[:1])
    assert netdefs(plan(bare))["ens5"]["nameservers"] == {
        "addresses": ["10.9.0.2"]
    }
    assert "nameservers" not in netdefs(plan(planned("ens5")))["ens5"]
