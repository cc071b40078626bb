# SPDX-License-Identifier: GPL-3.0-or-later
"""The reading half, on a tree that stands for a host."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json
import locale
import os
import shutil
import struct
import subprocess
import sys
import time

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _capture, _child, _clock, _enablers, _host, _journal, _kmem, _logs, _schema

ID = "3f" * 32
GONE = "a0" * 32
MOUNT = "sys/fs/cgroup/memory"


def put(root, path, text=""):
    target = os.path.join(str(root), path)
    if not os.path.isdir(os.path.dirname(target)):
        os.makedirs(os.path.dirname(target))
    with open(target, "wb") as stream:
        stream.write(text.encode("utf-8"))


@pytest.fixture(name="root")
def fixture_root(tmpdir):
    put(tmpdir, "proc/cmdline", "root=/dev/sda1 rd.iscsi.password=hunter2 quiet\n")
    put(tmpdir, "proc/cgroups", "memory\t4\t4\t1\n")
    put(tmpdir, "proc/mounts", "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n//nas/x /mnt cifs user=bob 0 0\n")
    put(tmpdir, "proc/uptime", "86400.1 1.0\n")
    put(tmpdir, "proc/812/comm", "dockerd\n")
    os.symlink("/usr/bin/dockerd", os.path.join(str(tmpdir), "proc/812/exe"))
    put(tmpdir, MOUNT + "/cgroup.procs")
    put(tmpdir, "sys/kernel/slab/:at-0000016/x")
    for name in ("dentry(5:%s)" % ID, "inode_cache(5:%s)" % ID, "dentry(9:%s)" % GONE):
        put(tmpdir, "sys/kernel/slab/%s/x" % name)
    for group, limit in (("docker", 1 << 62), ("docker/" + ID, 67108864), ("system.slice", 1 << 62)):
        put(tmpdir, "%s/%s/memory.limit_in_bytes" % (MOUNT, group), "%d\n" % limit)
        put(tmpdir, "%s/%s/memory.kmem.slabinfo" % (MOUNT, group), "slabinfo - version: 2.1\n# name\n" if ID in group else "")
        put(tmpdir, "%s/%s/memory.kmem.usage_in_bytes" % (MOUNT, group), "5000000\n" if group == "docker" else "1000\n")
    put(tmpdir, "usr/bin/runc", "\0ELF" + "x" * 3000000 + _marker(2) + "y" * 10)
    put(tmpdir, "etc/docker/daemon.json", '{"exec-opts": ["native.cgroupdriver=systemd"]}')
    return str(tmpdir)


def _marker(number):
    return _schema.MARKERS[number][0]


def collect(root, **options):
    doc = {}
    _capture.collect(doc.__setitem__, root=root, **options)
    doc["uname"] = {"release": "3.10.0-1127.el7.x86_64", "machine": "x86_64"}  # the rest of the host is this machine's
    return doc


def test_a_leaking_host_is_read_and_judged(root):
    doc = collect(root)
    assert doc["slab"] == {"entries": 4, "per_cgroup": ["dentry(9:%s)" % GONE, doc["slab"]["per_cgroup"][1]], "per_cgroup_entries": 3, "capped": False}
    assert sorted(doc["memory_cgroups"]["names"]) == sorted(["docker", ID, "system.slice"])
    assert doc["slabinfo"]["/docker/" + ID] == {"errno": 0, "head": "slabinfo - version: 2.1", "limit": 67108864}
    assert doc["kmem_usage"] == {"/docker": 5000000, "/docker/" + ID: 1000}
    assert doc["processes"] == {"dockerd": "/usr/bin/dockerd"}
    assert doc["binaries"]["/usr/bin/runc"]["strings"] == [_marker(2)]
    doc["logs"] = []
    facts = _kmem.decide(doc)
    assert (facts["verdict"], facts["slab"]["leaked"], facts["slab"]["live_owners"]) == ("leaking", 1, 1)


def test_rules_of_cgconfig_and_the_runc_of_kubeasz_are_read(root):
    put(root, "etc/cgconfig.d/batch.conf", "group batch {\n  memory.kmem.limit_in_bytes = 1G;\n}\n")
    put(root, "etc/cgconfig.d/README", "kmem\n")
    put(root, "opt/kube/bin/runc", _marker(2))
    doc = collect(root)
    assert doc["files"]["/etc/cgconfig.d/batch.conf"] == "  memory.kmem.limit_in_bytes = 1G;\n" and "/etc/cgconfig.d/README" not in doc["files"]
    assert doc["binaries"]["/opt/kube/bin/runc"]["strings"] == [_marker(2)]


def test_the_cgroup_driver_seen_outweighs_the_configured(root):
    assert collect(root)["docker"]["cgroup_driver"] == "cgroupfs"


def test_no_secret_and_no_foreign_mount_is_kept(root):
    doc = collect(root)
    assert "hunter2" not in repr(doc) and "bob" not in repr(doc) and "rd.iscsi.password=(hidden)" in doc["files"]["/proc/cmdline"]


def test_what_cannot_be_read_is_absent(tmpdir):
    doc = collect(str(tmpdir.mkdir("empty").mkdir("proc").join("..")))
    assert "slab" not in doc and "memory_cgroups" not in doc and "/proc/cmdline" in doc["errors"]
    assert _kmem.decide(doc)["verdict"] == "unknown"


def test_the_probe_creates_nothing_that_stays(root):
    before = sorted(os.listdir(os.path.join(root, MOUNT)))
    assert collect(root, probe=True)["probe"] == {"errno": 0}
    assert sorted(os.listdir(os.path.join(root, MOUNT))) == before
    assert "probe" not in collect(root)


def program(rodata, rest=b""):
    """A 64-bit ELF file with a section .rodata, and something behind it."""
    names = b"\0.shstrtab\0.rodata\0"
    body = rodata + names + rest
    table = b"\0" * 64
    table += struct.pack("<IIQQQQIIQQ", 1, 3, 0, 0, 64 + len(rodata), len(names), 0, 0, 1, 0)
    table += struct.pack("<IIQQQQIIQQ", 11, 1, 2, 0, 64, len(rodata), 0, 0, 1, 0)
    head = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 64 + len(body), 0, 64, 56, 0, 64, 3, 1)
    return head + body + table


@pytest.mark.parametrize("content, found", [
    (program(b"x" * 500 + _marker(2).encode("ascii")), [2]), (program(b"nothing", _marker(1).encode("ascii")), [1]),
    (program(_marker(2).encode("ascii") + _marker(1).encode("ascii")), [1, 2]), (program(b"")[:80], []), (program(b"")[:64], []),
    (b"\x7fELF\x02\x01" + b"\xff" * 200, []), (b"#!/bin/sh\n" + _marker(0).encode("ascii"), [0]), (b"", []),
    # what is in .rodata is enough: the rest is not read
    (program(_marker(2).encode("ascii"), _marker(0).encode("ascii")), [2]),
])  # fmt: skip
def test_strings_of_a_program(tmpdir, content, found):
    path = str(tmpdir.join("runc"))
    with open(path, "wb") as stream:
        stream.write(content)
    assert _capture.strings_in(path) == [_marker(number) for number in found]


def test_a_marker_across_two_blocks_is_found(tmpdir):
    path = str(tmpdir.join("runc"))
    with open(path, "wb") as stream:
        stream.write(b"x" * ((1 << 20) - 20) + _marker(0).encode("ascii"))
    assert _capture.strings_in(path) == [_marker(0)]


MKDIR = "mkdir /sys/fs/cgroup/memory/docker/%s: cannot allocate memory" % ID


def test_only_lines_of_this_boot_count_and_rotated_files_are_read(tmpdir):
    now = time.time()
    put(tmpdir, "proc/uptime", "3600.0 1.0\n")

    def stamp(then):
        return time.strftime("%b %d %H:%M:%S", time.localtime(then))

    # none of these may cost the others
    os.makedirs(os.path.join(str(tmpdir), "var/log/messages-old"))
    os.symlink("nowhere", os.path.join(str(tmpdir), "var/log/messages-gone"))
    put(tmpdir, "proc/sys/kernel/hostname", "web1.example.org\n")
    put(tmpdir, "var/log/messages-20261122", "%s web1 dockerd: rotated %s\n" % (stamp(now - 1200), MKDIR))
    put(tmpdir, "var/log/messages-1.gz", "%s web1 dockerd: packed %s\n" % (stamp(now - 1200), MKDIR))
    put(tmpdir, "var/log/messages", "%s web1 dockerd: before %s\n%s web1 dockerd: since %s\n%s web1 x: nothing\n%s sudo: root : COMMAND=grep %s\n" % (
        stamp(now - 86400), MKDIR, stamp(now - 600), MKDIR, stamp(now - 500), stamp(now - 400), MKDIR) + "%s db7 dockerd: of another %s\n" % (
            stamp(now - 300), MKDIR))
    with open(os.path.join(str(tmpdir), "var/log/messages"), "ab") as stream:
        stream.write(b"\0\xff\xfe binary junk cgroup\n" + b"x" * 100000)
    os.utime(os.path.join(str(tmpdir), "var/log/messages-20261122"), (now - 900, now - 900))
    assert [line.split()[5] for line in _logs.messages(str(tmpdir))] == ["rotated", "since"]


def test_a_month_is_read_in_any_locale():
    now = time.time()
    line = time.strftime("%b %d %H:%M:%S web1 dockerd: x", time.localtime(now - 86400))
    for name in ("de_DE.UTF-8", "zh_CN.UTF-8", "C"):
        try:
            locale.setlocale(locale.LC_ALL, name)
        except locale.Error:
            continue
        try:
            assert abs(_logs.local_time(line) - (now - 86400)) < 2
        finally:
            locale.setlocale(locale.LC_ALL, "C")
    for number, month in enumerate(_clock.MONTHS):
        assert time.localtime(_logs.local_time("%s 03 04:05:06 web1 x" % month))[1:6] == (number + 1, 3, 4, 5, 6)
    assert _logs.local_time("Nov 31 10:00:00 web1 x") is not None and _logs.local_time("x") is None


@pytest.mark.parametrize("pad", range(60, 330, 9))
def test_wherever_it_stands_in_a_long_line_it_is_kept(pad):
    line = "2026-11-23T22:10:01+0000 web1 kubelet: " + "x" * pad + " " + MKDIR + " tail" * 1000
    (kept,) = _logs.sift(line)
    assert _journal.facts([kept])["mkdir_failed"] == 1 and len(kept) < 2000


def test_an_rpm_database_that_says_nothing_was_not_read():
    def answer(*lines):
        return _capture.installed(_host.start(["sh", "-c", "printf '%s\n' \"$@\"; exit 3", "sh"] + list(lines)))

    assert answer("glibc 2.17-326.el7", "package runc is not installed", "kernel 3.10.0-1160.el7", "runc 1.0.0-69.rc10.el7_9") == {
        "runc": "1.0.0-69.rc10.el7_9"}
    assert answer("kernel 3.10.0-1127.el7") == {}
    assert answer("package glibc is not installed", "package kernel is not installed", "package runc is not installed") is None


def test_a_file_that_cannot_be_read_does_not_cost_the_rest(root):
    put(root, "usr/local/bin/runc", "x")
    os.remove(os.path.join(root, "usr/local/bin/runc"))
    os.symlink("/proc/self/mem", os.path.join(root, "usr/local/bin/runc"))  # opens, and gives EIO
    put(root, "usr/local/sbin/other")
    os.mkfifo(os.path.join(root, "usr/local/sbin/runc"))  # would hang
    doc = collect(root)
    assert doc["binaries"]["/usr/local/bin/runc"]["strings"] == [] and doc["binaries"]["/usr/bin/runc"]["strings"] == [_marker(2)]


@pytest.mark.parametrize("part", ["collect", "quick"])
def test_a_group_whose_name_the_locale_cannot_say_does_not_cost_the_rest(root, tmpdir, part):
    os.mkdir(os.path.join(root, MOUNT, "docker", u"caf\xe9").encode("utf-8"))
    script = ("import json, sys; sys.path.insert(0, sys.argv[1]); "
              "from ansible_collections.el7ops.kmem.plugins.module_utils import _capture; "
              "doc = {}; _capture.%s(doc.__setitem__, root=sys.argv[2]); print(json.dumps([doc['memory_cgroups'], sorted(doc)]))" % part)  # fmt: skip
    # Python reads the locale when it starts; a Python 2 that ansible-test has not prepared finds packages only
    folder = place = str(tmpdir.mkdir("place"))
    for name in ("ansible_collections", "el7ops", "kmem", "plugins"):
        folder = os.path.join(folder, name)
        put(folder, "__init__.py")
    shutil.copytree(os.path.dirname(_capture.__file__), os.path.join(folder, "module_utils"))
    put(folder, "module_utils/__init__.py")
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    groups, keys = json.loads(subprocess.check_output([sys.executable, "-c", script, place, root], env=env).decode("ascii"))
    assert groups["live"] == 5 and (u"caf\xe9" in groups["names"] or sys.version_info[0] > 2) and len(groups["names"]) == 4
    assert part == "quick" or "slabinfo" in keys and "binaries" in keys


def test_what_is_mounted_over_the_groups_is_not_taken_for_no_groups(root):
    os.remove(os.path.join(root, MOUNT, "cgroup.procs"))
    doc = collect(root)
    assert "memory_cgroups" not in doc and "slabinfo" not in doc


@pytest.mark.parametrize("config, arguments, runtimes, default", [
    ('{"default-runtime": "old", "runtimes": {"old": {"path": "old-runc"}}}', "dockerd", {"old": "/usr/bin/old-runc"}, "old"),
    ('{"runtimes": {"old": {"path": "not-there"}}}', "dockerd", {"old": "not-there"}, "runc"),
    ("\n", "dockerd", {}, "runc"),
    (None, "dockerd\0--add-runtime\0old=/usr/bin/old-runc\0--default-runtime=old", {"old": "/usr/bin/old-runc"}, "old"),
])  # fmt: skip
def test_the_runtimes_of_docker(root, config, arguments, runtimes, default):
    put(root, "var/run/docker.pid", "812")
    put(root, "proc/812/cmdline", arguments)
    put(root, "usr/bin/old-runc", _marker(2))
    put(root, "etc/docker/daemon.json", config or "{}")
    doc = collect(root)
    assert (doc["docker"]["runtimes"], doc["docker"]["default_runtime"], doc["docker"]["damaged"]) == (runtimes, default, False)
    assert ("/usr/bin/old-runc" in doc["binaries"]) == (list(runtimes.values()) == ["/usr/bin/old-runc"])


@pytest.mark.parametrize("config", [u"\ufeff{}", '{"a": 1} // and so on', "[]"])
def test_a_configuration_of_docker_that_cannot_be_read_is_said(root, config):
    put(root, "etc/docker/daemon.json", config)
    put(root, "usr/bin/runc", _marker(0))
    doc = collect(root)
    assert doc["docker"]["damaged"]
    assert [item["kmem"] for item in _enablers.enablers(doc) if item["name"] == "Docker's configuration"] == ["unknown"]


def test_docker_in_docker_has_a_runc_of_its_own(root, tmpdir):
    inside = str(tmpdir.mkdir("inside"))
    put(inside, "usr/local/sbin/runc", _marker(2))
    os.makedirs(os.path.join(inside, "usr/local/bin"))
    os.symlink("/usr/bin/runc", os.path.join(inside, "usr/local/bin/runc"))
    for pid, name, where in (("1", "systemd", root), ("812", "dockerd", root), ("900", "dockerd", inside), ("901", "containerd", inside)):
        put(root, "proc/%s/comm" % pid, name + "\n")
        os.symlink(where, os.path.join(root, "proc", pid, "root"))
        if pid != "812":
            os.symlink("/usr/local/bin/%s" % name, os.path.join(root, "proc", pid, "exe"))
    doc = collect(root)
    assert doc["processes"] == {"dockerd": "/usr/bin/dockerd"}
    assert doc["nested"] == {"/proc/900/root/usr/local/bin/dockerd": "dockerd"}, "one of each container"
    assert doc["binaries"]["/proc/900/root/usr/local/sbin/runc"] == {"strings": [_marker(2)], "version": ""}
    assert "/proc/900/root/usr/local/bin/runc" not in doc["binaries"]


@pytest.mark.parametrize("line, here, of_it", [
    ("Nov 27 10:00:00 web1 x: y", "web1.example.org", True), ("Nov 27 10:00:00 db7 x: y", "web1", False), ("Nov 27 10:00:00 db7 x: y", "", True),
    ("Nov  7 10:00:00 WEB1.example.org x: y", "web1", True), ("Nov 27 10:00:00 localhost x: y", "web1", True),
    ("2026-11-27T10:00:00+01:00 db7 x: y", "web1", False), ("2026-11-27 10:00:00 web1 x: y", "web1", True), ("x", "web1", True),
])  # fmt: skip
def test_lines_of_other_hosts(line, here, of_it):
    assert _logs.of_host(line, here) is of_it


def test_of_a_long_journal_the_newest_lines_are_kept_newest_last(tmpdir, monkeypatch):
    lines = ["2026-11-23T22:%02d:00+0000 web1 dockerd[1]: %s" % (minute, MKDIR) for minute in (10, 20, 30)]
    monkeypatch.setattr(_logs, "JOURNAL", len("\n".join(lines[1:])) + 1)
    # as journalctl --reverse prints them, and it would not end by itself
    journal = _host.start(["sh", "-c", "printf '%s\\n' \"$@\"; exec sleep 60", "sh"] + lines[::-1])
    start = time.time()
    assert _logs.telling(str(tmpdir), journal, 20) == lines[1:]
    assert time.time() - start < 5


def test_without_any_log_nothing_is_said(tmpdir, monkeypatch):
    monkeypatch.setattr(_host, "run", lambda *unused: {"rc": 1, "out": "", "error": None})
    assert _logs.telling(str(tmpdir), (["x"], "x: not there")) is None


def test_a_long_line_keeps_its_time_and_what_was_found():
    line = "2026-11-23T22:10:01+0000 web1 kubelet: " + "pad " * 2000 + MKDIR + " tail" * 1000
    (kept,) = _logs.sift(line)
    assert len(kept) < 2000 and MKDIR in kept and kept.startswith("2026-11-23T22:10:01+0000")


def test_a_child_that_hangs_does_not_take_what_it_said_before_with_it():
    def produce(emit):
        emit("first", 1)
        time.sleep(60)

    start = time.time()
    items, finished = _child.stream_from_child(produce, 1)
    assert (items, finished) == ([("first", 1)], False)
    assert time.time() - start < 5


def test_a_command_that_goes_on_does_not_keep_the_pipe_open():
    def produce(emit):
        _host.start(["sleep", "30"])
        emit("first", 1)

    start = time.time()
    assert _child.stream_from_child(produce, 20) == ([("first", 1)], True)
    assert time.time() - start < 5


def test_a_command_that_is_not_there_says_so():
    # a path from a record is text on Python 2, too, and so is the error then
    for path in ("/nonexistent", u"/nonexistent"):
        assert "No such file" in _host.run([path], 1)["error"]


def test_a_child_that_fails_says_so():
    def produce(emit):
        emit("first", 1)
        raise ValueError("odd")

    assert _child.stream_from_child(produce, 5) == ([("first", 1), ("failure", "ValueError: odd")], False)


def test_a_child_that_ends_gives_everything():
    names = ["dentry(%d:%s)" % (number, ID) for number in range(70000)]
    items, finished = _child.stream_from_child(lambda emit: emit("slab", names), 30)
    assert finished and items == [("slab", names)]


@pytest.mark.parametrize("argv, rc, out, error", [
    (["/bin/echo", "hello"], 0, "hello\n", False),
    (["/bin/false"], 1, "", False),
    (["/no/such/program"], None, "", True),
    (["/bin/sleep", "20"], None, "", True),
])  # fmt: skip
def test_run(argv, rc, out, error):
    start = time.time()
    result = _host.run(argv, 1)
    assert (result["rc"], result["out"], bool(result["error"])) == (rc, out, error)
    assert time.time() - start < 5


def test_run_stops_a_flood():
    result = _host.run(["/usr/bin/yes"], 5, limit=100000)
    assert len(result["out"]) == 100000 and result["error"]


def test_a_walk_ends_at_its_limit_and_says_so(root):
    found, capped = _host.directories_below(os.path.join(root, MOUNT), 1, time.time() + 5)
    assert len(found) == 1 and capped
    found, capped = _host.directories_below(os.path.join(root, MOUNT), 100, time.time() + 5)
    assert sorted(found) == ["docker", "docker/" + ID, "system.slice"] and not capped


def test_bytes_that_are_not_utf8_come_back_as_they_were():
    for raw in (b"caf\xc3\xa9", b"caf\xe9", b"plain"):
        assert _host.encode(_host.decode(raw), like=raw) == raw
