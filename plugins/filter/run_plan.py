# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The strategies as lists of stages: what is done, in which order, how long it may take, and where the host reboots."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_plan
short_description: The stages of a strategy
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
description:
  - Each stage has a name, a title, the minutes that it may take, whether it ends with a reboot where one is due (reboot), whether
    its effect can be proved on the running host then (prove), whether it is kept only once the services were verified (confirm), and
    whether the running kernel is made the default behind it (pin), so that no kernel it installs is booted without a trial.
positional: minutes, trial
options:
  _input:
    description: The strategy.
    type: str
    choices: [article, upgrade, mitigate, runc, reboot, restore_kmem]
    required: true
  minutes:
    description: Other minutes for some stages, by name; from the measurements of your own hosts.
    type: dict
    default: {}
  trial:
    description: Whether the new kernel is booted on trial. Its entry then leaves nokmem out by itself, and the others follow.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Say what would be done
  ansible.builtin.debug:
    msg: "{{ 'upgrade' | el7ops.kmem.run_plan | map(attribute='title') }}"
"""

RETURN = r"""
_value:
  description: name, title, minutes, reboot, prove, confirm, pin.
  type: list
  elements: dict
"""

from ansible.errors import AnsibleFilterError

# Minutes are what a slow physical host needs with its firmware's start; a stage is not begun if they do not fit into the window.
STAGES = {
    "snapshot": ("Take care of the way back: a snapshot of the system disk", 5),
    "nokmem": ("Switch kmem accounting off: cgroup.memory=nokmem on every boot entry", 20),
    "yum_update": ("Update all packages", 60),
    "elrepo_kernel": ("Install the new kernel from ELRepo", 15),
    "grub_default": ("Make the new kernel the default and boot it", 25),
    "restore_kmem": ("Allow kmem accounting again: cgroup.memory=nokmem goes", 20),
    "runc_nokmem": ("Exchange runc for one that leaves kernel memory alone", 10),
    "reboot": ("Reboot, which frees what has leaked", 20),
}
# (stage, does it end with a reboot). The snapshot comes before everything that changes the host. "article" reboots wherever the
# write-up of that night does; "upgrade" reaches the same end with one: a new kernel needs no nokmem first. Its nokmem goes from the
# old kernel's entry only when the new one is confirmed, so that a failed trial does not leave the host worse than it was.
STRATEGIES = {
    "article": (
        ("snapshot", False), ("nokmem", True), ("yum_update", True), ("elrepo_kernel", False), ("grub_default", True), ("restore_kmem", True),
    ),
    "upgrade": (("snapshot", False), ("yum_update", False), ("elrepo_kernel", False), ("grub_default", True), ("restore_kmem", False)),
    "mitigate": (("nokmem", True),),
    "runc": (("runc_nokmem", False),),
    "reboot": (("reboot", True),),
    "restore_kmem": (("restore_kmem", True),),
}  # fmt: skip


# stages that can be proved without a reboot of their own
PROVED = ("restore_kmem",)
# stages that install kernels, and the packages make those the default
KERNELS = ("yum_update", "elrepo_kernel")


def run_plan(strategy, minutes=None, trial=True):
    minutes = minutes or {}
    if strategy not in STRATEGIES:
        raise AnsibleFilterError(f"there is no strategy {strategy!r}; there are {', '.join(STRATEGIES)}")
    unknown = sorted(set(minutes) - set(STAGES))
    if unknown:
        raise AnsibleFilterError(f"kmem_stage_minutes names stages that do not exist: {', '.join(unknown)}; there are {', '.join(STAGES)}")
    plan = []
    for name, reboot in STRATEGIES[strategy]:
        # without a trial entry of its own the new kernel starts with the nokmem that the others have, and that takes a reboot to go
        reboot = reboot or (name == "restore_kmem" and not trial)
        title, usual = STAGES[name]
        plan.append({"name": name, "title": title, "minutes": int(minutes.get(name, usual)), "reboot": reboot,
                     "prove": reboot or name in PROVED, "confirm": name == "grub_default" and bool(trial)})  # fmt: skip
    # where the only reboot is the trial; "article" boots what the update brought
    once = [stage["name"] for stage in plan if stage["reboot"]] == [stage["name"] for stage in plan if stage["confirm"]]
    return [dict(stage, pin=once and stage["name"] in KERNELS) for stage in plan]


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"run_plan": run_plan}
