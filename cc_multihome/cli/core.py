# SPDX-License-Identifier: Apache-2.0
"""What the verbs ask of the rest of the package: one function for each.

The verbs call nothing else that reads the host or changes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from socket import if_indextoname
from typing import Any

from cc_multihome import history, pipeline, state
from cc_multihome.apply import host, restore
from cc_multihome.apply.diff import mismatches
from cc_multihome.apply.drift import changed_resolver, changed_settings
from cc_multihome.apply.lock import holder
from cc_multihome.apply.resolver import (
    RESOLV_CONF,
    resolved_units,
    wait_online_file,
)
from cc_multihome.apply.verify import LevelResult, read_settled, verify
from cc_multihome.cli.verb import InactiveError
from cc_multihome.config.drop_ins import DROP_INS, read_sources
from cc_multihome.config.parse import parse
from cc_multihome.decide import Decision, decide
from cc_multihome.discover.imds_tree import instance_from_tree
from cc_multihome.discover.kernel import read_kernel
from cc_multihome.discover.users import read_uids
from cc_multihome.errors import ConfigError, MultihomeError
from cc_multihome.explain.ask import ask_kernel
from cc_multihome.explain.question import Sender
from cc_multihome.explain.read import read_host
from cc_multihome.explain.routing import Host
from cc_multihome.explain.way import Way
from cc_multihome.files import File, read_text
from cc_multihome.model import Address, Observed, Plan
from cc_multihome.plan.from_dict import plan_from_dict
from cc_multihome.render import RT_TABLES
from cc_multihome.render.resolv_conf import resolv_conf

_LOOKS = {"kernel": changed_settings, "services": changed_resolver}


@dataclass(frozen=True)
class InForce:
    """What this host is to be, as far as the last runs tell.

    Attributes:
        by: who put it in force in this boot: `boot`, `kept`, or `person`;
            None when nothing did.
        plan: None when none is in force, or it cannot be told.
        why_not: where there is no plan, why it cannot be told.
    """

    by: str | None
    plan: Plan | None
    why_not: str | None = None


def read_key() -> object:
    """Return the configuration that a run by a person would take.

    Raises:
        ConfigError: it cannot be read.
        InactiveError: there is none. A key with nothing after it is one, and
            asks for all defaults: the two must not be taken for each other.
    """
    key = pipeline.read_key()
    if key is None and not state.path_of(state.KEY).exists():
        raise InactiveError(
            "this host has no configuration: cloud-init has handed over no"
            " key `multihome`, or `multihome restore` has dropped it since"
            " (`cloud-init single --name multihome --frequency always` hands"
            " it over again)"
        )
    return key


def pending() -> str | None:
    """Say what keeps the configuration from being the proved one; or None.

    Nobody is asked, so that what only the metadata brings is not seen.
    """
    kept = state.load(state.KEPT)
    if not isinstance(kept, dict):
        return None
    try:
        sources = read_sources(pipeline.read_key(), DROP_INS)
    except MultihomeError as err:
        return str(err)
    asked = sources.raw
    # As it is where it was kept: JSON's keys are texts.
    text = json.dumps(asked, default=str)
    if _written_out(json.loads(text)) == _written_out(kept.get("key")):
        return None
    wrong = parse(asked).problems
    if wrong:
        return str(sources.locate(ConfigError(wrong)))
    # Whether it is this plan cannot be told without the metadata.
    failed = state.load(state.FAILED)
    but = ", the timer only if it was not taken back before" if failed else ""
    return (
        "the configuration is not what was proved last; `multihome plan`"
        " shows what would change, `multihome apply` and the timer's next run"
        f" do it{but}"
    )


def _written_out(key: object) -> object:
    """Return a key as a file beside it makes it, also one that is empty."""
    return {} if key is None or key is True else key


def decided(raw: object) -> Decision | None:
    """Decide as a run by a person would; changes nothing."""
    return decide(
        raw, runtime=True, before=history.read_kept(), drop_ins=DROP_INS
    )


def apply(*, trigger: str, prove: bool) -> pipeline.Result:
    """Make the host what the configuration asks."""
    return pipeline.configure(read_key(), trigger=trigger, prove=prove)


def roll_back() -> pipeline.Result:
    """Go back to what was in force before the last change."""
    return pipeline.roll_back()


def take_away() -> pipeline.Result:
    """Go back to cloud-init's networking, and forget the rest."""
    return pipeline.take_away("person")


def prove(plan: Plan, timeout: float) -> tuple[LevelResult, ...]:
    """Ask the host whether it does what the plan says."""
    return tuple(
        _with(result, changed(plan))
        if result.state != "skipped" and (changed := _LOOKS.get(result.level))
        else result
        for result in verify(plan, timeout=timeout)
    )


def _with(result: LevelResult, lines: tuple[str, ...]) -> LevelResult:
    if not lines:
        return result
    return replace(result, state="failed", details=(*result.details, *lines))


def find_changes(plan: Plan, files: tuple[File, ...]) -> host.Changes:
    """Compare the host with a plan; changes nothing."""
    return host.find_changes(plan, files)


def find_restore() -> host.Changes:
    """Say what taking all back would change; changes nothing."""
    return restore.find_restore()


def settings(changes: host.Changes) -> tuple[tuple[str, int, int], ...]:
    """List the kernel's settings: name as of sysctl(8), now, then."""
    return tuple(
        (
            f"net.ipv4.conf.{if_indextoname(item.slot[0])}.{item.slot[1]}",
            item.now,
            item.value,
        )
        for item in changes.sysctls
    )


def read_file(file: File) -> str:
    """Return what stands in the file's place now; "" for nothing."""
    return read_text(file.path) or ""


def resolver_file(plan: Plan) -> File | None:
    """Return the resolver's file; None where the plan leaves it alone."""
    if not plan.resolver.nameservers:
        return None
    return File(RESOLV_CONF, resolv_conf(plan.resolver))


def boot_files(plan: Plan) -> tuple[File, ...]:
    """Return what would be written for boots without systemd-resolved."""
    file = wait_online_file() if plan.resolver.nameservers else None
    return (file,) if file else ()


def running_resolver_units() -> tuple[str, ...]:
    """Name the units of systemd-resolved that run, or would at boot."""
    return tuple(
        unit.name for unit in resolved_units() if unit.active or unit.enabled
    )


def kernel() -> Observed:
    """Read addresses, routes and rules."""
    return read_kernel()


def host_routing(to: Address) -> Host:
    """Read what of the kernel's rules and routes can matter to a packet."""
    return read_host(to)


def kernel_way(
    to: Address, source: Address | None, sender: Sender
) -> Way | None:
    """Ask the kernel which way it would send a packet."""
    return ask_kernel(to, source, sender)


def uid_of(name: str) -> int | None:
    """Return the number of a user of this host, None if there is none."""
    return read_uids([name]).get(name)


def missing(plan: Plan) -> tuple[str, ...]:
    """Say what the host lacks of the plan, a line each."""
    if plan.interfaces:
        kernel = mismatches(plan, read_settled(plan, read=read_kernel))
    else:
        kernel = ()
    return (*kernel, *changed_settings(plan), *changed_resolver(plan))


def read_status() -> dict[str, Any] | None:
    """Return the record of the last run; None before the first."""
    return state.read_status()


def running() -> int | None:
    """Return the id of a process that applies something right now."""
    return holder()


def in_force(status: Mapping[str, Any] | None) -> InForce:
    """Find out what this host is to be in this boot.

    The last run's plan if it came to stay; else the one that was kept from
    the run before.
    """
    by = state.active()
    # The names of the tables outlive the boot that they are of.
    files = set(host.own_files()) - {host.ROOT / RT_TABLES}
    if status is None or (by is None and not files):
        return InForce(by, None)
    if status["outcome"] in ("off", "restored"):
        return InForce(None, None)
    if status["plan"] is not None and status["error"] is None:
        try:
            return InForce(by, plan_from_dict(status["plan"]))
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            return InForce(by, None, f"{state.STATUS} is unreadable: {err!r}")
    return _kept(by)


def _kept(by: str | None) -> InForce:
    kept = state.load(state.KEPT)
    if kept is None:
        return InForce(by, None)
    try:
        known = instance_from_tree(kept["metadata"])
        decision = decide(kept["key"], known=known, runtime=True)
    except (MultihomeError, KeyError, TypeError) as err:
        return InForce(by, None, f"the kept plan cannot be read: {err}")
    return InForce(by, decision.plan if decision else None)


def require_plan() -> Plan:
    """Return the plan that is in force.

    Raises:
        InactiveError: there is none.
    """
    found = in_force(read_status())
    if found.plan is None:
        why = found.why_not or "no run has put one in force in this boot"
        raise InactiveError(f"this host has no plan: {why}")
    return found.plan
