# SPDX-License-Identifier: Apache-2.0
"""A simulated VPC for one Shape: its network (vpc_net.py) and its services.

The services are DHCP and DNS (dnsmasq), the metadata service, a capture of
what passes the gateways, and servers on the internet host and on the
company host. All of it can change while it runs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import Popen
from types import TracebackType

from cc_multihome.errors import CommandError
from tests.lab.capture import CaptureReader
from tests.lab.cleanup import Run
from tests.lab.far_server import COMPANY, FAR_PORT, INTERNET
from tests.lab.imds_tree import imds_tree
from tests.lab.netns import Netns, wait_until
from tests.lab.shape import Shape
from tests.lab.vpc_dns import dhcp_ports, dnsmasq_config
from tests.lab.vpc_net import VpcNet
from tests.lab.vpc_router import IMDS, IMDS_IPV6
from tests.lab.vpc_rules import Drops, drops_at

CHECKOUT = Path(__file__).parents[2]
IMDS_PORT = 80

# Takes a command and its standard input, returns its standard output.
Runner = Callable[[Sequence[str], str], str]
Fault = Mapping[str, object]

__all__ = ["Drops", "Fault", "Runner", "Vpc"]


class Vpc:
    """The VPC; as a context manager it is up while that is open.

    Stop the virtual machine before it ends: a tap lives as long as somebody
    holds it. QEMU runs in the namespace `hyp`, on the taps `tap-<eni>`
    (vpc_rules.tap_name).

    Args:
        user_data: what the instance finds at IMDS.
        public_key: of SSH, for IMDS; none when empty.
        instance: stands for the instance where no VM is wanted: each ENI is
            then a device of the ENI's name and MAC in that namespace (which
            the caller made), and not a tap.
        label: tells several VPCs of one run apart.

    Attributes:
        shape: as it is now.
        hyp, router, inet, corp: the namespaces.
        capture: what passed the gateways since its mark.
        imds_log: one line of JSON for each request to IMDS.
    """

    def __init__(
        self,
        run: Run,
        shape: Shape,
        *,
        user_data: str | None = None,
        public_key: str = "",
        instance: Netns | None = None,
        label: str = "",
    ) -> None:
        self.shape = shape
        self._run = run
        self._label = label
        self._user_data = user_data
        self._public_key = public_key
        self._faults: tuple[Fault, ...] = ()
        self._net = VpcNet(run, label=label, instance=instance)
        self.hyp, self.router = self._net.hyp, self._net.router
        self.inet, self.corp = self._net.inet, self._net.corp
        self.imds_log = self._path("imds.jsonl")
        self._imds_state = self._path("imds.json")
        self.capture = CaptureReader(self._path("capture.jsonl"), {})
        self._children: list[Popen[bytes]] = []
        self._dnsmasq: Popen[bytes] | None = None
        self._names: dict[str, str] = {}  # MAC -> name of every ENI so far
        self._before: dict[str, int] = {}

    def __enter__(self) -> Vpc:
        try:
            self._net.make(self.shape)
            self._apply()
            self._start_servers()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    def down(self) -> None:
        """Stop everything and remove the namespaces. Twice is fine."""
        while self._children:
            self._run.stop(self._children.pop())
        self._net.delete()

    def update(self, shape: Shape) -> None:
        """Change the running VPC to another shape.

        ENIs, their addresses and public addresses, new subnets, and what
        IMDS and DHCP say all follow. The tap of an ENI that is no longer
        there is deleted: unplug it from the VM first.

        Raises:
            ValueError: a subnet that exists would change, or a MAC is there
                twice; nothing was changed.
        """
        self._net.check(shape)
        self.shape = shape
        self._apply()

    def set_user_data(self, text: str | None) -> None:
        """Change the user-data; the instance sees it at its next read."""
        self._user_data = text
        self._write_imds()

    def set_faults(self, *faults: Fault) -> None:
        """Make IMDS fail as imds_server.py describes; with none it works."""
        self._faults = faults
        self._write_imds()

    def lose_advertisements(self, lost: bool = True) -> None:
        """Lose the router's advertisements of IPv6 from now on, or no more."""
        self._net.lose_advertisements(lost)

    def set_gateway(self, name: str, *, answers: bool) -> None:
        """Let the gateway of an ENI's subnet be there, or be dead."""
        self._net.set_gateway(self.shape.eni(name).subnet, answers=answers)

    def flood_arp(self, flooded: bool = True) -> None:
        """Show ARP requests to every ENI of their subnet, or no more.

        EC2 shows them to the owner of the address alone; so the router can
        ask who answers besides. It has forgotten who did.
        """
        self._net.flood_arp(self.shape, flooded)

    def counters(self) -> dict[str, Drops]:
        """Return the drops at each ENI, by name, since the last reset.

        An ENI that was detached in the meantime is still there.
        """
        now = self._net.read_counters()
        return {
            name: drops_at(now, mac) - drops_at(self._before, mac)
            for mac, name in self._names.items()
        }

    def reset_counters(self) -> None:
        """Let `counters` start from 0 again."""
        self._before = self._net.read_counters()

    def runner(self, side: str) -> Runner:
        """Return what runs a command on a side, INTERNET or COMPANY."""
        return {INTERNET: self.inet, COMPANY: self.corp}[side].run

    def outside(self, name: str) -> tuple[Netns, str]:
        """Return the side that an ENI faces, and its address from there.

        The IPv4 address, if it has one.
        """
        eni = self.shape.eni(name)
        address = eni.addresses[0]
        if address in eni.public:
            return self.inet, eni.public[address]
        via = self.shape.subnet(eni.subnet).default_via
        return (self.inet if via == "igw" else self.corp), address

    def imds_requests(self) -> list[dict[str, object]]:
        """Return the requests to IMDS so far (imds_server.py says how)."""
        lines = self.imds_log.read_text().splitlines()
        return [json.loads(line) for line in lines]

    def _path(self, name: str) -> Path:
        return self._run.dir / f"{self._label}{name}"

    def _apply(self) -> None:
        """Bring everything to the shape, the metadata last.

        An instance that is told of an address by IMDS can use it at once.
        """
        self._names.update({eni.mac: eni.name for eni in self.shape.enis})
        self.capture.enis.update(self._names)
        self._net.apply(self.shape)
        self._apply_dnsmasq()
        self._write_imds()

    def _write_imds(self) -> None:
        state = {
            "tree": imds_tree(self.shape, public_key=self._public_key),
            "user_data": self._user_data,
            "faults": self._faults,
        }
        scratch = self._imds_state.with_suffix(".new")
        scratch.write_text(json.dumps(state, indent=1))
        os.replace(scratch, self._imds_state)

    def _apply_dnsmasq(self) -> None:
        """Start it, or start it anew: it cannot reread all that may change.

        Its leases go: EC2 remembers none either, and an old one would keep
        an address from the ENI that has it now.
        """
        path = self._path("dnsmasq.conf")
        leases = self._path("dnsmasq.leases")
        config = dnsmasq_config(self.shape, leases)
        if self._dnsmasq is not None:
            if path.read_text() == config:
                return
            self._children.remove(self._dnsmasq)
            self._run.stop(self._dnsmasq)
        leases.unlink(missing_ok=True)
        path.write_text(config)
        argv = ["dnsmasq", "--keep-in-foreground", f"--conf-file={path}"]
        self._dnsmasq = self._spawn(self.router, "dnsmasq", argv)
        for port in dhcp_ports(self.shape):
            self.router.wait_for_listener(self._dnsmasq, port=port, udp=True)

    def _start_servers(self) -> None:
        for netns, side in ((self.inet, INTERNET), (self.corp, COMPANY)):
            far = self._script(netns, "far_server", FAR_PORT, side)
            netns.wait_for_listener(far, port=FAR_PORT)
        files, addresses = (self._imds_state, self.imds_log), (IMDS, IMDS_IPV6)
        imds = self._script(self.router, "imds_server", *files, *addresses)
        self.router.wait_for_listener(imds, port=IMDS_PORT)
        path = self.capture.path
        watch = self._script(self.router, "capture", path, "gw-")
        wait_until(
            lambda: path.exists() or watch.poll() is not None,
            what=f"the capture's file {path}",
        )
        if watch.poll() is not None:
            raise CommandError(
                f"the capture ended with status {watch.returncode}: see"
                " its log in the run's directory"
            )

    def _script(
        self, netns: Netns, module: str, *args: object
    ) -> Popen[bytes]:
        """Run a module of this package in a namespace."""
        argv = [sys.executable, "-m", f"tests.lab.{module}"]
        argv += (str(arg) for arg in args)
        return self._spawn(netns, module, argv)

    def _spawn(
        self, netns: Netns, name: str, argv: Sequence[str]
    ) -> Popen[bytes]:
        end = netns.name.rpartition("-")[2]
        child = self._run.spawn(
            f"{self._label}{end}-{name}", argv, netns=netns.name, cwd=CHECKOUT
        )
        self._children.append(child)
        return child
