#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mmdebstrap.sh DEB SUITE TARGET: the root file system of an image with
# cc-multihome, from the archive that this machine's apt uses. TARGET is a
# directory, or a file such as root.tar or root.ext4 (see mmdebstrap(1)). MIRROR
# names another archive.
set -eu
deb=$1
suite=$2
target=$3

# What the package needs, and what a host on EC2 needs to boot and be reached.
packages=cloud-init,netplan.io,iproute2,systemd-resolved,dbus
packages=$packages,python3-jsonschema,python3-netifaces,python3-requests
packages=$packages,python3-yaml
packages=$packages,linux-image-cloud-amd64,systemd-sysv,openssh-server

# shellcheck disable=SC2016 # apt-get expands it
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
    grep -m 1 '/debian/*$')}

# shellcheck disable=SC2016 # mmdebstrap's shell expands it
exec mmdebstrap --variant=apt --include="$packages" \
    --aptopt='APT::Install-Recommends "false"' \
    --customize-hook="copy-in $deb /tmp" \
    --customize-hook='chroot "$1" sh -euc "
        dpkg --install /tmp/*.deb
        rm /tmp/*.deb
        multihome integrate --check"' \
    "$suite" "$target" "$mirror"
