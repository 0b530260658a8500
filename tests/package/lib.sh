# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# What the scripts here share. They run in a throwaway copy of a suite's tree.
set -eu
export DEBIAN_FRONTEND=noninteractive
export SCHEMA KEPT LIST CLEAN HEADER TABLES

SCHEMA=/usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json
KEPT=$SCHEMA.without-multihome
LIST=/etc/cloud/cloud.cfg.d/95_multihome.cfg
CLEAN=/etc/cloud/clean.d/50-multihome
TABLES=/etc/iproute2/rt_tables.d/multihome.conf
# files.HEADER
HEADER='# Written by cc_multihome; changes are overwritten.'

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# Every file, link and directory, with what is in it: what dpkg keeps itself
# is left out, and its log.
snapshot() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run \
        -o -path /tmp -o -path /src -o -path /deb -o -path /var/lib/dpkg \
        -o -path /var/log \) -prune -o -printf '%p %y %m %U %l\n' |
        LC_ALL=C sort
    find /etc /usr/bin /usr/lib/python3 /usr/lib/systemd /usr/lib/udev \
        -xdev -type f -exec sha256sum {} + | LC_ALL=C sort -k 2
}

# The names of the tables, as an instance has them that ran the module.
plant_tables() {
    mkdir -p "${TABLES%/*}"
    printf '%s\n10\tprivate\n' "$HEADER" >"$TABLES"
}

# Nothing of the package is wrong, and dpkg is content.
assert_healthy() {
    multihome integrate --check
    multihome integrate | grep -qx 'nothing to do' || fail "not settled"
    assert_dpkg_content cloud-init
}

# assert_dpkg_content [PACKAGE]...: every file is as it was packed.
# The images have no manual pages and no documentation of others.
assert_dpkg_content() {
    [ -z "$(dpkg --audit)" ] || fail "dpkg --audit: $(dpkg --audit)"
    changed=$(dpkg --verify "$@" | 
        grep -vE ' (/usr/share/(doc|man)|/var/cache/apt)' || true)
    [ -z "$changed" ] || fail "dpkg --verify: $changed"
}

# another_version DEB VERSION TARGET: the same package of another version.
another_version() {
    rm -rf /tmp/another
    dpkg-deb -R "$1" /tmp/another
    sed -i "s/^Version: .*/Version: $2/" /tmp/another/DEBIAN/control
    dpkg-deb -Znone -b /tmp/another "$3" >/dev/null
}

# unpack_cloud_init DIRECTORY: the installed cloud-init as dpkg-deb wants it.
unpack_cloud_init() {
    mkdir -p "$1/DEBIAN"
    while read -r path; do
        [ "$path" != /. ] || continue
        real=$(dpkg-divert --truename "$path")
        # A directory, though /lib is a link to one.
        if [ -d "$real" ]; then
            mkdir -p "$1$path"
        elif [ -e "$real" ] || [ -L "$real" ]; then
            cp -a "$real" "$1$path"
        fi
    done </var/lib/dpkg/info/cloud-init.list
    dpkg-query -s cloud-init |
        awk '/^[^ ]/ { keep = !/^(Status|Conffiles):/ } keep' \
            >"$1/DEBIAN/control"
    for part in preinst postinst prerm postrm conffiles config templates \
        triggers; do
        from=/var/lib/dpkg/info/cloud-init.$part
        [ ! -e "$from" ] || cp -a "$from" "$1/DEBIAN/$part"
    done
}

# build_cloud_init DIRECTORY VERSION: print the path of the package.
build_cloud_init() {
    sed -i "s/^Version: .*/Version: $2/" "$1/DEBIAN/control"
    dpkg-deb -Znone -b "$1" "/tmp/cloud-init_$2.deb" >/dev/null
    echo "/tmp/cloud-init_$2.deb"
}
