# SPDX-License-Identifier: Apache-2.0
"""The seed's instance from one key: what a person gets, on the real thing.

One boot serves all tests of this file but the last ones; they run in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import user_data
from tests.lab.cleanup import Run
from tests.lab.image import with_package
from tests.lab.instance import LabInstance, booted
from tests.lab.report import render
from tests.lab.user_data import SEED_INTENT
from tests.lab.vpc_dns import INTERNET_NAME
from tests.vm.state import (
    LOG,
    RUN_AGAIN,
    file_stamps,
    planned_rules,
    read_state,
    suppressor_group,
    wait_for_rules,
    wait_for_state,
)


@pytest.fixture(scope="module")
def seed(lab_run: Run, deb: Path) -> Iterator[LabInstance]:
    """The seed's instance, booted once with the module."""
    data = user_data.multihome(SEED_INTENT)
    image = with_package("trixie", deb)
    with booted(lab_run, image, SEED_INTENT, data, label="mh") as instance:
        yield instance


def assert_every_flow_is_right(instance: LabInstance) -> None:
    """By the side that answered, and by the ENI captured at the router."""
    column = instance.column("with multihome", SEED_INTENT)
    print(render([column]))
    wrong = [
        f"{item.flow.id}: {item.detail}"
        for item in column.verdicts
        if not item.ok
    ]

    assert [] == wrong
    assert 0 == sum(drops.src for drops in column.drops.values())


def test_cloud_init_is_done_and_has_nothing_to_say(seed: LabInstance) -> None:
    """No error and no warning, also not about the unknown key."""
    status = seed.vm.agent.json("cloud-init status --format json")

    assert ("done", []) == (status["status"], status["errors"])
    warned = seed.vm.run(f"grep -E 'WARNING|ERROR' {LOG} || true").out
    assert "multihome" not in warned


def test_every_flow_leaves_and_returns_by_the_right_eni(
    seed: LabInstance,
) -> None:
    """The table of the issue, last column."""
    assert_every_flow_is_right(seed)


def test_the_rules_are_the_planned_ones_in_their_order(
    seed: LabInstance,
) -> None:
    """Not one more, not one less."""
    assert planned_rules(SEED_INTENT) == seed.priorities()


def test_interfaces_and_tables_have_their_names(seed: LabInstance) -> None:
    """`ip route show table private` works."""
    state = read_state(seed)

    for name in SEED_INTENT.tables:
        assert SEED_INTENT.shape.eni(name).mac == state["links"][name]
        assert suppressor_group() == state["groups"][name]
        assert 9001 == state["mtu"][name]
    shown = seed.vm.run("ip route show table private").out
    assert "default via 10.224.184.1 dev private" in shown


def test_the_vpc_resolver_has_replaced_systemd_resolved(
    seed: LabInstance,
) -> None:
    """resolv.conf names the VPC's resolver and its search domain."""
    state = read_state(seed)

    assert "inactive" == state["resolved"]
    assert "nameserver 169.254.169.253\n" in state["resolv.conf"]
    assert "search ec2.internal\n" in state["resolv.conf"]
    enabled = seed.vm.run("systemctl is-enabled systemd-resolved", check=False)
    assert "disabled" == enabled.out.strip()


def test_a_second_run_changes_nothing(seed: LabInstance) -> None:
    """No file is written, nothing is reloaded, and the log says so."""
    stamps, state = file_stamps(seed), read_state(seed)
    lines = int(seed.vm.run(f"wc -l < {LOG}").out)
    reloads = seed.vm.run("journalctl -b -u systemd-networkd | wc -l").out

    seed.vm.run(RUN_AGAIN)

    said = seed.vm.run(f"tail -n +{lines + 1} {LOG}").out
    assert "nothing to change" in said
    assert (stamps, state) == (file_stamps(seed), read_state(seed))
    after = seed.vm.run("journalctl -b -u systemd-networkd | wc -l").out
    assert reloads == after


def test_a_rule_that_was_lost_comes_back_at_the_next_run(
    seed: LabInstance,
) -> None:
    """Drift is repaired, and said."""
    state = read_state(seed)
    seed.vm.run("ip rule del priority 31101")
    assert planned_rules(SEED_INTENT) != seed.priorities()

    seed.vm.run(RUN_AGAIN)

    assert state == read_state(seed)


EXPLAINED = {
    "198.51.100.42": "private",
    "203.0.113.200": "public",
    "203.0.113.200 --from 10.224.184.51": "private",
    "192.0.2.14 --from 10.224.186.43": "public",
    "169.254.169.254": "public",
    "10.224.184.9": "private",
    "10.224.184.63": "private",
    "10.224.186.43": "lo",
    "127.0.0.1": "lo",
    "255.255.255.255": "public",
    "::1": "lo",
    "2001:db8::1": None,
}


def test_explain_says_what_the_kernel_does(seed: LabInstance) -> None:
    """No false alarm, and a rule that was lost is named."""
    for words, name in EXPLAINED.items():
        found = seed.vm.agent.json(f"multihome explain {words} --json")
        way = found["kernel"]["way"]
        assert found["agree"], (words, found["differences"])
        assert name == (way and way["interface"]), words
    lost = seed.vm.run(
        "ip rule del priority 32700; multihome explain 198.51.100.42",
        check=False,
    )
    seed.vm.run(RUN_AGAIN)

    assert 1 == lost.status
    assert (
        "rule 32700: from all lookup multihome-policy is missing" in lost.out
    )
    seed.vm.run("multihome explain 198.51.100.42")


def test_an_overlay_of_puppets_applies_on_top(seed: LabInstance) -> None:
    """The article's 60-policy-routes.yaml, with `netplan apply` as there."""
    overlay = "/etc/netplan/60-policy-routes.yaml"
    content = (
        "network: {version: 2, ethernets: {ens5: {routing-policy: ["
        "{to: 198.51.100.77, table: 10, priority: 500}]}}}\n"
    )
    seed.vm.agent.put(content.encode(), overlay, mode=0o600)
    rules = sorted([*planned_rules(SEED_INTENT), (500, "all", 10)])
    seed.vm.run("netplan apply")

    wait_for_rules(seed, rules)
    seed.vm.run(RUN_AGAIN)
    assert rules == seed.priorities()

    seed.vm.run(f"rm {overlay}; netplan apply")
    wait_for_rules(seed, planned_rules(SEED_INTENT))
    assert_every_flow_is_right(seed)


def test_a_kept_resolver_answers_though_dhcp_is_off(
    seed: LabInstance,
) -> None:
    """systemd-resolved goes on with what DHCP had told each link."""
    before = read_state(seed)
    server = SEED_INTENT.shape.dns
    drop_in = "/etc/multihome.d/90-keep.yaml"
    seed.vm.run(
        "multihome restore; for _ in $(seq 30); do"
        f" resolvectl dns | grep -qF {server} && break; sleep 1; done"
    )
    seed.vm.run(
        f"mkdir -p /etc/multihome.d; echo 'resolver: keep' > {drop_in};"
        f" {RUN_AGAIN}"
    )

    state = read_state(seed)
    shown = seed.vm.run("resolvectl dns").out
    asked = f"getent ahostsv4 {INTERNET_NAME}"
    answer = seed.vm.run(asked, check=False).out
    seed.vm.run(f"rm {drop_in}; {RUN_AGAIN}")

    assert "active" == state["resolved"]
    assert before["rules"] == state["rules"]
    assert "multihome" not in state["resolv.conf"]
    assert server in shown
    assert SEED_INTENT.shape.internet in answer
    wait_for_state(seed, before)


def test_a_plan_that_does_not_come_about_is_taken_back(
    seed: LabInstance,
) -> None:
    """An administrator's drop-in that knows the former name alone.

    networkd lets go of the link under its new name, and has it again when the
    former one is back.
    """
    state = read_state(seed)
    folder = "/etc/systemd/network/10-netplan-ens6.network.d"
    seed.vm.run(
        f"mkdir -p {folder}; printf '[Match]\\nName=\\nName=ens6 public\\n'"
        f" > {folder}/99-odd.conf"
    )
    changed = (
        "from cc_multihome import pipeline;"
        "from cc_multihome.apply import verify;"
        "import cc_multihome.apply.host as a, functools;"
        "a.verify = functools.partial(verify.verify, timeout=10);"
        "pipeline.configure({'interfaces': {'inside': {'device_number': 0},"
        " 'outside': {'device_number': 1}}})"
    )
    result = seed.vm.run(f'python3 -c "{changed}"', check=False, timeout=300)
    seed.vm.run(f"rm -r {folder}; networkctl reload")

    assert 0 != result.status
    assert "does not hold the plan" in result.err
    assert "The former state was put back" in result.err
    assert "on outside is missing" in result.err
    wait_for_state(seed, state)


def test_a_reboot_ends_in_the_same_state(seed: LabInstance) -> None:
    """The overlay is gone with /run; the module makes it again."""
    before = read_state(seed)

    boot = seed.vm.reboot()

    assert ("done", "running") == (boot.cloud_init, boot.system), boot.why
    wait_for_state(seed, before)
    assert_every_flow_is_right(seed)


def test_a_wrong_key_changes_nothing_and_says_why(
    lab_run: Run, deb: Path
) -> None:
    """The host boots with stock networking; the log holds one clear error.

    cloud-init follows ENIs then, as without the module, until a person has
    mended it.
    """
    data = user_data.multihome(SEED_INTENT, default="nowhere")
    image = with_package("trixie", deb)
    with booted(lab_run, image, SEED_INTENT, data, label="bad") as instance:
        log = instance.vm.run(f"grep -c 'mistake in the conf' {LOG}").out
        said = instance.vm.run(f"grep -A3 'mistake in the conf' {LOG}").out
        column = instance.column("wrong key", SEED_INTENT)
        state = read_state(instance)
        refused = who_follows(instance)
        instance.vm.run("mkdir /etc/multihome.d")
        instance.vm.agent.put(
            b"default: public\n", "/etc/multihome.d/50-mend.yaml"
        )
        instance.vm.run("multihome apply", timeout=200)
        mended = who_follows(instance)
        rules = instance.priorities()

    assert "1" == log.strip()
    assert "multihome.default: found 'nowhere'" in said
    assert "private, public" in said
    assert {"lo", "ens5", "ens6"} == set(state["links"])
    assert "active" == state["resolved"]
    inbound = [item for item in column.verdicts if item.flow.id[:3] == "in "]
    assert inbound and all(item.ok for item in inbound)
    assert ("active", "", []) == refused
    assert ("inactive", "person", []) == mended
    assert planned_rules(SEED_INTENT) == rules


def who_follows(instance: LabInstance) -> tuple[str, str, list[str]]:
    """Do what the timer does; then say whether cloud-init follows ENIs.

    Returns the state of the socket of cloud-init's hotplug, who put the key
    in force, and the module's units that failed.
    """
    instance.vm.run("systemctl start multihome-refresh", timeout=200)
    socket = instance.vm.run(
        "systemctl is-active cloud-init-hotplugd.socket", check=False
    )
    by = instance.vm.run("cat /run/multihome/active", check=False)
    failed = instance.vm.run("systemctl --failed --plain --no-legend").out
    units = [line for line in failed.splitlines() if "multihome" in line]
    return socket.out.strip(), by.out.strip(), units
