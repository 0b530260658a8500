# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# cloud-init is upgraded, broken, removed and installed again under the module.
# shellcheck source=tests/package/lib.sh
. /src/tests/package/lib.sh

dpkg --install /deb/cc-multihome.deb
assert_healthy
cp "$SCHEMA" /tmp/extended.json
unpack_cloud_init /tmp/new

echo "== a newer one with a module more, a module fewer, and a key more"
sed -i -e 's/^\( *- *\)write[-_]files$/&\n\1brand_new/' -e '/- *growpart$/d' \
    /tmp/new/etc/cloud/cloud.cfg
jq '.properties.brand_new_key = {} | .["$defs"].all_modules.enum += ["brand_new"]' \
    "/tmp/new$SCHEMA" >/tmp/schema.json
cp /tmp/schema.json "/tmp/new$SCHEMA"
dpkg --install "$(build_cloud_init /tmp/new 990)"
assert_healthy
grep -A 2 -e '- write.files' "$LIST" >/tmp/list
printf -- '- multihome\n- brand_new\n' >/tmp/wanted
tail -n 2 /tmp/list | diff /tmp/wanted - || fail "the list: $(cat "$LIST")"
if grep growpart "$LIST"; then fail "a dropped module is in the list"; fi
diff /tmp/schema.json "$KEPT" || fail "dpkg did not keep the new schema aside"
grep -q brand_new_key "$SCHEMA" || fail "the schema is an old one"
grep -q multihome "$SCHEMA" || fail "the schema does not know the key"

echo "== one whose schema is broken: boots must not break for the module"
for broken in '{' '[]' '{"allOf": 1}'; do
    echo "$broken" >"/tmp/new$SCHEMA"
    dpkg --install "$(build_cloud_init /tmp/new "991$(printf %s "$broken" |
        cksum | cut -d ' ' -f 1)")"
    assert_dpkg_content cloud-init cc-multihome
    [ "$(cat "$SCHEMA")" = "$broken" ] || fail "not cloud-init's own"
    [ ! -e "$KEPT" ] || fail "the diversion stays"
    if multihome integrate --check 2>/tmp/said; then fail "nothing is said"; fi
    grep -q "$SCHEMA" /tmp/said || fail "$(cat /tmp/said)"
    grep -q multihome "$LIST" || fail "the module does not run any more"
done

echo "== a good one again"
cp /tmp/schema.json "/tmp/new$SCHEMA"
dpkg --install "$(build_cloud_init /tmp/new 999)"
assert_healthy

echo "== the administrator's file, changed by hand and by trigger"
echo 'cloud_init_modules: [write_files, ssh]' \
    >/etc/cloud/cloud.cfg.d/10_own.cfg
if multihome integrate --check 2>/tmp/said; then fail "nothing is said"; fi
dpkg-trigger --by-package=cc-multihome /etc/cloud/cloud.cfg.d
dpkg --configure --pending
assert_healthy
printf -- '- write_files\n- multihome\n- ssh\n' >/tmp/wanted
grep -e '^- ' "$LIST" | diff /tmp/wanted - || fail "the list"
rm /etc/cloud/cloud.cfg.d/10_own.cfg
multihome integrate

echo "== removed while the module stays, and installed again"
dpkg --force-depends --remove cloud-init
[ ! -e "$SCHEMA" ] || fail "the schema stays"
[ ! -e "$KEPT" ] || fail "the diversion stays"
! multihome integrate --check 2>/tmp/said || fail "nothing is said"
dpkg --install /tmp/cloud-init_999.deb
assert_healthy

echo "== purged while the module stays, which is then purged"
dpkg --force-depends --purge cloud-init
dpkg --purge cc-multihome
left=$(find / -xdev -iname '*multihome*' -not -path '/src/*' \
    -not -path '/tmp/*' -not -path '/deb/*' -not -path '/proc/*')
[ -z "$left" ] || fail "left: $left"
if dpkg-divert --list | grep multihome; then fail "a diversion stays"; fi

echo "== and the other way round: the module first, then cloud-init"
dpkg --install /tmp/cloud-init_999.deb
dpkg --install /deb/cc-multihome.deb
assert_healthy
