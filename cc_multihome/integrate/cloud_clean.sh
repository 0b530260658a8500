#!/bin/sh
# Written by cc_multihome; changes are overwritten.
# `cloud-init clean` runs this before an image is made of an instance: nothing
# that the module wrote for this instance may reach the next one. What it keeps
# in /run is gone with the shutdown, so the network stays up until then.
cd /
/usr/bin/python3 -c '
from cc_multihome.apply.resolver import restore_resolver
restore_resolver()
' || echo "cc_multihome: the former resolver could not be put back" >&2
rm -rf /var/lib/multihome
rm -f /etc/iproute2/rt_tables.d/multihome.conf
