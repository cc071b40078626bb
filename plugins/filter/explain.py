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


NEXT = {
    "mitigate": "it reboots the host",
    "upgrade": "it asks for a snapshot and reboots the host",
    "runc": "no reboot; name the runc with -e runc_nokmem_url=... -e runc_nokmem_sha256=...",
    "reboot": "it reboots the host",
}


def forecast_text(forecast):
    """When it will fail, with the uncertainty, or why that cannot be said."""
    if not forecast or forecast.get("days_left") is None:
        return f"not possible: {(forecast or {}).get('reason') or 'nothing was counted'}"
    soonest, latest = forecast["days_left_between"]
    until = f"{latest:g} days" if latest is not None else "never (the leak may as well have ended)"
    text = f"the ids are used up in about {forecast['days_left']:g} days (between {soonest:g} days and {until}),"
    text += f" at {forecast['leaked_per_day']:g} a day; from {forecast['basis']}"
    return text + (f". Note: {forecast['reason']}" if forecast.get("reason") else "")


def explain(kmem, host):
    """Lines that tell verdict, evidence, what is missing, when it will fail, and the next command."""
    lines = [f"{host}: {kmem['verdict'].upper().replace('_', ' ')}: {VERDICTS[kmem['verdict']]}", "Evidence:"]
    lines += [f"  {number}. {sentence}" for number, sentence in enumerate(kmem["evidence"], 1)]
    if kmem["missing"]:
        lines += ["Missing:"] + [f"  - {item}" for item in kmem["missing"]]
    if kmem["verdict"] in ("exposed", "active", "leaking"):
        lines.append(f"Forecast: {forecast_text(kmem.get('forecast'))}")
    advice = kmem["recommendation"]
    lines.append(f"Recommended: {advice['strategy']}")
    lines += [f"  - {reason}" for reason in advice["reasons"]]
    lines += [f"  - Avoid: {item}" for item in advice["avoid"]]
    if advice["strategy"] in NEXT:
        reboot = "false" if advice["strategy"] == "runc" else "true"
        lines.append(
            f"Next: ansible-playbook el7ops.kmem.remediate --limit {host} -e kmem_strategy={advice['strategy']} -e kmem_allow_reboot={reboot}"
            f" (the inventory and --become as in this run; {NEXT[advice['strategy']]})"
        )
    return lines


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"explain": explain}
