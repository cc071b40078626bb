# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines as they were seen, and those that only read like the bug."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import calendar

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _clock, _journal, _kmem

ID = "3f" * 32


@pytest.mark.parametrize("line", [
    u"mkdir /sys/fs/cgroup/memory/docker/%s: cannot allocate memory" % ID,
    u"caused \\\"mkdir /sys/fs/cgroup/memory/kubepods/besteffort/pod3fc045c9/58321a27: cannot allocate memory\\\"\": unknown",
    u"mkdir: cannot create directory \u2018/sys/fs/cgroup/memory/test/test-100\u2019: No space left on device",
    u"slurmstepd: error: xcgroup_instantiate: unable to create cgroup \u2018/sys/fs/cgroup/memory/slurm/uid_819800\u2019 : Cannot allocate memory",
    u"lxc_utils - utils.c:mkdir_p:253 - No space left on device - failed to create directory '/sys/fs/cgroup/memory//lxc/test123'",
    u"cgfsng.c:cgfsng_create:1086 - No space left on device - Failed to create /sys/fs/cgroup/memory//lxc/test123-984: No space left on device",
    u"OSError: [Errno 12] Cannot allocate memory: '/sys/fs/cgroup/memory/x'",
    u"mkdir: kann Verzeichnis \u201e/sys/fs/cgroup/memory/x\u201c nicht anlegen: Nicht gen\xfcgend Hauptspeicher verf\xfcgbar",
    u"mkdir: \u65e0\u6cd5\u521b\u5efa\u76ee\u5f55\"/sys/fs/cgroup/memory/x\": \u65e0\u6cd5\u5206\u914d\u5185\u5b58",
    u"mkdir /sys/fs/cgroup/memory/kubepods/besteffort/podacf4ea0b cannot allocate memory",
    u"mkdir /host/sys/fs/cgroup/memory/a.slice:cri-containerd:abc: no space left on device",
    u"mkdir: can't create directory '/cgroup/memory/x': Out of memory",  # busybox, and an old mount point
    u"mkdir /sys/fs/cgroup/memory/system.slice/celery-tasks.service: cannot allocate memory",  # names like those of control files
    u"mkdir /sys/fs/cgroup/memory/ecs/tasks/abc: cannot allocate memory", u"mkdir /sys/fs/cgroup/memory/in-memory.cache/x: cannot allocate memory",
    u"write /sys/fs/cgroup/memory/docker/1/memory.kmem.limit_in_bytes: cannot allocate memory",
])  # fmt: skip
def test_these_are_the_bug(line):
    facts = _journal.facts([u"2026-11-23T22:10:01+0000 web1 x: " + line])
    assert (facts["mkdir_failed"], facts["look_alikes"]) == (1, 0)
    assert facts["signatures"][0]["last"] == "2026-11-23T22:10:01+0000"


@pytest.mark.parametrize("line", [
    "inotify_add_watch /sys/fs/cgroup/memory/x: no space left on device", "mkdir /sys/fs/cgroup/pids/docker/x: cannot allocate memory",
    "Failed to create watcher: inotify_add_watch /sys/fs/cgroup/memory: no space left on device",
    "mkdir /var/lib/docker/overlay2/x: no space left on device", "write /sys/fs/cgroup/cpuset/test/cgroup.procs: no space left on device",
])  # fmt: skip
def test_these_only_read_like_it(line):
    facts = _journal.facts([line])
    assert (facts["mkdir_failed"], facts["look_alikes"], facts["signatures"]) == (0, 1, [])


@pytest.mark.parametrize("line", [
    "failed to create container: write /sys/fs/cgroup/memory/x/memory.limit_in_bytes: cannot allocate memory",
    "failed to create: write '/sys/fs/cgroup/memory/x/tasks': cannot allocate memory", "creating cgroup /sys/fs/cgroup/memory/cgroup.procs: out of memory",
    "x" * 100000 + "cgroup",
    "mkdir /sys/fs/cgroup/memory/x: file exists", "mkdir: cannot create directory '/sys/fs/cgroup/memory/x': Read-only file system", "\0\1\2cgroup", "",
    "docker[1]: open /sys/fs/cgroup/memory/docker/x/memory.stat: no such file or directory", "mkdir " * 3000 + "cgroup/memory",
    # what somebody typed, and what a container says
    '2026-11-27T10:00:00+0000 web1 python[1]: ansible-command Invoked with _raw_params=tail "mkdir /sys/fs/cgroup/memory/x: cannot allocate memory"',
    "2026-11-27T10:00:00+0000 web1 sudo[1]: bob : COMMAND=/bin/tail mkdir /sys/fs/cgroup/memory/x: cannot allocate memory",
    'Nov 27 10:00:00 web1 audispd: type=EXECVE a1="mkdir /sys/fs/cgroup/memory/x: cannot allocate memory"',
    "Nov 27 10:00:00 web1 root: journalctl | grep 'mkdir /sys/fs/cgroup/memory/x: cannot allocate memory'",
    "Nov 27 02:11:00 h snoopy[1]: [uid:0 filename:/usr/bin/grep]: grep -rniE page allocation failure|mkdir /sys/fs/cgroup/memory/docker: cannot "
    "allocate memory /var/log/messages",
    "Nov 27 10:00:00 web1 bash[123]: root: journalctl -k | grep -E -i --color=always 'SLUB: Unable to allocate memory on node -1'",
    "Nov 27 10:00:00 web1 root: awk '/mkdir /sys/fs/cgroup/memory.*: cannot allocate memory/'",
    "2026-11-27T10:00:00+0000 web1 b1946ac92492[812]: mkdir /sys/fs/cgroup/memory/docker/x: cannot allocate memory",
])  # fmt: skip
def test_these_are_nothing(line):
    facts = _journal.facts([line])
    assert (facts["mkdir_failed"], facts["look_alikes"], facts["signatures"]) == (0, 0, [])


@pytest.mark.parametrize("line, name", [
    ("SLUB: Unable to allocate memory on node -1 (gfp=0x8020)", "slub_refused"), ("  cache: mnt_cache(9946:%s), object size: 384" % ID, "cache_of_group"),
    ("BUG kmalloc-64(12:%s) (Tainted: G  OE): Objects remaining in kmalloc-64 on kmem_cache_close()" % ID, "cache_of_group"),
    ("kmem_cache_create(nf_conntrack_0) failed with error -12", "cache_create_failed"), ("cache_from_obj: Wrong slab cache. kmalloc-64", "wrong_cache"),
    ("XFS: runc:[1:CHILD](3580) possible memory allocation deadlock in kmem_zone_alloc (mode:0x82d0)", "memory_deadlock"),
])  # fmt: skip
def test_what_the_kernel_says(line, name):
    facts = _journal.facts([line])
    assert [item["id"] for item in facts["signatures"]] == [name] and facts["mkdir_failed"] == 0


@pytest.mark.parametrize("text, near, seconds", [
    ("1970-01-02T00:00:00Z x", None, 86400), ("1970-01-02T02:00:00+0200", None, 86400), ("1970-01-01 22:00:00,123 -02:00", None, 86400),
    ("Jan  2 00:00:00 host x", 90000, 86400), ("Dec 31 00:00:00 host x", 31622400, 31449600), ("no time", 1, None), ("Foo 99 99:99:99 x", 1, None),
    ("9999-99-99T99:99:99", None, None),
    # the time of the line is at its beginning; what it tells about can have another
    ("Jan  2 00:00:00 n1 kubelet: pod x created 1970-01-01 08:00:00: mkdir", 90000, 86400), ("Jan 2 pod 1970-01-02T00:00:00Z", None, 86400),
    ("May be 1970-01-02T00:00:00Z", 90000, 86400), ("x Jan  2 00:00:00 h", 90000, None),
])  # fmt: skip
def test_times(text, near, seconds):
    assert _clock.seconds_of(text, near) == seconds


@pytest.mark.parametrize("moment", [(1970, 1, 1, 0, 0, 0), (2000, 2, 29, 23, 59, 59), (2026, 11, 23, 20, 0, 0), (2100, 3, 1, 0, 0, 1), (2024, 12, 31, 1, 2, 3)])
def test_seconds_since_1970(moment):
    assert _clock.epoch(*moment) == calendar.timegm(moment + (0, 0, 0))


def test_a_search_elsewhere_in_a_line_is_no_quotation():
    line = ("2026-11-27T10:00:00+0000 web1 kubelet[1]: container &Container{Command:[sh -c redis-cli ping | grep PONG],Env:COMMAND=x} start failed: "
            "mkdir /sys/fs/cgroup/memory/kubepods/pod1/x: cannot allocate memory")  # fmt: skip
    assert _journal.facts([line])["mkdir_failed"] == 1


def test_a_date_inside_of_a_line_does_not_make_it_history():
    line = "Nov 23 19:00:00 n1 kubelet: pod x created 2026-05-01 08:00:00: mkdir /sys/fs/cgroup/memory/kubepods/burstable/pod1: cannot allocate memory"
    facts = _journal.facts([line], "2026-11-23T20:00:00Z", 864000)
    assert (facts["mkdir_failed"], facts["before_boot"], facts["signatures"][0]["last"]) == (1, 0, "Nov 23 19:00:00")


def test_no_log_is_not_an_empty_log():
    assert _kmem.symptom_facts({})["mkdir_failed"] is None and _kmem.symptom_facts({"logs": []})["mkdir_failed"] == 0
    assert _journal.facts([1, None, {}, "x"])["mkdir_failed"] == 0
