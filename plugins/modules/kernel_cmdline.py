#!/usr/bin/python
# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: kernel_cmdline
short_description: Adds or removes one value of a kernel argument, in all boot entries and in /etc/default/grub
description:
  - Makes one token of a comma list, such as C(nokmem) of C(cgroup.memory=nosocket,nokmem), present or absent. Other
    tokens, other arguments, and everything else in the files keep their place and spelling.
  - Works on every entry with a kernel of the C(grub.cfg) that the host really boots from, and on C(/etc/default/grub),
    from which later kernels and C(grub2-mkconfig) take their arguments. The running kernel changes only by a reboot,
    which this module never does; it returns RV(reboot_required).
  - The firmware decides which C(grub.cfg) it is. With C(/sys/firmware/efi) it is the one that C(/etc/grub2-efi.cfg)
    leads to, else C(/boot/efi/EFI/<vendor>/grub.cfg); without it, the one that C(/etc/grub2.cfg) leads to, else
    C(/boot/grub2/grub.cfg). A configuration that only loads another one is followed.
  - Entries are changed with C(grubby). What C(grubby) cannot do right (an argument that occurs several times or is
    quoted, a C(--) in the arguments, two entries of one kernel with different values) is edited in place. Without
    C(grubby), C(grub2-mkconfig) writes a new file, which replaces the old one after it was checked.
  - Before the first write both files are copied to O(backup_dir). After the last one they are read again; if any entry
    is not as intended, both are put back and the module fails.
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
options:
  argument:
    description: Name of the kernel argument.
    type: str
    default: cgroup.memory
  value:
    description: One token of the argument's comma list.
    type: str
    default: nokmem
  state:
    description:
      - With V(present), the token is added where no occurrence of the argument has it.
      - With V(absent), it is removed from every occurrence, and an occurrence that becomes empty goes too.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    details: Without C(grubby) the entries are predicted by editing the present C(grub.cfg), as the text that
      C(grub2-mkconfig) would write is not known before it runs.
extends_documentation_fragment:
  - el7ops.kmem.boot_files
notes:
  - Needs root. GRUB 2 with entries in C(grub.cfg), as on CentOS 7 and RHEL 7; hosts that keep entries in
    C(/boot/loader/entries) are refused.
  - Menu entries in C(custom.cfg), and files that C(/etc/default/grub) sources, are not looked at.
seealso:
  - module: el7ops.kmem.kmem_facts
  - module: el7ops.kmem.boot_entry
"""

EXAMPLES = r"""
- name: Switch kernel memory accounting off from the next boot on
  el7ops.kmem.kernel_cmdline:
  register: cmdline

- name: Say whether the host has to be rebooted for it
  ansible.builtin.debug:
    msg: "Reboot required: {{ cmdline.reboot_required }}"

- name: Switch it on again, and leave cgroup.memory=nosocket if that is set
  el7ops.kmem.kernel_cmdline:
    state: absent

- name: Any other argument works alike
  el7ops.kmem.kernel_cmdline:
    argument: slub_debug
    value: FZ
"""

RETURN = r"""
config:
  description: The grub.cfg that this host boots from, links resolved.
  returned: always
  type: str
  sample: /boot/grub2/grub.cfg
firmware:
  description: C(bios) or C(uefi), which decides where grub.cfg is.
  returned: always
  type: str
  sample: bios
entries:
  description: Every menu entry with a kernel, in menu order.
  returned: always
  type: list
  elements: dict
  contains:
    title:
      description: Title in the menu.
      type: str
      sample: CentOS Linux (3.10.0-1127.el7.x86_64) 7 (Core)
    kernel:
      description: Path of the kernel as written in grub.cfg.
      type: str
      sample: /vmlinuz-3.10.0-1127.el7.x86_64
    index:
      description: GRUB's own index, with sub menus as C(1>2).
      type: str
      sample: "0"
    before:
      description: Arguments before.
      type: str
      sample: root=/dev/mapper/centos-root ro crashkernel=auto cgroup.memory=nosocket rhgb quiet
    after:
      description: Arguments after.
      type: str
      sample: root=/dev/mapper/centos-root ro crashkernel=auto cgroup.memory=nosocket,nokmem rhgb quiet
defaults:
  description: What happened to /etc/default/grub.
  returned: always
  type: dict
  contains:
    path:
      description: The file, links resolved.
      type: str
      sample: /etc/default/grub
    variable:
      description: The variable that was edited, C(GRUB_CMDLINE_LINUX) where none was. Where both were, the first.
      type: str
      sample: GRUB_CMDLINE_LINUX
    before:
      description: Its effective value before, null where it was not set or the value did not have to be changed.
      type: str
      sample: crashkernel=auto rhgb quiet
    after:
      description: Its effective value after, null likewise.
      type: str
      sample: crashkernel=auto rhgb quiet cgroup.memory=nokmem
running:
  description: Whether the running kernel was booted with the token (/proc/cmdline).
  returned: always
  type: bool
reboot_required:
  description: Whether the running kernel differs from what was asked for, so that only a reboot makes it so.
  returned: always
  type: bool
actions:
  description: Every write, in order; in check mode the ones that would be made.
  returned: always
  type: list
  elements: dict
  contains:
    what:
      description: What is done, in words.
      type: str
      sample: change the boot entries with grubby
    path:
      description: The file that is written.
      type: str
      sample: /boot/grub2/grub.cfg
    argv:
      description: The command, where one is run.
      type: list
      elements: str
      sample: [/sbin/grubby, --update-kernel=ALL, --args=cgroup.memory=nokmem]
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
      sample: /boot/grub2/grub.cfg
    backup:
      description: Its copy.
      type: str
      sample: /var/lib/el7ops-kmem/backups/20261123T210501Z/boot.grub2.grub.cfg
diff:
  description: Both files before and after, those that change.
  returned: when changed
  type: list
  elements: dict
"""

import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.el7ops.kmem.plugins.module_utils import _cmdline, _door, _grub, _host

# Where things are on a host. Tests put another root here.
PATHS = dict(_door.PATHS, cmdline="/proc/cmdline")


class Host(_door.Door):
    """What was read, what is wanted, and the writes for it."""

    def __init__(self, module):
        super(Host, self).__init__(module, PATHS)
        self.name, self.token, self.state = [module.params[key] for key in ("argument", "value", "state")]
        self.want = (self.name, self.token, self.state)
        self.plan()

    def plan(self):
        """Works out both files as they should be; touches nothing."""
        old = self.before[self.defaults]
        try:
            text, self.changes = _grub.change_defaults(_host.decode(old or b""), *self.want)
        except ValueError as error:
            raise _door.Stop("%s, %s. Edit it by hand and run again." % (self.defaults, error))
        if self.changes:
            self.after[self.defaults] = _host.encode(text, old or b"")
        raw = self.before[self.config]
        self.entries = self.read_entries()
        try:
            text = _grub.change_entries(_host.decode(raw), *self.want)
        except ValueError as error:
            raise _door.Stop("%s, %s. Run again when it is in order." % (self.config, error))
        new = _host.encode(text, raw)
        if new != raw:
            self.after[self.config] = new

    def result(self):
        """The module's result for the state that was planned or, after the writes, was read."""
        after = _grub.entries(_host.decode(self.after.get(self.config, self.before[self.config])))
        now = dict((entry["index"], entry) for entry in after)
        change = self.changes[0] if self.changes else {"variable": _grub.VARIABLE, "before": None, "after": None}
        running = self.token in _cmdline.tokens(_host.probe_text(self.paths["cmdline"])[0] or "", self.name)
        result = dict(
            changed=bool(self.after), actions=self.actions, backups=self.backups, config=self.config, firmware=self.firmware,
            entries=[dict(title=entry["title"], kernel=entry["kernel"], index=entry["index"], before=entry["args"],
                          after=now.get(entry["index"], {}).get("args")) for entry in self.entries],
            defaults=dict(path=self.defaults, variable=change["variable"], before=change["before"], after=change["after"]),
            running=running, reboot_required=running != (self.state == "present"))
        if self.after:
            result["diff"] = self.diff()
        return result

    def preflight(self):
        super(Host, self).preflight()
        if self.config in self.after and not self.installed("grubby") and not self.installed("mkconfig"):
            raise _door.Stop("neither grubby nor grub2-mkconfig is installed. Install one: yum install grubby")

    def carry_out(self):
        if self.defaults in self.after:
            self.replace("write the arguments for later kernels", self.defaults, self.after[self.defaults])
        if self.config in self.after:
            self.write_entries()

    def write_entries(self):
        grubby = self.installed("grubby")
        wanted = self.after[self.config]
        calls = _grub.grubby_calls(self.entries, *self.want) if grubby else []
        if grubby and calls:
            self.replaced.append(self.config)
            for call in calls:
                argv = [grubby] + call
                self.write("change the boot entries with grubby", lambda argv=argv: self.run(argv), path=self.config, argv=argv)
            if not self.module.check_mode:
                raw = self.checked(self.config, lambda text: _grub.wrong_entries(self.entries, _grub.entries(text), *self.want))
                if raw != wanted:
                    # grubby versions differ in where they put arguments and blanks; check mode promised this text
                    self.replace("put the arguments back where they were", self.config, wanted)
        elif grubby:
            self.replace("change the boot entries in place", self.config, wanted)
        else:
            self.regenerate(lambda text: _grub.wrong_regeneration(self.entries, _grub.entries(text), *self.want))


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

    def prepare():
        if not re.match(r"[A-Za-z0-9_.-]*[A-Za-z0-9]\Z", module.params["argument"]):
            raise _door.Stop("argument must be the name of a kernel argument, without = and value.")
        if not re.match(r"[A-Za-z0-9_.:/@+=-]+\Z", module.params["value"]):
            raise _door.Stop("value must be one token, without comma, blank, quote or dollar sign.")
        return Host(module)

    module.exit_json(**_door.run_module(module, prepare).result())


if __name__ == "__main__":
    main()
