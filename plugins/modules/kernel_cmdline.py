#!/usr/bin/python
# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: kernel_cmdline
short_description: Adds one value to a kernel argument, or removes it, on every boot entry of an EL7 host
description:
  - Works by token. With C(cgroup.memory=nosocket) there already, adding C(nokmem) makes it
    C(cgroup.memory=nosocket,nokmem), and removing it again leaves C(nosocket). Other arguments keep place and spelling.
  - Writes C(/etc/default/grub), for entries that are made later, and the configuration that this host really boots from,
    BIOS or UEFI, by C(grubby) where that is installed, else by C(grub2-mkconfig).
  - Keeps copies of both files, reads both again after writing, and puts the copies back where the result is not what was
    asked for. What grubby answers is not trusted.
  - Never reboots. C(reboot_required) tells whether the running kernel has what was asked for.
version_added: 1.0.0
author: el7ops.kmem contributors (@el7ops)
options:
  argument:
    description: Name of the kernel argument.
    type: str
    default: cgroup.memory
  value:
    description: The one value of its comma list that is meant.
    type: str
    default: nokmem
  state:
    description: Whether the value shall be there.
    type: str
    choices: [present, absent]
    default: present
  backup_dir:
    description: Directory on the host for copies of the files as they were, in a folder for each run that changes something.
    type: path
    default: /var/lib/el7ops-kmem/backups
attributes:
  check_mode:
    description: Can run in check mode and return what it would without it.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: full
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: rhel
seealso:
  - module: el7ops.kmem.kmem_facts
"""

EXAMPLES = r"""
- name: Switch kmem accounting off from the next boot on
  el7ops.kmem.kernel_cmdline:
    argument: cgroup.memory
    value: nokmem

- name: Allow it again
  el7ops.kmem.kernel_cmdline:
    state: absent
"""

RETURN = r"""
config:
  description: The grub.cfg that this host boots from.
  returned: success
  type: str
  sample: /boot/grub2/grub.cfg
firmware:
  description: C(bios) or C(uefi), by which that file was chosen.
  returned: success
  type: str
entries:
  description: Each boot entry with a kernel, its title, kernel, index, and its arguments before and after.
  returned: success
  type: list
  elements: dict
defaults:
  description: Path of the defaults, and both variables before and after.
  returned: success
  type: dict
actions:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: dict
backups:
  description: Each file that was replaced, and the copy of it as it was.
  returned: success
  type: list
  elements: dict
running:
  description: Whether the value is on the command line of the running kernel.
  returned: success
  type: bool
reboot_required:
  description: Whether the running kernel does not have what was asked for.
  returned: success
  type: bool
"""

import os
import re
import signal
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.el7ops.kmem.plugins.module_utils import _cmdline, _defaults, _grub, _host

# where things are on EL7; the tests put another root before them
PATHS = {
    "defaults": "/etc/default/grub",
    "efi": "/sys/firmware/efi",
    "link_bios": "/etc/grub2.cfg",
    "link_uefi": "/etc/grub2-efi.cfg",
    "bios": "/boot/grub2/grub.cfg",
    "uefi": "/boot/efi/EFI/%s/grub.cfg",
    "os_release": "/etc/os-release",
    "cmdline": "/proc/cmdline",
    "grubby": ("/sbin/grubby", "/usr/sbin/grubby"),
    "mkconfig": ("/sbin/grub2-mkconfig", "/usr/sbin/grub2-mkconfig"),
    "check": ("/bin/grub2-script-check", "/usr/bin/grub2-script-check"),
}
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM)


def first_file(paths):
    """The first of the paths that is a file, or None."""
    return ([path for path in paths if os.path.isfile(path)] or [None])[0]


def boot_config():
    """(firmware, path of the grub.cfg it boots from). The firmware decides, never which file is there: both can be."""
    if os.path.isdir(PATHS["efi"]):
        if os.path.exists(PATHS["link_uefi"]):
            return "uefi", os.path.realpath(PATHS["link_uefi"])
        release = _host.probe_text(PATHS["os_release"])[0] or ""
        name = re.search(r'^ID="?(\w+)', release, re.M)
        # the folder of the boot partition is called redhat on RHEL, whose ID is rhel
        name = {"rhel": "redhat"}.get(name.group(1), name.group(1)) if name else "centos"
        return "uefi", os.path.realpath(PATHS["uefi"] % name)
    return "bios", os.path.realpath(PATHS["link_bios"] if os.path.exists(PATHS["link_bios"]) else PATHS["bios"])


def read_only(path):
    """Whether the file system that holds a path is mounted read-only."""
    return bool(os.statvfs(path).f_flag & getattr(os, "ST_RDONLY", 1))


class Editor(object):
    """Reads both files, plans, and writes through one door."""

    def __init__(self, module):
        self.module = module
        self.name, self.token, self.state = module.params["argument"], module.params["value"], module.params["state"]
        self.actions, self.backups, self.written = [], [], []
        self.firmware, self.config = boot_config()
        self.defaults = os.path.realpath(PATHS["defaults"])
        self.raw = {}

    def refuse(self, what, next_step):
        self.module.fail_json(
            msg="REFUSED: %s. Nothing was changed on this host. Next: %s." % (what, next_step), actions=self.actions, changed=False
        )

    def read(self):
        """Both files, as text; the bytes are kept to go back to."""
        try:
            self.raw[self.config] = _host.read_bytes(self.config, None)
        except (IOError, OSError) as error:
            hint = "look whether /boot is mounted (mount /boot), or whether the link /etc/grub2.cfg points to the right place"
            self.refuse("the boot configuration %s cannot be read (%s)" % (self.config, error.strerror), hint)
        try:
            self.raw[self.defaults] = _host.read_bytes(self.defaults, None)
        except (IOError, OSError) as error:
            if os.path.exists(self.defaults):
                self.refuse("%s cannot be read (%s)" % (self.defaults, error.strerror), "run as root (--become)")
            self.raw[self.defaults] = None
        return _host.decode(self.raw[self.defaults] or b""), _host.decode(self.raw[self.config])

    def preflight(self, changing):
        """Everything that can be known to fail, before the first write."""
        for path in changing:
            folder = os.path.dirname(path)
            if not os.path.isdir(folder):
                self.refuse("the directory %s does not exist" % folder, "make it, or repair the link that leads there")
            if read_only(folder):
                self.refuse("%s is on a file system that is mounted read-only" % path, "mount -o remount,rw its mount point (df %s), and look in dmesg for why it is" % folder)
            if not os.access(folder, os.W_OK):
                self.refuse("%s may not be written" % folder, "run as root (--become)")
            status = os.statvfs(folder)
            needed = 3 * len(self.raw[path] or b"") + 65536
            if status.f_bavail * status.f_frsize < needed:
                self.refuse("%s has %d bytes left, needed are %d" % (folder, status.f_bavail * status.f_frsize, needed), "make room there")

    def door(self, what, detail, act):
        """The one way to change anything: recorded always, done only outside check mode."""
        self.actions.append({"action": what, "detail": detail, "done": not self.module.check_mode})
        return None if self.module.check_mode else act()

    def keep_copies(self, changing):
        """Copies of the files that will change, on disk before anything else happens."""
        folder = os.path.join(self.module.params["backup_dir"], time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-%d" % os.getpid())

        def act():
            os.makedirs(folder, 0o700)
            for path in changing:
                if self.raw[path] is not None:
                    copy = os.path.join(folder, path.strip("/").replace("/", "_"))
                    os.rename(_host.stage_file(copy, self.raw[path]), copy)
                    self.backups.append({"path": path, "backup": copy})
            _host.sync_directory(folder)

        try:
            self.door("copy", "%s to %s" % (", ".join(changing), folder), act)
        except (IOError, OSError) as error:
            self.refuse("copies of %s could not be put into %s (%s)" % (", ".join(changing), folder, error.strerror), "make room there, or name another backup_dir")

    def replace(self, path, content):
        """Put new content in a file's place at once, with its owner, mode and SELinux context."""
        new = not os.path.exists(path)
        staged = _host.stage_file(path, content)
        try:
            self.module.atomic_move(staged, path)
        finally:
            if os.path.exists(staged):
                os.unlink(staged)
        if new:
            os.chmod(path, 0o644)
        _host.sync_directory(os.path.dirname(path))

    def undo(self):
        """Put back what was written; returns how that went, for the message."""
        for path in reversed(self.written):
            try:
                if self.raw[path] is None:
                    os.unlink(path)
                elif _host.read_bytes(path, None) != self.raw[path]:
                    self.replace(path, self.raw[path])
            except (IOError, OSError) as error:
                copies = ", ".join("%(backup)s (of %(path)s)" % backup for backup in self.backups)
                return "PUTTING IT BACK FAILED TOO (%s): copy back by hand before any reboot: %s" % (error, copies)
        return "Both files are as they were before"

    def give_up(self, what):
        state = self.undo()
        self.module.fail_json(msg="FAILED: %s. %s; the host boots as before. Next: repair what is named and run this again." % (what, state),
                              actions=self.actions, backups=self.backups, changed=False)  # fmt: skip

    def call(self, argv, timeout=300):
        """One command with its return code checked; the caller reads what it wrote all the same."""
        result = _host.run(argv, timeout)
        if result["rc"] != 0:
            self.give_up("%s answered %s (%s)" % (" ".join(argv), result["rc"], result["error"] or result["out"].strip()[-300:] or "without a word"))

    def write_defaults(self, text):
        content = _host.encode(text, like=self.raw[self.defaults] or b"")
        self.written.append(self.defaults)
        try:
            self.door("write", self.defaults, lambda: self.replace(self.defaults, content))
        except (IOError, OSError) as error:
            self.give_up("%s could not be written (%s)" % (self.defaults, error.strerror))

    def write_entries(self, before):
        """Change the entries, read grub.cfg again and compare; its text is returned (predicted in check mode)."""
        grubby = first_file(PATHS["grubby"])
        self.written.append(self.config)
        if grubby:
            for arguments in _grub.grubby_calls(before, self.name, self.token, self.state):
                argv = [grubby] + arguments
                self.door("run", " ".join(argv), lambda argv=argv: self.call(argv))
        else:
            self.door("run", "grub2-mkconfig, checked, to %s" % self.config, lambda: self.regenerate(before))
        if self.module.check_mode:
            return _grub.predicted(before, self.name, self.token, self.state)
        after = _host.decode(_host.read_bytes(self.config, None))
        if grubby:
            wrong = _grub.problems(before, after, self.name, self.token, self.state)
            if wrong:
                self.give_up("after grubby, %s is not as it should be: %s" % (self.config, "; ".join(wrong)))
        return after

    def regenerate(self, before):
        """grub2-mkconfig to a file beside, because it empties its target before it writes; renamed when it is right."""
        mkconfig, check = first_file(PATHS["mkconfig"]), first_file(PATHS["check"])
        beside = self.config + ".el7ops-new"
        try:
            self.call([mkconfig, "-o", beside])
            if check:
                self.call([check, beside])
            content = _host.read_bytes(beside, None)
            wrong = _grub.problems_of_new(before, _host.decode(content), self.name, self.token, self.state)
            if wrong:
                self.give_up("what grub2-mkconfig made is not as it should be: %s" % "; ".join(wrong))
            self.replace(self.config, content)
        finally:
            if os.path.exists(beside):
                os.unlink(beside)

    def run(self):
        """Read, plan, write, compare; the result of the module is returned."""
        defaults, config = self.read()
        found = _grub.entries(config)
        if not found:
            self.refuse("%s has no boot entry with a kernel" % self.config, "look at the file; if it only names another (configfile), tell the link /etc/grub2-efi.cfg or /etc/grub2.cfg")
        try:
            new_defaults = _defaults.change(defaults, self.name, self.token, self.state)
            new_config = _grub.predicted(config, self.name, self.token, self.state)
            values = _defaults.value(defaults, self.name)[0]
        except _cmdline.CmdlineError as error:
            self.refuse("%s" % error, "correct that line")
        changing = [path for path, old, new in ((self.defaults, defaults, new_defaults), (self.config, config, new_config)) if old != new]
        if self.config in changing and not first_file(PATHS["grubby"]) and not first_file(PATHS["mkconfig"]):
            self.refuse("neither grubby nor grub2-mkconfig is installed", "yum install grubby")
        if changing:
            self.preflight(changing)
            new_config = self.write(changing, new_defaults, config, new_config)
        return self.result(changing, defaults, new_defaults, values, config, new_config)

    def write(self, changing, new_defaults, config, new_config):
        """The part that must not be cut in half: a lost connection is not answered until both files are done."""
        handlers = dict((number, signal.signal(number, signal.SIG_IGN)) for number in SIGNALS)
        try:
            self.keep_copies(changing)
            if self.defaults in changing:
                self.write_defaults(new_defaults)
                if not self.module.check_mode and _host.decode(_host.read_bytes(self.defaults, None)) != new_defaults:
                    self.give_up("%s does not hold what was written to it" % self.defaults)
            if self.config in changing:
                new_config = self.write_entries(config)
            return new_config
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def result(self, changing, defaults, new_defaults, values, config, new_config):
        running = self.token in _cmdline.tokens(_host.decode(_host.read_bytes(PATHS["cmdline"])), self.name)
        diff = []
        for path, one, two in ((self.defaults, defaults, new_defaults), (self.config, config, new_config)):
            if path in changing:
                diff.append({"before_header": path, "after_header": path, "before": one, "after": two})
        after = _grub.entries(new_config)
        old = dict((entry["title"], entry["args"]) for entry in _grub.entries(config))
        return dict(
            changed=bool(changing), actions=self.actions, backups=self.backups, diff=diff, config=self.config, firmware=self.firmware,
            running=running, reboot_required=running != (self.state == "present"),
            defaults={"path": self.defaults, "before": values, "after": _defaults.value(new_defaults, self.name)[0]},
            entries=[dict(title=new["title"], kernel=new["kernel"], index=new["index"], before=old.get(new["title"]), after=new["args"]) for new in after],
        )  # fmt: skip


def main():
    module = AnsibleModule(
        argument_spec=dict(
            argument=dict(type="str", default="cgroup.memory"),
            value=dict(type="str", default="nokmem"),
            state=dict(type="str", choices=["present", "absent"], default="present"),
            backup_dir=dict(type="path", default="/var/lib/el7ops-kmem/backups"),
        ),
        supports_check_mode=True,
    )
    for key, pattern in (("argument", r"^[A-Za-z_][\w.-]*$"), ("value", r"^[^\s,\"'\\$`#]+$")):
        if not re.match(pattern, module.params[key]):
            module.fail_json(msg="REFUSED: %s '%s' is not one plain word. Nothing was changed." % (key, module.params[key]))
    module.exit_json(**Editor(module).run())


if __name__ == "__main__":
    main()
