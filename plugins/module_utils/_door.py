# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one door through which modules write boot files: planned first, recorded, backed up, read again, undone where wrong.

A module derives its own class from Door, fills C(before) and C(after) while it plans, and writes in carry_out().
Runs on Python 2.7.5 and 3.6+.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import os
import re
import signal
import stat
import time

from ansible_collections.el7ops.kmem.plugins.module_utils import _disk, _grub, _host

# Where things are on a host. Tests put another root here.
PATHS = {
    "defaults": "/etc/default/grub",
    "bios_link": "/etc/grub2.cfg",
    "uefi_link": "/etc/grub2-efi.cfg",
    "firmware": "/sys/firmware/efi",
    "boot": "/boot",
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


class Door(object):
    """What a run has read, what it wants there to be, and the one way to write it.

    C(before) and C(after) map paths to bytes, None for a file that is not there; C(after) has only what changes.
    C(files) is the order in which files are backed up, shown and named. C(own) are files of this collection, whose directory
    may have to be made.
    """

    own = ()

    def __init__(self, module, paths):
        self.module, self.paths = module, paths
        self.actions, self.backups, self.replaced = [], [], []
        self.before, self.after = {}, {}
        self.defaults = os.path.realpath(paths["defaults"])
        self.firmware, path = self.find_config()
        self.config, self.before[self.config] = self.read_config(path)
        self.before[self.defaults] = read_file(self.defaults)
        self.files = [self.defaults, self.config]

    # reading

    def installed(self, name):
        return next((path for path in self.paths[name] if os.access(path, os.X_OK)), None)

    def find_config(self):
        """(firmware, path of the grub.cfg this host boots from)."""
        uefi = os.path.isdir(self.paths["firmware"])
        links = {}
        for kind in ("bios", "uefi"):
            link = self.paths[kind + "_link"]
            links[kind] = os.path.realpath(link) if os.path.lexists(link) else None
        release = re.search(r"(?m)^ID=[\"']?([^\"'\s]+)", _host.probe_text(self.paths["os_release"])[0] or "")
        path = _grub.config_path(uefi, links, self.paths["boot"], release.group(1) if release else "centos")
        return "uefi" if uefi else "bios", os.path.realpath(path)

    def missing_config(self, path):
        """Why there may be no grub.cfg, and what to do about it."""
        fstab = _host.probe_text(self.paths["fstab"])[0] or ""
        places = [line.split()[1] for line in fstab.splitlines() if len(line.split()) > 1 and not line.strip().startswith("#")]
        for place in sorted(places):
            if place != "/" and path.startswith(place.rstrip("/") + "/") and not os.path.ismount(place):
                return "%s is not there, because %s is listed in %s but not mounted. Mount it and run again: mount %s" % (
                    path, place, self.paths["fstab"], place)
        return ("%s is not there, so this host does not boot through GRUB 2 in a way this module knows (a container, another boot "
                "loader?). Look: ls -l %s %s" % (path, self.paths["bios_link"], self.paths["uefi_link"]))

    def read_config(self, path):
        """(path, bytes) of the config with the entries; follows one that only loads another."""
        boot = self.paths["boot"]
        for unused in range(3):
            raw = read_file(path)
            if raw is None:
                raise Stop(self.missing_config(path))
            target = _grub.stub_target(_host.decode(raw))
            if not target:
                return path, raw
            # the path is GRUB's, from the root of its file system: below /boot where that is one of its own
            places = [place for place in (boot + target, target, os.path.join(os.path.dirname(path), os.path.basename(target)))
                      if os.path.exists(place) and os.path.realpath(place) != path]
            if not places:
                raise Stop("%s only loads %s, and that file is not found below %s. Point %s at the real one." % (
                    path, target, boot, self.paths["uefi_link"]))
            path = os.path.realpath(places[0])
        raise Stop("%s: the configurations load each other in a circle." % path)

    def read_entries(self):
        """The boot entries as they are now; stops where there are none."""
        text = _host.decode(self.before[self.config])
        try:
            found = _grub.entries(text)
        except ValueError as error:
            raise Stop("%s, %s. Run again when it is in order." % (self.config, error))
        if not found:
            raise Stop("%s has no menu entry with a kernel%s. Look: grep -n linux %s" % (
                self.config, "; this host keeps them in %s/loader/entries, which only EL8 and later do" % self.paths["boot"]
                if "blscfg" in text else "", self.config))
        return found

    def shown(self, path, raw):
        """A file as the diff shows it."""
        return _host.decode(raw or b"")

    def diff(self):
        return [dict(before_header=path, after_header=path, before=self.shown(path, self.before[path]),
                     after=self.shown(path, self.after[path])) for path in self.files if path in self.after]

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
        """The output of a command, which must end with code 0."""
        code, out, err = self.module.run_command(argv)
        if code:
            raise Stop("%s ended with code %d: %s." % (" ".join(argv), code, (err or out).strip()[-500:] or "no message"))
        return out

    def install(self, path, content):
        """Put content in the place of a file in one step; owner, mode and SELinux context stay."""
        new = not os.path.exists(path)
        if new and not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path), 0o755)
        staged = _disk.stage_file(path, content)
        try:
            if new:
                os.chmod(staged, 0o644)
            self.module.atomic_move(staged, path)
        finally:
            if os.path.exists(staged):
                os.unlink(staged)
        _disk.sync_directory(os.path.dirname(path))

    def replace(self, what, path, content):
        self.replaced.append(path)
        self.write(what, lambda: self.install(path, content), path=path)

    def remove(self, what, path):
        self.replaced.append(path)
        self.write(what, lambda: os.unlink(path), path=path)

    def make(self, what, path, argv, content, produce):
        """A file that a tool writes: produce(name) has it write another one, checks that, and returns its bytes.

        What is installed is what was checked. Tools empty the real file before they write it, or follow no link.
        """
        def act():
            staged = _disk.stage_file(path, content)
            try:
                raw = produce(staged)
                self.replaced.append(path)
                self.install(path, raw)
                self.after[path] = raw
            finally:
                for left in (staged, staged + ".new"):
                    if os.path.exists(left):
                        os.unlink(left)

        self.write(what, act, path=path, argv=argv)

    def regenerate(self, compare):
        """The grub.cfg by grub2-mkconfig; compare(text) says what is wrong with the new one."""
        tool = self.installed("mkconfig")

        def produce(new):
            self.run([tool, "-o", new])
            raw = self.checked(new, compare)
            if self.installed("script_check"):
                self.run([self.installed("script_check"), new])
            return raw

        self.make("generate the boot entries anew", self.config, [tool, "-o", self.config], b"", produce)

    def checked(self, path, compare):
        """The bytes of a grub.cfg, if its entries are as wanted."""
        raw = read_file(path)
        try:
            wrong = compare(_host.decode(raw or b""))
        except ValueError as error:
            wrong = [str(error)]
        if wrong:
            raise Stop("the boot entries in %s are not as intended after the change: %s." % (path, "; ".join(wrong[:3])))
        return raw

    def preflight(self):
        """Everything that would make a write fail and can be known before. Raises Stop; nothing was written then."""
        if os.geteuid() != 0:
            raise Stop("only root can write %s. Run with become: true." % self.config)
        needs = [(existing(self.module.params["backup_dir"]), sum(len(self.before[path] or b"") for path in self.after))]
        for path in self.after:
            if not os.path.isdir(os.path.dirname(path)) and path not in self.own:
                raise Stop("the directory of %s is not there. Is this an EL7 host? yum reinstall grub2-tools" % path)
            needs.append((existing(os.path.dirname(path)), 3 * len(self.after[path] or b"")))
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

    def back_up(self, paths):
        base = self.module.params["backup_dir"]
        name = os.path.join(base, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
        number, place = 1, name
        while os.path.lexists(place):
            number, place = number + 1, "%s-%d" % (name, number + 1)
        copies = [(path, os.path.join(place, path.strip("/").replace("/", ".")))
                  for path in paths if self.before[path] is not None]

        def act():
            if not os.path.isdir(base):
                os.makedirs(base, 0o700)
            os.mkdir(place, 0o700)
            for path, copy in copies:
                os.rename(_disk.stage_file(copy, self.before[path]), copy)
                os.chmod(copy, stat.S_IMODE(os.stat(path).st_mode))
            for directory in (place, base):
                _disk.sync_directory(directory)
            self.backups.extend(dict(path=path, backup=copy) for path, copy in copies)

        if copies:
            self.write("back up the files that change", act, path=place)

    def carry_out(self):
        """The writes of a module, in its order."""
        raise NotImplementedError

    def apply(self):
        """All writes, in order. Returns with everything done and read again, or raises Stop with everything undone."""
        for path in self.after:
            if read_file(path) != self.before[path]:
                raise Stop("%s was changed by somebody else just now (yum?). Nothing was written. Run again." % path)
        try:
            self.back_up([path for path in self.files if path in self.after])
        except Stop as error:
            raise Stop("%s Nothing else was written. Make room in %s, or set backup_dir, and run again." % (
                error, self.module.params["backup_dir"]))
        try:
            self.carry_out()
            if not self.module.check_mode:
                for path in self.after:
                    if read_file(path) != self.after[path]:
                        raise Stop("%s does not hold what was written to it." % path)
            self.settle()
        except Exception as error:  # whatever it was: half of a change must not stay
            raise Stop("%s %s" % (error, self.undo()))

    def settle(self):
        """Let GRUB see what was written, even after a power cut. A host where that is not possible is no worse than with other tools."""
        places = {}
        for path in self.after:
            if path.startswith(self.paths["boot"] + "/"):
                places.setdefault(os.stat(os.path.dirname(path)).st_dev, os.path.dirname(path))
        for place in sorted(places.values()):
            said = []
            self.write("write out the journal of %s, which GRUB does not read" % mount_of(place),
                       lambda place=place, said=said: said.append(_disk.settle(place)), path=place)  # fmt: skip
            if said and said[0]:
                self.actions[-1]["done"] = False
                self.module.warn("The boot files are written, but the journal of %s could not be written out (%s). Should the power fail before "
                                 "the next orderly reboot, GRUB may see the files of before. So reboot soon, by systemctl reboot." % (
                                     mount_of(place), said[0]))

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
            return ("The host is as before: %s were compared with what they were. Once the reason is removed, run again."
                    % ", ".join(self.files))
        copies = dict((one["path"], one["backup"]) for one in self.backups)
        # a file that was not there before has no copy: going back means to remove it
        commands = ["cp -p %s %s" % (copies[path], path) if path in copies else "rm -f %s" % path
                    for path in self.files if path in copies or path in self.replaced]
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


def run_module(module, prepare):
    """Plans with prepare() and writes what it found to be different; ends the module where that failed. Returns the door."""
    door = None
    try:
        door = prepare()
        if door.after:
            door.preflight()
    except Stop as error:
        module.fail_json(msg="%s Nothing was written." % error, actions=[])
    except ValueError as error:  # GrubError and its like: a file that no check before has read in this way
        module.fail_json(msg="A boot file of this host cannot be understood: %s. Nothing was written. Write that line as grub2-mkconfig and the "
                         "installer do, and run again." % error, actions=[])
    if door.after:
        try:
            guarded(module, door.apply)
        except Stop as error:
            module.fail_json(msg=str(error), actions=door.actions, backups=door.backups, config=door.config)
    return door
