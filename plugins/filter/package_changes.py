# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update changed, package by package."""

from __future__ import annotations

DOCUMENTATION = r"""
name: package_changes
short_description: Packages before and after, as lines to read
version_added: 0.2.0
author: el7ops.kmem contributors (@el7ops)
description:
  - Says for each package that differs what became of it. Of kernels and other packages that stand beside each other,
    each version is a line of its own.
positional: before
options:
  _input:
    description: The packages after, see the filter package_list.
    type: list
    elements: dict
    required: true
  before:
    description: The packages before.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what was changed
  ansible.builtin.debug:
    msg: "{{ after | el7ops.kmem.package_changes(before) }}"
"""

RETURN = r"""
_value:
  description: Lines such as C(glibc 2.17-307.el7.1 -> 2.17-326.el7_9), sorted by name.
  type: list
  elements: str
"""

from ansible_collections.el7ops.kmem.plugins.plugin_utils import _rpm


def by_name(packages):
    """{(name, arch): [packages, oldest first]}; gpg-pubkey is no package."""
    names = {}
    for package in packages:
        if package["name"] != "gpg-pubkey":
            names.setdefault((package["name"], package["arch"]), []).append(package)
    return {name: sorted(found, key=_rpm.order) for name, found in names.items()}


def package_changes(after, before):
    """Sorted lines of what differs between two lists of packages."""
    old, new = by_name(before), by_name(after)
    several = {name for names in (old, new) for name in {key[0] for key in names} if len([key for key in names if key[0] == name]) > 1}
    lines = []
    for key in sorted(set(old) | set(new)):
        was = [_rpm.evr_text(package) for package in old.get(key, [])]
        now = [_rpm.evr_text(package) for package in new.get(key, [])]
        if was == now:
            continue
        # the architecture only where it tells two packages of one name apart
        label = ".".join(key) if key[0] in several else key[0]
        if len(was) == len(now) == 1 and not _rpm.SIDE_BY_SIDE.match(key[0]):
            lines.append(f"{label} {was[0]} -> {now[0]}")
            continue
        lines += [f"{label} {version} installed" for version in now if version not in was]
        lines += [f"{label} {version} removed" for version in was if version not in now]
    return lines


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"package_changes": package_changes}
