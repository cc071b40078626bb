# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GRUB will boot, and a door that also knows the environment block; for the modules that choose what is booted.

Runs on Python 2.7.5 and 3.6+.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import os
import re

from ansible_collections.el7ops.kmem.plugins.module_utils import _door, _grub, _host

# Where things are on a host. Tests put another root here.
PATHS = dict(
    _door.PATHS,
    release="/proc/sys/kernel/osrelease",
    tools_env="/boot/grub2/grubenv",
    editenv=("/bin/grub2-editenv", "/usr/bin/grub2-editenv"),
)
SHOWN = ("title", "id", "kernel", "version", "initrd", "args", "submenu", "index", "rescue")


class Boot(object):
    """What GRUB will do with this grub.cfg and this environment block."""

    def __init__(self, config, environment):
        self.items = _grub.menu(config)
        self.entries = _grub.with_kernel(self.items)
        self.rule = _grub.default_rule(config)
        if environment is None:
            self.state, self.why, self.pairs = "missing", "", []
        else:
            self.pairs, self.why = _grub.environment(_host.decode(environment), len(environment))
            self.state = "damaged" if self.why else "ok"
        variables = self.variables = dict(self.pairs)
        once = variables.get("next_entry", "") if self.rule["once"] else ""
        saved = variables.get("saved_entry", "")
        if self.rule["previous"] and variables.get("prev_saved_entry"):
            # the one-shot of older GRUB tools: saved_entry is booted once, then grub.cfg puts the previous one back
            once, saved = once or saved, variables["prev_saved_entry"]
        self.once = self.booted(once)[0] if once else None
        self.choose(saved)

    def booted(self, value):
        """(the entry with a kernel that GRUB boots for this value or None, the item it takes, how it comes to it)."""
        item, how = _grub.resolve(self.items, value)
        return (item if item and item["kernel"] else None), item, how

    def choose(self, saved):
        value = self.rule["value"]
        self.default, self.how = None, "unknown"
        if value is None:
            self.source, self.reason = "unknown", self.rule["why"]
            return
        named = saved if value == _grub.SAVED else value
        self.default, item, self.how = self.booted(named)
        if value == _grub.SAVED:
            self.source = "fallback" if self.how == "fallback" else "saved_entry"
            what = "saved_entry is %s" % ('"%s"' % named if named else "not set")
            if self.state != "ok":
                what += ", as the environment block is %s%s" % (self.state, " (%s)" % self.why if self.why else "")
        else:
            self.source = self.how
            what = "grub.cfg sets default to \"%s\"" % named if self.rule["lines"] else "grub.cfg sets no default"
        if self.how == "fallback":
            what += ", which leads to no entry, so GRUB takes the first one"
        if item and not self.default:
            what += "; \"%s\" boots no Linux kernel" % item["title"]
        self.reason = what


def shown(entry, default):
    return dict([(key, entry[key]) for key in SHOWN], default=entry is default) if entry else None


def short(entry):
    return entry["version"] or entry["title"] if entry else "unknown"


class BootDoor(_door.Door):
    """A door that has read the menu and the environment block, finds an entry by its kernel, and writes the block."""

    saves = "save the default entry"  # what a write of the environment block is for, in words

    def __init__(self, module, paths):
        super(BootDoor, self).__init__(module, paths)
        self.kernel = module.params["kernel"]
        self.changes, self.environment_changes, self.notes, self.variables = [], [], [], {}
        # GRUB looks beside the grub.cfg with the entries; a link from there has to stay one
        self.env = os.path.realpath(os.path.join(os.path.dirname(self.config), "grubenv"))
        self.files.append(self.env)
        self.before[self.env] = _door.read_file(self.env)
        self.release = (_host.probe_text(self.paths["release"])[0] or "").strip()
        self.read_entries()
        self.now = self.boot(self.before[self.config], self.before[self.env])
        self.look_around()

    def boot(self, config, environment):
        try:
            return Boot(_host.decode(config), environment)
        except ValueError as error:
            raise _door.Stop("%s, %s. Run again when it is in order." % (self.config, error))

    def look_around(self):
        """What the admin should know, but what stops nothing."""
        tools, self.elsewhere = self.paths["tools_env"], ""
        if os.path.realpath(tools) != self.env:
            self.elsewhere = ("GRUB reads %s, but grub2-set-default and grub2-editenv without a path use %s, so what they write has no "
                              "effect on this host. Make it a link: ln -sf %s %s" % (self.env, tools, self.env, tools))
            self.notes.append(self.elsewhere)
        if re.search(r"(?m)^[ \t]+savedefault[ \t]*$", _host.decode(self.before[self.config])):
            self.notes.append("GRUB_SAVEDEFAULT is on: an entry that is chosen in the boot menu becomes the default.")

    def find(self, boot):
        """The one entry for the wanted kernel."""
        found = _grub.candidates(boot.entries, self.kernel)
        if not found:
            have = sorted(set(entry["version"] for entry in boot.entries if entry["version"] and not entry["rescue"]))
            file = os.path.join(self.paths["boot"], "vmlinuz-" + self.kernel)
            raise _door.Stop("no entry in %s boots kernel %s; there are entries for: %s. %s" % (
                self.config, self.kernel, ", ".join(have) or "none",
                "%s is there, so make its entry: grub2-mkconfig -o %s" % (file, self.config) if os.path.isfile(file) else
                "%s is not there: install the kernel first, or look for a typing error (rpm -qa 'kernel*')" % file))
        if len(set((entry["kernel"], entry["initrd"], entry["args"]) for entry in found)) > 1:
            raise _door.Stop("%d different entries boot kernel %s: %s. Which one is meant cannot be told by the version. Look: grep -n "
                             "menuentry %s; remove what is too much, or make the menu anew: grub2-mkconfig -o %s" % (
                                 len(found), self.kernel, ", ".join("%s (%s)" % (one["index"], one["title"]) for one in found),
                                 self.config, self.config))
        # a title without the version, as the first entry above a sub menu has, will mean the next kernel some day
        return ([entry for entry in found if self.kernel in entry["title"]] or found)[0]

    def need_files(self):
        for path in [self.wanted["kernel"]] + self.wanted["initrd"].split():
            place = os.path.join(self.paths["boot"], os.path.basename(path))
            if not os.path.isfile(place) or not os.path.getsize(place):
                raise _door.Stop("the entry \"%s\" needs %s, which is %s. Look: ls -l %s; then reinstall the kernel's package, or make "
                                 "the initramfs: dracut -f %s %s" % (
                                     self.wanted["title"], place, "empty" if os.path.isfile(place) else "not there", self.paths["boot"],
                                     os.path.join(self.paths["boot"], "initramfs-%s.img" % self.kernel), self.kernel))

    def name(self):
        name = _grub.name_of(self.now.items, self.wanted)
        if name is None:
            raise _door.Stop("GRUB would take another entry for both title and id of entry %s (\"%s\"). Make the menu anew: grub2-mkconfig "
                             "-o %s" % (self.wanted["index"], self.wanted["title"], self.config))
        return name

    def plan_environment(self, changes):
        """C(changes) maps names to values, None for one that goes; C(self.variables) are those that really change."""
        self.variables = dict((name, value) for name, value in changes.items() if self.now.variables.get(name) != value)
        if self.now.state == "ok" and not self.variables:
            self.after.pop(self.env, None)
            self.environment_changes = []
            return
        pairs = _grub.change_environment(self.now.pairs, self.variables)
        # a damaged one is made anew
        old = _host.decode(self.before[self.env]) if self.now.state == "ok" else ""
        try:
            self.after[self.env] = _grub.environment_text(pairs, old).encode("utf-8")
        except ValueError as error:
            raise _door.Stop("%s, %s. Look what fills it: grub2-editenv %s list; take out what nobody needs: grub2-editenv %s unset NAME" % (
                self.env, error, self.env, self.env))
        self.environment_changes = ["%s in %s: %s -> %s" % (name, self.env, self.now.variables.get(name, "not set"), value)
                                    for name, value in sorted(self.variables.items()) if name == "saved_entry"]
        if self.now.state != "ok":
            why = "damaged: " + self.now.why if self.now.why else "missing"
            self.environment_changes.append("environment block %s made anew, it was %s" % (self.env, why))

    def shown(self, path, raw):
        if path != self.env or raw is None:
            return super(BootDoor, self).shown(path, raw)
        pairs, why = _grub.environment(_host.decode(raw), len(raw))
        return "".join(["# damaged: %s\n" % why] * bool(why) + ["%s=%s\n" % pair for pair in pairs])

    def edit_environment(self, changes):
        tool, damaged = self.installed("editenv"), self.now.state != "ok"
        wanted = dict(_grub.change_environment(self.now.pairs, changes))
        if damaged:
            changes = dict(self.now.pairs, **changes)
        sets = sorted("%s=%s" % (name, value) for name, value in changes.items() if value is not None)
        unsets = sorted(name for name, value in changes.items() if value is None)
        calls = [["create"]] * damaged + [["set"] + sets] * bool(sets) + [["unset"] + unsets] * bool(unsets)

        def produce(new):
            for call in calls:
                self.run([tool, new] + call)
            raw = _door.read_file(new) or b""
            self.need_block(tool, raw, wanted)
            return raw

        self.make(self.saves, self.env,
                  [tool, self.env] + ([call for call in calls if call != ["create"]] or calls)[0], self.before[self.env] or b"", produce)

    def need_block(self, tool, raw, wanted):
        """Stops where the environment block that a tool wrote is not as wanted; its exit code does not tell."""
        pairs, why = _grub.environment(_host.decode(raw), len(raw))
        if why or dict(pairs) != wanted:
            raise _door.Stop("%s ended with code 0, but %s is not as it should be: %s. It writes to the directory it was built for; is "
                             "that a link to this one? Look: ls -ld /boot/grub /boot/grub2." % (
                                 tool, self.env, why or " ".join("%s=%s" % pair for pair in pairs) or "it is empty"))
