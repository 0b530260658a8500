# SPDX-License-Identifier: Apache-2.0
"""`multihome explain`: which way a packet goes, and why."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from cc_multihome.cli.source import (
    add_source,
    names_files,
    require_plan,
    require_sketch,
)
from cc_multihome.cli.verb import (
    EXIT_OK,
    EXIT_WRONG,
    InactiveError,
    QuestionError,
    add_json,
    add_verb,
    print_json,
)

if TYPE_CHECKING:
    from cc_multihome.cli.source import Sketch
    from cc_multihome.cli.verb import Verbs
    from cc_multihome.explain.lookup import Explanation
    from cc_multihome.explain.question import Sender
    from cc_multihome.explain.way import Way
    from cc_multihome.model import Address, Plan

Answer = dict[str, Any]


def add_explain(verbs: Verbs) -> None:
    """Describe `multihome explain`."""
    parser = add_verb(
        verbs,
        "explain",
        run_explain,
        summary="say which way a packet goes, and why",
        description="Say by which rule, table, ENI, gateway and source"
        " address this host reaches an address: by the plan that is in force"
        " with what the kernel itself and others added to it, and by the"
        " kernel, and whether the two agree. Sends nothing. With"
        " --config or --metadata the plan of these files is asked, and not"
        " the kernel.",
    )
    parser.add_argument("to", metavar="DEST", help="an IP address")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="ADDR",
        help="the address of this host that the socket is bound to",
    )
    parser.add_argument(
        "--user",
        metavar="NAME",
        help="the user whose socket it is; needs this host",
    )
    parser.add_argument(
        "--service",
        metavar="UNIT",
        help="the service of the plan whose socket it is",
    )
    add_source(parser)
    add_json(parser)


def run_explain(args: argparse.Namespace) -> int:
    """Do `multihome explain`."""
    to = _address(args.to, "DEST")
    source = None if args.source is None else _address(args.source, "--from")
    if names_files(args):
        made = require_sketch(args, "explain")
        value = _offline(made, to, source, _sender(args, made.plan))
    else:
        plan = require_plan(args, "explain")
        value = _online(plan, to, source, _sender(args, plan))
    value["user"], value["service"] = args.user, args.service
    if args.json:
        print_json(value)
    else:
        from cc_multihome.cli.explain_text import answer_text
        from cc_multihome.cli.style import style_of

        print(answer_text(value, style_of(sys.stdout)))
    return EXIT_WRONG if value["agree"] is False else EXIT_OK


def _offline(
    made: Sketch, to: Address, source: Address | None, sender: Sender
) -> Answer:
    from cc_multihome.explain.lookup import explain

    # Also those of ENIs that are left alone, of which the plan has none.
    own: list[Address] = []
    for eni in made.instance.enis:
        own += eni.local_ipv4s
        own += eni.ipv6s
    _check(made.plan, to, source, own)
    found = explain(made.plan, to, source, sender=sender)
    return _answer(to, source, _as_dict(found, made.plan))


def _online(
    plan: Plan, to: Address, source: Address | None, sender: Sender
) -> Answer:
    from cc_multihome.cli import core
    from cc_multihome.explain.ask import differences, taken_way
    from cc_multihome.explain.lookup import explain

    host = core.host_routing(to)
    _check(plan, to, source, [each.ip for _, each in host.addresses])
    alone = explain(plan, to, source, sender=sender)
    expected = explain(plan, to, source, host, sender=sender)
    # The kernel refuses a source that it does not have.
    is_usable = expected.ways or expected.steps
    kernel = core.kernel_way(to, source, sender) if is_usable else None
    differ = differences(expected, kernel)
    taken = taken_way(expected, kernel)
    return _answer(
        to,
        source,
        _as_dict(alone, plan),
        expected=_as_dict(expected, plan, taken),
        kernel={"way": _way_as_dict(kernel)},
        agree=not differ,
        differences=list(differ),
    )


def _answer(
    to: Address, source: Address | None, plan: dict[str, Any], **more: Any
) -> Answer:
    return {
        "to": str(to),
        "from": None if source is None else str(source),
        "user": None,
        "service": None,
        "plan": plan,
        "expected": None,
        "kernel": None,
        "agree": None,
        "differences": [],
        **more,
    }


def _address(text: str, what: str) -> Address:
    try:
        return ip_address(text)
    except ValueError as err:
        raise QuestionError(
            f"{what}: found {text!r}, expected an IP address such as"
            " 192.0.2.14"
        ) from err


def _sender(args: argparse.Namespace, plan: Plan) -> Sender:
    from cc_multihome.explain.question import Sender

    return Sender(_uid(args), _mark(args.service, plan))


def _mark(service: str | None, plan: Plan) -> int:
    if service is None:
        return 0
    marks = {it.unit: it.mark for it in plan.services}
    if service not in marks:
        known = f"one of the plan: {', '.join(marks) or 'none'}"
        raise QuestionError(f"--service: found {service!r}, expected {known}")
    return marks[service]


def _uid(args: argparse.Namespace) -> int | None:
    from cc_multihome.cli import core

    if args.user is None:
        return None
    if args.metadata is not None:
        raise QuestionError(
            "--user: the users of the instance in --metadata are not known"
            " here"
        )
    uid = core.uid_of(args.user)
    if uid is None:
        known = "a user of this host"
        raise QuestionError(f"--user: found {args.user!r}, expected {known}")
    return uid


def _check(
    plan: Plan, to: Address, source: Address | None, have: Sequence[Address]
) -> None:
    if not plan.interfaces:
        raise InactiveError(
            "the plan has no ENI: this host routes as cloud-init set it up"
        )
    for what, value in (("DEST", to), ("--from", source)):
        if value is not None and value.is_unspecified:
            raise QuestionError(
                f"{what}: found {value}, expected an address that a packet"
                " can carry"
            )
    if source is None:
        return
    own = [each.ip for item in plan.interfaces for each in item.addresses]
    if source not in (*own, *have):
        raise QuestionError(
            f"--from: found {source}, expected an address of this host, as"
            f" of an ENI: {', '.join(map(str, own))}"
        )
    if source.version != to.version:
        raise QuestionError(
            f"--from {source} is IPv{source.version} and DEST {to} is"
            f" IPv{to.version}: no packet can have both"
        )


def _as_dict(
    found: Explanation, plan: Plan, taken: Way | None = None
) -> dict[str, Any]:
    from cc_multihome.explain.words import table_name

    way = _way_as_dict(taken or found.way)
    if way is not None:
        table = way["table"]
        way["table_name"] = None if table is None else table_name(table, plan)
    return {
        "way": way,
        "route": None if found.route is None else str(found.route),
        "decided_by": found.owner,
        "eni_id": found.eni_id,
        "why": found.why,
        "steps": [asdict(step) for step in found.steps],
    }


def _way_as_dict(way: Way | None) -> dict[str, Any] | None:
    if way is None:
        return None
    return {
        "type": way.kind,
        "interface": way.interface,
        "table": way.table,
        "gateway": None if way.gateway is None else str(way.gateway),
        "source": None if way.source is None else str(way.source),
    }
