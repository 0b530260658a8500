# SPDX-License-Identifier: Apache-2.0
"""Choose name servers and search domains: pure."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from cc_multihome.config.parse import Config
from cc_multihome.model import Instance, Plan, Resolver
from cc_multihome.plan.bound import Bound
from cc_multihome.plan.default import default_holder

# Answers on every ENI of every VPC, whatever the VPC's addresses are:
# https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html
VPC_RESOLVER_IPV4 = ip_address("169.254.169.253")
VPC_RESOLVER_IPV6 = ip_address("fd00:ec2::253")


def plan_resolver(config: Config, instance: Instance) -> Resolver:
    """Choose what resolv.conf says; () leaves it alone."""
    asked = config.resolver
    if asked.kind == "keep":
        return Resolver((), ())
    if asked.kind == "custom":
        return Resolver(asked.nameservers, asked.search)
    return _of_the_vpc(instance)


def kept_resolver(
    plan: Plan, config: Config, bound: Bound, instance: Instance
) -> Plan:
    """Give each link the name servers that DHCP gave it, if they are kept.

    DHCP is off in the overlay: without this systemd-resolved would be left
    with no server at all. Where no link is known to have had one, the holder
    of the default route gets the VPC's.
    """
    if config.resolver.kind != "keep":
        return plan
    had = {
        item.eni.mac: Resolver(item.link.nameservers, item.link.search)
        for item in bound.interfaces
        if item.link.nameservers
    }
    if not had:
        the_vpcs = _of_the_vpc(instance)
        version = the_vpcs.nameservers[0].version
        holder = default_holder(bound, instance.enis, version)
        had = {holder.eni.mac: the_vpcs} if holder else {}
    interfaces = tuple(
        replace(item, nameservers=dns.nameservers, search=dns.search)
        if (dns := had.get(item.mac))
        else item
        for item in plan.interfaces
    )
    return replace(plan, interfaces=interfaces)


def _of_the_vpc(instance: Instance) -> Resolver:
    has_ipv4 = any(eni.local_ipv4s for eni in instance.enis)
    server = VPC_RESOLVER_IPV4 if has_ipv4 else VPC_RESOLVER_IPV6
    return Resolver((server,), instance.search)
