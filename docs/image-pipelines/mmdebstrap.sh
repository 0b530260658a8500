#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mmdebstrap.sh DEB SUITE TARGET [OPTION]...: the root file system of an image
# for EC2 with cc-multihome, as root, from the archive that this machine's apt
# uses. TARGET is a directory, or a file such as root.tar (see mmdebstrap(1)).
# The file system has to have the label `root`; its disk, its partitions and
# its boot loader are made by what makes the disk. DEB `none` leaves the
# package out. MIRROR names another archive, OPTIONs go to mmdebstrap.
# The images of the tests (docs/lab.md) are made by this script.
set -eu

# Called by mmdebstrap in the tree ROOT, when all packages are there.
customize() {
    root=$1
    printf 'LABEL=root / ext4 defaults,errors=remount-ro 0 1\n' \
        >"$root/etc/fstab"
    printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' \
        >"$root/etc/hosts"
    # A first boot: no name, no machine id, no host keys.
    rm -f "$root/etc/hostname" "$root"/etc/ssh/ssh_host_*
    : >"$root/etc/machine-id"
    # Debian's cloud images use networkd and resolved.
    chroot "$root" systemctl enable systemd-networkd systemd-resolved
    ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
    # As in Debian's EC2 images: no other data source is tried.
    echo 'datasource_list: [ Ec2, None ]' \
        >"$root/etc/cloud/cloud.cfg.d/90_dpkg.cfg"
    for deb in "$root"/tmp/*.deb; do
        [ -e "$deb" ] || continue
        chroot "$root" dpkg --install "${deb#"$root"}"
        rm "$deb"
        chroot "$root" multihome integrate --check
    done
    # How packages were fetched here is none of the image's business.
    rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap"
}

if [ "${MMDEBSTRAP_HOOK-}" = customize ]; then
    customize "$1"
    exit
fi

deb=$1
suite=$2
target=$3
shift 3

# A machine that boots. From forky on, nothing else pulls in the first ones.
packages=adduser,e2fsprogs,hostname,login,mount,passwd,procps
packages=$packages,dbus,initramfs-tools,kmod,linux-image-cloud-amd64,systemd
packages=$packages,systemd-sysv,udev
# What Debian's EC2 images configure the network with, and are reached by.
packages=$packages,ca-certificates,cloud-init,iproute2,libnss-myhostname
packages=$packages,libnss-resolve,netbase,netplan.io,openssh-server,sudo
packages=$packages,systemd-resolved
# What the package depends on, too: dpkg installs it without apt.
packages=$packages,python3,python3-jsonschema,python3-netifaces
packages=$packages,python3-requests,python3-yaml
# The DHCP client that the suite's cloud-init starts by itself.
case $suite in
    bookworm) packages=$packages,isc-dhcp-client ;;
    *) packages=$packages,dhcpcd-base ;;
esac

# shellcheck disable=SC2016 # apt-get expands it
mirror=${MIRROR-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
    grep -m 1 '/debian/*$')}

set -- --customize-hook="$(realpath "$0")" "$@"
[ "$deb" = none ] || set -- --customize-hook="copy-in $deb /tmp" "$@"
exec mmdebstrap --variant=apt --components=main --include="$packages" \
    --aptopt='APT::Install-Recommends "false"' \
    "$@" "$suite" "$target" ${mirror:+"$mirror"}
