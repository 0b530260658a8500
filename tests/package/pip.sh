# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Without the package: `pip install`, `multihome integrate`, and both undone.
# shellcheck source=tests/package/lib.sh
. /src/tests/package/lib.sh

pip() {
    PYTHONPATH=$(echo /deb/pip-*.whl) /usr/bin/python3 -m pip \
        --no-cache-dir --disable-pip-version-check "$@"
}

snapshot >/tmp/before
pip install --quiet --no-index --root-user-action=ignore \
    --break-system-packages /deb/cc_multihome-*.whl
command -v multihome | grep -qx /usr/local/bin/multihome
multihome --version
multihome integrate
assert_healthy
for unit in multihome-early.service multihome-refresh.timer; do
    [ "$(systemctl is-enabled "$unit")" = enabled ] || fail "$unit"
done
# Without --recursive-errors a value that systemd ignores is no error.
systemd-analyze --man=no --recursive-errors=no verify \
    /etc/systemd/system/multihome-*.service \
    /etc/systemd/system/multihome-*.timer || fail "units"
for unit in early.service hotplug.service refresh.service; do
    # They start, and find that there is nothing to do in a chroot.
    command=$(sed -n 's/^ExecStart=//p' "/etc/systemd/system/multihome-$unit")
    (cd / && $command) >/tmp/said 2>&1 || fail "$unit: $(cat /tmp/said)"
    [ ! -s /tmp/said ] || fail "$unit: $(cat /tmp/said)"
done
cloud-init schema --config-file /src/docs/examples/user-data.yaml

multihome integrate --remove
pip uninstall --quiet --yes --break-system-packages \
    --root-user-action=ignore cc_multihome
# pip takes a folder with it that has become empty.
mkdir -p /usr/local/bin
snapshot >/tmp/after
diff /tmp/before /tmp/after || fail "the tree differs"
if dpkg-divert --list | grep multihome; then fail "a diversion stays"; fi
assert_dpkg_content cloud-init
