# SPDX-License-Identifier: Apache-2.0
"""What was kept comes back on its own host, and on no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cc_multihome import decide, early, state
from cc_multihome.apply import (
    host,
    lock,
    networkd,
    networkd_files,
    nftables,
    rename,
)
from cc_multihome.apply.sysctl import Sysctl
from cc_multihome.discover.imds_tree import tree_of
from cc_multihome.discover.links import HostLinks
from cc_multihome.errors import CommandError, RefusedError
from cc_multihome.files import HEADER
from cc_multihome.model import Plan
from tests.unit.builders import (
    PRIVATE_MAC,
    SEED_KEY,
    FakeRun,
    instance,
    links_of,
    netplan_file,
)

OVERLAY = "run/netplan/55-multihome.yaml"
GENERATE = "netplan generate"
RENAMES = [
    "ip link set dev ens5 name private",
    "ip link set dev ens6 name public",
]


class Boot:
    """A boot of the seed's instance, before networkd.

    Attributes:
        links: the devices that it has.
        id_file: where cloud-init writes the instance id.
    """

    def __init__(self, patch: pytest.MonkeyPatch, root: Path) -> None:
        self.root, self.links = root, links_of(instance())
        self.run = FakeRun(networkctl="systemd 257 (257.7-1)\n")
        self.id_file = root / "instance-id"
        self.id_file.write_text(f"{instance().instance_id}\n")
        seed = netplan_file(
            "50-cloud-init.yaml",
            {"ens5": {"match": {"macaddress": PRIVATE_MAC}}},
        )
        patch.setattr(state, "STATE", root / "var")
        patch.setattr(state, "RUN", root / "run/multihome")
        patch.setattr(lock, "LOCK", root / "run/multihome/lock")
        patch.setattr(host, "ROOT", root)
        patch.setattr(early, "CLOUD_INIT_RUNS", root / "enabled")
        patch.setattr(early, "INSTANCE_ID", self.id_file)
        patch.setattr(networkd, "run", self.run)
        patch.setattr(networkd_files, "NETWORKD_FILES", root / "run/network")
        patch.setattr(networkd_files, "RUN_MULTIHOME", root / "run/multihome")
        patch.setattr(early, "validate", lambda *_: None)
        patch.setattr(rename, "run", self.run)
        patch.setattr(rename, "if_nametoindex", lambda _: 7)
        patch.setattr(host, "needs_resolver", lambda _: False)
        patch.setattr(host, "find_sysctls", lambda _: ())
        patch.setattr(nftables, "ROOT", root)
        patch.setattr(nftables, "run", self.run)
        patch.setattr(early, "find_sysctls", self.find_sysctls)
        patch.setattr(early, "apply_sysctls", self.apply_sysctls)
        patch.setattr(decide, "run", self.run)
        patch.setattr(decide, "read_lacks", lambda **_: {})
        patch.setattr(decide, "read_own_overlay", lambda: ())
        patch.setattr(decide, "read_netplan_files", lambda: (seed,))
        for module in (early, decide):
            patch.setattr(module, "read_links", self.read_links)
        self.set_of: list[str] = []
        self.keep()

    def keep(self, **more: object) -> None:
        """Keep the seed's key, and more."""
        state.save(
            state.KEPT,
            {
                "fingerprint": "one",
                "key": {**SEED_KEY, **more},
                "metadata": tree_of(instance()),
                "leases": {
                    PRIVATE_MAC: {"mtu": 8999, "nameservers": [], "search": []}
                },
            },
        )

    def find_sysctls(self, plan: Plan) -> tuple[Sysctl, ...]:
        """Find something to set for each link."""
        assert all(call in self.run.calls for call in RENAMES)
        self.set_of = [item.ifname for item in plan.interfaces]
        return (Sysctl((7, "rp_filter"), 2, 1),)

    def apply_sysctls(self, *_: object) -> None:
        """Set it."""
        self.run.calls.append("sysctls")

    def read_links(self, _: object) -> HostLinks:
        """Read the devices."""
        return HostLinks(self.links, frozenset())

    def overlay(self) -> str | None:
        """Return what netplan would read of ours."""
        path = self.root / OVERLAY
        return path.read_text() if path.exists() else None


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Boot:
    """The next boot of the seed's instance."""
    return Boot(monkeypatch, tmp_path)


def test_the_same_host_gets_its_plan_before_networkd_starts(
    boot: Boot,
) -> None:
    """So that the first packet takes the right way."""
    assert early.main() == 0
    text = boot.overlay()
    assert text is not None
    assert text.startswith(HEADER)
    assert "10.224.184.51/26" in text
    assert "mtu: 8999" in text
    assert GENERATE in boot.run.calls
    assert state.active() == "kept"
    assert ("kept", None) == told()


def told() -> tuple[str, str | None] | None:
    """Return outcome and error of what is told of the boot."""
    status = state.read_status()
    return (status["outcome"], status["error"]) if status else None


def test_names_are_given_before_networkd_starts(boot: Boot) -> None:
    """Nobody else gives them in such a boot."""
    early.main()
    renames = [call for call in boot.run.calls if call.startswith("ip link")]
    assert renames == RENAMES


def test_table_and_settings_come_with_it(boot: Boot) -> None:
    """Those of the links by their new names; no table where none is kept."""
    early.main()
    assert "nft -f -" not in boot.run.calls
    boot.keep(containers=True)
    early.main()
    assert boot.run.calls[-2:] == ["nft -f -", "sysctls"]
    assert boot.set_of == ["private", "public"]
    assert (boot.root / nftables.IN_FORCE).exists()


def test_a_kernel_without_nftables_has_its_network_all_the_same(
    boot: Boot,
) -> None:
    """The timer's run says what is wrong."""
    boot.keep(containers=True)
    boot.run.outputs["nft"] = CommandError("no such module")
    assert early.main() == 0
    assert boot.overlay() is not None
    assert boot.run.calls[-1] == "sysctls"
    assert ("kept", None) == told()
    assert not (boot.root / nftables.IN_FORCE).exists()


def test_where_cloud_init_runs_the_module_comes_with_it(boot: Boot) -> None:
    """cloud-init's own DHCP would break a static address."""
    (boot.root / "enabled").touch()
    early.main()
    assert boot.overlay() is None
    assert state.active() is None
    assert told() is None


def test_another_instance_gets_nothing_of_it(boot: Boot) -> None:
    """An image was made of the first one."""
    boot.id_file.write_text("i-0eeeeeeeeeeeeeeee\n")
    early.main()
    assert boot.overlay() is None
    assert state.active() is None
    outcome, error = told() or ("", "")
    assert outcome == "refused"
    assert "i-0eeeeeeeeeeeeeeee" in (error or "")


def test_another_mac_gets_nothing_of_it(boot: Boot) -> None:
    """cloud-init is disabled there, and says no instance id."""
    boot.id_file.unlink()
    boot.links = (replace(boot.links[0], mac="02:00:00:00:00:99"),)
    early.main()
    assert boot.overlay() is None


@pytest.mark.parametrize("count", [1, 3])
def test_one_eni_fewer_or_more_is_another_host(boot: Boot, count: int) -> None:
    """The metadata service has to be asked again."""
    extra = replace(boot.links[0], mac="02:00:00:00:00:99", ifname="ens9")
    boot.links = (*boot.links, extra)[:count]
    early.main()
    assert boot.overlay() is None
    outcome, error = told() or ("", "")
    assert outcome == "refused"
    assert "its devices have the MACs" in (error or "")


def test_where_cloud_init_is_disabled_the_macs_decide(boot: Boot) -> None:
    """There is no instance id then, on a first boot without it."""
    boot.id_file.unlink()
    early.main()
    assert boot.overlay() is not None


def test_without_anything_kept_nothing_happens(boot: Boot) -> None:
    """The first boot."""
    state.forget(state.KEPT)
    assert early.main() == 0
    assert boot.run.calls == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("null", id="nothing"),
        pytest.param("[]", id="no mapping"),
        pytest.param('{"key": {}}', id="half of it"),
        pytest.param('{"metadata": 5}', id="another shape"),
        pytest.param("5", id="a number"),
    ],
)
def test_what_is_damaged_never_fails_the_boot(boot: Boot, text: str) -> None:
    """cloud-init's own networking comes up, as with nothing kept."""
    (boot.root / "var" / state.KEPT).write_text(text)
    assert early.main() == 0
    assert boot.overlay() is None
    assert told() is None


def test_what_netplan_refuses_is_taken_away_again(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before networkd sees it."""

    def refuse(*_: object) -> None:
        raise RefusedError("no")

    def fail(_: list[str]) -> str:
        raise CommandError("no")

    monkeypatch.setattr(early, "validate", refuse)
    assert early.main() == 0
    assert boot.overlay() is None
    monkeypatch.setattr(early, "validate", lambda *_: None)
    monkeypatch.setattr(networkd, "run", fail)
    assert early.main() == 0
    assert boot.overlay() is None


def test_names_that_are_refused_leave_no_file_of_networkds(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """netplan has written them by then: it has to write the former ones."""

    def refuse(*_: object) -> None:
        boot.run.calls.append("rename")
        raise CommandError("busy")

    monkeypatch.setattr(early, "rename_links", refuse)
    assert early.main() == 0
    assert boot.overlay() is None
    after = boot.run.calls[boot.run.calls.index("rename") + 1 :]
    assert after == [GENERATE]
