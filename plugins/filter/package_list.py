# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages of a host, out of rpm's answer."""

from __future__ import annotations

DOCUMENTATION = r"""
name: package_list
short_description: Packages out of the lines of rpm --queryformat
version_added: 0.2.0
author: el7ops.kmem contributors (@el7ops)
description:
  - Takes lines of C(%{NAME}|%{EPOCH}|%{VERSION}|%{RELEASE}|%{ARCH}|%{INSTALLTIME}); further fields are kept as C(rest).
options:
  _input:
    description: The lines.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Keep what is installed
  ansible.builtin.set_fact:
    before: "{{ rpm_answer.stdout_lines | el7ops.kmem.package_list }}"
"""

RETURN = r"""
_value:
  description: name, epoch, version, release, arch, installed_at (seconds since 1970), rest.
  type: list
  elements: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.el7ops.kmem.plugins.plugin_utils import _rpm


def package_list(lines):
    """Packages of lines in the query format of the roles."""
    try:
        return _rpm.parse(lines)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"package_list": package_list}
