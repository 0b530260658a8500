#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# in_rootfs.sh ROOTFS WORK [ro|rw SOURCE TARGET]... -- COMMAND [ARG]...
#
# Run COMMAND on a throwaway copy of the directory tree ROOTFS: an overlay on
# a tmpfs at the empty directory WORK. COMMAND runs outside of the copy and
# finds it in two places:
#   WORK/root   with /proc, /sys, /dev, /run, /tmp and the binds, for chroot;
#   WORK/clean  without any of them, for making an image of it.
# Call it through unshare (see chroot.py), in mount, pid and net namespaces of
# its own: then every mount is gone with the last process in them.
set -eu
rootfs=$1
work=$2
shift 2

mount -t tmpfs -o mode=0755 tmpfs "$work"
# Relative names: a path may hold colons and commas, which overlay's options
# do not take.
cd "$work"
mkdir lower upper upper.work root clean
mount --bind "$rootfs" lower
mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=upper.work \
    overlay root
mount --bind root clean
mount -t proc proc root/proc
mount -t sysfs -o ro sysfs root/sys
mount --rbind /dev root/dev
mount -t tmpfs -o mode=0755 tmpfs root/run
mount -t tmpfs -o mode=1777 tmpfs root/tmp
ip link set dev lo up

while [ "$1" != -- ]; do
    target=root$3
    if [ -d "$2" ]; then
        mkdir -p "$target"
    else
        mkdir -p "$(dirname "$target")"
        touch "$target"
    fi
    mount --bind "$2" "$target"
    mount -o "remount,bind,$1" "$target"
    shift 3
done
shift
exec "$@"
