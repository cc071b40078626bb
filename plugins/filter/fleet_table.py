# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of many hosts as one table, the most urgent first."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_table
short_description: Facts of many hosts as lines of a table
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
description: One line for each host that was asked, the most urgent first, then how many have which verdict.
positional: hosts
options:
  _input:
    description: C(hostvars).
    type: dict
    required: true
  hosts:
    description: Names of the hosts that were asked, for example C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Say what was found
  ansible.builtin.debug:
    msg: "{{ hostvars | el7ops.kmem.fleet_table(ansible_play_hosts_all) }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

from collections import Counter

URGENCY = ("failing", "leaking", "active", "exposed", "unknown", "no answer", "protected", "not_applicable")
HEAD = ("host", "verdict", "leaked", "days left", "kernel", "nokmem", "recommended")


def row(host, kmem):
    """The cells of one host; a host without facts was not reached, which is never read as healthy."""
    if not isinstance(kmem, dict) or "verdict" not in kmem:
        return (host, "no answer", "", "", "", "", "look why")
    leaked = kmem["slab"]["leaked"]
    forecast = kmem.get("forecast") or {}
    days = ""
    if forecast.get("days_left") is not None:
        soonest, latest = forecast["days_left_between"]
        days = f"{forecast['days_left']:g} ({soonest:g} to {'never' if latest is None else f'{latest:g}'})"
    given = {True: "given", False: "", None: "?"}[kmem["cmdline"]["nokmem"]]
    support = kmem["kernel"]["nokmem_support"]
    nokmem = " ".join(word for word in (given, "" if support == "honoured" else support) if word) if kmem["kernel"]["line"] == "el7" else ""
    least = "+" if kmem["slab"].get("capped") else ""
    return (host, kmem["verdict"], "" if leaked is None else f"{leaked}{least}", days, kmem["kernel"]["release"] or "?", nokmem,
            kmem["recommendation"]["strategy"])  # fmt: skip


def urgency(cells):
    days = float(cells[3].split(" ")[0]) if cells[3] else float("inf")
    return (URGENCY.index(cells[1]), days, -int(cells[2].rstrip("+") or 0), cells[0])


def fleet_table(hostvars, hosts):
    """Lines of a table over C(hosts), whose facts are in C(hostvars)."""
    facts = {host: (hostvars[host].get("ansible_facts") or {}).get("kmem") for host in hosts}
    rows = sorted((row(host, kmem) for host, kmem in facts.items()), key=urgency)
    widths = [max(len(cells[column]) for cells in [HEAD, *rows]) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip() for cells in [HEAD, *rows]]
    count = Counter(cells[1] for cells in rows)
    return [*lines, f"{len(rows)} hosts: " + ", ".join(f"{count[name]} {name.replace('_', ' ')}" for name in URGENCY if count[name])]


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"fleet_table": fleet_table}
