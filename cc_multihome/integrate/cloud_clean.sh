# Written by cc_multihome; changes are overwritten.
# `cloud-init clean` runs this before an image is made of an instance: nothing
# that the module wrote for this instance may reach the next one. What it keeps
# in /run is gone with the shutdown, so the network stays up until then.
cd /
status=0
/usr/bin/python3 -m cc_multihome.inherited || status=$?
rm -f /run/multihome/active
names=/etc/iproute2/rt_tables.d/multihome.conf
if grep -qsF 'Written by cc_multihome; changes are overwritten.' "$names"; then
    rm -f "$names"
fi
# From Debian 13 on iproute2 has no folder in /etc: the module made it.
for folder in /etc/iproute2/rt_tables.d /etc/iproute2; do
    dpkg-query --search "$folder" >/dev/null 2>&1 ||
        rmdir "$folder" 2>/dev/null || :
done
if [ "$status" -eq 0 ]; then
    rm -rf /var/lib/multihome
else
    # What the resolver was before is for another try.
    find /var/lib/multihome -mindepth 1 ! -name resolver.json -delete
fi
exit "$status"
