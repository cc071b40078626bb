#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs once, in a container without systemd, before the image is kept. usage: bash -s RELEASE-OF-THE-DEFAULT-KERNEL < provision.sh
set -euxo pipefail
default=$1
rpm --import /mirror/RPM-GPG-KEY-base
rpm --define '_pkgverify_level all' -i /mirror/base/*.rpm
rpm -q kernel centos-release grubby mariadb-server
grub2-editenv /boot/grub2/grubenv create
grub2-mkconfig -o /boot/grub2/grub.cfg
grub2-script-check /boot/grub2/grub.cfg
grub2-set-default "CentOS Linux ($default) 7 (Core)"
