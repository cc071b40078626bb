# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a host has to be rebooted after an update."""

from __future__ import annotations

DOCUMENTATION = r"""
name: reboot_reasons
short_description: Packages that take effect only with a reboot, and were installed since the last one
version_added: 0.2.0
author: el7ops.kmem contributors (@el7ops)
description:
  - The packages are those of C(needs-restarting -r) of yum-utils. The state decides, not the run, so that an update
    that was cut off and finished by hand still asks for its reboot.
positional: running, booted_at
options:
  _input:
    description: The packages that are installed, see the filter package_list.
    type: list
    elements: dict
    required: true
  running:
    description: The kernel that runs, as uname -r says it.
    type: str
    required: true
  booted_at:
    description: Seconds since 1970, btime of /proc/stat.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Say why a reboot is due
  ansible.builtin.debug:
    msg: "{{ installed | el7ops.kmem.reboot_reasons('3.10.0-1127.el7.x86_64', 1600000000) }}"
"""

RETURN = r"""
_value:
  description: Sentences; empty where no reboot is due.
  type: list
  elements: str
"""

from ansible_collections.el7ops.kmem.plugins.plugin_utils import _rpm

PACKAGES = ("glibc", "linux-firmware", "systemd", "udev", "openssl-libs", "gnutls", "dbus")
KERNELS = ("kernel", "kernel-ml", "kernel-lt", "kernel-plus", "kernel-rt", "kernel-debug")


def uname(package):
    """What uname -r says under this kernel package."""
    return f"{package['version']}-{package['release']}.{package['arch']}"


def reboot_reasons(installed, running, booted_at):
    """Sentences that say why a reboot is due; see DOCUMENTATION."""
    reasons = []
    kernels = [package for package in installed if package["name"] in KERNELS]
    # a newer 3.10 is no reason where a kernel-ml runs: only packages of the running kernel's name count
    names = {package["name"] for package in kernels if uname(package) == running} or {"kernel"}
    for name in sorted(names):
        newest = max((package for package in kernels if package["name"] == name), key=_rpm.order, default=None)
        if newest and uname(newest) != running:
            reasons.append(f"{name} {_rpm.evr_text(newest)} is installed, {running} runs")
    for package in sorted(installed, key=lambda item: (item["name"], item["arch"])):
        if package["name"] in PACKAGES and package["installed_at"] > int(booted_at):
            reason = f"{package['name']} {_rpm.evr_text(package)} was installed after the last boot"
            if reason not in reasons:
                reasons.append(reason)
    return reasons


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"reboot_reasons": reboot_reasons}
