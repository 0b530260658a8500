# SPDX-License-Identifier: Apache-2.0
"""`multihome explain`: which way a packet goes, and why."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from cc_multihome.cli.source import add_source, names_files, require_plan
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
    from cc_multihome.cli.style import Style
    from cc_multihome.cli.verb import Verbs
    from cc_multihome.explain.lookup import Explanation, Sender, Way
    from cc_multihome.model import Address, Plan


def add_explain(verbs: Verbs) -> None:
    """Describe `multihome explain`."""
    parser = add_verb(
        verbs,
        "explain",
        run_explain,
        summary="say which way a packet goes, and why",
        description="Say by which rule, table, ENI, gateway and source"
        " address this host reaches an address: by the plan that is in force"
        " and by the kernel, and whether the two agree. Sends nothing. With"
        " --config or --metadata the plan of these files is asked, and not"
        " the kernel.",
    )
    parser.add_argument("to", metavar="DEST", help="an IP address")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="ADDR",
        help="the address of an ENI that the socket is bound to",
    )
    parser.add_argument(
        "--user",
        metavar="NAME",
        help="the user whose socket it is; needs this host",
    )
    add_source(parser)
    add_json(parser)


def run_explain(args: argparse.Namespace) -> int:
    """Do `multihome explain`."""
    from cc_multihome.explain.ask import differences
    from cc_multihome.explain.lookup import explain

    sender = _sender(args)
    to = _address(args.to, "DEST")
    source = None if args.source is None else _address(args.source, "--from")
    is_offline = names_files(args)
    plan = require_plan(args, "explain")
    _check(plan, to, source)
    found = explain(plan, to, source, sender=sender)
    kernel = None if is_offline else _ask(to, source, sender)
    differ = () if is_offline else differences(found.way, kernel)
    value = {
        "to": str(to),
        "from": None if source is None else str(source),
        "user": args.user,
        "plan": _as_dict(found, plan),
        "kernel": None if is_offline else {"way": _way_as_dict(kernel)},
        "agree": None if is_offline else not differ,
        "differences": list(differ),
    }
    if args.json:
        print_json(value)
    else:
        from cc_multihome.cli.style import style_of

        print(_text(value, style_of(sys.stdout)))
    return EXIT_WRONG if differ else EXIT_OK


def _address(text: str, what: str) -> Address:
    try:
        return ip_address(text)
    except ValueError as err:
        raise QuestionError(
            f"{what}: found {text!r}, expected an IP address such as"
            " 192.0.2.14"
        ) from err


def _sender(args: argparse.Namespace) -> Sender:
    from cc_multihome.cli import core
    from cc_multihome.explain.lookup import ANYBODY, Sender

    if args.user is None:
        return ANYBODY
    if args.metadata:
        raise QuestionError(
            "--user: the users of the instance in --metadata are not known"
            " here"
        )
    uid = core.uid_of(args.user)
    if uid is None:
        raise QuestionError(
            f"--user: found {args.user!r}, expected a user of this host"
        )
    return Sender(uid)


def _ask(to: Address, source: Address | None, sender: Sender) -> Way | None:
    from cc_multihome.cli import core

    return core.kernel_way(to, source, sender)


def _check(plan: Plan, to: Address, source: Address | None) -> None:
    if not plan.interfaces:
        raise InactiveError(
            "the plan has no ENI: this host routes as cloud-init set it up"
        )
    if source is None:
        return
    own = [each.ip for item in plan.interfaces for each in item.addresses]
    if source not in own:
        raise QuestionError(
            f"--from: found {source}, expected an address of an ENI:"
            f" {', '.join(map(str, own))}"
        )
    if source.version != to.version:
        raise QuestionError(
            f"--from {source} is IPv{source.version} and DEST {to} is"
            f" IPv{to.version}: no packet can have both"
        )


def _as_dict(found: Explanation, plan: Plan) -> dict[str, Any]:
    from cc_multihome.explain.lookup import table_name

    way = _way_as_dict(found.way)
    if way is not None:
        way["table_name"] = table_name(way["table"], plan)
    return {
        "way": way,
        "route": None if found.route is None else str(found.route),
        "eni_id": found.eni_id,
        "why": found.why,
        "steps": [asdict(step) for step in found.steps],
    }


def _way_as_dict(way: Way | None) -> dict[str, Any] | None:
    if way is None:
        return None
    return {
        "interface": way.interface,
        "table": way.table,
        "gateway": None if way.gateway is None else str(way.gateway),
        "source": None if way.source is None else str(way.source),
    }


def _text(value: dict[str, Any], style: Style) -> str:
    plan, kernel = value["plan"], value["kernel"]
    bound = f" from {value['from']}" if value["from"] else ""
    bound += f" for user {value['user']}" if value["user"] else ""
    rows = [
        (f"{it['priority']}:", it["rule"], it["result"])
        for it in plan["steps"]
    ]
    lines = [
        style.paint(f"{value['to']}{bound}:", "bold"),
        f"  {_way_text(plan['way'], plan['eni_id'])}",
        f"  because {plan['why']}",
        style.paint("Rules, in order:", "bold"),
        style.columns(rows),
    ]
    if kernel is None:
        lines.append("The kernel was not asked: this plan is from files.")
    elif value["agree"]:
        lines.append(style.paint("The kernel does the same.", "good"))
    else:
        lines.append(style.paint("The kernel does something else:", "bad"))
        lines += [f"  {line}" for line in value["differences"]]
        lines.append(
            "Others' rules and routes (containers, VPNs) are not in the"
            " plan; `multihome status` says whether something of it is"
            " missing."
        )
    return "\n".join(lines)


def _gateway_text(gateway: str | None) -> str:
    from cc_multihome.model import LEARNED

    if gateway == LEARNED:
        return "gateway learned from router advertisements"
    return "on link" if gateway is None else f"gateway {gateway}"


def _way_text(way: dict[str, Any] | None, eni_id: str | None) -> str:
    if way is None:
        return "no route"
    parts = [f"by {way['interface']}" + (f" ({eni_id})" if eni_id else "")]
    parts.append(_gateway_text(way["gateway"]))
    parts.append(f"source address {way['source']}")
    parts.append(f"table {way['table_name']} ({way['table']})")
    return ", ".join(parts)
