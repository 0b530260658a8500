# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# `cloud-init clean` in a mounted image: the former resolver is back.
# shellcheck source=tests/package/lib.sh
. /src/tests/package/lib.sh

RESOLVED=systemd-resolved.service
STATE=/var/lib/multihome
RECORD=$STATE/resolver.json

# Every link by which a unit starts at boot.
enabled() {
    find /etc/systemd/system -type l -printf '%p %l\n' | LC_ALL=C sort
}

iproute2() {
    find /etc -path '/etc/iproute2*' | LC_ALL=C sort
}

# What an instance of which the image was made has left of the resolver.
plant() {
    # Without this cloud-init finds nothing to clean, and runs no script.
    mkdir -p "$STATE" /var/lib/cloud
    echo "$1" >"$RECORD"
    echo '{}' >"$STATE/kept.json"
    plant_tables
    rm /etc/resolv.conf
    printf '%s\nnameserver 10.0.0.2\n' "$HEADER" >/etc/resolv.conf
    systemctl --quiet disable "$RESOLVED"
    ! systemctl --quiet is-enabled "$RESOLVED" || fail "it is not disabled"
}

dpkg --install /deb/cc-multihome.deb
link=$(readlink /etc/resolv.conf)
enabled >/tmp/before
iproute2 >/tmp/iproute2

echo "== nobody knows the former resolver any more"
damaged='{"resolv_conf": []}'
plant "$damaged"
if cloud-init clean >/tmp/said 2>&1; then fail "it is called clean"; fi
grep -q "$RECORD" /tmp/said || fail "$(cat /tmp/said)"
[ "$(cat "$RECORD")" = "$damaged" ] || fail "the record is gone"
grep -q nameserver /etc/resolv.conf || fail "resolv.conf is another"
[ ! -e "$STATE/kept.json" ] || fail "the plan stays"

echo "== it is known: it starts at the image's boot"
ln -sf "$link" /etc/resolv.conf
plant "{\"resolv_conf\": {\"link\": \"$link\"}, \"units\": [
    {\"name\": \"$RESOLVED\", \"active\": true, \"enabled\": true}]}"
cloud-init clean >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
[ "$(readlink /etc/resolv.conf)" = "$link" ] || fail "resolv.conf"
[ "$(systemctl is-enabled "$RESOLVED")" = enabled ] || fail "not enabled"
enabled | diff /tmp/before - || fail "other links than before"
[ ! -e "$STATE" ] || fail "$STATE stays"
iproute2 | diff /tmp/iproute2 - || fail "/etc/iproute2 is another"

echo "== the names of tables are somebody else's"
mkdir -p "${TABLES%/*}"
echo '10 own' >"$TABLES"
cloud-init clean >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
[ "$(cat "$TABLES")" = '10 own' ] || fail "$TABLES is not as it was"
