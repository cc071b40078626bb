#!/usr/bin/python
# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: boot_entry
short_description: Lists the boot entries, makes the one of a kernel version the default, or boots it once
description:
  - Tells which entry GRUB will boot, by the C(grub.cfg) that the host really boots from and the environment block beside
    it, and not by what C(/etc/default/grub) says, which counts only after C(grub2-mkconfig).
  - Chooses an entry by the version of its kernel, never by its place in the menu, and never a rescue or recovery entry.
    It is refused where no entry boots that version, where several different ones do, or where the files of the kernel
    are not in C(/boot).
  - Nothing is rebooted; RV(reboot_required) tells whether another kernel than the running one comes next.
  - Changed files are copied to O(backup_dir) first. The environment block and C(grub.cfg) are written beside the real ones,
    checked, and put in place in one step; links stay. Afterwards everything is read again, and C(grubby) is asked which
    kernel it holds for the default. Where any answer is not the wanted kernel, all files are put back and the module fails.
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
options:
  state:
    description:
      - V(listed) only reads.
      - With V(default), O(kernel) is booted from the next boot on. A one-shot boot of another entry that was armed before is
        forgotten, as it would come first.
      - With V(once), O(kernel) is booted at the next boot alone, and the default stays what it is. GRUB must be able to
        write its environment block at boot, else it boots the entry again and again; that is not checked here.
    type: str
    choices: [listed, default, once]
    default: listed
  kernel:
    description: Version of the kernel, as C(uname -r) gives it once it runs. Required for V(default) and V(once).
    type: str
  mode:
    description:
      - How O(state=default) is made.
      - V(saved) sets C(GRUB_DEFAULT=saved) where it is not, and stores the title of the entry in the environment block. The
        title keeps its meaning when kernels are installed or removed.
      - V(article) does what older instructions say, C(GRUB_DEFAULT=0), C(grub2-set-default 0) and C(grub2-mkconfig -o). Only
        allowed where the first entry is the one of O(kernel). It is fragile, because 0 means the first entry and not a
        kernel. The next kernel that is installed comes first in the menu and is booted, wanted or not, and
        C(grubby --set-default) and C(grub2-set-default) have no effect any more.
    type: str
    choices: [saved, article]
    default: saved
  package:
    description:
      - Package whose kernels may become the default when they are installed later, such as V(kernel), V(kernel-ml) or
        V(kernel-lt). It is written as C(DEFAULTKERNEL) to C(/etc/sysconfig/kernel), so that an update of another kernel
        package does not take the default away. C(UPDATEDEFAULT) is left as it is.
      - Without it the file is left alone. Only for O(state=default).
    type: str
attributes:
  check_mode:
    details: Where C(grub2-mkconfig) has to run, what it would write is predicted by editing the present C(grub.cfg).
extends_documentation_fragment:
  - el7ops.kmem.boot_files
notes:
  - Needs root. GRUB 2 with entries in C(grub.cfg), as on CentOS 7 and RHEL 7; hosts that keep entries in
    C(/boot/loader/entries) are refused.
  - Menu entries in C(custom.cfg), and files that C(/etc/default/grub) sources, are not looked at.
  - C(grub2-mkconfig) runs only where C(grub.cfg) does not yet choose as O(mode) says. It is refused where it would lose a
    kernel's entry, or arguments that stand in C(grub.cfg) alone.
  - With C(GRUB_SAVEDEFAULT=true) GRUB makes each entry that is chosen in the menu the default. The module says so, as a warning.
seealso:
  - module: el7ops.kmem.kernel_cmdline
"""

EXAMPLES = r"""
- name: Read the boot entries
  el7ops.kmem.boot_entry:
  register: boot

- name: Say which kernel comes next
  ansible.builtin.debug:
    msg: "{{ (boot.next or boot.default).version }}"

- name: Boot the long-term kernel from now on, and let only its own updates become the default
  el7ops.kmem.boot_entry:
    state: default
    kernel: 5.4.278-1.el7.elrepo.x86_64
    package: kernel-lt

- name: Boot a kernel once
  el7ops.kmem.boot_entry:
    state: once
    kernel: 6.9.7-1.el7.elrepo.x86_64
"""

RETURN = r"""
entries:
  description: Every menu entry with a kernel, in menu order.
  returned: success
  type: list
  elements: dict
  contains: &entry
    title:
      description: Title in the menu.
      type: str
      sample: CentOS Linux (3.10.0-1160.el7.x86_64) 7 (Core)
    id:
      description: Id of the entry, its title where it has none. Entries that C(grubby) copied share one.
      type: str
      sample: gnulinux-3.10.0-1160.el7.x86_64-advanced-1f2e3d4c-5b6a-4789-9abc-def012345678
    kernel:
      description: Path of the kernel as written in grub.cfg.
      type: str
      sample: /vmlinuz-3.10.0-1160.el7.x86_64
    version:
      description: What follows C(vmlinuz-), which is what C(uname -r) says once it runs; empty for another name.
      type: str
      sample: 3.10.0-1160.el7.x86_64
    initrd:
      description: Path of the initramfs as written in grub.cfg, empty where there is none.
      type: str
      sample: /initramfs-3.10.0-1160.el7.x86_64.img
    args:
      description: Kernel arguments.
      type: str
      sample: root=/dev/mapper/centos-root ro crashkernel=auto rhgb quiet
    submenu:
      description: Titles of the sub menus around it, from the outermost.
      type: list
      elements: str
      sample: []
    index:
      description: GRUB's own index, with sub menus as C(1>2).
      type: str
      sample: "0"
    rescue:
      description: Whether it is the rescue entry that the installer makes.
      type: bool
      sample: false
    default:
      description: Whether it is RV(default).
      type: bool
      sample: true
default:
  description: The entry that GRUB boots where no one-shot is armed, null where that is no Linux kernel or not certain.
  returned: success
  type: dict
  contains: *entry
default_source:
  description:
    - How GRUB comes to it. C(saved_entry) by the environment block, C(number), C(title) or C(id) by a fixed value in
      grub.cfg, C(fallback) where the value leads nowhere or is not set, so that GRUB silently takes the first entry, and
      C(unknown).
  returned: success
  type: str
  sample: saved_entry
default_reason:
  description: The same in words.
  returned: success
  type: str
  sample: saved_entry is "CentOS Linux (3.10.0-1160.el7.x86_64) 7 (Core)"
next:
  description: The entry of a one-shot boot, null where none is armed.
  returned: success
  type: dict
  contains: *entry
grub_default:
  description: Effective value of GRUB_DEFAULT in /etc/default/grub, null where it is not set (which means 0) or not certain.
  returned: success
  type: str
  sample: saved
grubenv:
  description: The environment block that GRUB reads.
  returned: success
  type: dict
  contains:
    path:
      description: The file, links resolved.
      type: str
      sample: /boot/grub2/grubenv
    state:
      description: C(ok), C(missing) or C(damaged).
      type: str
      sample: ok
    why:
      description: What is wrong with a damaged one.
      type: str
      sample: ""
    variables:
      description: Names and values.
      type: dict
      sample: {saved_entry: CentOS Linux (3.10.0-1160.el7.x86_64) 7 (Core)}
running:
  description: The running kernel.
  returned: success
  type: dict
  contains:
    release:
      description: As C(uname -r) gives it.
      type: str
      sample: 3.10.0-1160.el7.x86_64
    default:
      description: Whether the default entry boots this version.
      type: bool
      sample: true
reboot_required:
  description:
    - Whether the default entry, or with O(state=once) the one-shot's, boots another version than the running one. Null where
      the default is not certain.
  returned: success
  type: bool
  sample: false
firmware:
  description: C(bios) or C(uefi), which decides where grub.cfg is.
  returned: success
  type: str
  sample: bios
config:
  description: The grub.cfg that this host boots from, links resolved.
  returned: success
  type: str
  sample: /boot/grub2/grub.cfg
changes:
  description: What changed, or would, in short sentences.
  returned: success
  type: list
  elements: str
  sample: ["default boot entry: 3.10.0-1160.el7.x86_64 -> 5.4.278-1.el7.elrepo.x86_64"]
actions:
  description: Every write, in order; in check mode the ones that would be made.
  returned: always
  type: list
  elements: dict
  contains:
    what:
      description: What is done, in words.
      type: str
      sample: save the default entry
    path:
      description: The file that is written.
      type: str
      sample: /boot/grub2/grubenv
    argv:
      description: The command, where one is run.
      type: list
      elements: str
      sample: [/bin/grub2-editenv, /boot/grub2/grubenv, set, "saved_entry=CentOS Linux (3.10.0-1160.el7.x86_64) 7 (Core)"]
    done:
      description: C(true) once it succeeded, C(false) where it failed, C(would) in check mode.
      type: raw
      sample: true
backups:
  description: Copies made before the first write.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /boot/grub2/grubenv
    backup:
      description: Its copy.
      type: str
      sample: /var/lib/el7ops-kmem/backups/20261123T210501Z/boot.grub2.grubenv
diff:
  description: The files before and after, those that change; the environment block as its variables.
  returned: when changed
  type: list
  elements: dict
"""

import os
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.el7ops.kmem.plugins.module_utils import _boot, _door, _grub, _host

# Where things are on a host. Tests put another root here.
PATHS = dict(
    _boot.PATHS,
    sysconfig="/etc/sysconfig/kernel",
    set_default=("/sbin/grub2-set-default", "/usr/sbin/grub2-set-default"),
)
MODES = {"saved": (_grub.SAVED, "saved"), "article": ("0", "0")}  # what grub.cfg and /etc/default/grub then say


class Host(_boot.BootDoor):
    """What was read, what is wanted, and the writes for it."""

    def __init__(self, module):
        super(Host, self).__init__(module, PATHS)
        self.state, self.mode = [module.params[key] for key in ("state", "mode")]
        if self.state == "once":
            self.saves = "save the entry that is booted once"
        self.sysconfig = os.path.realpath(self.paths["sysconfig"])
        self.files.append(self.sysconfig)
        self.before[self.sysconfig] = _door.read_file(self.sysconfig)
        self.read_defaults()
        if self.state != "listed":
            self.wanted = self.find(self.now)
            self.need_files()
            self.plan()

    # reading

    def read_defaults(self):
        try:
            self.grub_default = _grub.variable_value(_host.decode(self.before[self.defaults] or b""), "GRUB_DEFAULT")
        except ValueError as error:
            self.grub_default = None
            self.notes.append("%s, %s." % (self.defaults, error))

    # planning

    def plan(self):
        """Works out all files as they should be; touches nothing."""
        if self.state == "once":
            # what a one-shot boot needs of the host is asked here, before anything is planned
            if not self.now.rule["once"]:
                raise _door.Stop("%s does not look at next_entry, so GRUB would not boot anything once. Make it anew: "
                                 "grub2-mkconfig -o %s" % (self.config, self.config))
            if not _grub.lasting(self.now.items, self.now.variables.get("next_entry", ""), self.wanted):
                self.plan_environment({"next_entry": self.name()})
                self.changes.append("next boot, once: %s" % self.kernel)
            return
        self.plan_config()
        changes = {}
        if self.mode == "article":
            changes["saved_entry"] = "0"
        elif not _grub.lasting(self.now.items, self.now.variables.get("saved_entry", ""), self.wanted):
            changes["saved_entry"] = self.name()
        if self.now.variables.get("prev_saved_entry"):
            changes["prev_saved_entry"] = None
        if self.now.variables.get("next_entry"):
            changes["next_entry"] = None
            self.changes.append("one-shot boot forgotten: %s" % _boot.short(self.now.once))
        if self.now.default is not self.wanted:
            self.changes.insert(0, "default boot entry: %s -> %s" % (_boot.short(self.now.default), self.kernel))
        self.plan_environment(changes)
        if self.module.params["package"]:
            self.plan_variable(self.sysconfig, "DEFAULTKERNEL", self.module.params["package"])

    def plan_variable(self, path, variable, value):
        raw = self.before[path] or b""
        try:
            old = _grub.variable_value(_host.decode(raw), variable)
            new = _host.encode(_grub.set_variable(_host.decode(raw), variable, value), raw)
        except ValueError as error:
            raise _door.Stop("%s, %s. Edit it by hand and run again." % (path, error))
        if new != raw:
            self.after[path] = new
            self.changes.append("%s in %s: %s -> %s" % (variable, path, "not set" if old is None else old, value))

    def plan_config(self):
        live, value = MODES[self.mode]
        if self.mode == "article":
            self.need_first(self.now.items)
            if self.elsewhere:
                raise _door.Stop("%s (mode=saved does not need that)." % self.elsewhere)
        self.plan_variable(self.defaults, "GRUB_DEFAULT", value)
        if self.now.rule["value"] != live:
            text = _grub.change_default(_host.decode(self.before[self.config]), live)
            # a grub.cfg that sets no default cannot be predicted line by line; what grub2-mkconfig writes is checked
            self.after[self.config] = self.before[self.config] if text is None else _host.encode(text, self.before[self.config])
            self.changes.append("default in %s: %s -> %s" % (self.config, self.now.rule["value"] or "not set or not certain", live))

    def need_first(self, items):
        if items[0]["kind"] != "menuentry" or items[0] not in _grub.candidates(_grub.with_kernel(items), self.kernel):
            raise _door.Stop("mode=article makes the first entry the default, and that is \"%s\", not kernel %s. Use mode=saved, which "
                             "names the entry." % (items[0]["title"], self.kernel))

    def result(self):
        """The module's result for the state that was planned or, after the writes, was read."""
        boot = self.boot(self.after.get(self.config, self.before[self.config]), self.after.get(self.env, self.before[self.env]))
        target = boot.once if self.state == "once" else boot.default
        result = dict(
            changed=bool(self.after), actions=self.actions, backups=self.backups, changes=self.changes + self.environment_changes,
            config=self.config, firmware=self.firmware, entries=[_boot.shown(entry, boot.default) for entry in boot.entries],
            default=_boot.shown(boot.default, boot.default), default_source=boot.source, default_reason=boot.reason,
            next=_boot.shown(boot.once, boot.default), grub_default=self.grub_default,
            grubenv=dict(path=self.env, state=boot.state, why=boot.why, variables=boot.variables),
            running=dict(release=self.release, default=bool(boot.default) and boot.default["version"] == self.release),
            reboot_required=target["version"] != self.release if target else None)
        if self.defaults in self.after:
            result["grub_default"] = _grub.variable_value(_host.decode(self.after[self.defaults]), "GRUB_DEFAULT")
        if self.notes:
            result["warnings"] = self.notes
        if self.after:
            result["diff"] = self.diff()
        return result

    # writing

    def preflight(self):
        super(Host, self).preflight()
        needs = [("editenv", self.env in self.after or self.config in self.after), ("mkconfig", self.config in self.after),
                 ("set_default", self.env in self.after and self.mode == "article" and self.state == "default")]
        for name, needed in needs:
            if needed and not self.installed(name):
                raise _door.Stop("%s is not installed. Install it: yum install grub2-tools" % self.paths[name][-1])

    def carry_out(self):
        if self.defaults in self.after:
            self.replace("set GRUB_DEFAULT", self.defaults, self.after[self.defaults])
        if self.config in self.after:
            self.regenerate(self.wrong_config)
            if not self.module.check_mode:
                self.follow_menu()
        if self.env in self.after:
            self.write_environment()
        if self.sysconfig in self.after:
            self.replace("let only this package become the default later", self.sysconfig, self.after[self.sysconfig])
        if not self.module.check_mode:
            self.verify()

    def wrong_config(self, text):
        """What is wrong with a grub.cfg that grub2-mkconfig wrote anew."""
        items, live = _grub.menu(text), MODES[self.mode][0]
        found = _grub.with_kernel(items)
        wrong = _grub.lost_kernels(self.now.entries, found)
        wrong += ["grub2-mkconfig takes %s away from \"%s\", as only grub.cfg has it; put it into GRUB_CMDLINE_LINUX of %s first"
                  % (" ".join(arguments), entry["title"], self.defaults)
                  for entry, arguments in _grub.lost_arguments(self.now.entries, found)]
        if _grub.default_rule(text)["value"] != live:
            wrong.append("default is not set to %s, but %s" % (live, _grub.default_rule(text)["value"] or "to nothing certain"))
        if not wrong and self.mode == "article":
            self.need_first(items)
        return wrong

    def follow_menu(self):
        """grub2-mkconfig may have given the entry another title; the environment block has to name it as it is now."""
        planned = self.variables.get("saved_entry", self.now.variables.get("saved_entry", ""))
        self.now = self.boot(self.after[self.config], self.before[self.env])
        self.wanted = self.find(self.now)
        if self.mode == "saved" and not _grub.lasting(self.now.items, planned, self.wanted):
            if self.env not in self.after:
                self.back_up([self.env])
            self.plan_environment(dict(self.variables, saved_entry=self.name()))

    def write_environment(self):
        changes = dict(self.variables)
        index = changes.pop("saved_entry", None) if self.state == "default" and self.mode == "article" and self.now.state == "ok" else None
        if changes or self.now.state != "ok":
            self.edit_environment(changes)
        if index is not None:
            argv = [self.installed("set_default"), index]
            self.replaced.append(self.env)
            self.write("save the index of the first entry", lambda: self.set_default(argv), path=self.env, argv=argv)

    def set_default(self, argv):
        wanted = _grub.environment(_host.decode(self.after[self.env]), _grub.BLOCK_SIZE)[0]
        self.run(argv)
        raw = _door.read_file(self.env) or b""
        self.need_block(argv[0], raw, dict(_grub.change_environment(wanted, self.variables)))
        self.after[self.env] = raw

    def verify(self):
        """Reads everything again: what GRUB will do, and what grubby thinks of it."""
        boot = self.boot(_door.read_file(self.config) or b"", _door.read_file(self.env))
        entry = boot.once if self.state == "once" else boot.default
        if not entry or entry["version"] != self.kernel or entry["rescue"]:
            raise _door.Stop("after the writes GRUB would still boot %s, not %s (%s)." % (_boot.short(entry), self.kernel, boot.reason))
        grubby = self.installed("grubby")
        # grubby knows titles and numbers of the outermost menu alone
        if self.state == "default" and grubby and boot.how in ("title", "number") and not entry["submenu"]:
            answer = self.run([grubby, "--default-kernel"]).strip()
            if os.path.basename(answer) != os.path.basename(entry["kernel"]):
                raise _door.Stop("after the writes grubby --default-kernel says \"%s\", not kernel %s. Look: grubby --info=ALL; "
                                 "grub2-editenv %s list." % (answer, self.kernel, self.env))


def main():
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["listed", "default", "once"], default="listed"),
            kernel=dict(type="str"),
            mode=dict(type="str", choices=["saved", "article"], default="saved"),
            package=dict(type="str"),
            backup_dir=dict(type="path", default="/var/lib/el7ops-kmem/backups"),
        ),
        required_if=[("state", "default", ["kernel"]), ("state", "once", ["kernel"])],
        supports_check_mode=True,
    )

    def prepare():
        if not re.match(r"[A-Za-z0-9][A-Za-z0-9._+~-]*\Z", module.params["kernel"] or "x"):
            raise _door.Stop("kernel must be a version as uname -r gives it, such as 3.10.0-1160.el7.x86_64.")
        if not re.match(r"[A-Za-z0-9][A-Za-z0-9._+-]*\Z", module.params["package"] or "x"):
            raise _door.Stop("package must be the name of a package, such as kernel-ml.")
        return Host(module)

    module.exit_json(**_door.run_module(module, prepare).result())


if __name__ == "__main__":
    main()
