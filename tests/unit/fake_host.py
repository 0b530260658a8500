# SPDX-License-Identifier: Apache-2.0
"""A host in a folder: files, links and units, and what commands do to them.

It stands in for run(), for the kernel and for netplan, as far as apply.py and
resolver.py can tell. What it does is what was seen on real ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from cc_multihome.apply import (
    deadman,
    duplicates,
    foreign,
    former,
    group,
    learned,
    networkd,
    networkd_files,
    nftables,
    rename,
    resolver,
    restore,
    services,
    sysctl,
    verify,
)
from cc_multihome.apply import host as apply
from cc_multihome.apply.learned import Learned
from cc_multihome.apply.probes import Probe
from cc_multihome.apply.verify import wait_until_converged
from cc_multihome.discover import systemd
from cc_multihome.discover.foreign import Foreign
from cc_multihome.discover.kernel import Addresses
from cc_multihome.errors import CommandError
from cc_multihome.files import File
from cc_multihome.model import Observed, Plan
from cc_multihome.render import RUN_NETPLAN, RUN_NETWORKD, render
from tests.unit.builders import netplan_file, observed_of, plan

JOURNAL = "run/multihome/journal"
TIMER = f"{deadman.UNIT}.timer"
RESOLVED = "systemd-resolved.service"
NOBODYS = plan()
CLOUD_INIT = "etc/netplan/50-cloud-init.yaml"
CLOUD_INIT_TEXT = "network: {version: 2, ethernets: {ens5: {dhcp4: true}}}\n"
UNREADABLE = "network: {version: 2, refused: true}\n"
WAIT_ONLINE_FILE = f"etc/systemd/system/{resolver.WAIT_ONLINE}.d/own.conf"
STUB = "../run/systemd/resolve/stub-resolv.conf"


@dataclass
class FakeUnit:
    """A unit of systemd's."""

    active: bool = True
    enabled: bool = True


class FakeHost:
    """A host with two ENIs and systemd-resolved, as cloud-init left it.

    Attributes:
        plan: what the kernel comes to hold once networkd has read files;
            `heeds` False: it never does.
        kernel: the state now.
        failing: how a command begins -> how often it still fails; a
            dollar sign stands for its end.
        calls: every command, in order.
        foreign: rules and routes of others; networkd drops them.
        outdated: routes by learned routers that networkd keeps besides.
        silent: labels of probes that get no answer.
        networkd_type: the type of networkd's unit.
        armed: whether the timer that would undo it all runs.
        wait_online: the commands by which a boot waits for the network.
    """

    def __init__(self, root: Path, wanted: Plan) -> None:
        self.root, self.plan = root, wanted
        self.kernel: Observed = observed_of(NOBODYS)
        self.heeds = True
        self.networkd_type = "notify-reload"
        self.units = {RESOLVED: FakeUnit()}
        self.links = [item.ifname for item in wanted.interfaces]
        self.failing: dict[str, int] = {}
        self.calls: list[str] = []
        self.foreign: set[Foreign] = set()
        self.outdated: set[Learned] = set()
        self.silent: set[str] = set()
        self.armed = False
        self.wait_online = "ExecStart={ path=wait-online }\n"
        self.put(CLOUD_INIT, CLOUD_INIT_TEXT)
        (root / "etc/resolv.conf").symlink_to(STUB)

    def use(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of the real host."""
        patch.setattr(sysctl, "ROOT", self.root)
        patch.setattr(sysctl, "if_nametoindex", self.index)
        patch.setattr(sysctl, "if_indextoname", self.name)
        patch.setattr(nftables, "ROOT", self.root)
        patch.setattr(networkd, "SYSTEM_BUS", self.root)
        patch.setattr(networkd, "GENERATOR", self.root / "no-generator")
        for name, folder in (
            ("NETWORKD_FILES", RUN_NETWORKD),
            ("RUN_MULTIHOME", "run/multihome"),
        ):
            patch.setattr(networkd_files, name, self.root / folder)
        patch.setattr(foreign, "SYSTEM_BUS", self.root)
        patch.setattr(foreign, "LEAST_S", 0.0)
        patch.setattr(foreign, "read_foreign", lambda: frozenset(self.foreign))
        patch.setattr(foreign, "add_foreign", self.foreign.add)
        for module in (
            *(apply, duplicates, group, learned, networkd, nftables, rename),
            *(resolver, services, systemd),
        ):
            patch.setattr(module, "run", self.run)
        patch.setattr(former, "if_nametoindex", self.index)
        patch.setattr(former, "read_kernel", lambda: self.kernel)
        patch.setattr(group, "SYS_NET", self.root / "sys/class/net")
        patch.setattr(group, "if_nametoindex", self.index)
        patch.setattr(group, "if_indextoname", self.name)
        patch.setattr(rename, "if_nametoindex", self.index)
        patch.setattr(networkd, "if_nametoindex", self.index)
        patch.setattr(networkd, "read_link_state", lambda _: (2e9, {}))
        patch.setattr(apply, "read_kernel", lambda: self.kernel)
        patch.setattr(duplicates, "read_addresses", self.read_addresses)
        patch.setattr(learned, "read_learned", self.read_learned)
        patch.setattr(learned, "LEAST_S", 0.0)

        def wait(wanted: Plan, timeout: float) -> None:
            assert timeout > 0
            wait_until_converged(wanted, read=lambda: self.kernel, timeout=0)

        patch.setattr(verify, "wait_until_converged", wait)
        patch.setattr(verify, "unselected", lambda _: ())
        patch.setattr(verify, "ask_all", self.ask_all)
        patch.setattr(deadman, "run", self.run)
        for module in (apply, restore):
            patch.setattr(module, "JOURNAL", self.root / JOURNAL)
            patch.setattr(module, "ROOT", self.root)
        patch.setattr(resolver, "RESOLV_CONF", self.root / "etc/resolv.conf")
        patch.setattr(resolver, "FORMER_STATE", self.root / "var/state.json")
        path = self.root / WAIT_ONLINE_FILE
        patch.setattr(resolver, "WAIT_ONLINE_FILE", path)

    def ask_all(
        self, probes: Iterable[Probe], timeout: float
    ) -> dict[str, bool]:
        """Answer all that is not in `silent`."""
        return {each.label: each.label not in self.silent for each in probes}

    def put(self, name: str, text: str) -> Path:
        """Write a file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def rendered(self) -> tuple[File, ...]:
        """Render the plan for this host."""
        cloud_init = netplan_file(
            "50-cloud-init.yaml", {"ens5": {"dhcp4": True}}
        )
        return render(self.plan, [cloud_init])

    def apply(self) -> bool:
        """Apply the plan."""
        return apply.apply_plan(self.plan, self.rendered()).changed

    def tree(self) -> dict[str, str]:
        """Map each file to its mode and text, each link to its target."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if path.is_symlink():
                found[name] = f"-> {path.readlink()}"
            elif path.is_file():
                found[name] = f"{path.stat().st_mode:o} {path.read_text()}"
        return found

    def state(self) -> object:
        """All that must be as before after a failed apply."""
        units = {name: vars(unit) for name, unit in self.units.items()}
        # A copy: the units go on changing.
        return self.tree(), repr(units), sorted(self.links)

    def read_addresses(self) -> tuple[Addresses, Addresses, Addresses]:
        """Stand in for the one of discover/kernel.py."""
        seen = self.kernel
        return seen.addresses, seen.tentative, seen.duplicates

    def read_learned(self) -> frozenset[Learned]:
        """Return what an advertisement has brought."""
        return frozenset(
            (name, str(route.to), route.table)
            for name, route in self.kernel.routes
            if route.to.version == 6 and route.via
        ) | frozenset(self.outdated)

    def name(self, index: int) -> str:
        """Stand in for if_indextoname()."""
        if index > len(self.links):
            raise OSError("no such device")
        return self.links[index - 1]

    def index(self, name: str) -> int:
        """Stand in for if_nametoindex()."""
        if name not in self.links:
            raise OSError("no such device")
        return 1 + self.links.index(name)

    def run(self, argv: Sequence[str], **_: object) -> str:
        """Take a command."""
        command = " ".join(argv)
        self.calls.append(command)
        for start, left in self.failing.items():
            if left > 0 and f"{command}$".startswith(start):
                self.failing[start] = left - 1
                raise CommandError(f"{command} was told to fail")
        if argv[:2] == ["netplan", "generate"]:
            self._generate(Path(argv[3]) if "--root-dir" in argv else None)
        elif argv[0] == "ip" and "name" in argv:
            self._rename(argv[4], argv[6])
        elif argv[0] == "networkctl":
            self._reload()
        elif argv[0] == "systemd-run":
            self.armed = True
        elif argv[0] == "systemctl":
            return self._systemctl(list(argv[1:]))
        return ""

    def _generate(self, scratch: Path | None) -> None:
        root = scratch or self.root
        for path in sorted(root.glob("*/netplan/*.yaml")):
            network = yaml.safe_load(path.read_text())["network"]
            if "refused" in network:
                raise CommandError(f"netplan: error in {path}")
            if scratch:
                for key in network.get("ethernets", {}):
                    folder = root / RUN_NETWORKD
                    folder.mkdir(parents=True, exist_ok=True)
                    (folder / f"10-netplan-{key}.network").touch()

    def _rename(self, old: str, new: str) -> None:
        self.links[self.links.index(old)] = new

    def _reload(self) -> None:
        self.foreign.clear()
        if not self.heeds:
            return
        ours = any((self.root / RUN_NETPLAN).glob("*.yaml"))
        self.kernel = observed_of(self.plan if ours else NOBODYS)

    def _systemctl(self, words: list[str]) -> str:
        verb, names = words[0], [it for it in words[1:] if it[0] != "-"]
        if verb == "show":
            return self._show(names[0])
        if verb in ("enable", "disable", "daemon-reload"):
            self._generate_all()
        if networkd.NETWORKD in names:
            if verb == "start":
                self._reload()
            return ""
        if names == [TIMER]:
            self.armed = False
            return ""
        if (verb, names) == ("restart", [networkd.NETWORKD]):
            self._reload()
            return ""
        for name in names:
            unit = self.units[name]
            if verb in ("enable", "disable"):
                unit.enabled = verb == "enable"
            if verb == "start" or "--now" in words:
                unit.active = verb != "disable"
        return ""

    def _generate_all(self) -> None:
        """Write networkd's files anew, as systemd's generators do."""
        for path in (self.root / RUN_NETWORKD).glob("10-netplan-*"):
            if path.is_file():
                # Made beside it: a file system may give an inode again.
                shutil.copy(path, beside := path.with_name("new"))
                beside.replace(path)

    def inodes(self) -> dict[str, int]:
        """Return by what networkd knows its files."""
        found = (self.root / RUN_NETWORKD).glob("10-netplan-*")
        return {path.name: path.stat().st_ino for path in found}

    def _show(self, name: str) -> str:
        if name == networkd.NETWORKD:
            return f"Type={self.networkd_type}\n"
        if name == resolver.WAIT_ONLINE:
            return self.wait_online
        if name not in self.units:
            return "LoadState=not-found\nActiveState=inactive\n"
        unit = self.units[name]
        active = "active" if unit.active else "inactive"
        enabled = "enabled" if unit.enabled else "disabled"
        return (
            f"LoadState=loaded\nActiveState={active}\n"
            f"UnitFileState={enabled}\n"
        )
