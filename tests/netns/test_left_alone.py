# SPDX-License-Identifier: Apache-2.0
"""What is bound to an ENI that is left alone leaves by it, pinned or not.

private 10.224.184.51/26    public 10.224.186.43/26    ens7 10.224.187.20/26
   (table 10)                  (table 20, default)        left alone: rule
                                                          and table 101 as
                                                          cloud-init's
"""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from cc_multihome.discover.netplan_rules import NetplanRouting, SourceRule
from cc_multihome.model import Plan
from cc_multihome.plan.left_alone import with_left_alone
from tests.lab.netns import Netns
from tests.netns.namespace import Query, ask, install, veth_commands
from tests.unit.builders import (
    DESTINATIONS,
    SEED_KEY,
    eni,
    instance,
    network,
    plan_for,
    seed_enis,
)

pytestmark = pytest.mark.netns

PUBLIC, THEIRS = "10.224.186.43", "10.224.187.20"
FAR = "203.0.113.99"
UID = 13
HOST = instance(*seed_enis(), eni(2, THEIRS, subnet="10.224.187.0/26"))
KEY = {
    **SEED_KEY,
    "interfaces": {
        **SEED_KEY["interfaces"],
        "theirs": {"device_number": 2, "manage": False},
    },
    "users": {"proxy": "private"},
}
# networkd gives the rule the highest priority that is free.
CLOUD_INIT = (
    *veth_commands("ens7"),
    f"address add {THEIRS}/26 dev ens7",
    "route add default via 10.224.187.1 dev ens7 table 101",
    f"rule add from {THEIRS} lookup 101 priority 32765",
)
OWNERS = NetplanRouting((SourceRule(network(THEIRS), 101, None),))
# As for the primary, for which it makes no rules. The last route is an
# administrator's.
BY_MAIN = (
    *veth_commands("ens7"),
    f"address add {THEIRS}/26 dev ens7",
    "route add default via 10.224.187.1 dev ens7 metric 100",
    "route add 10.77.0.0/16 via 10.224.184.1 dev private",
)


def leaves_by(
    netns: Netns, source: str | None, to: str, uid: int
) -> str | None:
    """Ask the kernel."""
    bound = ip_address(source) if source else None
    return ask(netns, [Query(ip_address(to), bound, uid=uid)])[0].dev


def planned() -> Plan:
    """Plan without the rules that are in question."""
    return plan_for(KEY, HOST, uids={"proxy": UID})


@pytest.mark.parametrize("to", [FAR, DESTINATIONS[0]], ids=["far", "policy"])
@pytest.mark.parametrize("uid", [UID, 0], ids=["pinned", "others"])
def test_from_its_address_everything_leaves_by_it(
    netns: Netns, to: str, uid: int
) -> None:
    """And what is not bound to it goes as ever."""
    plan = with_left_alone(planned(), HOST.enis, OWNERS)
    install(netns, plan, CLOUD_INIT)
    assert "ens7" == leaves_by(netns, THEIRS, to, uid)
    assert "public" == leaves_by(netns, PUBLIC, to, uid)
    other = "private" if uid == UID or to != FAR else "public"
    assert other == leaves_by(netns, None, to, uid)


@pytest.mark.parametrize("uid", [UID, 0], ids=["pinned", "others"])
def test_an_owner_may_have_no_more_than_mains_default(
    netns: Netns, uid: int
) -> None:
    """The chosen default goes by rule then; main's other routes hold."""
    owners = NetplanRouting(main={HOST.enis[2].mac: frozenset({4})})
    install(netns, with_left_alone(planned(), HOST.enis, owners), BY_MAIN)
    for to in (FAR, DESTINATIONS[0]):
        assert "ens7" == leaves_by(netns, THEIRS, to, uid)
        assert "public" == leaves_by(netns, PUBLIC, to, uid)
    assert "private" == leaves_by(netns, None, DESTINATIONS[0], uid)
    assert "private" == leaves_by(netns, None, "10.77.0.1", uid)
    neighbour = "private" if uid == UID else "public"
    assert neighbour == leaves_by(netns, None, FAR, uid)
    assert neighbour == leaves_by(netns, None, "10.224.186.9", uid)


def test_mains_default_would_take_what_is_the_owners(netns: Netns) -> None:
    """Negative twin."""
    install(netns, planned(), BY_MAIN)
    assert "public" == leaves_by(netns, THEIRS, FAR, 0)


def test_without_its_rules_a_pinned_user_is_led_astray(netns: Netns) -> None:
    """Negative twin."""
    install(netns, planned(), CLOUD_INIT)
    assert "private" == leaves_by(netns, THEIRS, FAR, UID)
    assert "ens7" == leaves_by(netns, THEIRS, FAR, 0)
