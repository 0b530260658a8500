# SPDX-License-Identifier: Apache-2.0
"""Rules and routes of others on the seed's instance."""

from __future__ import annotations

# The Amazon VPC CNI's first; then rules and routes of other kinds. The last
# ones: by links that are configured anew when something changes.
PUT_THERE = """
set -e
ip link add cni0 type dummy
ip addr add 172.19.0.1/24 dev cni0
ip link set cni0 up
ip rule add priority 512 to 172.19.0.5 lookup main protocol 0
ip rule add priority 1024 fwmark 0x80/0x80 lookup main protocol 0
ip rule add priority 1536 from 172.19.0.5 lookup 2 protocol 0
ip rule add priority 1600 uidrange 2000-2001 ipproto tcp dport 22 lookup 77
ip -6 rule add priority 1700 from 2001:db8:77::/64 lookup 79
ip route add 172.19.0.5 dev cni0
ip route add 10.96.0.0/16 dev cni0 table 78
ip route add blackhole 10.95.0.0/16
ip route add 10.99.0.0/16 via 10.224.184.1 dev private
ip route add 10.98.0.0/16 via 10.224.186.1 dev public table 77 metric 5
ip route add 10.97.0.0/16 table 77 nexthop via 10.224.184.1 dev private \
  nexthop via 10.224.186.1 dev public
"""
SHOW_THEIRS = """
ip -N rule show | grep -vE '^(0|32766|32767):|proto 4'
ip -N -6 rule show | grep -vE '^(0|32766|32767):|proto 4'
ip -N route show table all proto boot
"""
TAKE_AWAY = """
ip link del cni0
for it in 512 1024 1536 1600; do ip rule del priority $it; done
ip -6 rule del priority 1700
ip route flush table 77
ip route flush proto boot
"""
PRIORITIES = (512, 1024, 1536, 1600, 1700)


def assert_all_there(shown: str) -> None:
    """Every rule is among what SHOW_THEIRS printed."""
    for priority in PRIORITIES:
        assert f"{priority}:" in shown, shown


def by_given_names(shown: str) -> str:
    """Write what SHOW_THEIRS printed with the names that links are given."""
    for kernel, name in (("ens5", "private"), ("ens6", "public")):
        shown = shown.replace(f"dev {kernel} ", f"dev {name} ")
    return shown
