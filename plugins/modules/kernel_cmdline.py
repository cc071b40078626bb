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
  backup_dir:
    description:
      - Directory on the host for copies of the files before they are changed. Each run that changes something makes a
        directory in it, named after the time in UTC, that only root can enter.
    type: path
    default: /var/lib/el7ops-kmem/backups
attributes:
  check_mode:
    description: Can run in check mode and return what it would without it.
    support: full
    details: Without C(grubby) the entries are predicted by editing the present C(grub.cfg), as the text that
      C(grub2-mkconfig) would write is not known before it runs.
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: linux
notes:
  - Needs root. GRUB 2 with entries in C(grub.cfg), as on CentOS 7 and RHEL 7; hosts that keep entries in
    C(/boot/loader/entries) are refused.
  - Menu entries in C(custom.cfg), and files that C(/etc/default/grub) sources, are not looked at.
seealso:
  - module: el7ops.kmem.kmem_facts
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

import os
import re
import signal
import stat
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.el7ops.kmem.plugins.module_utils import _cmdline, _grub, _host

# Where things are on a host. Tests put another root here.
PATHS = {
    "defaults": "/etc/default/grub",
    "bios_link": "/etc/grub2.cfg",
    "uefi_link": "/etc/grub2-efi.cfg",
    "firmware": "/sys/firmware/efi",
    "boot": "/boot",
    "cmdline": "/proc/cmdline",
    "os_release": "/etc/os-release",
    "fstab": "/etc/fstab",
    "grubby": ("/sbin/grubby", "/usr/sbin/grubby"),
    "mkconfig": ("/sbin/grub2-mkconfig", "/usr/sbin/grub2-mkconfig"),
    "script_check": ("/bin/grub2-script-check", "/usr/bin/grub2-script-check"),
}
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)
READ_ONLY = 1  # ST_RDONLY of statvfs, which Python 2 does not name


class Stop(Exception):
    """Cannot go on. The message says what happened and what to type next; who catches it adds the state of the host."""


def read_file(path):
    """All bytes of a file, None where there is none."""
    try:
        return _host.read_bytes(path, None)
    except (IOError, OSError) as error:
        if not os.path.lexists(path):
            return None
        raise Stop("%s cannot be read: %s. Run as root (become: true)." % (path, os.strerror(error.errno)))


def installed(name):
    return next((path for path in PATHS[name] if os.access(path, os.X_OK)), None)


def mount_of(path):
    """The mount point of what a path is in."""
    path = os.path.abspath(path)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def existing(path):
    """The directory itself, or the nearest one above that exists."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


# reading

def find_config():
    """(firmware, path of the grub.cfg this host boots from)."""
    uefi = os.path.isdir(PATHS["firmware"])
    links = dict((kind, os.path.realpath(PATHS[kind + "_link"]) if os.path.lexists(PATHS[kind + "_link"]) else None)
                 for kind in ("bios", "uefi"))
    release = re.search(r"(?m)^ID=[\"']?([^\"'\s]+)", _host.probe_text(PATHS["os_release"])[0] or "")
    path = _grub.config_path(uefi, links, PATHS["boot"], release.group(1) if release else "centos")
    return "uefi" if uefi else "bios", os.path.realpath(path)


def missing_config(path):
    """Why there may be no grub.cfg, and what to do about it."""
    fstab = _host.probe_text(PATHS["fstab"])[0] or ""
    places = [line.split()[1] for line in fstab.splitlines() if len(line.split()) > 1 and not line.strip().startswith("#")]
    for place in sorted(places):
        if place != "/" and path.startswith(place.rstrip("/") + "/") and not os.path.ismount(place):
            return "%s is not there, because %s is listed in %s but not mounted. Mount it and run again: mount %s" % (
                path, place, PATHS["fstab"], place)
    return ("%s is not there, so this host does not boot through GRUB 2 in a way this module knows (a container, another boot "
            "loader?). Look: ls -l %s %s" % (path, PATHS["bios_link"], PATHS["uefi_link"]))


def read_config(path):
    """(path, bytes) of the config with the entries; follows one that only loads another."""
    for unused in range(3):
        raw = read_file(path)
        if raw is None:
            raise Stop(missing_config(path))
        target = _grub.stub_target(_host.decode(raw))
        if not target:
            return path, raw
        # the path is GRUB's, from the root of its file system: below /boot where that is one of its own
        places = [place for place in (PATHS["boot"] + target, target, os.path.join(os.path.dirname(path), os.path.basename(target)))
                  if os.path.exists(place) and os.path.realpath(place) != path]
        if not places:
            raise Stop("%s only loads %s, and that file is not found below %s. Point %s at the real one." % (
                path, target, PATHS["boot"], PATHS["uefi_link"]))
        path = os.path.realpath(places[0])
    raise Stop("%s: the configurations load each other in a circle." % path)


class Host(object):
    """What was read, what is wanted, and the one way to write."""

    def __init__(self, module):
        self.module = module
        self.name, self.token, self.state = [module.params[key] for key in ("argument", "value", "state")]
        self.want = (self.name, self.token, self.state)
        self.actions, self.backups, self.replaced = [], [], []
        self.defaults = os.path.realpath(PATHS["defaults"])
        self.firmware, path = find_config()
        self.config, config = read_config(path)
        self.before = {self.defaults: read_file(self.defaults), self.config: config}
        self.after = {}
        self.plan()

    def plan(self):
        """Works out both files as they should be; touches nothing."""
        old = self.before[self.defaults]
        try:
            text, self.changes = _grub.change_defaults(_host.decode(old or b""), *self.want)
        except ValueError as error:
            raise Stop("%s, %s. Edit it by hand and run again." % (self.defaults, error))
        if self.changes:
            self.after[self.defaults] = _host.encode(text, old or b"")
        raw = self.before[self.config]
        try:
            self.entries = _grub.entries(_host.decode(raw))
            text = _grub.change_entries(_host.decode(raw), *self.want)
        except ValueError as error:
            raise Stop("%s, %s. Run again when it is in order." % (self.config, error))
        if not self.entries:
            raise Stop("%s has no menu entry with a kernel%s. Look: grep -n linux %s" % (
                self.config, "; this host keeps them in %s/loader/entries, which only EL8 and later do" % PATHS["boot"]
                if "blscfg" in text else "", self.config))
        new = _host.encode(text, raw)
        if new != raw:
            self.after[self.config] = new

    def result(self):
        """The module's result for the state that was planned or, after the writes, was read."""
        after = _grub.entries(_host.decode(self.after.get(self.config, self.before[self.config])))
        now = dict((entry["index"], entry) for entry in after)
        change = self.changes[0] if self.changes else {"variable": _grub.VARIABLE, "before": None, "after": None}
        running = self.token in _cmdline.tokens(_host.probe_text(PATHS["cmdline"])[0] or "", self.name)
        result = dict(
            changed=bool(self.after), actions=self.actions, backups=self.backups, config=self.config, firmware=self.firmware,
            entries=[dict(title=entry["title"], kernel=entry["kernel"], index=entry["index"], before=entry["args"],
                          after=now.get(entry["index"], {}).get("args")) for entry in self.entries],
            defaults=dict(path=self.defaults, variable=change["variable"], before=change["before"], after=change["after"]),
            running=running, reboot_required=running != (self.state == "present"))
        if self.after:
            result["diff"] = [dict(before_header=path, after_header=path, before=_host.decode(self.before[path] or b""),
                                   after=_host.decode(self.after[path])) for path in (self.defaults, self.config) if path in self.after]
        return result

    # writing

    def write(self, what, act, **details):
        """The one door to the system: records each write, and stops there in check mode."""
        action = dict(details, what=what, done="would" if self.module.check_mode else False)
        self.actions.append(action)
        if self.module.check_mode:
            return
        try:
            act()
        except (IOError, OSError) as error:
            raise Stop("could not %s (%s): %s." % (what, details.get("path"), error))
        action["done"] = True

    def run(self, argv):
        code, out, err = self.module.run_command(argv)
        if code:
            raise Stop("%s ended with code %d: %s." % (" ".join(argv), code, (err or out).strip()[-500:] or "no message"))

    def install(self, path, content):
        """Put content in the place of a file in one step; owner, mode and SELinux context stay."""
        new = not os.path.exists(path)
        staged = _host.stage_file(path, content)
        try:
            if new:
                os.chmod(staged, 0o644)
            self.module.atomic_move(staged, path)
        finally:
            if os.path.exists(staged):
                os.unlink(staged)
        _host.sync_directory(os.path.dirname(path))

    def replace(self, what, path, content):
        self.replaced.append(path)
        self.write(what, lambda: self.install(path, content), path=path)

    def preflight(self):
        """Everything that would make a write fail and can be known before. Raises Stop; nothing was written then."""
        if os.geteuid() != 0:
            raise Stop("only root can write %s. Run with become: true." % self.config)
        needs = [(existing(self.module.params["backup_dir"]), sum(len(self.before[path] or b"") for path in self.after))]
        for path in self.after:
            if not os.path.isdir(os.path.dirname(path)):
                raise Stop("the directory of %s is not there. Is this an EL7 host? yum reinstall grub2-tools" % path)
            needs.append((os.path.dirname(path), 3 * len(self.after[path])))
        for place, size in needs:
            status, mount = os.statvfs(place), mount_of(place)
            if status.f_flag & READ_ONLY:
                raise Stop("%s is mounted read-only, so %s cannot be written. Make it writable and run again: "
                           "mount -o remount,rw %s" % (mount, place, mount))
            if not os.access(place, os.W_OK):
                raise Stop("%s cannot be written. Look: ls -ld %s; lsattr -d %s" % (place, place, place))
            if status.f_bavail * status.f_frsize < size + 65536:
                raise Stop("%s has %d KiB free, too little for the new files. Look: df -h %s" % (
                    mount, status.f_bavail * status.f_frsize // 1024, mount))
        if self.config in self.after and not installed("grubby") and not installed("mkconfig"):
            raise Stop("neither grubby nor grub2-mkconfig is installed. Install one: yum install grubby")

    def back_up(self):
        base = self.module.params["backup_dir"]
        name = os.path.join(base, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
        number, place = 1, name
        while os.path.lexists(place):
            number, place = number + 1, "%s-%d" % (name, number + 1)
        copies = [(path, os.path.join(place, path.strip("/").replace("/", ".")))
                  for path in (self.defaults, self.config) if path in self.after and self.before[path] is not None]

        def act():
            if not os.path.isdir(base):
                os.makedirs(base, 0o700)
            os.mkdir(place, 0o700)
            for path, copy in copies:
                os.rename(_host.stage_file(copy, self.before[path]), copy)
                os.chmod(copy, stat.S_IMODE(os.stat(path).st_mode))
            for directory in (place, base):
                _host.sync_directory(directory)
            self.backups.extend(dict(path=path, backup=copy) for path, copy in copies)

        if copies:
            self.write("back up the files that change", act, path=place)

    def write_entries(self):
        grubby = installed("grubby")
        wanted = self.after[self.config]
        calls = _grub.grubby_calls(self.entries, *self.want) if grubby else []
        if grubby and calls:
            self.replaced.append(self.config)
            for call in calls:
                argv = [grubby] + call
                self.write("change the boot entries with grubby", lambda argv=argv: self.run(argv), path=self.config, argv=argv)
            if not self.module.check_mode:
                raw = self.checked(self.config, _grub.wrong_entries)
                if raw != wanted:
                    # grubby versions differ in where they put arguments and blanks; check mode promised this text
                    self.replace("put the arguments back where they were", self.config, wanted)
        elif grubby:
            self.replace("change the boot entries in place", self.config, wanted)
        else:
            self.regenerate()

    def regenerate(self):
        """grub2-mkconfig to a new file first: it would empty the real one before it writes it."""
        staged = []

        def act():
            staged.append(_host.stage_file(self.config, b""))
            new = staged[0]
            try:
                self.run(argv + [new])
                self.checked(new, _grub.wrong_regeneration)
                if installed("script_check"):
                    self.run([installed("script_check"), new])
                raw = read_file(new)
                self.replaced.append(self.config)
                self.install(self.config, raw)
                self.after[self.config] = raw
            finally:
                for left in (new, new + ".new"):
                    if os.path.exists(left):
                        os.unlink(left)

        argv = [installed("mkconfig"), "-o"]
        self.write("generate the boot entries anew", act, path=self.config, argv=argv + [self.config])

    def checked(self, path, compare):
        """The bytes of a grub.cfg, if its entries are as wanted."""
        raw = read_file(path)
        try:
            wrong = compare(self.entries, _grub.entries(_host.decode(raw or b"")), *self.want)
        except ValueError as error:
            wrong = [str(error)]
        if wrong:
            raise Stop("the boot entries in %s are not as intended after the change: %s." % (path, "; ".join(wrong[:3])))
        return raw

    def apply(self):
        """All writes, in order. Returns with everything done and read again, or raises Stop with everything undone."""
        for path in self.after:
            if read_file(path) != self.before[path]:
                raise Stop("%s was changed by somebody else just now (yum?). Nothing was written. Run again." % path)
        try:
            self.back_up()
        except Stop as error:
            raise Stop("%s Nothing else was written. Make room in %s, or set backup_dir, and run again." % (
                error, self.module.params["backup_dir"]))
        try:
            if self.defaults in self.after:
                self.replace("write the arguments for later kernels", self.defaults, self.after[self.defaults])
            if self.config in self.after:
                self.write_entries()
            if not self.module.check_mode:
                for path in self.after:
                    if read_file(path) != self.after[path]:
                        raise Stop("%s does not hold what was written to it." % path)
        except Exception as error:  # whatever it was: half of a change must not stay
            raise Stop("%s %s" % (error, self.undo()))

    def undo(self):
        """Put back what was replaced; says in which state the host is."""
        failed = []
        for path in reversed(sorted(set(self.replaced), key=self.replaced.index)):
            try:
                if read_file(path) == self.before[path]:
                    continue
                if self.before[path] is None:
                    self.write("remove the new file", lambda path=path: os.unlink(path), path=path)
                else:
                    self.write("put the old file back", lambda path=path: self.install(path, self.before[path]), path=path)
                if read_file(path) != self.before[path]:
                    raise Stop("it still differs from the copy")
            except Exception as error:  # one that cannot be put back must not keep the other from it
                failed.append("%s (%s)" % (path, error))
        if not failed:
            return ("The host is as before: %s and %s were compared with what they were. Once the reason is removed, run again."
                    % (self.defaults, self.config))
        commands = ["cp -p %s %s" % (one["backup"], one["path"]) for one in self.backups]
        return "Putting the old state back failed too, for %s. DO NOT REBOOT before this is done by hand: %s" % (
            ", ".join(failed), "; ".join(commands))


def guarded(module, act):
    """Runs C(act) so that no signal, and no helper of AnsibleModule that ends the process, can cut it in half."""
    handlers = [(one, signal.signal(one, signal.SIG_IGN)) for one in SIGNALS]
    fail_json = module.fail_json

    def stop(msg="", **unused):  # atomic_move and run_command call this; the undo has to come first
        raise Stop(msg)

    module.fail_json = stop
    try:
        act()
    finally:
        module.fail_json = fail_json
        for one, handler in handlers:
            signal.signal(one, signal.SIG_DFL if handler is None else handler)


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
    host = None
    try:
        if not re.match(r"[A-Za-z0-9_.-]*[A-Za-z0-9]\Z", module.params["argument"]):
            raise Stop("argument must be the name of a kernel argument, without = and value.")
        if not re.match(r"[A-Za-z0-9_.:/@+=-]+\Z", module.params["value"]):
            raise Stop("value must be one token, without comma, blank, quote or dollar sign.")
        host = Host(module)
        if host.after:
            host.preflight()
    except Stop as error:
        module.fail_json(msg="%s Nothing was written." % error, actions=[])
    if host.after:
        try:
            guarded(module, host.apply)
        except Stop as error:
            module.fail_json(msg=str(error), actions=host.actions, backups=host.backups, config=host.config)
    module.exit_json(**host.result())


if __name__ == "__main__":
    main()
