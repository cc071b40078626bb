# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each stage of a run would change, as lines to read."""

from __future__ import annotations

DOCUMENTATION = r"""
name: plan_lines
short_description: What each stage would change, as lines
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
description: One line for each stage, and below it one for each change; a stage that would change nothing says so.
options:
  _input:
    description: For each title of a stage, its changes.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what would be done
  ansible.builtin.debug:
    msg: "{{ {'Update all packages': ['glibc would be installed']} | el7ops.kmem.plan_lines }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""


def plan_lines(changes):
    lines = []
    for title, found in changes.items():
        lines.append(title + (":" if found else ": nothing to write or install"))
        lines += [f"  {line}" for line in found]
    return lines


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"plan_lines": plan_lines}
