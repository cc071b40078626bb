# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernels the package manager would take away."""

from __future__ import annotations

DOCUMENTATION = r"""
name: kernels_to_go
short_description: Kernels that installonly_limit would remove when one more is installed
version_added: 0.2.0
author: el7ops.kmem contributors (@el7ops)
description: Counts as yum 3.4.3 and dnf do, per name, oldest first, never the running one.
positional: name, limit, running
options:
  _input:
    description: The packages that are installed, see the filter package_list.
    type: list
    elements: dict
    required: true
  name:
    description: Name of the package that is installed next.
    type: str
    required: true
  limit:
    description: C(installonly_limit); 0 means without limit.
    type: int
    required: true
  running:
    description: The kernel that runs, as uname -r says it.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what would be removed
  ansible.builtin.debug:
    msg: "{{ installed | el7ops.kmem.kernels_to_go('kernel-ml', 5, '6.9.7-1.el7.elrepo.x86_64') }}"
"""

RETURN = r"""
_value:
  description: Kernels as uname -r says them.
  type: list
  elements: str
"""

from ansible_collections.el7ops.kmem.plugins.plugin_utils import _rpm


def kernels_to_go(installed, name, limit, running):
    """The kernels of this name that would have to go."""
    kernels = [f"{package['version']}-{package['release']}.{package['arch']}"
               for package in sorted(installed, key=_rpm.order) if package["name"] == name]  # fmt: skip
    surplus = len(kernels) + 1 - int(limit)
    if int(limit) < 1 or surplus < 1:
        return []
    return [kernel for kernel in kernels if kernel != running][:surplus]


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"kernels_to_go": kernels_to_go}
