#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# customize.sh ROOT: make a tree quick to boot, and open to whoever tests it.
# Called by mmdebstrap as a customize hook, beside the recipe's own
# (docs/image-pipelines/mmdebstrap.sh). Both texts are part of the key by which
# images are cached.
set -eu
root=$1

# Debug aid: whoever connects to the serial console is root.
echo root:root | chroot "$root" chpasswd
getty=$root/etc/systemd/system/serial-getty@ttyS0.service.d
mkdir -p "$getty"
cat >"$getty/lab.conf" <<'END'
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --keep-baud 115200,9600 - vt220
END

# What is not about the network may be quick. The locale is named because
# bookworm's cc_locale fails without the package `locales`; the address
# alone in metadata_urls saves look-ups of the name instance-data, which
# nothing can answer before the network is up.
cat >"$root/etc/cloud/cloud.cfg.d/91_lab.cfg" <<'END'
system_info:
  network:
    renderers: [netplan, networkd]
datasource:
  Ec2:
    metadata_urls: ["http://169.254.169.254", "http://[fd00:ec2::254]"]
disable_vmware_customization: true
apt: {preserve_sources_list: true}
package_update: false
locale: C.UTF-8
growpart: {mode: "off"}
resize_rootfs: false
ssh_genkeytypes: [ed25519]
END

# cloud-init's hotplug rule for EC2 matches the drivers vif, ena and ixgbevf
# only: let virtio NICs pass for ena. It must come before that rule (90-).
cat >"$root/etc/udev/rules.d/89-lab-virtio-as-ena.rules" <<'END'
ACTION=="add|remove", SUBSYSTEM=="net", ENV{ID_NET_DRIVER}=="virtio_net", ENV{ID_NET_DRIVER}="ena"
END

# Timers that want the network, or the processor, in the middle of a test.
for unit in apt-daily apt-daily-upgrade man-db e2scrub_all fstrim \
    dpkg-db-backup; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit.timer"
done

# What has nothing to do here, under emulation half a second each, or more.
# What a first boot makes anew after an update of /usr is as new as can be.
for unit in dev-hugepages.mount dev-mqueue.mount \
    e2scrub_reap.service getty@tty1.service ldconfig.service \
    modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service \
    proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount \
    sys-fs-fuse-connections.mount sys-kernel-debug.mount \
    sys-kernel-tracing.mount systemd-binfmt.service \
    systemd-journal-catalog-update.service systemd-pstore.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# Each is started at every daemon-reload, for disks and boots that are not here.
mkdir -p "$root/etc/systemd/system-generators"
for name in cryptsetup debug gpt-auto hibernate-resume integritysetup rc-local \
    run ssh system-update sysv tpm2 veritysetup; do
    ln -sf /dev/null \
        "$root/etc/systemd/system-generators/systemd-$name-generator"
done
# The agent logs each question whether a command has ended.
agent=$root/etc/systemd/system/qemu-guest-agent.service.d
mkdir -p "$agent"
printf '[Service]\nLogLevelMax=notice\n' >"$agent/lab.conf"

# A package that is installed later keeps its documentation.
rm -f "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
