#!/usr/bin/python
# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: container_churn_info
short_description: Tells which containers restart over and over, and how many come and go
description:
  - Looks at the containers of Docker and Podman twice and compares restart counts and start times. One look cannot tell
    a restart loop, because a container that is between two crashes reads as running.
  - Counts what was created and what died in between, which shows jobs that create and remove containers all the time.
    Each container with a memory limit that goes can leak a memory cgroup on kernel 3.10 with kmem accounting.
  - Reads only. Every command has a time limit. It never asks for C(docker stats), which walks all memory cgroups and
    can hang a host that is failing.
version_added: 0.2.0
author: el7ops.kmem contributors (@el7ops)
options:
  interval:
    description: Seconds between the two looks. With 0 there is one look, and only a container in its back-off is told as looping.
    type: int
    default: 60
  quiet_interval:
    description:
      - Seconds between the two looks where the first shows that no container was ever restarted by its runtime. As
        I(interval) if not given.
    type: int
  timeout:
    description: Seconds that each command may take.
    type: int
    default: 20
attributes:
  check_mode:
    description: Can run in check mode and return what it would without it.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: none
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: linux
notes:
  - Needs root, or membership in the group that may speak to the daemon.
  - Podman is asked only where root has ever used it, because asking makes it create its storage.
seealso:
  - module: el7ops.kmem.kmem_facts
"""

EXAMPLES = r"""
- name: Look for containers that restart over and over
  el7ops.kmem.container_churn_info:
  register: churn

- name: Fail where there is one, or where it is not known
  ansible.builtin.assert:
    that:
      - churn.complete
      - churn.looping == []
"""

RETURN = r"""
present:
  description: Whether a container runtime is installed.
  returned: always
  type: bool
answers:
  description: Whether every runtime that is installed answers; null where none is.
  returned: always
  type: bool
complete:
  description: Whether all was read. Where it is false, C(missing) says what was not, and nothing in this result means "none".
  returned: always
  type: bool
missing:
  description: What could not be read, and why.
  returned: always
  type: list
  elements: str
runtimes:
  description: For docker and podman, whether it is C(present), whether it C(answers), and the C(error).
  returned: always
  type: dict
containers:
  description: The containers of the second look (of the first where there is no second), sorted by name.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: The full id.
      type: str
    name:
      description: The name, without the slash.
      type: str
    runtime:
      description: docker or podman.
      type: str
    image:
      description: The image it was made from.
      type: str
    status:
      description: What the runtime says, for example running, restarting, exited.
      type: str
    exit_code:
      description: Of the last end. It reads 0 while the container runs.
      type: int
    started_at:
      description: When it was last started, as the runtime says it.
      type: str
    restart_policy:
      description: For example no, always, unless-stopped, on-failure.
      type: str
    auto_remove:
      description: Whether it was started with --rm.
      type: bool
    memory_limit:
      description: Limit in bytes, 0 for none.
      type: int
    restart_count_before:
      description: Restarts by the runtime at the first look; null where the container was not there.
      type: int
    restart_count_after:
      description: The same at the second look.
      type: int
    restarts_in_interval:
      description: The difference; null where one of the two is not known.
      type: int
    looping:
      description: Whether it was restarted between the looks or waits for the next try; null for unknown.
      type: bool
looping:
  description: Names of the containers that restart over and over.
  returned: always
  type: list
  elements: str
interval:
  description: Seconds that were between the looks.
  returned: always
  type: float
created:
  description: Containers created in between; null where that could not be read, or was not with an interval of 0.
  returned: always
  type: int
died:
  description: Containers that ended in between, restarts included; null as above.
  returned: always
  type: int
created_images:
  description: How many containers were created of which image; null as above.
  returned: always
  type: dict
created_per_minute:
  description: The same number for a minute.
  returned: always
  type: float
died_per_minute:
  description: The same number for a minute.
  returned: always
  type: float
churn_per_minute:
  description: The larger of the two; null where it is not known.
  returned: always
  type: float
boot_id:
  description: Boot id of the kernel that the looks belong to; null where it could not be read.
  returned: always
  type: str
"""

import os
import re
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.el7ops.kmem.plugins.module_utils import _churn, _host

CHUNK = 200  # containers asked for in one command
STORAGE_CONF = "/etc/containers/storage.conf"
STORAGE = "/var/lib/containers/storage"


def program(module, name):
    """Path of a runtime's command, or None. A docker that is podman's wrapper is not docker."""
    path = module.get_bin_path(name)
    if path and name == "docker":
        head = _host.probe_text(path, 4096)[0] or ""
        if head.startswith("#!") and "podman" in head:
            return None
    return path


def podman_was_used():
    """Whether root's Podman has a storage; asking a Podman that was never used would create it."""
    conf = _host.probe_text(STORAGE_CONF)[0] or ""
    roots = re.findall(r'^\s*graphroot\s*=\s*"([^"]+)"', conf, re.M) or [STORAGE]
    return any(os.path.isdir(root) for root in roots)


def answer(argv, timeout):
    """(output, None) of a command that ended with 0, else (None, why not)."""
    result = _host.run(argv, timeout)
    if result["error"] or result["rc"]:
        words = " ".join([os.path.basename(argv[0])] + argv[1:3])
        return None, result["error"] or "'%s' ended with exit code %s" % (words, result["rc"])
    return result["out"], None


def listed(path, timeout):
    """(ids of all containers, None), or (None, why not)."""
    out, error = answer([path, "ps", "-a", "-q", "--no-trunc"], timeout)
    if error:
        return None, error
    found = _churn.ids(out)
    return (found, None) if found is not None else (None, "'ps' printed what is no list of container ids")


def inspected(name, path, wanted, timeout):
    """(containers by id, last error): an inspect ends with 1 as soon as one of the containers has gone meanwhile."""
    found, error = {}, None
    for begin in range(0, len(wanted), CHUNK):
        argv = [path, "inspect", "--type", "container"] + (["--format", _churn.INSPECT_FORMAT] if name == "docker" else [])
        result = _host.run(argv + wanted[begin : begin + CHUNK], timeout)
        parse = _churn.parse_inspect if name == "docker" else _churn.parse_inspect_json
        found.update(parse(result["out"]))
        if result["error"]:
            return found, result["error"]
        if result["rc"]:
            error = "'inspect' ended with exit code %s" % result["rc"]
    return found, error


def look(name, path, timeout):
    """(containers by id, None), or (None, why not). What went between list and look is not missing; all else is."""
    wanted, error = listed(path, timeout)
    if error:
        return None, error
    found, trouble = inspected(name, path, wanted, timeout) if wanted else ({}, None)
    lost = set(wanted) - set(found)
    if lost:
        still, error = listed(path, timeout)
        if error:
            return None, error
        lost &= set(still)
    if lost:
        return None, "%d containers could not be inspected%s" % (len(lost), ": %s" % trouble if trouble else "")
    return found, None


def start_events(name, path, since, until):
    """Ask for what was created and died. Docker keeps only the last 256 events of all kinds, so it is read as it comes."""
    argv = [path, "events", "--since", "%.9f" % since, "--until", "%.9f" % until, "--filter", "event=create"]
    if name == "docker":
        argv += ["--filter", "event=die", "--filter", "type=container", "--format", _churn.EVENT_FORMAT]
    else:
        argv += ["--filter", "event=died", "--stream=false"]
    return _host.start(argv)


def events(started, timeout):
    """(what parse_events() gives, None), or (None, why not)."""
    result = _host.finish(started, timeout, 64 * 1024 * 1024)
    if result["error"] or result["rc"]:
        return None, "events: %s" % (result["error"] or "exit code %s" % result["rc"])
    found = _churn.parse_events(result["out"])
    return found, "events: %d lines could not be understood" % found[3] if found[3] else None


def sample(module, interval, quiet, timeout):
    """Two looks at every runtime with the interval between them; see _churn.report() for what is returned."""
    looks = []
    for name in ("docker", "podman"):
        path = program(module, name)
        if path and name == "podman" and not podman_was_used():
            path = None
        looks.append(dict(runtime=name, path=path, present=bool(path), answers=None, error=None, before=None, after=None, events=None))
    begin = time.time()
    asked = [one for one in looks if one["present"]]
    for one in asked:
        one["before"], one["error"] = look(one["runtime"], one["path"], timeout)
        one["answers"] = one["before"] is not None
    asked = [one for one in asked if one["answers"]]
    if not any(_churn.suspicious(container) for one in asked for container in one["before"].values()):
        interval = quiet
    if not asked or interval <= 0:
        return looks, 0
    until = time.time() + interval
    streams = [(one, start_events(one["runtime"], one["path"], begin, until)) for one in asked if one["runtime"] == "docker"]
    for one, started in streams:
        one["events"], one["error"] = events(started, max(0, until - time.time()) + timeout)
    time.sleep(max(0, until - time.time()))
    for one in asked:
        if one["runtime"] != "docker":
            one["events"], one["error"] = events(start_events(one["runtime"], one["path"], begin, until), timeout)
        one["after"], error = look(one["runtime"], one["path"], timeout)
        if error:
            one["answers"], one["error"] = False, error
    return looks, until - begin


def main():
    module = AnsibleModule(
        argument_spec=dict(interval=dict(type="int", default=60), quiet_interval=dict(type="int"), timeout=dict(type="int", default=20)),
        supports_check_mode=True,
    )
    interval, quiet, timeout = (module.params[key] for key in ("interval", "quiet_interval", "timeout"))
    quiet = interval if quiet is None else quiet
    if interval < 0 or quiet < 0 or timeout < 1:
        module.fail_json(msg="interval and quiet_interval must not be negative, and timeout must be at least 1. Nothing was read.")
    looks, seconds = sample(module, interval, quiet, timeout)
    boot_id = (_host.probe_text("/proc/sys/kernel/random/boot_id")[0] or "").strip() or None
    module.exit_json(changed=False, boot_id=boot_id, **_churn.report(looks, seconds))


if __name__ == "__main__":
    main()
