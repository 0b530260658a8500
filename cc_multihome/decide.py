# SPDX-License-Identifier: Apache-2.0
"""Read everything there is, then decide. Changes nothing."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from cc_multihome.config.drop_ins import Sources, read_sources
from cc_multihome.config.parse import Parsed, parse
from cc_multihome.discover.imds import read_instance
from cc_multihome.discover.imds_whole import require_whole
from cc_multihome.discover.kernel import read_has_ipv6
from cc_multihome.discover.leases import Leases, with_leases
from cc_multihome.discover.links import read_links
from cc_multihome.discover.main_routes import read_main_routes
from cc_multihome.discover.netplan_files import (
    former_names,
    netdef_ids,
    read_netplan_files,
    read_own_overlay,
)
from cc_multihome.discover.netplan_rules import netplan_routing
from cc_multihome.discover.pinning import read_lacks
from cc_multihome.discover.users import read_uids
from cc_multihome.errors import ApplyError, ConfigError, ImdsError
from cc_multihome.files import File
from cc_multihome.model import Instance, Link, Plan
from cc_multihome.plan.bind import bind_or_raise, without_detached
from cc_multihome.plan.build import build_plan
from cc_multihome.plan.choose import left_alone
from cc_multihome.plan.honor import with_main_routes
from cc_multihome.plan.ipv6 import without_ipv6
from cc_multihome.plan.left_alone import with_left_alone
from cc_multihome.render import render
from cc_multihome.run import run

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """What the host shall be.

    Attributes:
        files: the plan as rendered, by paths relative to the root.
        fingerprint: differs when anything of it does.
        key: the configuration that it was made from.
    """

    plan: Plan
    files: tuple[File, ...]
    instance: Instance
    fingerprint: str
    key: object


def decide(
    raw: object,
    *,
    known: Instance | None = None,
    seen: Instance | None = None,
    before: Instance | None = None,
    leases: Leases | None = None,
    runtime: bool = False,
    drop_ins: Path | None = None,
) -> Decision | None:
    """Read all there is to read and derive the plan. Changes nothing.

    Returns None where the key says `false`.

    Args:
        known: metadata that was read before; None asks the service.
        seen: metadata that may still hold; the service is asked if it does.
        before: metadata of the last plan that was proved; what lacks
            anything of it that cannot have gone is refused.
        leases: by MAC, for links that have not been configured yet.
        runtime: where a plan is in force, an entry of `interfaces` whose
            ENI is detached is left out; at boot it is a mistake.
        drop_ins: a directory of files to merge over `raw`; None: that was
            done before.

    Raises:
        ConfigError: carries every mistake, those that only show on this host
            (a selector that matches no ENI) beside those in the text.
        ImdsError, LinkError, CommandError: something could not be read.
    """
    sources = read_sources(raw, drop_ins) if drop_ins else Sources(raw)
    try:
        return _decide(
            sources, known, seen, before, leases or {}, runtime=runtime
        )
    except ConfigError as err:
        raise sources.locate(err) from None


def _decide(
    sources: Sources,
    known: Instance | None,
    seen: Instance | None,
    before: Instance | None,
    leases: Leases,
    *,
    runtime: bool,
) -> Decision | None:
    parsed = parse(sources.raw)
    if parsed.config is None:
        raise ConfigError(parsed.problems)
    if not parsed.config.enabled:
        return None
    instance = known or _read_instance(parsed, seen)
    files = read_netplan_files()
    # This package's own overlay first: it keeps the id that cloud-init's
    # file, or the kernel's name, had when the ENI was first seen.
    own = read_own_overlay()
    # Without one the boot was refused: its mistakes still are some.
    if runtime and own:
        parsed = without_detached(parsed, instance)
    config = parsed.config
    assert config is not None
    former = former_names(own, files)
    host = read_links({**netdef_ids(files), **former})
    if known is None:
        _require_managed(netdef_ids(own), host.links, instance)
    if before is not None:
        require_whole(
            instance,
            before,
            host.links,
            left_alone=left_alone(config, instance.enis),
        )
    links = with_leases(
        _with_names_of_the_kernel(host.links, former), own, leases
    )
    usable = instance if read_has_ipv6() else without_ipv6(instance)
    if usable != instance:
        LOG.warning("this kernel has no IPv6: that of the ENIs is left out")
    bound = bind_or_raise(
        parsed,
        usable,
        links,
        taken_names=host.other_names,
        uids=read_uids(pin.name for pin in config.users),
        lacks=read_lacks(
            services=bool(config.services), containers=config.containers
        ),
    )
    plan = build_plan(
        config, bound, usable, systemd_version=read_systemd_version()
    )
    if config.honor_main_routes:
        plan = with_main_routes(plan, read_main_routes())
    # One that is released now has its new name until that is taken back.
    names = {former.get(link.mac, link.ifname): link.mac for link in links}
    plan = with_left_alone(plan, usable.enis, netplan_routing(files, names))
    _log_plan(plan)
    rendered = render(plan, files)
    return Decision(
        plan, rendered, instance, _fingerprint(plan, rendered), sources.raw
    )


def _with_names_of_the_kernel(
    links: Iterable[Link], former: Mapping[str, str]
) -> tuple[Link, ...]:
    """Drop an id that is no name of the device's.

    netplan's id of a netdef that matches a MAC may be anything (`id0`), and
    the one that is taken over here becomes the interface's name again.

    Args:
        former: MAC -> the name before this package's, which is such an id.
    """
    return tuple(
        link
        if link.mac in former or link.netdef_id == link.ifname
        else replace(link, netdef_id=None)
        for link in links
    )


def _read_instance(parsed: Parsed, seen: Instance | None) -> Instance:
    try:
        return read_instance(seen=seen)
    except ImdsError:
        if parsed.problems:
            raise ConfigError(parsed.problems) from None
        raise


def _require_managed(
    managed: Mapping[str, str], links: Iterable[Link], instance: Instance
) -> None:
    """Do not take an ENI away that is still there, for a short listing.

    An ENI that is detached takes its device with it. Where the metadata
    service lists it no more, or not yet again, and the device stays, it is
    the listing that is not complete.

    Raises:
        ImdsError: names the ENI's MAC and device.
    """
    known = {eni.mac for eni in instance.enis}
    for link in links:
        if link.mac in managed and link.mac not in known:
            raise ImdsError(
                f"the metadata service does not list {link.mac}, the ENI of"
                f" {link.ifname}, which this host has and manages; nothing was"
                " changed. Is it being detached? Run this again when its"
                " device is gone"
            )


def _fingerprint(plan: Plan, files: tuple[File, ...]) -> str:
    """Digest what is planned, less what a first run changes: the names."""
    names = sorted((item.mac, item.name) for item in plan.interfaces)
    parts = (names, plan.resolver, files)
    return sha256(repr(parts).encode()).hexdigest()


def read_systemd_version() -> int:
    """Return systemd's version number, as in 252."""
    text = run(["networkctl", "--version"])
    found = re.match(r"systemd (\d+)", text)
    if not found:
        raise ApplyError(f"networkctl --version says {text.strip()!r}")
    return int(found[1])


def _log_plan(plan: Plan) -> None:
    for item in plan.interfaces:
        LOG.info(
            "%s (%s, %s) becomes %s: table %s, %s",
            item.ifname,
            item.eni_id,
            item.mac,
            item.name,
            item.table,
            ", ".join(map(str, item.addresses)) or "no address",
        )
    if plan.interfaces and plan.ifgroup is None:
        LOG.warning(
            "this systemd is older than 250 and cannot suppress routes by"
            " interface group: replies from an ENI's address to containers"
            " and VPNs of this host go to the VPC router"
        )
