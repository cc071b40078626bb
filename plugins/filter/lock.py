# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds the lock of a host: this process on the controller, and whether the holder of a lock that was met is dead."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lock
short_description: This ansible-playbook process as the owner of a host's lock, and whether a lock that was met is a dead one's
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
description:
  - The owner is the name of the controller, the user, the process id and when that process began, so that a later process
    with the same id is not taken for it.
  - A lock is dead where this very machine left it and the process does not run any more. Nothing is said about other machines.
options:
  _input:
    description: The lock as the module run_state found it, null where nobody holds it.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Take the lock
  el7ops.kmem.run_state:
    action: resume
    owner: "{{ (state.lock | el7ops.kmem.lock).owner }}"
    take_over: "{{ (state.lock | el7ops.kmem.lock).dead }}"
"""

RETURN = r"""
_value:
  description: owner (controller, user, pid, began) and dead.
  type: dict
"""

import getpass
import multiprocessing
import os
import socket
from pathlib import Path


def _began(pid):
    """When a process of this machine began, in clock ticks since its boot, with the boot's id; "" where there is none."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
        return ticks + "@" + Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _this_process():
    # tasks are templated in worker processes; the lock belongs to the process that started them
    parent = multiprocessing.parent_process()
    pid = parent.pid if parent else os.getpid()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())  # an execution environment may run as a user without a name
    return {"controller": socket.gethostname(), "user": user, "pid": pid, "began": _began(pid)}


def lock(found):
    """Who this process is as an owner, and whether the owner of the lock that was met is known to be dead."""
    held, here = (found or {}).get("owner") or {}, _this_process()
    dead = held.get("controller") == here["controller"] and bool(held.get("began")) and _began(held.get("pid")) != held["began"]
    return {"owner": here, "dead": dead}


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"lock": lock}
