# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# This suite's cloud-init as a package again: /out/cloud-init.deb.
# shellcheck source=tests/package/lib.sh
. /src/tests/package/lib.sh

unpack_cloud_init /tmp/packed
version=$(dpkg-query -W -f '${Version}' cloud-init)
mv "$(build_cloud_init /tmp/packed "$version")" /out/cloud-init.deb
