# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of remediate came to, as the lines that an admin reads at its end."""

from __future__ import annotations

DOCUMENTATION = r"""
name: outcome
short_description: Facts before and after a remediation as lines to read
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
description: Compares C(ansible_facts.kmem) of after with that of before and says what was done and what is left to do.
positional: before, host, reboots, pending
options:
  _input:
    description: C(ansible_facts.kmem) at the end of the run.
    type: dict
    required: true
  before:
    description: C(ansible_facts.kmem) at its start.
    type: dict
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
  reboots:
    description: The list C(common_reboots).
    type: list
    elements: dict
    required: true
  pending:
    description: Whether a reboot is due that was not allowed.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Say what was done
  ansible.builtin.debug:
    msg: "{{ ansible_facts.kmem | el7ops.kmem.outcome(before, inventory_hostname, common_reboots, false) }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

PROOF = {
    "inactive": "proved in a running container with a memory limit (memory.kmem.slabinfo: Input/output error)",
    "not_provable": "not provable in a container yet, because none with a memory limit runs: start one and run diagnose again",
    "unknown": "not provable: memory.kmem.slabinfo could not be read",
    "active": "ON",
}


def outcome(after, before, host, reboots, pending):
    """Lines that tell what a run of remediate did on one host and what is left; never more than was seen."""
    if pending:
        return [
            f"{host}: PREPARED, NOT CURED: cgroup.memory=nokmem is written and takes effect at the next boot.",
            f"Verdict now: {before['verdict']}. Nothing is better until then.",
            "Next: reboot the host, then run the same command again: it proves the effect and changes nothing.",
        ]
    seconds = sum(reboot["downtime_s"] for reboot in reboots)
    return [
        f"{host}: verdict {before['verdict']} -> {after['verdict']}",
        f"Leaked memory cgroups: {before['slab']['leaked']} -> {after['slab']['leaked']}",
        f"kmem accounting off: {PROOF[after['accounting']['state']]}",
        f"Reboots: {len(reboots)}" + (f", {seconds} s until the host answered again" if reboots else ""),
        "Next: look after your services; the argument stays for kernels that are installed later.",
    ]


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"outcome": outcome}
