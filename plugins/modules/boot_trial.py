#!/usr/bin/python
# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: boot_trial
short_description: Boots a kernel once, on trial, so that whatever does not go well ends on the kernel that runs now
description:
  - The default entry stays the running kernel. The new kernel gets an entry of its own in C(custom.cfg) beside C(grub.cfg),
    with arguments that turn a panic, an oops and a failed initramfs into a reboot, and is booted once by C(next_entry). GRUB
    empties that before it starts the kernel, so a panic, a reset and a power cut lead back to the default.
  - A systemd unit that acts under the trial entry alone reboots the host out of the new kernel unless the controller logs in
    within O(login_timeout) seconds after the boot (O(state=seen)) and confirms it within O(services_timeout) more
    (O(state=confirmed)). It counts by C(/proc/uptime), which no clock jump reaches.
  - C(grub.cfg) is not written. All else is backed up, read again after the write, and undone where it is not as intended.
  - Nothing is rebooted, and confirming does not change the default; M(el7ops.kmem.boot_entry) does.
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
options:
  state:
    description:
      - V(read) tells how a trial stands, or why the last one did not come to its end; changes nothing.
      - V(checked) also tells whether a trial of O(kernel) is possible, and what speaks against it; changes nothing.
      - V(armed) makes the next boot the trial. Fails where V(checked) has a finding that blocks.
      - V(seen) tells the unit that the controller could log in; changes nothing where no trial is at work.
      - V(confirmed) stops the unit, puts back the sysctls that the arguments had set, and removes all traces. Only on the kernel
        on trial; changes nothing where that is done.
      - V(removed) removes all traces, an armed one-shot boot included. While the kernel on trial runs it stops the unit as
        V(confirmed) does, so that the host stays on that kernel until its next boot.
    type: str
    choices: [read, checked, armed, seen, confirmed, removed]
    default: read
  kernel:
    description: Version of the kernel, as C(uname -r) gives it once it runs. Required for V(checked), V(armed), V(confirmed).
    type: str
  without_nokmem:
    description: Leave C(cgroup.memory=nokmem) out of the arguments of the trial entry, where other entries have it.
    type: bool
    default: false
  login_timeout:
    description: Seconds after the boot in which the controller has to log in.
    type: int
    default: 600
  services_timeout:
    description: Seconds after that login in which the kernel has to be confirmed.
    type: int
    default: 1800
attributes:
  diff_mode:
    details: The environment block is shown as its variables.
extends_documentation_fragment:
  - el7ops.kmem.boot_files
notes:
  - Needs root, and the running kernel as the default by C(saved_entry), which M(el7ops.kmem.boot_entry) sees to.
  - A kernel that hangs without a panic before systemd starts the unit is not rebooted by anything on the host. A reset by hand,
    by the hypervisor or by a watchdog that the firmware or the BMC runs leads back to the running kernel.
seealso:
  - module: el7ops.kmem.boot_entry
"""

EXAMPLES = r"""
- name: Boot a kernel once, on trial
  el7ops.kmem.boot_trial:
    state: armed
    kernel: 6.9.7-1.el7.elrepo.x86_64

- name: Keep it, after the reboot, a login and a look at the services
  el7ops.kmem.boot_trial:
    state: confirmed
    kernel: 6.9.7-1.el7.elrepo.x86_64
"""

RETURN = r"""
findings:
  description: What speaks against a trial, or limits it.
  returned: with state checked or armed
  type: list
  elements: dict
  contains:
    code:
      description: Short name.
      type: str
      sample: environment_block
    blocks:
      description: Whether a trial is impossible with it.
      type: bool
      sample: true
    survivable:
      description:
        - Whether the kernel itself would start and be reachable all the same, so that only the way back is missing. Not so
          where it would not start, or nobody could log in.
      type: bool
      sample: true
    text:
      description: What was found, and the way out.
      type: str
      sample: GRUB cannot write its environment block at boot, as it lies on a logical volume (dm-0).
trial:
  description: How the trial stands.
  returned: success
  type: dict
  contains:
    kernel:
      description: The kernel that is or was on trial, empty where none is.
      type: str
      sample: 6.9.7-1.el7.elrepo.x86_64
    old_kernel:
      description: The kernel that ran when it was armed.
      type: str
      sample: 3.10.0-1160.el7.x86_64
    release:
      description: The kernel that runs.
      type: str
      sample: 6.9.7-1.el7.elrepo.x86_64
    armed:
      description: Whether the next boot is the trial.
      type: bool
      sample: false
    running:
      description: Whether the kernel on trial runs, booted by the trial entry.
      type: bool
      sample: true
    reason:
      description: With the kernel not running and the trial not armed, why it did not come to its end; empty otherwise.
      type: str
      sample: ""
    record:
      description:
        - What the unit put down before it rebooted the host, or else the end of that boot's journal where it is kept; the last 16 KiB.
      type: str
      sample: ""
changes:
  description: What changed, or would, in short sentences.
  returned: success
  type: list
  elements: str
  sample: ["next boot, once and on trial: 6.9.7-1.el7.elrepo.x86_64"]
actions:
  description: Every write, in order; in check mode the ones that would be made.
  returned: always
  type: list
  elements: dict
backups:
  description: Copies made before the first write.
  returned: always
  type: list
  elements: dict
diff:
  description: The files before and after, those that change.
  returned: when changed
  type: list
  elements: dict
"""

import glob
import json
import os
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.el7ops.kmem.plugins.module_utils import _boot, _cmdline, _door, _host, _initramfs, _trial

PATHS = dict(
    _boot.PATHS,
    unit="/etc/systemd/system/" + _trial.UNIT,
    wants="/etc/systemd/system/sysinit.target.d/el7ops-kmem-trial.conf",
    # /etc and not /var or /usr: it is on the root file system, which is mounted before the unit starts
    guard="/etc/el7ops-kmem/trial-guard",
    note="/etc/el7ops-kmem/trial.json",
    started="/etc/el7ops-kmem/trial-started",
    record="/etc/el7ops-kmem/trial-record",
    seen="/run/el7ops-kmem-trial.seen",
    confirmed="/run/el7ops-kmem-trial.confirmed",
    cmdline="/proc/cmdline",
    mountinfo="/proc/self/mountinfo",
    routes="/proc/net/route",
    sysctl="/proc/sys/kernel",
    sys="/sys",
    dev="/dev",
    modules="/lib/modules",
    dracut="/usr/lib/dracut/modules.d",
    secure_boot="/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
    pstore="/sys/fs/pstore",
    crash="/var/crash",
    journal="/var/log/journal",
    journalctl=("/bin/journalctl", "/usr/bin/journalctl"),
    mokutil=("/bin/mokutil", "/usr/bin/mokutil"),
    systemctl=("/bin/systemctl", "/usr/bin/systemctl"),
)
ARMED = ("checked", "armed")
RECORD_LIMIT = 16384
TEXT_LIMIT = 8 * 1024 * 1024


def link_name(path):
    return os.path.basename(os.path.realpath(path)) if os.path.islink(path) else ""


class Hardware(object):
    """What the root file system and the network of this host hang on, from sysfs."""

    def __init__(self, paths):
        self.paths, self.sys = paths, paths["sys"]
        self.mounts = []
        for line in (_host.probe_text(paths["mountinfo"])[0] or "").splitlines():
            left, unused, right = line.partition(" - ")
            if unused and len(left.split()) > 4:
                self.mounts.append((left.split()[2], left.split()[4], right.split()[0]))

    def mount(self, path):
        """(device number, mount point, file system) of what a path is on."""
        found = [one for one in self.mounts if path == one[1] or path.startswith(one[1].rstrip("/") + "/")]
        # of two on one mount point, as rootfs and the root file system, the last one counts
        return sorted(found, key=lambda one: len(one[1]))[-1] if found else ("", "", "")

    def block(self, number):
        """The directory in sysfs of a block device, "" where there is none."""
        link = os.path.join(self.sys, "dev", "block", number)
        return os.path.realpath(link) if number and os.path.exists(link) else ""

    def device(self, name, place):
        alias = (_host.probe_text(os.path.join(place, "modalias"))[0] or "").strip()
        driver = link_name(os.path.join(place, "driver"))
        module = link_name(os.path.join(place, "driver", "module"))
        if not alias or not driver:
            return []
        loaded = bool(module) and os.path.exists(os.path.join(self.sys, "module", module, "initstate"))
        return [dict(name=name, alias=alias, driver=driver, loaded=loaded)]

    def above(self, name, place):
        """The devices from this directory up to the root of sysfs that a driver is bound to."""
        found, top = [], os.path.realpath(os.path.join(self.sys, "devices"))
        while place.startswith(top) and place != top:
            found += self.device(name, place)
            place = os.path.dirname(place)
        return found

    def disks(self, place):
        """The devices that a block device hangs on; those below a mapped or RAID device too."""
        if os.path.exists(os.path.join(place, "partition")):
            place = os.path.dirname(place)
        below = glob.glob(os.path.join(place, "slaves", "*"))
        found = [device for one in below for device in self.disks(os.path.realpath(one))]
        return found or self.above("the disk " + os.path.basename(place), place)

    def root(self):
        number, unused, filesystem = self.mount("/")
        # a file system is not a device, but its module is found by an alias as well
        loaded = os.path.exists(os.path.join(self.sys, "module", filesystem, "initstate"))
        kind = dict(name="the root file system", alias="fs-" + filesystem, driver=filesystem, loaded=loaded)
        return [kind] + self.disks(self.block(number))

    def network(self):
        routes = [line.split() for line in (_host.probe_text(self.paths["routes"])[0] or "").splitlines()[1:]]
        names = sorted(set(fields[0] for fields in routes if len(fields) > 1 and fields[1] == "00000000"))
        found = []
        for name in names:
            place = os.path.join(self.sys, "class", "net", name)
            lower = [os.path.realpath(one) for one in glob.glob(os.path.join(place, "lower_*"))] or [os.path.realpath(place)]
            for one in lower:
                found += self.above("the network interface " + os.path.basename(one), one)
        return found


class Host(_boot.BootDoor):
    """What was read, what speaks against a trial, and the writes for it."""

    saves = "save the entry that is booted once, on trial"

    def __init__(self, module):
        super(Host, self).__init__(module, PATHS)
        self.state = module.params["state"]
        self.findings = []
        self.custom = os.path.join(os.path.dirname(self.config), "custom.cfg")
        self.own = [self.paths[name] for name in ("unit", "wants", "guard", "note", "seen", "confirmed")]
        self.leftovers = [self.paths[name] for name in ("started", "record")]
        self.files += [self.custom] + self.own + self.leftovers
        for path in self.files:
            self.before.setdefault(path, _door.read_file(path))
        self.note = self.load()
        self.cmdline = _host.probe_text(self.paths["cmdline"])[0] or ""
        self.on_trial = bool(_cmdline.occurrences(self.cmdline, _trial.PARAMETER)) and self.note.get("kernel") == self.release
        # by the argument alone, as the unit counts under the trial's entry whatever became of the note
        self.counting = bool(_cmdline.occurrences(self.cmdline, _trial.PARAMETER)) and any(
            self.before[self.paths[name]] is not None for name in ("unit", "guard"))
        self.armed = self.now.rule["once"] and self.now.variables.get("next_entry") in (
            _trial.ENTRY_ID, _trial.title(self.note.get("kernel", "")))
        getattr(self, "plan_" + self.state)()

    def load(self):
        try:
            note = json.loads(_host.decode(self.before[self.paths["note"]] or b"{}"))
        except ValueError:
            note = {}
        return note if isinstance(note, dict) else {}

    # what speaks against it

    def find_against(self, code, blocks, text):
        self.findings.append(dict(code=code, blocks=blocks, survivable=code in _trial.SURVIVABLE or not blocks, text=text))

    def check_grub(self):
        config = _host.decode(self.before[self.config])
        if not self.now.rule["once"]:
            self.find_against("one_shot", True, "%s does not serve next_entry, so GRUB boots nothing once. Make it anew: grub2-mkconfig -o %s"
                              % (self.config, self.config))
        if not _trial.serves_custom(config):
            self.find_against("custom_cfg", True, "%s does not read custom.cfg, where the trial's entry goes. Put /etc/grub.d/41_custom back "
                              "(yum reinstall grub2-tools), then: grub2-mkconfig -o %s" % (self.config, self.config))
        default = self.now.default
        if not default or default["version"] != self.release or self.now.source != "saved_entry":
            self.find_against("default", True, "The running kernel %s is not the default by saved_entry (%s), so a failed trial would not "
                              "lead back to it. Make it: el7ops.kmem.boot_entry with state=default and kernel=%s" % (
                                  self.release, self.now.reason, self.release))
        user_cfg = _host.probe_text(os.path.join(os.path.dirname(self.config), "user.cfg"))[0]
        if default and _trial.password_stops(config, user_cfg, default):
            self.find_against("password", True, "GRUB asks for a password before it boots \"%s\", so no reboot comes back without somebody "
                              "at the console. Let /etc/grub.d/10_linux write --unrestricted, then: grub2-mkconfig -o %s" % (
                                  default["title"], self.config))
        number, unused, filesystem = Hardware(self.paths).mount(self.env)
        place = Hardware(self.paths).block(number)
        name = os.path.basename(os.path.dirname(place) if os.path.exists(os.path.join(place, "partition")) else place)
        uuid = (_host.probe_text(os.path.join(place, "dm", "uuid"))[0] or "").strip()
        why = _trial.environment_writable(filesystem, name, uuid)
        if why:
            self.find_against("environment_block", True, "GRUB cannot write its environment block %s at boot, as %s: it would boot the trial "
                              "again and again. Put /boot on a plain partition" % (self.env, why))
        if self.elsewhere:
            # to confirm the kernel is to make it the default, which would be refused then
            self.find_against("grubenv_link", True, self.elsewhere)
        why = _trial.hidden_menu(_host.decode(self.before[self.defaults] or b""), config)
        if why:
            self.find_against("hidden_menu", False, "%s, so nobody at the console may have the time to choose another entry in the menu. Write "
                              "GRUB_TIMEOUT=5 on a line of its own in %s, then: grub2-mkconfig -o %s" % (why, self.defaults, self.config))

    def check_secure_boot(self):
        try:
            enabled = _host.read_bytes(self.paths["secure_boot"])[4:5] == b"\1"
        except (IOError, OSError):
            return
        if not enabled:
            return
        tool = self.installed("mokutil")
        # where it fails or is not there, no key of ELRepo was seen, and that is what counts
        keys = _host.run([tool, "--list-enrolled"], 20)["out"] if tool else ""
        if "elrepo" not in keys.lower():
            self.find_against("secure_boot", True, "Secure Boot is on, and no key of ELRepo is enrolled (mokutil --list-enrolled), so the "
                              "firmware refuses the kernel. Enrol SECURE-BOOT-KEY-elrepo.org.der: mokutil --import, and confirm at the console")

    def check_kernel(self):
        hardware, place = Hardware(self.paths), os.path.join(self.paths["modules"], self.kernel)
        loadable = _host.probe_text(os.path.join(place, "modules.alias"), TEXT_LIMIT)[0]
        if loadable is None:
            self.find_against("modules", True, "%s/modules.alias cannot be read. Make it: depmod -a %s" % (place, self.kernel))
            return
        modinfo = _host.probe_text(os.path.join(place, "modules.builtin.modinfo"), TEXT_LIMIT)[0]
        builtin = None if modinfo is None else _initramfs.builtin_aliases(modinfo)
        loadable = _initramfs.module_aliases(loadable)
        inside = self.look_inside()
        dracut = "dracut -f %s %s" % (os.path.join(self.paths["boot"], "initramfs-%s.img" % self.kernel), self.kernel)
        for code, devices, names in (("root", hardware.root(), inside), ("network", hardware.network(), None)):
            missing, unsure = _initramfs.lacking(devices, loadable, builtin, names)
            for text in missing:
                way = "Make the initramfs anew: " + dracut if "initramfs" in text else "Take another kernel (kernel-lt or kernel-ml)"
                self.find_against(code + "_driver", True, "On kernel %s, %s. %s" % (self.kernel, text, way))
            if unsure:
                self.find_against(code + "_driver_unsure", False, "On kernel %s: %s" % (self.kernel, "; ".join(unsure)))

    def look_inside(self):
        """The names of the modules in the initramfs; with a finding where it is not whole or cannot be read."""
        path = os.path.join(self.paths["boot"], os.path.basename(self.wanted["initrd"].split()[-1])) if self.wanted["initrd"] else ""
        try:
            with open(path, "rb") as stream:
                return _initramfs.modules_in(_initramfs.names(iter(lambda: stream.read(1 << 20), b"")))
        except _initramfs.Damaged as error:
            self.find_against("initramfs", True, "%s is damaged: %s. Make room in %s (df -h), then: dracut -f %s %s" % (
                path, error, self.paths["boot"], path, self.kernel))
        except _initramfs.Unread as error:
            self.find_against("initramfs_unread", False, "%s could not be looked into: %s. Look: lsinitrd %s" % (path, error, path))
        except (IOError, OSError) as error:
            self.find_against("initramfs", True, "the entry of kernel %s has no initramfs that can be read (%s)" % (self.kernel, error))
        return None

    def check_rescue(self):
        scripts = glob.glob(os.path.join(self.paths["dracut"], "*base", "*.sh")) + glob.glob(os.path.join(self.paths["dracut"], "*systemd", "*.sh"))
        if not _trial.emergency_reboot(dict((os.path.basename(path), _host.probe_text(path)[0] or "") for path in scripts)):
            self.find_against("initramfs_hang", False, "The dracut of this host does not know rd.emergency=reboot: where the initramfs cannot "
                              "mount the root file system, it waits for ever, and no argument changes that. A reset then leads back. A newer "
                              "dracut of EL7 knows it: yum update dracut, then: dracut -f %s %s" % (
                                  os.path.join(self.paths["boot"], "initramfs-%s.img" % self.kernel), self.kernel))
        if not glob.glob(os.path.join(self.paths["dev"], "watchdog*")):
            self.find_against("watchdog", False, "There is no watchdog device, so nothing resets this host should the kernel hang later on. "
                              "(One would not help before systemd has started, as nothing has opened it by then: there only a reset by hand, by "
                              "the hypervisor or by a watchdog that the BMC runs leads back)")

    def check(self):
        self.wanted = self.find(self.now)
        self.need_files()
        for part in (self.check_grub, self.check_secure_boot, self.check_kernel, self.check_rescue):
            part()

    # planning

    def plan_read(self):
        pass

    def plan_checked(self):
        self.check()

    def plan_armed(self):
        if self.kernel == self.release:
            raise _door.Stop("kernel %s runs already, so there is nothing to try." % self.kernel)
        self.check()
        blocking = [one for one in self.findings if one["blocks"]]
        if blocking:
            raise _door.Stop("a trial boot of kernel %s is not possible: %s." % (
                self.kernel, "; ".join("(%d) %s" % (number, one["text"]) for number, one in enumerate(blocking, 1))))
        default, options = self.now.default, self.module.params
        block = _trial.entry(_host.decode(self.before[self.config]), self.wanted, options["without_nokmem"])
        fallback = default["index"] if ">" not in default["index"] else None
        words = dict((name, self.paths[name]) for name in ("confirmed", "seen", "started", "record", "guard"))
        words.update(kernel=self.kernel, old=self.release, login=options["login_timeout"], services=options["services_timeout"],
                     patience=_trial.PATIENCE, parameter=_trial.PARAMETER)
        sysctls = dict((name, (_host.probe_text(os.path.join(self.paths["sysctl"], name))[0] or "").strip()) for name in _trial.SYSCTLS)
        if not sysctls["hardlockup_panic"]:
            # the kernel that runs has no such file, the one on trial will
            build = _host.probe_text(os.path.join(self.paths["boot"], "config-" + self.kernel))[0] or ""
            sysctls["hardlockup_panic"] = _trial.hardlockup_default(build)
        note = dict(kernel=self.kernel, old_kernel=self.release, sysctls=sysctls)
        self.want(self.custom, _trial.custom(_host.decode(self.before[self.custom] or b""), block, fallback))
        self.want(self.paths["guard"], _trial.GUARD % words)
        self.want(self.paths["unit"], _trial.SERVICE % words)
        self.want(self.paths["wants"], _trial.WANTS)
        self.want(self.paths["note"], json.dumps(note, indent=1, sort_keys=True) + "\n")
        for path in self.leftovers:
            self.want(path, None)
        self.plan_environment({"next_entry": _trial.title(self.kernel)})
        if self.after:
            self.changes.append("next boot, once and on trial: %s" % self.kernel)

    def plan_seen(self):
        if self.on_trial:
            self.want(self.paths["seen"], "seen\n")

    def plan_confirmed(self):
        if self.kernel == self.release and not self.note and not self.counting:
            return
        if not self.on_trial or self.kernel != self.release:
            raise _door.Stop("kernel %s is not on trial: %s runs, and the trial on this host is %s. The default entry is as it was. Boot the kernel "
                             "on trial first (state=armed, then reboot), or take away what is left of a trial (state=removed)." % (
                                 self.kernel, self.release, "of " + self.note["kernel"] if self.note.get("kernel") else "none"))
        self.plan_removed()
        self.want(self.paths["confirmed"], "confirmed\n")
        self.changes.append("kernel %s is confirmed, the traces of its trial are removed" % self.kernel)

    def plan_removed(self):
        text = self.before[self.custom]
        if text is not None:
            self.want(self.custom, _trial.custom(_host.decode(text), None, None))
        for path in self.own[:4] + self.leftovers + [self.paths["seen"]]:
            self.want(path, None)
        if self.armed:
            self.plan_environment({"next_entry": None})
        if self.counting and self.state == "removed":
            self.want(self.paths["confirmed"], "confirmed\n")
            self.changes.append("the unit that would reboot the host is stopped: kernel %s runs until the next boot" % self.release)
            if not self.note.get("sysctls"):
                self.changes.append("what kernel.panic and its like were is not known any more: look at sysctl -a and at /etc/sysctl.d")

    def want(self, path, text):
        raw = None if text is None else text.encode("utf-8")
        if raw != self.before[path]:
            self.after[path] = raw

    # writing

    def carry_out(self):
        # the unit and its entry before the one-shot that leads to them; when going, the one-shot first
        if self.env in self.after and self.state != "armed":
            self.edit_environment(self.variables)
        if self.state == "confirmed" or (self.state == "removed" and self.counting):
            self.stand_down()
        for path in self.files:
            if path in self.after and path not in (self.env, self.paths["confirmed"]):
                what = os.path.basename(path)
                if self.after[path] is None:
                    self.remove("remove " + what, path)
                else:
                    self.replace("write " + what, path, self.after[path])
        if self.env in self.after and self.state == "armed":
            self.edit_environment(self.variables)
            self.verify()

    def stand_down(self):
        """The unit has to be at rest before its files go; then what the arguments had set is put back."""
        tool = self.installed("systemctl")
        if not tool:
            raise _door.Stop("systemctl is not there, so the unit %s cannot be stopped." % _trial.UNIT)
        if self.paths["confirmed"] in self.after:
            self.replace("tell the unit that it is over", self.paths["confirmed"], self.after[self.paths["confirmed"]])
        self.write("stop the unit", lambda: self.run([tool, "stop", _trial.UNIT]), argv=[tool, "stop", _trial.UNIT])
        for name, value in sorted(self.note.get("sysctls", {}).items()):
            path = os.path.join(self.paths["sysctl"], name)
            if re.match(r"-?[0-9]+\Z", value) and os.path.exists(path):
                self.write("put the sysctl back to %s" % value, lambda path=path, value=value: self.set_sysctl(path, value), path=path)

    def set_sysctl(self, path, value):
        with open(path, "w") as stream:
            stream.write(value + "\n")
        if (_host.probe_text(path)[0] or "").strip() != value:
            raise _door.Stop("%s does not hold %s after it was written." % (path, value))

    def verify(self):
        if self.module.check_mode:
            return
        boot = self.boot(_door.read_file(self.config) or b"", _door.read_file(self.env))
        if boot.variables.get("next_entry") != _trial.title(self.kernel) or not boot.default or boot.default["version"] != self.release:
            raise _door.Stop("after the writes GRUB would boot %s after \"%s\", not kernel %s once and then %s." % (
                _boot.short(boot.default), boot.variables.get("next_entry", "nothing"), self.kernel, self.release))

    # telling

    def trial(self):
        kernel = self.note.get("kernel", "")
        record = _host.decode(self.before[self.paths["record"]] or b"")[-RECORD_LIMIT:]
        armed = self.state == "armed" or (self.armed and self.state in ("read", "checked", "seen"))
        over = bool(kernel) and not armed and not self.on_trial
        if over and not record:
            record = self.last_words(kernel)
        return dict(
            kernel=self.kernel if self.state == "armed" else kernel, old_kernel=self.note.get("old_kernel", ""), armed=armed,
            release=self.release, running=self.on_trial, record=record,
            reason=_trial.reason(record, self.before[self.paths["started"]] is not None, self.panic(), kernel) if over else "")

    def last_words(self, kernel):
        """The end of the journal of the boot before, where it is kept and was that of the kernel on trial."""
        tool = self.installed("journalctl")
        if not tool or not os.path.isdir(self.paths["journal"]):
            return ""
        before = [tool, "-b", "-1", "--no-pager"]
        if "Linux version %s " % kernel not in _host.run(before + ["-k", "-o", "cat"], 20, 400)["out"]:
            return ""
        return _host.run(before + ["-n", "40", "-o", "short"], 20)["out"][-RECORD_LIMIT:]

    def panic(self):
        """What pstore or kdump kept of a panic since the trial was armed."""
        try:
            armed_at = os.stat(self.paths["note"]).st_mtime
        except OSError:
            return ""
        paths = glob.glob(os.path.join(self.paths["pstore"], "dmesg-*")) + glob.glob(os.path.join(self.paths["crash"], "*", "vmcore-dmesg.txt"))
        texts = []
        for path in sorted(paths, key=os.path.getmtime):
            if os.path.getmtime(path) >= armed_at:
                texts.append(_host.probe_text(path, TEXT_LIMIT)[0] or "")
        return _trial.panic_text(texts)

    def result(self):
        result = dict(changed=bool(self.after), actions=self.actions, backups=self.backups, changes=self.changes + self.environment_changes,
                      trial=self.trial())
        if self.state in ARMED:
            result["findings"] = self.findings
        if self.after:
            result["diff"] = self.diff()
        return result


def main():
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["read", "checked", "armed", "seen", "confirmed", "removed"], default="read"),
            kernel=dict(type="str"),
            without_nokmem=dict(type="bool", default=False),
            login_timeout=dict(type="int", default=600),
            services_timeout=dict(type="int", default=1800),
            backup_dir=dict(type="path", default="/var/lib/el7ops-kmem/backups"),
        ),
        required_if=[("state", state, ["kernel"]) for state in ("checked", "armed", "confirmed")],
        supports_check_mode=True,
    )

    def prepare():
        if not re.match(r"[A-Za-z0-9][A-Za-z0-9._+~-]*\Z", module.params["kernel"] or "x"):
            raise _door.Stop("kernel must be a version as uname -r gives it, such as 6.9.7-1.el7.elrepo.x86_64.")
        return Host(module)

    module.exit_json(**_door.run_module(module, prepare).result())


if __name__ == "__main__":
    main()
