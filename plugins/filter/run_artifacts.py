# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document of a run, made small for the artifacts of an AWX job."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_artifacts
short_description: What a job of AWX leaves of a run
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
description:
  - Verdict, strategy, reboots, downtime, end state and what to do next, for C(set_stats). Later nodes of a workflow get it as a variable, so it
    holds no facts of the host.
  - Never fails, a document that is damaged gives less.
positional: report
options:
  _input:
    description: The document of the run, schema 1.
    type: dict
    required: true
  report:
    description: Path of the report on the controller, where one was written.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Leave it for the job's page
  ansible.builtin.set_stats:
    data:
      el7ops_kmem: "{{ {inventory_hostname: document | el7ops.kmem.run_artifacts} }}"
"""

RETURN = r"""
_value:
  description: run_id, status, strategy, verdict_before, verdict, kernel_before, kernel, reboots, downtime_s, stages, message, next, report.
  type: dict
"""


def at(document, *keys):
    """What lies below KEYS, None where a part of the way is missing or something else."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def run_artifacts(document, report=""):
    stages = [stage for stage in at(document, "stages") or [] if isinstance(stage, dict)]
    reboots = [reboot for stage in stages for reboot in stage.get("reboots") or [] if isinstance(reboot, dict)]
    return {
        **{key: at(document, key) for key in ("run_id", "status", "strategy", "message", "next")},
        "verdict_before": at(document, "before", "facts", "verdict"), "verdict": at(document, "after", "facts", "verdict"),
        "kernel_before": at(document, "before", "kernel"), "kernel": at(document, "after", "kernel"),
        "reboots": len(reboots), "downtime_s": round(sum(reboot.get("downtime_s") or 0 for reboot in reboots)),
        "stages": {str(stage.get("name")): stage.get("status") for stage in stages}, "report": report,
    }  # fmt: skip


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"run_artifacts": run_artifacts}
