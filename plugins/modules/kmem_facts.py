#!/usr/bin/python
# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: kmem_facts
short_description: Tells whether a host has the EL7 kernel-memory cgroup leak
description:
  - Reads what tells about the leak of memory cgroups on kernel 3.10 of CentOS 7 and RHEL 7, and gives a verdict with
    the evidence it rests on.
  - Reads only, unless I(probe) or I(capture_to) is given. The reads run in a child process and are safe on a host
    that is failing; the module returns within I(timeout), with what was read until then.
  - The reading half makes one JSON document, a capture; the deciding half is a pure function of it. I(capture_to)
    keeps the capture, I(capture_from) decides from a kept one instead of reading the host.
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
options:
  timeout:
    description: Seconds after which the module returns with what it has. What was not read is named in C(missing).
    type: int
    default: 30
  probe:
    description:
      - Try to create one memory cgroup, and remove it again. This is the only certain sign that creation fails now.
      - The one write this module can do on the system; the group never has kmem accounting, so it cannot leak.
        Skipped in check mode.
    type: bool
    default: false
  capture_to:
    description: File on the host to write the capture to, mode 0600. It holds no secrets; see the sample.
    type: path
  capture_from:
    description: File on the host with a capture to decide from. The host itself is not read then.
    type: path
  samples:
    description:
      - Earlier samples of this host, as C(samples) of an earlier run's facts, for the forecast. Without it those that
        the role monitor keeps on the host are taken.
    type: list
    elements: dict
attributes:
  check_mode:
    description: Can run in check mode and return what it would without it.
    support: full
    details: The probe and the writing of a capture are skipped.
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
  facts:
    description: Returns facts.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: linux
notes:
  - Needs root to read the evidence; without it the verdict is mostly C(unknown).
seealso:
  - module: el7ops.kmem.kernel_cmdline
"""

EXAMPLES = r"""
- name: See whether this host leaks memory cgroups
  el7ops.kmem.kmem_facts:

- name: Show the verdict and what it rests on
  ansible.builtin.debug:
    msg: "{{ [ansible_facts.kmem.verdict] + ansible_facts.kmem.evidence }}"

- name: Keep a capture for a ticket
  el7ops.kmem.kmem_facts:
    capture_to: /root/kmem-capture.json

- name: Decide from a capture that somebody sent
  el7ops.kmem.kmem_facts:
    capture_from: /tmp/kmem-capture.json
"""

RETURN = r"""
ansible_facts:
  description: Facts of this module.
  returned: always
  type: dict
  contains:
    kmem:
      description: What was read and what it means.
      returned: always
      type: dict
      contains:
        verdict:
          description:
            - C(not_applicable), no EL7 3.10 kernel with cgroup v1.
            - C(protected), nokmem is effective, or no installed program can switch kmem accounting on.
            - C(exposed), the host could leak, kernel and container runtime both allow it; nothing was seen yet.
            - C(active), kmem accounting is on in live groups, each removal can leak.
            - C(leaking), removed groups that still hold their id were seen.
            - C(failing), creating a memory cgroup fails now, or failed since the boot.
            - C(unknown), C(missing) names what could not be read.
          type: str
          sample: leaking
        evidence:
          description: What the verdict rests on, as sentences with the source that was read.
          type: list
          elements: str
        missing:
          description: What could not be read and would be needed.
          type: list
          elements: str
        kernel:
          description: The C(release), its C(line) (el7, older, newer, unknown), its C(build), and C(nokmem_support).
          type: dict
        cmdline:
          description: The C(tokens) of every C(cgroup.memory=) of the running kernel, and whether C(nokmem) is one.
          type: dict
        cgroup:
          description: Version, mount point and numbers of the memory controller.
          type: dict
        slab:
          description:
            - What the names in /sys/kernel/slab say. C(owners) are groups with names there, C(leaked) those of them
              whose group is gone; each is one id of 65,535 that is lost until the next boot.
          type: dict
        accounting:
          description:
            - Whether kmem accounting is C(active), C(inactive), C(not_provable) or C(unknown), and C(orphaned), bytes of kernel memory
              that a group is charged with and none of its children.
          type: dict
        enablers:
          description: Installed programs that can switch kmem accounting on, each with C(kmem) on, off or unknown.
          type: list
          elements: dict
        symptoms:
          description: Log lines since the boot that belong to the bug, and the result of the probe.
          type: dict
        forecast:
          description:
            - Leaked groups per day and C(days_left), with the soonest and the latest day in C(days_left_between); the
              latest is null where the leak may as well have ended. All null, with the C(reason), where it cannot be said.
          type: dict
        sample:
          description: What this look counted. Hand C(samples) to a later run for its forecast.
          type: dict
        samples:
          description: The earlier samples and this one, thinned out to 400.
          type: list
          elements: dict
        host:
          description: What binds the host to its kernel, C(out_of_tree) modules and the number of running C(units); and Docker's C(live_restore).
          type: dict
        recommendation:
          description: The C(strategy) for the playbook remediate, C(reasons), and what to C(avoid).
          type: dict
"""

import gc
import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.el7ops.kmem.plugins.module_utils import _child

# Python compiles all of this anew on each host, which takes Python 2 as long as the reading. So each half is imported in the process
# that needs it, and both are compiled at the same time.

# a first decision, about this host, has the deciding half and its patterns compiled while the other half reads; those for log lines
# take long, and most hosts have no such line
MADE_UP = {
    "schema": 1, "uname": {"release": "3.10.0-1.el7"}, "files": {"/proc/cmdline": "ro", "/proc/modules": "a 1 0 - Live 0x0 (O)\n"},
    "packages": {"containerd.io": "1.2.13-3.2.el7"}, "binaries": {"/usr/bin/runc": {"strings": [], "version": "runc version 1.0.0"}},
}  # fmt: skip


def read(emit, probe):
    """The reading half, in a process of its own."""
    from ansible_collections.el7ops.kmem.plugins.module_utils import _commands

    started = _commands.start()
    from ansible_collections.el7ops.kmem.plugins.module_utils import _capture

    _capture.collect(emit, probe=probe, started=started)


def decide(doc, samples):
    """The deciding half."""
    from ansible_collections.el7ops.kmem.plugins.module_utils import _kmem

    return _kmem.decide(doc, samples)


def read_host(timeout, probe):
    """The capture of this host; what is missing in it is named in its notes."""
    items, finished = _child.stream_from_child(lambda emit: read(emit, probe), timeout, meanwhile=lambda: decide(MADE_UP, None))
    doc = dict(items)
    notes = []
    if "failure" in doc:
        notes.append("a part that could not be read (%s)" % doc.pop("failure"))
    elif not finished:
        last = items[-1][0] if items else "nothing"
        notes.append("what comes after '%s' in the capture: reading did not end within %d seconds" % (last, timeout))
    if doc.get("euid"):
        notes.append("what only root may read (become: true)")
    if notes:
        doc["notes"] = notes
    return doc


def replay(module, path):
    """The capture that a file holds."""
    from ansible_collections.el7ops.kmem.plugins.module_utils import _host

    try:
        doc = json.loads(_host.decode(_host.read_bytes(path, None)))
    except (IOError, OSError, ValueError) as error:
        module.fail_json(msg="The capture %s cannot be used: %s. Nothing was read or changed. Take a new one with capture_to." % (path, error))
    if not isinstance(doc, dict):
        module.fail_json(msg="The capture %s is no JSON object. Nothing was read or changed. Take a new one with capture_to." % path)
    return doc


def write_capture(path, doc):
    """Put a capture on the disk, readable by root alone."""
    from ansible_collections.el7ops.kmem.plugins.module_utils import _disk

    content = json.dumps(doc, sort_keys=True, indent=1).encode("utf-8")
    staged = _disk.stage_file(path, content)
    os.rename(staged, path)
    _disk.sync_directory(os.path.dirname(path))


def main():
    module = AnsibleModule(
        argument_spec=dict(
            timeout=dict(type="int", default=30),
            probe=dict(type="bool", default=False),
            capture_to=dict(type="path"),
            capture_from=dict(type="path"),
            samples=dict(type="list", elements="dict"),
        ),
        mutually_exclusive=[("capture_from", "capture_to"), ("capture_from", "probe")],
        supports_check_mode=True,
    )
    # it looks at all that Ansible has brought along, again and again while our halves are compiled, and there is nothing to find
    gc.disable()
    if module.params["capture_from"]:
        doc = replay(module, module.params["capture_from"])
    else:
        doc = read_host(module.params["timeout"], module.params["probe"] and not module.check_mode)
    changed = False
    if module.params["capture_to"]:
        changed = True
        if not module.check_mode:
            write_capture(module.params["capture_to"], doc)
    module.exit_json(changed=changed, ansible_facts={"kmem": decide(doc, module.params["samples"])})


if __name__ == "__main__":
    main()
