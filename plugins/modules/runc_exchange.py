#!/usr/bin/python
# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: runc_exchange
short_description: Puts a runc that leaves kernel memory alone in the place of one that switches its accounting on
description:
  - Checks a candidate by its sha256, its ELF header (static, of this machine), its strings and by running it, keeps it in
    I(directory), and puts it to use, either in the place of each runc that switches kmem accounting on, or as Docker's
    default runtime in C(daemon.json).
  - Only ELF programs that are a runc by their name are replaced. It refuses another program that is named in O(targets), such as
    C(nvidia-container-runtime), and with O(method=docker) a default runtime in C(daemon.json) that is not C(runc).
  - Files are replaced in one step and read again; the old ones are kept. What does not run in its place is taken back.
    No service is restarted or reloaded; a running container is not touched, since its runc ended when it had started it.
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
options:
  state:
    description: C(present) exchanges, C(absent) puts back what was there before.
    type: str
    choices: [present, absent]
    default: present
  method:
    description:
      - C(file) replaces the binaries themselves. It holds for every container from its next start on, also for those that exist.
      - C(docker) leaves the package's files alone and makes the binary Docker's default runtime. Docker must be told to reload.
        Containers that exist keep the runtime that they were created with.
    type: str
    choices: [file, docker]
    default: file
  candidate:
    description:
      - The new runc, a file on the host. Not needed where I(directory) holds the right one already. In check mode without either, only
        what speaks against I(method) on this host is looked for.
    type: path
  sha256:
    description: Its SHA-256. Needed with O(state=present).
    type: str
  targets:
    description:
      - With O(method=file), the files to replace, whether or not their strings tell that they switch accounting on; one whose strings
        tell that it does not stays. Without it, all in the usual places whose strings tell that they do. In both cases those that
        were replaced before, too.
    type: list
    elements: path
  in_use:
    description:
      - With O(state=absent) after O(method=docker), whether containers exist, or may exist, that were created with the new
        runtime. It is then no longer the default, and stays defined, since Docker could not start them otherwise.
    type: bool
    default: false
  reloaded:
    description:
      - With O(state=absent) after O(method=docker), whether Docker is known to go by another default runtime by now. Until then nothing that
        it may use is removed.
    type: bool
    default: false
  directory:
    description: Where the new runc is kept; it must not be on a file system that is mounted noexec.
    type: path
    default: /usr/local/libexec/el7ops-kmem
  backup_dir:
    description: Where the old files and the record of the exchange are kept.
    type: path
    default: /var/lib/el7ops-kmem/runc
attributes:
  check_mode:
    description: Can run in check mode; everything is checked, nothing is written.
    support: full
  diff_mode:
    description: Shows daemon.json, and the SHA-256 of binaries.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: linux
"""

EXAMPLES = r"""
- name: Exchange runc
  el7ops.kmem.runc_exchange:
    candidate: /root/runc.amd64
    sha256: 4b0d1e5a3b8a4f3d0d0f1d0c2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b

- name: Put the old one back
  el7ops.kmem.runc_exchange:
    state: absent
"""

RETURN = r"""
targets:
  description: Each file that is or was exchanged, with its C(package), and its C(kmem) (on, off, unknown) before and after.
  returned: always
  type: list
  elements: dict
kept:
  description: Path of the new runc.
  returned: always
  type: str
reload_required:
  description: Whether Docker must be told to read C(daemon.json) again; with O(state=absent) run this module once more
    afterwards, with O(reloaded=true).
  returned: always
  type: bool
actions:
  description: What was written, in words.
  returned: always
  type: list
  elements: str
notes:
  description: What was left alone, and why.
  returned: always
  type: list
  elements: str
"""

import hashlib
import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.el7ops.kmem.plugins.module_utils import _capture, _disk, _exchange, _host, _runc

ROOT = "/"
DAEMON = "/etc/docker/daemon.json"
RUNTIME = "runc-nokmem"
# where packages of Docker for EL7 have more flags of dockerd
FLAGS = ("/etc/sysconfig/docker", "/etc/sysconfig/docker-storage", "/etc/sysconfig/docker-network")


class Stop(Exception):
    """Cannot go on; the message says why, in which state the host is, and what to type."""


def digest(path):
    """SHA-256 of a file, None where there is none."""
    try:
        return hashlib.sha256(_host.read_bytes(path, None)).hexdigest()
    except (IOError, OSError):
        return None


class Exchange(object):
    """What is there, what shall be there, and the one way to write it."""

    def __init__(self, module):
        self.module, self.options = module, module.params
        self.kept = os.path.join(self.options["directory"], "runc")
        self.record_path = os.path.join(self.options["backup_dir"], "record.json")
        self.targets, self.paths, self.actions, self.notes, self.diff, self.reload = [], [], [], [], [], False
        try:
            self.record = json.loads(_host.decode(_host.read_bytes(self.record_path, None)))
        except (IOError, OSError):
            self.record = {}
        except ValueError as error:
            raise Stop("%s cannot be read (%s). Nothing was changed. It says what was exchanged: look at it." % (self.record_path, error))
        targets = self.record.get("targets", []) if isinstance(self.record, dict) else None
        if not isinstance(targets, list) or not all(isinstance(entry, dict) and set(entry) >= set(("path", "original", "sha256")) for entry in targets):
            raise Stop("%s is not what this module writes. Nothing was changed. The old files are beside it: put them back by hand, or type yum "
                       "reinstall with the package of the runc; then remove that file and run this again." % self.record_path)  # fmt: skip
        # a link stays one
        self.daemon = os.path.realpath(DAEMON)

    # the door

    def write(self, what, path, content, mode, new=False):
        """The one door: a whole file in one step, read again; owner, mode and SELinux context of an old file stay. None removes it."""
        self.actions.append(what)
        if self.module.check_mode:
            return
        directory = os.path.dirname(path)
        try:
            if not os.path.isdir(directory):
                os.makedirs(directory, 0o755 if directory == self.options["directory"] else 0o700)
            if content is None:
                os.unlink(path)
            else:
                staged = _disk.stage_file(path, content)
                os.chmod(staged, mode)
                self.module.atomic_move(staged, path)
                if new:
                    os.chmod(path, mode)
            _disk.sync_directory(directory)
        except (IOError, OSError) as error:
            raise Stop("could not %s (%s): %s. Look: df -h %s; mount" % (what, path, error, directory))
        if content is not None and _host.read_bytes(path, None) != content:
            raise Stop("%s does not hold what was written to it. Compare it with %s" % (path, self.options["backup_dir"]))

    def save_record(self):
        # role runc_nokmem's runc-keep reads it, too, line by line
        text = json.dumps(self.record, indent=1, sort_keys=True, separators=(",", ": ")) + "\n"
        self.write("write down what was exchanged", self.record_path, text.encode("utf-8"), 0o600)

    # present

    def present(self):
        self.refuse()
        if self.module.check_mode and not self.options["candidate"] and digest(self.kept) != self.options["sha256"].lower():
            return  # the new runc is not here yet
        content = self.checked_candidate()
        if self.options["method"] == "file":
            self.paths = self.found_targets()
            self.refuse_old_docker()
        if digest(self.kept) != self.options["sha256"].lower():
            before = _host.read_bytes(self.kept, None) if os.path.exists(self.kept) else None
            self.write("keep the new runc in %s" % self.kept, self.kept, content, 0o755, new=True)
            if not self.module.check_mode:
                try:
                    self.must_run(self.kept)
                except Stop as failure:
                    self.write("take %s away again" % self.kept, self.kept, before, 0o755)
                    raise Stop("%s It was taken away again, and nothing else was changed." % failure)
            self.diff.append(dict(before_header=self.kept, after_header=self.kept, before="", after="sha256 %s\n" % self.options["sha256"]))
        if self.options["method"] == "docker":
            self.docker_present()
        else:
            self.files_present(content)
        # the keeper goes by it
        if self.record and self.record.get("sha256") != self.options["sha256"].lower():
            self.record["sha256"] = self.options["sha256"].lower()
            self.save_record()

    def checked_candidate(self):
        """The bytes of the new runc, after everything that can be checked."""
        wanted = (self.options["sha256"] or "").lower()
        if len(wanted) != 64 or wanted.strip("0123456789abcdef"):
            raise Stop("sha256 must be the 64 hex digits of the new runc's SHA-256 (is '%s'). Nothing was changed." % wanted)
        path = self.kept if digest(self.kept) == wanted else self.options["candidate"]
        found = digest(path) if path else None
        if found != wanted:
            raise Stop("the new runc %s has the SHA-256 %s and not %s. Nothing was changed. Fetch it again, or correct the sum." % (path, found, wanted))
        content = _host.read_bytes(path, None)
        why = _exchange.unfit(content[:65536], _capture.strings_in(path), os.uname()[4])
        if why:
            raise Stop("the new runc %s cannot be used: %s. Nothing was changed." % (path, why))
        if os.access(path, os.X_OK):
            self.must_run(path)
        return content

    def must_run(self, path):
        ran = _host.run([path, "--version"], 10)
        if ran["rc"] != 0 or "version" not in ran["out"]:
            raise Stop("%s --version does not answer (rc %s, %s). Is it whole, and not on a file system that is mounted noexec?" % (
                path, ran["rc"], ran["error"] or ran["out"][:200] or "no output"))

    def refuse_old_docker(self):
        """Docker up to 17.05, and CentOS's 1.13.1, start their runc with --console, which runc gave up in favour of --console-socket (rc3)."""
        new = self.kept if digest(self.kept) == self.options["sha256"].lower() else self.options["candidate"]
        for path in (path for path in self.paths if os.path.exists(path)):
            if _exchange.wants_console(self.help_of(path)) and not _exchange.wants_console(self.help_of(new)):
                raise Stop("%s is started by its Docker with --console, which the new runc does not know: no container could start any more. Nothing "
                           "was changed. Use another strategy (kmem_strategy=mitigate or upgrade), or a build of this Docker's own runc with the "
                           "tag nokmem." % path)  # fmt: skip

    def help_of(self, path):
        return _host.run([path, "create", "--help"], 10)["out"]

    def refuse(self):
        """Everything that speaks against this method on this host. Raises Stop; nothing was written then."""
        if self.options["method"] == "file":
            why = [_exchange.no_runc(os.path.realpath(path)) for path in self.options["targets"] or []]
            if any(why):
                raise Stop("%s. Nothing was changed." % ". ".join(text for text in why if text))
            return
        text = self.daemon_text()[0]
        pid = (_host.probe_text("/var/run/docker.pid", 16)[0] or "").strip()
        arguments = (_host.probe_text("/proc/%s/cmdline" % pid)[0] or "").split("\0") if pid.isdigit() else []
        if not arguments:
            # it does not run: what it would be started with
            told = _host.run(["systemctl", "show", "docker", "--property=ExecStart", "--property=Environment"], 10)["out"]
            arguments = "\n".join([told] + [_host.probe_text(path)[0] or "" for path in FLAGS]).replace("'", " ").replace('"', " ").split()
        clash = _exchange.flags_against(arguments)
        if clash:
            raise Stop("dockerd is started with %s, and with the same in %s it would refuse to start. Nothing was changed. Use method=file (-e "
                       "runc_nokmem_method=file), or move these flags out of the service file." % (" and ".join(clash), DAEMON))  # fmt: skip
        other = _exchange.other_default(text)
        if other not in ("", RUNTIME):
            raise Stop("Docker's default runtime is %s (%s), and containers that need it would start without it. Nothing was changed. Use "
                       "method=file (-e runc_nokmem_method=file), which exchanges the runc that is behind it; or, where no container needs %s by "
                       "default, take \"default-runtime\" out of that file, type systemctl reload docker, and run this again." % (other, DAEMON, other))

    def found_targets(self):
        """Paths to exchange: those exchanged before, and those asked for, else those that switch accounting on."""
        paths = [entry["path"] for entry in self.record.get("targets", [])]
        asked = [os.path.realpath(path) for path in self.options["targets"] or []]
        for dummy, real in [] if asked else _capture.runtimes(ROOT, _capture.BINARY_PLACES):
            kmem = _runc.binary({"strings": _capture.strings_in(real)})[0]
            if kmem == "on" and _exchange.no_runc(real):
                self.notes.append(_exchange.no_runc(real))
            elif kmem == "on":
                asked.append(real)
            elif kmem == "unknown" and real not in paths:
                self.notes.append("whether %s switches kmem accounting on cannot be told by its strings: it stays. To exchange it all the same, "
                                  "name it in targets" % real)
        return paths + [path for path in asked if path not in paths]

    def files_present(self, content):
        recorded = dict((entry["path"], entry) for entry in self.record.get("targets", []))
        wanted, earlier, done = self.options["sha256"].lower(), self.record.get("sha256"), []
        for path in sorted(self.paths):
            before = digest(path)
            if before is None:
                self.notes.append("%s is not there" % path)
                continue
            kmem = _runc.binary({"strings": _capture.strings_in(path)})[0]
            entry = {"path": path, "package": owner(path), "before": kmem, "after": kmem}
            self.targets.append(entry)
            if before == wanted:
                continue
            old = _host.read_bytes(path, None)
            if path in recorded and before in recorded[path].get("installed", [earlier]):
                # an earlier build of ours: what lay there before it is kept already
                recorded[path]["installed"] = sorted(set(recorded[path].get("installed", [earlier]) + [wanted]))
                self.put_in_place(path, entry, before, old, content, recorded, done)
                continue
            if kmem == "off":
                self.notes.append("%s is another runc%s, which leaves kernel memory alone, too: it stays" % (path, " by now" if path in recorded else ""))
                continue
            if _exchange.elf(_host.read_bytes(path, 65536)) is None:
                self.notes.append("%s is no ELF program (a wrapper script?), so it stays: look which runc it calls" % path)
                continue
            original = os.path.join(self.options["backup_dir"], "%s-%s" % (os.path.basename(path), before[:16]))
            if digest(original) != before:
                self.write("keep the old %s" % path, original, old, 0o600, new=True)
            recorded[path] = {"path": path, "package": entry["package"], "original": original, "sha256": before, "installed": [wanted],
                              "mode": os.stat(path).st_mode & 0o7777}  # fmt: skip
            self.put_in_place(path, entry, before, old, content, recorded, done)
        if not self.targets and not self.record.get("targets") and not self.options["targets"]:
            self.notes.append("no runc that switches kmem accounting on was found in %s" % ", ".join(_capture.BINARY_PLACES))

    def put_in_place(self, path, entry, before, old, content, recorded, done):
        """Exchange one file, and take it back where it does not run there; C(done): those exchanged before it, in this run."""
        self.record.update(sha256=self.options["sha256"].lower(), targets=[recorded[key] for key in sorted(recorded)])
        self.record.setdefault("method", "file")
        # before the exchange: a run that is cut off here can still be taken back
        self.save_record()
        self.write("exchange %s" % path, path, content, os.stat(path).st_mode & 0o7777)
        self.diff.append(dict(before_header=path, after_header=path, before="sha256 %s\n" % before, after="sha256 %s\n" % self.options["sha256"]))
        entry["after"] = "off"
        if not self.module.check_mode:
            try:
                self.must_run(path)
            except Stop as failure:
                self.write("put the old %s back" % path, path, old, os.stat(path).st_mode & 0o7777)
                raise Stop("%s The old file is back in its place; %s" % (failure, (
                    "%s stays exchanged (state=absent puts it back)." % " and ".join(done) if done else "nothing else was changed.")))  # fmt: skip
        done.append(path)

    def daemon_text(self):
        raw = None
        try:
            raw = _host.read_bytes(DAEMON, None)
            _exchange.parse(_host.decode(raw))
        except (IOError, OSError):
            pass
        except ValueError as error:
            raise Stop("%s cannot be understood (%s), and Docker would not start with it. Nothing was changed. Repair it." % (DAEMON, error))
        return _host.decode(raw or b""), raw is not None

    def docker_present(self):
        text, there = self.daemon_text()
        after = _exchange.merged(text, RUNTIME, self.kept)
        self.targets.append({"path": DAEMON, "package": owner(DAEMON), "before": "on", "after": "off"})
        if after == text:
            return
        document = _exchange.parse(text)
        before = document.get("default-runtime")
        original = os.path.join(self.options["backup_dir"], "daemon.json")
        # the file as it is without anything of ours, whatever an earlier run has kept; else it cannot come back byte for byte
        clean = before != RUNTIME and RUNTIME not in document.get("runtimes", {})
        if there and clean and digest(original) != digest(DAEMON):
            self.write("keep the old %s" % DAEMON, original, _host.read_bytes(DAEMON, None), 0o600, new=True)
        if before == RUNTIME:
            before = self.record.get("default_runtime")
        self.record.update(method="docker", sha256=self.options["sha256"].lower(), default_runtime=before, daemon_was_there=there,
                           daemon_written=after if clean else None)  # fmt: skip
        self.save_record()
        self.change_daemon(text, after, there)
        self.reload = True

    def change_daemon(self, text, after, there, raw=None):
        """Write the text C(after), as the bytes C(raw) where they are known; an empty one removes the file."""
        content = raw or after.encode("utf-8")
        self.write("%s %s" % ("change" if content else "remove", DAEMON), self.daemon, content or None, 0o644, new=not there)
        self.diff.append(dict(before_header=DAEMON, after_header=DAEMON, before=text, after=after))

    # absent

    def absent(self):
        if not self.record:
            self.notes.append("nothing was exchanged by this module (no %s)" % self.record_path)
            return
        for entry in self.record.get("targets", []):
            self.put_back(entry)
        if self.record.get("method") in ("docker", "docker, undone"):
            self.docker_hands_over()
            if self.options["in_use"]:
                self.notes.append("the runtime %s is no longer the default; it stays defined for containers that were created with it. Once Docker runs "
                                  "and they are removed, run this again" % RUNTIME)  # fmt: skip
                return
            if self.reload or not self.options["reloaded"]:
                # Docker starts containers with the kept one until it has read its configuration again
                self.reload = True
                self.notes.append("run this again when Docker has read %s: then the kept runc goes" % DAEMON)
                return
            self.docker_absent()
        for path in (self.kept, self.record_path):
            if os.path.exists(path):
                self.write("remove %s" % path, path, None, 0)

    def put_back(self, entry):
        path, now = entry["path"], digest(entry["path"])
        self.targets.append({"path": path, "package": entry.get("package"), "before": "off", "after": "unknown"})
        if now == entry["sha256"]:
            return
        if now is None or now not in [self.record.get("sha256")] + entry.get("installed", []):
            self.notes.append("%s is neither the new nor the old runc by now (a package update?): it stays" % path)
            return
        # what role runc_nokmem's runc-keep found there after a package update
        update = os.path.join(self.options["backup_dir"], "update" + path.replace("/", "_"))
        if os.path.exists(update) and owner(path) != entry.get("package"):
            self.write("put the %s of the package update back" % path, path, _host.read_bytes(update, None), entry.get("mode", 0o755))
            return
        if digest(entry["original"]) != entry["sha256"]:
            raise Stop("the old %s is not in %s any more, or not whole. The new one stays in place and works. Install the package again: "
                       "yum reinstall %s" % (path, entry["original"], entry.get("package") or "runc"))  # fmt: skip
        self.write("put the old %s back" % path, path, _host.read_bytes(entry["original"], None), entry.get("mode", 0o755))
        self.diff.append(dict(before_header=path, after_header=path, before="sha256 %s\n" % now, after="sha256 %s\n" % entry["sha256"]))

    def docker_hands_over(self):
        """Name another default. A Docker that is reloaded without one keeps the default it has, whose runc is to go (20.10 does)."""
        text, there = self.daemon_text()
        self.targets.append({"path": DAEMON, "package": None, "before": "off", "after": "unknown"})
        after = _exchange.parted(text, RUNTIME, self.record.get("default_runtime") or "runc", keep=True)
        if there and after != text:
            if text == self.record.get("daemon_written"):
                self.record["daemon_written"] = after
                self.save_record()
            self.change_daemon(text, after, there)
            self.reload = True

    def docker_absent(self):
        text, there = self.daemon_text()
        original = os.path.join(self.options["backup_dir"], "daemon.json")
        if there and text == self.record.get("daemon_written"):
            # nobody changed it since: byte for byte as it was
            raw = _host.read_bytes(original, None) if self.record.get("daemon_was_there") else b""
            after = _host.decode(raw)
        else:
            raw, after = None, _exchange.parted(text, RUNTIME, self.record.get("default_runtime"))
        if there and after != text:
            self.change_daemon(text, after, there, raw)
        if os.path.exists(original):
            self.write("remove the copy of %s" % DAEMON, original, None, 0)


def owner(path):
    """The package that a file is of, None where rpm does not know it."""
    asked = _host.run(["rpm", "--query", "--file", "--queryformat", "%{NAME}-%{VERSION}-%{RELEASE}", path], 10)
    return asked["out"].strip() if asked["rc"] == 0 else None


def main():
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["present", "absent"], default="present"),
            method=dict(type="str", choices=["file", "docker"], default="file"),
            candidate=dict(type="path"),
            sha256=dict(type="str"),
            targets=dict(type="list", elements="path"),
            in_use=dict(type="bool", default=False),
            reloaded=dict(type="bool", default=False),
            directory=dict(type="path", default="/usr/local/libexec/el7ops-kmem"),
            backup_dir=dict(type="path", default="/var/lib/el7ops-kmem/runc"),
        ),
        required_if=[("state", "present", ["sha256"])],
        supports_check_mode=True,
    )
    exchange = None
    try:
        exchange = Exchange(module)
        if module.params["state"] == "present":
            exchange.present()
        else:
            exchange.absent()
    except Stop as failure:
        done = [] if exchange is None else exchange.actions
        module.fail_json(msg="%s Done until then: %s." % (failure, "; ".join(done) or "nothing"))
    module.exit_json(changed=bool(exchange.actions), targets=exchange.targets, kept=exchange.kept, reload_required=exchange.reload,
                     actions=exchange.actions, notes=exchange.notes, diff=exchange.diff)  # fmt: skip


if __name__ == "__main__":
    main()
