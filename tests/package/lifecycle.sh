# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Installed, upgraded, removed, installed again, purged: nothing is left.
# shellcheck source=tests/package/lib.sh
. /src/tests/package/lib.sh

OWN=/usr/lib/python3/dist-packages/cc_multihome
# Empty where it is iproute2's (Debian 12): not for this package to remove.
rm -f "${TABLES%/*}/README"
snapshot >/tmp/before
another_version /deb/cc-multihome.deb 99 /tmp/next.deb

dpkg --install /deb/cc-multihome.deb
assert_healthy
assert_dpkg_content cc-multihome
cloud-init schema --config-file /src/docs/examples/user-data.yaml
printf '#cloud-config\nmultihome: {policy: [{to: 192.0.2.1, via: 1}]}\n' \
    >/tmp/bad.yaml
if cloud-init schema --config-file /tmp/bad.yaml >/tmp/said 2>&1; then
    fail "a wrong key was accepted"
fi
grep -q multihome.policy.0.via /tmp/said || fail "$(cat /tmp/said)"

dpkg --install /tmp/next.deb
assert_healthy

echo "== files of our names that are somebody else's, with the Python broken"
for file in "$LIST" "$CLEAN"; do
    echo 'ssh: {}' >"$file"
    if multihome integrate --check 2>/tmp/said; then fail "nothing is said"; fi
    grep -q "$file is not of this package" /tmp/said || fail "$(cat /tmp/said)"
done
echo 'raise SystemExit("broken")' >>"$OWN/errors.py"
dpkg --remove cc-multihome
dpkg --install /tmp/next.deb
for file in "$LIST" "$CLEAN"; do
    grep -qx 'ssh: {}' "$file" || fail "$file is not as it was"
    rm "$file"
done
multihome integrate
assert_healthy

dpkg --remove cc-multihome
assert_dpkg_content cloud-init
[ ! -e "$LIST" ] || fail "the list stays"
[ ! -e "$KEPT" ] || fail "the diversion stays"

dpkg --install /tmp/next.deb
assert_healthy
mkdir -p /var/lib/multihome
echo 1 >/var/lib/multihome/key.json
plant_tables
# Its own Python cannot take anything back now: postrm has to.
echo 'raise SystemExit("broken")' >>"$OWN/errors.py"
dpkg --purge cc-multihome
assert_dpkg_content cloud-init
rm -rf /tmp/another
snapshot >/tmp/after
diff /tmp/before /tmp/after || fail "the tree differs"
for file in /var/lib/dpkg/info/*multihome*; do
    [ ! -e "$file" ] || fail "dpkg has $file"
done
if dpkg-divert --list | grep multihome; then fail "a diversion stays"; fi
