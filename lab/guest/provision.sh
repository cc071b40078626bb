#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs once in the guest, over SSH, before the base image is kept.
# usage: bash -s RELEASE-OF-THE-DEFAULT-KERNEL URL-OF-A-PACKAGE... < provision.sh
set -euxo pipefail
default=$1
shift
machine_id=$(cat /etc/machine-id)

wait_for() { # SECONDS COMMAND...
    local deadline=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || "$@"
        sleep 1
    done
}

# the packages that make the userland an EL7 host in the eyes of rpm and yum, the kernel among them
rpm --import http://mirror.lab/RPM-GPG-KEY-base
packages=$(mktemp -d)
(cd "$packages" && curl --fail --silent --show-error --remote-name-all "$@")
rpm --define '_pkgverify_level all' -i "$packages"/*.rpm
rm -rf "$packages"
rpm -q kernel centos-release grubby mariadb-server

# boot loader: what anaconda does on EL7
cp "/boot/vmlinuz-$default" "/boot/vmlinuz-0-rescue-$machine_id"
cp "/boot/initramfs-$default.img" "/boot/initramfs-0-rescue-$machine_id.img"
grub2-editenv /boot/grub2/grubenv create
grub2-mkconfig -o /boot/grub2/grub.cfg
grub2-script-check /boot/grub2/grub.cfg
grub2-set-default "CentOS Linux ($default) 7 (Core)"

# services
systemctl enable docker mariadb
systemctl start mariadb
wait_for 120 mysqladmin ping
wait_for 120 docker info

# an image for containers, from the busybox on the disk
image=$(mktemp -d)
mkdir -p "$image/bin" "$image/tmp" "$image/proc" "$image/sys" "$image/dev" "$image/etc"
cp /bin/busybox "$image/bin/busybox"
/bin/busybox --list | while read -r applet; do
    [ "$applet" = busybox ] || ln -s busybox "$image/bin/$applet"
done
tar -C "$image" -c . | docker import --change 'CMD ["/bin/sh"]' - busybox:lab
rm -rf "$image"
docker run --rm --memory 64m busybox:lab true

[ "$(docker info --format '{{.CgroupDriver}}')" = cgroupfs ]
docker version
runc --version
uname -r
journalctl --flush
sync
