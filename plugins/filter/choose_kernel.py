# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ELRepo kernel to install."""

from __future__ import annotations

DOCUMENTATION = r"""
name: choose_kernel
short_description: Chooses an ELRepo kernel, never one that breaks the container runtime of the host
version_added: 0.2.0
author: el7ops.kmem contributors (@el7ops)
description:
  - Takes the pinned version, or the newest by RPM's own order, among those that fit the host.
  - Kernels from 5.16 until the stable releases of October 2023 refuse or lack C(memory.kmem.limit_in_bytes), so that an
    old runc or kubelet cannot start containers under them; they are never chosen where one is installed.
positional: flavor, version, enablers
options:
  _input:
    description: Packages as C(ansible.builtin.yum) lists them, or of a folder. Other names and architectures are left out.
    type: list
    elements: dict
    required: true
  flavor:
    description: Which kernel.
    type: str
    choices: [ml, lt]
    required: true
  version:
    description: Exact version, or version-release; empty for the newest that fits.
    type: str
    required: true
  enablers:
    description: C(ansible_facts.kmem.enablers).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Choose
  ansible.builtin.set_fact:
    choice: "{{ listed.results | el7ops.kmem.choose_kernel('ml', '', ansible_facts.kmem.enablers) }}"
"""

RETURN = r"""
_value:
  description:
    - C(chosen) with name, evr, release (as uname -r says it), nevra and the package's own keys, or null.
    - C(refusal) why nothing was chosen, else an empty string. C(notes) what was passed over, and why.
  type: dict
"""

import re

from ansible_collections.el7ops.kmem.plugins.plugin_utils import _rpm

# Last el7 builds of ELRepo (elrepo/kernel eeb8512 and 87ad5bb, June 2024); both are outside of the window.
FINE = {"ml": "kernel-ml 6.9.7-1.el7.elrepo", "lt": "kernel-lt 5.4.278-1.el7.elrepo"}


def numbers(version):
    """The leading numbers of a kernel version as a tuple of three."""
    found = [int(number) for number in re.findall(r"\d+", version)[:3]]
    return tuple(found + [0] * (3 - len(found)))


def trap(version):
    """What is wrong with memory.kmem.limit_in_bytes in this upstream kernel: '', 'refuses', 'missing' or 'no_v1'.

    Linux 58056f77502f (5.16) made writing it fail; 86327e8eb94c took the file away (6.6-rc1, 6.5.4, 6.1.54);
    4597648fddea made writing it harmless (6.6-rc4, and the stable queues of 2023-10-04 for 6.5 and 6.1). The exact
    point releases are told apart by one release in favour of doubt: 6.5.7 and 6.1.57 are the first that count as fine.
    6.11.0 to 6.11.3 of ELRepo lack the memory controller of cgroup v1 (elrepo/kernel issue 2).
    """
    key = numbers(version)
    if (6, 11, 0) <= key < (6, 11, 4):
        return "no_v1"
    if key < (5, 16, 0) or key >= (6, 6, 0):
        return ""
    for line, gone, back in (((6, 1), 53, 57), ((6, 5), 3, 7)):
        if key[:2] == line:
            if key[2] >= back:
                return ""
            return "missing" if key[2] >= gone else "refuses"
    return "refuses"


def objection(version, enablers):
    """Why this kernel must not be booted on a host with these container programs, or ''."""
    kind = trap(version)
    names = sorted({" ".join(part for part in (item["name"], item.get("version")) if part)
                    for item in enablers if kind != "refuses" or item["kmem"] in ("on", "unknown")})  # fmt: skip
    if kind == "no_v1":
        return f"{version} of ELRepo was built without the memory controller of cgroup v1 (elrepo/kernel issue 2)"
    if not kind or not names:
        return ""
    what = {
        "refuses": "refuses writes to memory.kmem.limit_in_bytes (Linux 58056f77502f, canonical/microk8s issue 3028)",
        "missing": "lacks memory.kmem.limit_in_bytes (kubernetes issues 120813 and 120837)",
    }[kind]
    return f"{version} {what}: containers with a memory limit would not start with {', '.join(names)}"


def wanted(package, version):
    """Whether a package is the pinned one: version, version-release or version-release.arch."""
    full = f"{package['version']}-{package['release']}"
    return version in ("", package["version"], full, f"{full}.{package['arch']}")


def choose_kernel(available, flavor, version, enablers):
    """The kernel to install, or why there is none; see DOCUMENTATION."""
    name = f"kernel-{flavor}"
    version = version or ""
    prefix = name + "-"
    version = version[len(prefix) :] if version.startswith(prefix) else version
    known = [item for item in available if item.get("name") == name and item.get("arch") == "x86_64"]
    fitting, notes = [], []
    for item in sorted(known, key=_rpm.order, reverse=True):
        if not wanted(item, version):
            continue
        against = objection(item["version"], enablers)
        if against:
            notes.append(against)
        else:
            fitting.append(item)
    answer = {"chosen": None, "refusal": "", "notes": notes}
    if fitting:
        best = fitting[0]
        full = f"{best['version']}-{best['release']}"
        answer["chosen"] = dict(best, evr=_rpm.evr_text(best), release=f"{full}.{best['arch']}", nevra=f"{name}-{full}.{best['arch']}")
        return answer
    fine = next((f"{name} {item['version']}-{item['release']}" for item in sorted(known, key=_rpm.order, reverse=True)
                 if not objection(item["version"], enablers)), FINE[flavor])  # fmt: skip
    listed = ", ".join(sorted({f"{item['version']}-{item['release']}" for item in known})) or "none"
    if notes:
        answer["refusal"] = f"{'; '.join(dict.fromkeys(notes))}. Fine is {fine}"
    elif version:
        answer["refusal"] = f"{name} {version} is not there; listed are: {listed}"
    else:
        answer["refusal"] = f"no {name} for x86_64 is there"
    return answer


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"choose_kernel": choose_kernel}
