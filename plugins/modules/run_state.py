#!/usr/bin/python
# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: run_state
short_description: Keeps the document of a run, its lock, and copies of the files it may change, on the host
description:
  - A run is one night on one host. Its document, C(run.json) in O(directory), tells a later run where to go on and a rollback
    what to undo. It is written in one step and read again, and only root can read it.
  - The lock keeps two runs from working on one host. It names the process on the controller that holds it.
  - A summary without facts of the host is kept as the local fact C(ansible_local.el7ops_kmem).
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
options:
  action:
    description:
      - V(read) changes nothing.
      - V(begin) takes the lock, copies O(files), and writes the document of a new run from O(run). A document that is there
        is kept as C(runs/<run_id>/run.json).
      - V(resume) takes the lock and sets the status to C(running).
      - V(stage) writes O(values) into the stage O(stage).
      - V(end) writes O(values) into the document and gives the lock back.
      - V(restore) puts the files back that V(begin) copied, byte for byte, and removes those that were not there. The journal of
        C(/boot) is written out after that, as GRUB reads without it; it warns where that is not possible.
    type: str
    choices: [read, begin, resume, stage, end, restore]
    default: read
  directory:
    description: Where all of it is kept.
    type: path
    default: /var/lib/el7ops-kmem
  owner:
    description: Who holds the lock, see the filter P(el7ops.kmem.lock#filter). Needed for everything but V(read).
    type: dict
    default: {}
  take_over:
    description: Take the lock although another run holds it.
    type: bool
    default: false
  run:
    description: With O(action=begin), a dict with run_id, host, strategy, controller, window, before, and stages (name, title).
    type: dict
    default: {}
  files:
    description: With O(action=begin), paths or patterns of files to copy. A path without a file is noted as not there.
    type: list
    elements: str
    default: []
  stage:
    description: With O(action=stage), its name.
    type: str
    default: ''
  values:
    description: With O(action=stage) or O(action=end), what to write. The lists changes, evidence and reboots of a stage grow.
    type: dict
    default: {}
  document:
    description: With O(action=stage), what to write beside the stages, such as the snapshot.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Can run in check mode; nothing is written then, and the document is returned as it would be.
    support: full
  diff_mode:
    description: Shows the files that O(action=restore) puts back.
    support: partial
    details: The document itself is not shown, as each run changes it.
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: linux
"""

EXAMPLES = r"""
- name: Read what runs have left on the host
  el7ops.kmem.run_state:
  register: state

- name: Note that a stage is done
  el7ops.kmem.run_state:
    action: stage
    owner: "{{ (state.lock | el7ops.kmem.lock).owner }}"
    stage: yum_update
    values:
      status: done
      changes: [kernel 3.10.0-1127.el7 -> 3.10.0-1160.119.1.el7]
"""

RETURN = r"""
run:
  description: The document of the run, null where there is none. See C(roles/common/files/report.schema.json).
  returned: always
  type: dict
problem:
  description: Why C(run.json) cannot be used; empty where it can or is not there.
  returned: always
  type: str
lock:
  description: The lock as found, null where nobody holds it.
  returned: always
  type: dict
boot_id:
  description: The boot id of the running kernel.
  returned: always
  type: str
kernel:
  description: The release of the running kernel.
  returned: always
  type: str
restored:
  description: With O(action=restore), paths of the files that were put back or removed.
  returned: with action restore
  type: list
  elements: str
"""

import calendar
import errno
import fcntl
import glob
import json
import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.el7ops.kmem.plugins.module_utils import _disk, _host, _run

BOOT = "/boot"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
FACT = "/etc/ansible/facts.d/el7ops_kmem.fact"
TIME = "%Y-%m-%dT%H:%M:%SZ"


class Stop(Exception):
    """Cannot go on; the message says why and what to type."""


def now():
    return time.strftime(TIME, time.gmtime())


def age(since):
    """Seconds since a time of ours; a time that cannot be read is infinitely old."""
    try:
        return time.time() - calendar.timegm(time.strptime(since, TIME))
    except (TypeError, ValueError):
        return float(10 ** 9)


class State(object):
    """What is on the host, and the one way to change it."""

    def __init__(self, module):
        self.module, self.options = module, module.params
        self.directory = self.options["directory"]
        self.path, self.lock_path = [os.path.join(self.directory, name) for name in ("run.json", "lock")]
        self.boot_id = (_host.probe_text(BOOT_ID)[0] or "").strip()
        self.written, self.restored, self.diff = [], [], []
        self.read()

    def read(self):
        self.run, self.problem = self.load(self.path)
        if self.run is not None and not self.problem:
            found = _run.problems(self.run)
            self.problem = "; ".join(found)
        self.lock = self.load(self.lock_path)[0]

    @staticmethod
    def load(path):
        """(document or None, problem)."""
        try:
            raw = _host.read_bytes(path, None)
        except (IOError, OSError) as error:
            return None, "" if error.errno in (errno.ENOENT, errno.ENOTDIR) else "%s: %s" % (path, os.strerror(error.errno))
        try:
            return json.loads(_host.decode(raw)), ""
        except ValueError as error:
            return None, "%s is not JSON (%s)" % (path, error)

    # writing

    def write(self, path, content, mode=0o600):
        """The one door to the system: a whole file in one step, read again; content None removes it. Stops in check mode."""
        self.written.append(path)
        if self.module.check_mode:
            return
        directory = os.path.dirname(path)
        try:
            if content is None:
                os.unlink(path)
            else:
                if not os.path.isdir(directory):
                    os.makedirs(directory, 0o755 if mode & 0o044 else 0o700)
                staged = _disk.stage_file(path, content)
                os.chmod(staged, mode)
                os.rename(staged, path)
            _disk.sync_directory(directory)
            if content is not None and _host.read_bytes(path, None) != content:
                raise Stop("%s does not hold what was written to it." % path)
        except (IOError, OSError) as error:
            raise Stop("%s cannot be written: %s. Look: df -h %s; mount" % (path, error, directory))

    def save(self, document):
        self.run = document
        self.write(self.path, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode("utf-8"))
        self.write(FACT, (json.dumps(_run.summary(document), sort_keys=True) + "\n").encode("utf-8"), 0o644)

    def take_lock(self):
        refusal = _run.lock_refusal(self.lock, self.options["owner"], self.options["take_over"], age((self.lock or {}).get("since")))
        if refusal:
            raise Stop("REFUSED, nothing was changed: " + refusal)
        lock = dict(owner=self.options["owner"], since=now())
        self.write(self.lock_path, (json.dumps(lock, sort_keys=True) + "\n").encode("utf-8"))

    def hold_lock(self):
        if not self.module.check_mode and (self.lock or {}).get("owner") != self.options["owner"]:
            raise Stop("the lock of this host was taken by another run (%s), so this one stops here. Nothing is lost: what was done "
                       "stands in %s." % (json.dumps((self.lock or {}).get("owner")), self.path))

    def copies(self, run_id):
        """[{path, backup}] for all files asked for, and [(backup, content, mode)] to write."""
        listed, wanted = [], []
        for pattern in self.options["files"]:
            found = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
            for path in found:
                path = os.path.realpath(path)
                if path not in wanted:
                    wanted.append(path)
        content = []
        for path in wanted:
            if not os.path.exists(path):
                listed.append(dict(path=path, backup=None))
                continue
            backup = os.path.join(self.directory, "runs", run_id, "files", path.strip("/").replace("/", "."))
            listed.append(dict(path=path, backup=backup))
            content.append((backup, _host.read_bytes(path, None)))
        return listed, content

    # actions

    def usable(self):
        if self.problem:
            raise Stop("%s cannot be used: %s. Nothing was changed. Look at it; to start afresh, type: mv %s %s.damaged" % (
                self.path, self.problem, self.path, self.path))
        if self.run is None:
            raise Stop("there is no run on this host (%s). Nothing was changed." % self.path)

    def do_read(self):
        pass

    def do_begin(self):
        run = self.options["run"]
        if self.problem and self.run is None:
            self.usable()
        self.take_lock()
        if self.run:
            old = os.path.join(self.directory, "runs", str(self.run.get("run_id")), "run.json")
            self.write(old, (json.dumps(self.run, indent=1, sort_keys=True) + "\n").encode("utf-8"))
        listed, content = self.copies(run["run_id"])
        for backup, raw in content:
            self.write(backup, raw)
        self.problem = ""
        self.save(_run.begin(run, listed, self.boot_id, now()))

    def do_resume(self):
        self.usable()
        self.take_lock()
        self.save(_run.change(self.run, dict(status="running", message="", next=""), now()))

    def do_stage(self):
        self.usable()
        self.hold_lock()
        try:
            document = _run.change(self.run, self.options["document"], now())
            self.save(_run.change_stage(document, self.options["stage"], self.options["values"], self.boot_id, now()))
        except ValueError as error:
            raise Stop(str(error))

    def do_end(self):
        self.usable()
        self.hold_lock()
        self.save(_run.change(self.run, self.options["values"], now()))
        if self.lock:
            self.write(self.lock_path, None)

    def do_restore(self):
        self.usable()
        self.hold_lock()
        plan, missing = [], []
        for one in self.run["files"]:
            there = _host.read_bytes(one["path"], None) if os.path.exists(one["path"]) else None
            if one["backup"] and not os.path.exists(one["backup"]):
                missing.append(one["backup"])
                continue
            old = _host.read_bytes(one["backup"], None) if one["backup"] else None
            if there != old:
                plan.append((one["path"], there, old))
        if missing:
            raise Stop("the copies are not all there, so nothing was put back: %s" % ", ".join(missing))
        for path, there, old in plan:
            self.restored.append(path)
            self.diff.append(dict(before_header=path, after_header=path, before=_host.decode(there or b""), after=_host.decode(old or b"")))
            if there is None or old is None:
                self.write(path, old, 0o644)
                continue
            self.put_back(path, old)
        self.settle()

    def settle(self):
        """Let GRUB see what was put back, even after a power cut; also what a run put back that was cut off before it came to this."""
        places = {}
        for path in [one["path"] for one in self.run["files"]]:
            directory = os.path.dirname(path)
            if path.startswith(BOOT + "/") and os.path.isdir(directory):
                places.setdefault(os.stat(directory).st_dev, directory)
        for directory in sorted(places.values()):
            why = "" if self.module.check_mode else _disk.settle(directory)
            if why:
                self.module.warn("The boot files are put back, but the journal of the file system of %s could not be written out (%s). Should the "
                                 "power fail before the next orderly reboot, GRUB may see the files of before. So reboot soon, by systemctl "
                                 "reboot." % (directory, why))

    def put_back(self, path, old):
        """As write(), but owner, mode and SELinux context of the file that is there stay."""
        self.written.append(path)
        if self.module.check_mode:
            return
        staged = _disk.stage_file(path, old)
        try:
            self.module.atomic_move(staged, path)
        finally:
            if os.path.exists(staged):
                os.unlink(staged)
        _disk.sync_directory(os.path.dirname(path))
        if _host.read_bytes(path, None) != old:
            raise Stop("%s does not hold what was written to it." % path)

    def result(self):
        result = dict(changed=bool(self.written), run=self.run, problem=self.problem, lock=self.lock, boot_id=self.boot_id,
                      kernel=os.uname()[2])
        if self.options["action"] == "restore":
            result.update(restored=self.restored, diff=self.diff)
        return result


def act(module):
    """The State after the action, with everybody else who writes it kept out meanwhile."""
    directory = module.params["directory"]
    guard = None
    if module.params["action"] != "read" and not module.check_mode:
        if not os.path.isdir(directory):
            os.makedirs(directory, 0o700)
        guard = open(os.path.join(directory, ".guard"), "w")  # pylint: disable=consider-using-with
    try:
        if guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
        state = State(module)
        getattr(state, "do_" + module.params["action"])()
        return state
    finally:
        if guard:
            guard.close()


def main():
    module = AnsibleModule(
        argument_spec=dict(
            action=dict(type="str", choices=["read", "begin", "resume", "stage", "end", "restore"], default="read"),
            directory=dict(type="path", default="/var/lib/el7ops-kmem"),
            owner=dict(type="dict", default={}),
            take_over=dict(type="bool", default=False),
            run=dict(type="dict", default={}),
            files=dict(type="list", elements="str", default=[]),
            stage=dict(type="str", default=""),
            values=dict(type="dict", default={}),
            document=dict(type="dict", default={}),
        ),
        supports_check_mode=True,
    )
    try:
        state = act(module)
    except (IOError, OSError) as error:
        module.fail_json(msg="The run's state in %s cannot be kept: %s. Run as root (--become); look: df -h %s" % (
            module.params["directory"], error, module.params["directory"]))
    except Stop as error:
        module.fail_json(msg=str(error))
    module.exit_json(**state.result())


if __name__ == "__main__":
    main()
