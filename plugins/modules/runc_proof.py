#!/usr/bin/python
# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: runc_proof
short_description: Shows with fresh containers whether kmem accounting stays off
description:
  - Runs a few containers with a memory limit, one after the other, reads C(memory.kmem.slabinfo) of their memory cgroup while
    they run, removes them, and looks whether one of them is still in /sys/kernel/slab.
  - The containers hold nothing but C(sleep) of the host, from an empty image that is made for it and removed again. They have
    no network, and a name that begins with C(el7ops-kmem-proof). No image is downloaded.
  - Where accounting is on, each of them leaks one id of 65,535.
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
options:
  count:
    description: How many containers.
    type: int
    default: 2
attributes:
  check_mode:
    description: Can run in check mode, and does nothing then.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: linux
"""

EXAMPLES = r"""
- name: See what a fresh container does
  el7ops.kmem.runc_proof:
  register: proof
"""

RETURN = r"""
accounting:
  description: C(inactive), C(active), or C(unknown) where no container could be run, or none be read.
  returned: always
  type: str
containers:
  description: Each container, with the C(errno) of reading its slabinfo (5 is off), and whether it is C(left) in /sys/kernel/slab.
  returned: always
  type: list
  elements: dict
left:
  description: How many of them leaked.
  returned: always
  type: int
reason:
  description: Why nothing could be shown; empty where it could.
  returned: always
  type: str
"""

import os
import re
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.el7ops.kmem.plugins.module_utils import _host, _kmem

NAME = "el7ops-kmem-proof"
EMPTY_TAR = b"\0" * 10240
MOUNT = "/sys/fs/cgroup/memory"
SLAB = "/sys/kernel/slab"
SHARED = ("/usr", "/lib", "/lib64", "/bin")
PATIENCE = 90


class Stop(Exception):
    """No proof is possible; the message says why."""


def docker(*words):
    """The output of a docker command, which must end with 0."""
    ran = _host.run(["docker"] + list(words), PATIENCE, errors=True)
    if ran["rc"] != 0:
        raise Stop("docker %s: %s" % (words[0], ran["error"] or ran["out"].strip()[-400:] or "rc %s" % ran["rc"]))
    return ran["out"].strip()


def memory_group(pid):
    """The memory cgroup of a process, as a path below the mount."""
    for line in (_host.probe_text("/proc/%s/cgroup" % pid)[0] or "").split("\n"):
        fields = line.split(":", 2)
        if len(fields) == 3 and "memory" in fields[1].split(","):
            return fields[2]
    raise Stop("process %s of a fresh container is in no memory cgroup of version 1" % pid)


def one(number):
    """Run one container, look at it, and remove it: {id, cgroup, errno, active, left}."""
    name = "%s-%d" % (NAME, number)
    mounts = []
    for path in SHARED:
        if os.path.isdir(path):
            mounts += ["--volume", "%s:%s:ro" % (path, path)]
    _host.run(["docker", "rm", "--force", name], PATIENCE)  # of a run that was cut off
    try:
        container = docker("run", "--detach", "--name", name, "--memory", "64m", "--network", "none", *(mounts + [NAME, "/usr/bin/sleep", "300"]))
        container = container.rpartition("\n")[2]  # behind docker's warnings
        pid = docker("inspect", "--format", "{{.State.Pid}}", name)
        group = memory_group(pid)
        head, error = _host.probe_text(MOUNT + group + "/memory.kmem.slabinfo", 200)
    finally:
        _host.run(["docker", "rm", "--force", name], PATIENCE)
    base = group.rpartition("/")[2]
    left = any((_kmem.owner_of(entry) or (0, ""))[1] == base for entry in os.listdir(SLAB))
    return {"id": container, "cgroup": group, "errno": error, "active": error == 0 and (head or "").startswith("slabinfo"), "left": left}


def prove(count):
    """({containers}, reason)"""
    seen = []
    handle, path = tempfile.mkstemp(suffix=".tar")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(EMPTY_TAR)
        docker("import", path, NAME)
        for number in range(count):
            seen.append(one(number))
    except Stop as failure:
        return seen, "%s" % failure
    finally:
        os.unlink(path)
        _host.run(["docker", "rmi", "--force", NAME], PATIENCE)
    return seen, ""


def judged(seen, reason):
    """accounting from what was seen."""
    if any(item["active"] or item["left"] for item in seen):
        return "active"
    if seen and not reason and all(item["errno"] == _kmem.EIO for item in seen):
        return "inactive"
    return "unknown"


def main():
    module = AnsibleModule(argument_spec=dict(count=dict(type="int", default=2)), supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=False, accounting="unknown", containers=[], left=0, reason="check mode: no container was run")
    seen, reason = prove(module.params["count"])
    reason = re.sub(r"\s+", " ", reason)
    module.exit_json(changed=False, accounting=judged(seen, reason), containers=seen, left=len([item for item in seen if item["left"]]), reason=reason)


if __name__ == "__main__":
    main()
