# Written by cc_multihome; changes are overwritten.
# `cloud-init clean` runs this before an image is made of an instance: nothing
# that the module wrote for this instance may reach the next one. What it keeps
# in /run is gone with the shutdown, so the network stays up until then.
cd /
/usr/bin/python3 -m cc_multihome.inherited
rm -rf /var/lib/multihome
rm -f /run/multihome/active /etc/iproute2/rt_tables.d/multihome.conf
