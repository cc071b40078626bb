# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of a host as the lines that an admin reads at night."""

from __future__ import annotations

DOCUMENTATION = r"""
name: explain
short_description: Facts of kmem_facts as lines to read
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
description: Turns C(ansible_facts.kmem) into lines with the verdict, the evidence, what is missing, and what to do next.
positional: host
options:
  _input:
    description: C(ansible_facts.kmem) as the module kmem_facts set it.
    type: dict
    required: true
  host:
    description: Name of the host, for the first line and the command to type.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say what was found
  ansible.builtin.debug:
    msg: "{{ ansible_facts.kmem | el7ops.kmem.explain(inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

VERDICTS = {
    "not_applicable": "this host cannot have the bug.",
    "protected": "kmem accounting cannot be switched on here.",
    "exposed": "this host can leak as soon as containers with a memory limit are removed; nothing was seen yet.",
    "active": "kmem accounting is on: each memory cgroup that is removed can leak.",
    "leaking": "removed memory cgroups keep their ids; when they are used up, no container can start.",
    "failing": "memory cgroups cannot be created any more, or could not since the boot.",
    "unknown": "the facts do not say. That is not 'healthy'.",
}


def explain(kmem, host):
    """Lines that tell verdict, evidence, what is missing and the next command; C(kmem) as kmem_facts returns it."""
    lines = [f"{host}: {kmem['verdict'].upper().replace('_', ' ')}: {VERDICTS[kmem['verdict']]}", "Evidence:"]
    lines += [f"  {number}. {sentence}" for number, sentence in enumerate(kmem["evidence"], 1)]
    if kmem["missing"]:
        lines += ["Missing:"] + [f"  - {item}" for item in kmem["missing"]]
    advice = kmem["recommendation"]
    lines.append(f"Recommended: {advice['strategy']}")
    lines += [f"  - {reason}" for reason in advice["reasons"]]
    lines += [f"  - Avoid: {item}" for item in advice["avoid"]]
    if advice["strategy"] == "mitigate":
        lines.append(
            f"Next: ansible-playbook el7ops.kmem.remediate --limit {host} -e kmem_strategy=mitigate -e kmem_allow_reboot=true"
            " (the inventory and --become as in this run; it reboots the host)"
        )
    return lines


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"explain": explain}
