# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traces of an earlier update that was cut off."""

from __future__ import annotations

DOCUMENTATION = r"""
name: package_faults
short_description: Packages that are installed twice
version_added: 0.2.0
author: el7ops.kmem contributors (@el7ops)
description: A transaction that was cut off leaves the old version beside the new one. Kernels stand beside each other by design.
options:
  _input:
    description: The packages, see the filter package_list.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what is installed twice
  ansible.builtin.debug:
    msg: "{{ installed | el7ops.kmem.package_faults }}"
"""

RETURN = r"""
_value:
  description: Lines with name, architecture and the versions.
  type: list
  elements: str
"""

from ansible_collections.el7ops.kmem.plugins.plugin_utils import _rpm


def package_faults(packages):
    """Lines for packages of one name and architecture with more than one version."""
    names = {}
    for package in sorted(packages, key=_rpm.order):
        if not _rpm.SIDE_BY_SIDE.match(package["name"]):
            names.setdefault(f"{package['name']}.{package['arch']}", []).append(_rpm.evr_text(package))
    return [f"{name} {' and '.join(versions)}" for name, versions in sorted(names.items()) if len(versions) > 1]


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"package_faults": package_faults}
