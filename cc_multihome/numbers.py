# SPDX-License-Identifier: Apache-2.0
"""Numbers of tables, rules and device groups, and why these.

They stay out of the bands that others use: cloud-init tables 100+N,
amazon-ec2-net-utils 10000+, nm-cloud-setup 30200-30499, wg-quick 51820,
Tailscale priorities 5210-5270, Amazon VPC CNI priorities 512-1536. Rules that
others put before ours must win, so ours sit high, right before the kernel's
own at 32766.
"""

from __future__ import annotations

from cc_multihome.errors import LinkError

# Of Ethernet, in bytes: what the kernel gives a device that nobody told.
DEFAULT_MTU = 1500

# /etc/iproute2/rt_tables
DEFAULT_TABLE = 253
MAIN_TABLE = 254
LOCAL_TABLE = 255
KERNEL_TABLES = frozenset({0, DEFAULT_TABLE, MAIN_TABLE, LOCAL_TABLE})

POLICY_TABLE = 30999
# An ENI without a configured table has this + 100 * network_card +
# device_number: it does not move when another ENI comes or goes.
DERIVED_TABLE_BASE = 31000
CARD_STRIDE = 100

PRIORITY_MAIN_SPECIFIC = 31000
PRIORITY_FROM = 31100
# What comes from an ENI that is left alone goes as its owner says (its rules
# in netplan's files, then main), whoever is pinned or what the policy says.
PRIORITY_LEFT_ALONE = 32590
PRIORITY_LEFT_ALONE_MAIN = 32599
# After an ENI's own addresses: a socket that is bound to one stays with it.
# Before the policy: who is pinned to an ENI is, wherever the packet goes.
PRIORITY_MARK = 32600
PRIORITY_USER = 32610
PRIORITY_POLICY = 32700
# Where an ENI is left alone: cloud-init gave its rules no priority, and
# networkd takes the highest free one from 32765 down (systemd 252 and later).
# The policy comes after them, or it took what is bound to that ENI's address.
# Of one priority the older rule comes first. (`ip rule` without a priority, as
# wg-quick does it, puts a rule before all that are there.)
PRIORITY_POLICY_LAST = 32765
# Where main's default route is that of an ENI left alone, what nothing else
# names goes by these: main's other routes, then the table of the default.
# After what others have without a priority, for which no ENI counts.
PRIORITY_MAIN_BUT_DEFAULT = 32764
PRIORITY_DEFAULT = 32765
# 1,490 priorities between PRIORITY_FROM and the next ones: 46 network cards
# of 32 devices each; EC2 has at most 32 cards and 24 devices a card.
DEVICES_PER_CARD = 32
MOST_CARDS = 46

# Metrics of the routes to the IPv6 subnets in main: where ENIs share a subnet
# the holder of the default route is first. 1024 is what networkd gives routes
# that say nothing.
IPV6_METRIC = 1024

# Up to so many addresses of an ENI in a subnet have a rule each, which is
# easiest to read in `ip rule`; more of them are compiled into fewer rules.
FEW_ADDRESSES = 3

# Marks of packets and connections: MARK_FLAG, and a number for each ENI. These
# bits are nobody's: Kubernetes has 0x4000 and 0x8000, CNI's portmap 0x2000,
# Cilium 0x0f00, Amazon VPC CNI 0x80, Calico and Tailscale some of 0xffff0000;
# wg-quick's 51820 and Istio's 1337 do not have the flag. What people write by
# hand is small and lacks it, too.
MARK_FLAG = 0x1000
MARK_MASK = 0x107F
MARKS = 127
MARKS_PER_CARD = 16

# The device group that marks an ENI (ip-link(8), `group`).
ENI_IFGROUP = 31000
# systemd.network(5): SuppressInterfaceGroup= came with this version.
SUPPRESS_IFGROUP_SYSTEMD = 250


def derived_table(network_card: int, device_number: int) -> int:
    """Return the routing table of an ENI that was given none."""
    return DERIVED_TABLE_BASE + CARD_STRIDE * network_card + device_number


def from_priority(network_card: int, device_number: int) -> int:
    """Return the priority of an ENI's rules on source address.

    Raises:
        LinkError: there is no priority left for such an ENI.
    """
    slot = DEVICES_PER_CARD * network_card + device_number
    priority = PRIORITY_FROM + slot
    if device_number >= DEVICES_PER_CARD or network_card >= MOST_CARDS:
        raise LinkError(
            f"no rule priority for device_number {device_number} on"
            f" network_card {network_card}: expected at most"
            f" {DEVICES_PER_CARD} devices a card and {MOST_CARDS} cards"
        )
    return priority


def ipv6_metric(
    network_card: int, device_number: int, *, is_default: bool
) -> int:
    """Return the metric of the routes to an ENI's IPv6 subnets in main."""
    if is_default:
        return IPV6_METRIC
    return IPV6_METRIC + 1 + DEVICES_PER_CARD * network_card + device_number
