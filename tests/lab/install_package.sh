#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# install_package.sh ROOT DEB VERSIONS: install the package ROOT/DEB into the
# tree ROOT, start no service, and list the tree's packages in VERSIONS.
# Called by image.py inside of in_rootfs.sh.
set -eu
root=$1
deb=$2
versions=$3

# Asked by invoke-rc.d and deb-systemd-invoke; 101 forbids (policy-rc.d(8)).
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 0755 "$root/usr/sbin/policy-rc.d"
DEBIAN_FRONTEND=noninteractive chroot "$root" dpkg --install "$deb"
rm "$root/usr/sbin/policy-rc.d"
dpkg-query --admindir="$root/var/lib/dpkg" --show >"$versions"
