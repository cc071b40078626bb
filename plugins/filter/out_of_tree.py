# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel modules that do not come with the kernel."""

from __future__ import annotations

DOCUMENTATION = r"""
name: out_of_tree
short_description: Kernel modules that another kernel will not have
version_added: 0.2.0
author: el7ops.kmem contributors (@el7ops)
description: Looks at packages, at files below /lib/modules and /var/lib/dkms, and at the modules that are loaded.
positional: files, modules
options:
  _input:
    description: The packages that are installed, see the filter package_list.
    type: list
    elements: dict
    required: true
  files:
    description: Paths of modules in extra, updates and weak-updates of the running kernel, and folders of dkms.
    type: list
    elements: str
    required: true
  modules:
    description: Text of /proc/modules.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Name them
  ansible.builtin.debug:
    msg: "{{ installed | el7ops.kmem.out_of_tree(files, proc_modules) }}"
"""

RETURN = r"""
_value:
  description: Sentences with their source; empty where there are none.
  type: list
  elements: str
"""

import re

from ansible_collections.el7ops.kmem.plugins.plugin_utils import _rpm

# kmod and kmod-libs are the tools themselves
PACKAGE = re.compile(r"^(?:kmod-(?!libs$).+|.+-kmod|akmod-.+|dkms-.+|.+-dkms)$")


def short(names, limit=8):
    """Names as one string, cut where there are many."""
    names = sorted(set(names))
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def out_of_tree(installed, files, modules):
    """Sentences that name what was found."""
    found = []
    packages = [f"{package['name']} {_rpm.evr_text(package)}" for package in installed if PACKAGE.match(package["name"])]
    if packages:
        found.append(f"packages: {short(packages)}")
    dkms = [path.rstrip("/").rsplit("/", 1)[-1] for path in files if path.startswith("/var/lib/dkms/")]
    if dkms:
        found.append(f"dkms: {short(dkms)}")
    paths = [path for path in files if not path.startswith("/var/lib/dkms/")]
    if paths:
        found.append(f"files: {short(paths)}")
    # Documentation/admin-guide/tainted-kernels: O out of tree, P proprietary, E unsigned
    loaded = [line.split()[0] for line in modules.splitlines() if re.search(r"\([A-Z]*[OP][A-Z]*[+-]?\)\s*$", line)]
    if loaded:
        found.append(f"loaded now: {short(loaded)}")
    return found


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"out_of_tree": out_of_tree}
