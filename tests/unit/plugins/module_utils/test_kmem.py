# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict, by tables: captures of a real kernel, and hosts described one fact at a time."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import copy
import io
import json
import os

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _kmem

FIXTURES = os.path.join(os.path.dirname(__file__), "..", "..", "..", "fixtures", "captures")
ID = "3f" * 32
MKDIR = (
    "2026-11-23T22:10:01+0000 web1 dockerd[812]: OCI runtime create failed: container_linux.go:367: starting container process caused: "
    "process_linux.go:340: applying cgroup configuration for process caused: mkdir /sys/fs/cgroup/memory/docker/%s: %s"
)


def fixture(name):
    with io.open(os.path.join(FIXTURES, name + ".json"), encoding="utf-8") as stream:
        return json.load(stream)


def host(**changes):
    """A capture of a host with Docker that can leak and has not: every part was read. A change of None drops the part."""
    doc = {
        "schema": 1,
        "taken_at": "2026-11-23T20:00:00Z",
        "hostname": "web1",
        "euid": 0,
        "container": "",
        "uname": {"release": "3.10.0-1127.el7.x86_64", "machine": "x86_64"},
        "uptime_s": 86400,
        "files": {
            "/proc/cmdline": "BOOT_IMAGE=/vmlinuz-3.10.0-1127.el7.x86_64 root=/dev/sda1 ro quiet\n",
            "/proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t19\t1\n",
            "/proc/mounts": "cgroup /sys/fs/cgroup/memory cgroup rw,nosuid,memory 0 0\n",
        },
        "slab": {"entries": 225, "capped": False, "per_cgroup": []},
        "memory_cgroups": {"live": 3, "capped": False, "names": ["docker", "system.slice"]},
        "slabinfo": {"/docker": {"errno": 5, "head": ""}},
        "packages": {"containerd.io": "1.2.13-3.2.el7", "docker-ce": "19.03.13-3.el7"},
        "binaries": {"/usr/bin/runc": {"version": "runc version 1.0.0-rc10", "strings": [
            "because either tasks have already joined this cgroup or it has children"]}},
        "docker": {"cgroup_driver": "cgroupfs", "default_runtime": "runc"},
        "processes": {"dockerd": "/usr/bin/dockerd", "containerd": "/usr/bin/containerd"},
        "logs": [],
    }  # fmt: skip
    for key, value in changes.items():
        if value is None:
            del doc[key]
        elif key == "cmdline":
            doc["files"]["/proc/cmdline"] += " " + value
        elif key == "release":
            doc["uname"]["release"] = value
        elif key == "files":
            doc["files"].update(value)
        else:
            doc[key] = value
    return doc


def limited(number, limit=67108864):
    """One running container with a memory limit, whose slabinfo read gave this errno."""
    return {"/docker/" + ID: {"errno": number, "head": "slabinfo - version: 2.1" if not number else "", "limit": limit}}


SAFE_RUNC = {"/usr/bin/runc": {"version": "runc version 1.1.4", "strings": ["Kernel memory settings are ignored"]}}
NO_GROUPS = dict(slabinfo=None, memory_cgroups=None)
NO_RUNTIME = dict(packages={}, binaries={}, docker={}, processes={})


@pytest.mark.parametrize("name, verdict, leaked, accounting", [
    ("3.10.0-1160-healthy", "unknown", 0, "not_provable"),  # nothing leaks, but which runtime is installed was not read
    ("3.10.0-1160-accounting-on", "active", 0, "active"),
    ("3.10.0-1160-leaking", "leaking", 987, "active"),
    ("3.10.0-1160-kmem-limit-hit", "active", 0, "active"),
    ("3.10.0-1160-nokmem", "protected", 0, "not_provable"),
])  # fmt: skip
def test_captures_of_a_real_kernel(name, verdict, leaked, accounting):
    facts = _kmem.decide(fixture(name))
    assert (facts["verdict"], facts["slab"]["leaked"], facts["accounting"]["state"]) == (verdict, leaked, accounting)


THREADS = os.path.join(FIXTURES, "..", "threads")


@pytest.mark.parametrize("name", sorted(name for name in os.listdir(THREADS) if name.endswith(".json")))
def test_hosts_of_public_threads(name):
    with io.open(os.path.join(THREADS, name), encoding="utf-8") as stream:
        case = json.load(stream)
    facts = _kmem.decide(case["capture"])
    assert (facts["verdict"], facts["recommendation"]["strategy"]) == (case["verdict"], case["strategy"]), (facts["evidence"], facts["missing"])
    assert case["link"].startswith("https://") and case["says"]


def test_a_dying_host_looks_healthy_in_proc_cgroups():
    doc = fixture("3.10.0-1160-leaking")
    assert _kmem.cgroup_facts(doc)["num_cgroups"] == 7
    assert _kmem.decide(doc)["accounting"]["orphaned"] == {"/docker": 15634432 - 225280}


@pytest.mark.parametrize("changes, verdict", [
    ({}, "exposed"),
    (dict(cmdline="cgroup.memory=nokmem"), "protected"),
    (dict(cmdline="cgroup.memory=nosocket,nokmem"), "protected"),
    (dict(cmdline="cgroup.memory=nosocket cgroup.memory=nokmem"), "protected"),
    (dict(cmdline="cgroup_memory=nokmem"), "exposed"),
    (dict(cmdline="cgroup.memory=nosocket"), "exposed"),
    (dict(cmdline="-- cgroup.memory=nokmem"), "exposed"),  # that one is an argument of init
    (dict(cmdline="cgroup.memory=nokmem", release="3.10.0-514.el7.x86_64"), "exposed"),  # ignores it without a word
    (dict(cmdline="cgroup.memory=nokmem", release="3.10.0-1062.el7.x86_64"), "exposed"),  # not known to honour it
    (dict(cmdline="cgroup.memory=nokmem", release="3.10.0-1062.el7.x86_64", slabinfo=limited(5)), "protected"),
    (dict(cmdline="cgroup.memory=nokmem", slabinfo=limited(0)), "active"),  # it is given and does not work
    (dict(cmdline="cgroup.memory=nokmem", slab=None, slabinfo=limited(5)), "protected"),
    (dict(cmdline="cgroup.memory=nokmem", slab=None, slabinfo=None), "unknown"),
    (dict(slabinfo=limited(0)), "active"),
    (dict(slabinfo=limited(5)), "exposed"),  # off at this moment, but the runtime can switch it on
    (dict(slab={"entries": 230, "capped": False, "per_cgroup": ["dentry(40:docker)"]}), "active"),
    (dict(slab={"entries": 230, "capped": False, "per_cgroup": ["dentry(40:%s)" % ID]}), "leaking"),
    (dict(slab={"entries": 230, "capped": False, "per_cgroup": ["dentry(40:docker)", "dentry(41:docker)"]}), "leaking"),
    (dict(slab=None, kmem_usage={"/docker": 900000000, "/docker/a": 1000}), "leaking"),
    (dict(kmem_usage={"/docker": 900000000, "/docker/a": 1000}), "exposed"),  # the names were read, and they decide
    (dict(logs=[MKDIR % (ID, "cannot allocate memory")]), "failing"),
    (dict(logs=[MKDIR % (ID, "no space left on device")]), "failing"),
    (dict(logs=["mkdir: cannot create directory '/sys/fs/cgroup/memory/x': Cannot allocate memory"]), "failing"),
    (dict(logs=["mkdir /var/lib/docker/overlay2/x: no space left on device"]), "exposed"),
    (dict(logs=["mkdir /sys/fs/cgroup/pids/docker/x: cannot allocate memory"]), "exposed"),
    (dict(logs=["inotify_add_watch /sys/fs/cgroup/memory/x: no space left on device"]), "exposed"),
    (dict(probe={"errno": 12}), "failing"),
    (dict(probe={"errno": 28}), "failing"),
    (dict(probe={"errno": 0}), "exposed"),
    (dict(binaries=SAFE_RUNC), "protected"),
    (dict(binaries=SAFE_RUNC, slab=None), "unknown"),
    (dict(binaries=SAFE_RUNC, packages={"kubelet": "1.17.9-0"}), "exposed"),  # it brings its own libcontainer
    (dict(binaries=SAFE_RUNC, packages={"cri-o": "1.17.4-1.el7"}), "unknown"),
    (dict(binaries=SAFE_RUNC, processes={"k3s-server": "/usr/local/bin/k3s"}), "unknown"),
    (NO_RUNTIME, "protected"),
    (dict(NO_RUNTIME, packages=None), "unknown"),
    (dict(NO_RUNTIME, processes=None), "unknown"),
    (dict(container="docker"), "unknown"),
    (dict(release="4.18.0-553.el8_10.x86_64"), "not_applicable"),
    (dict(release="6.9.7-1.el7.elrepo.x86_64"), "not_applicable"),
    (dict(release="5.4.17-2136.el7uek.x86_64"), "not_applicable"),
    (dict(release="4.14.0-115.el7a.x86_64"), "not_applicable"),
    (dict(release="3.8.13-118.el7uek.x86_64"), "exposed"),
    (dict(release="3.10.107-1-tlinux2.x86_64", slab={"entries": 1, "per_cgroup": ["dentry(4:%s)" % ID]}), "leaking"),
    (dict(release="3.10.0-1160.el7.x86_64.debug"), "exposed"),
    (dict(release="3.10.0-514.6.2.el7.toa.2.x86_64"), "exposed"),
    (dict(NO_GROUPS, files={"/proc/mounts": "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "/proc/cgroups": "memory\t0\t19\t1\n"}), "not_applicable"),
    (dict(files={"/proc/mounts": "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"}), "exposed"),  # /proc/cgroups has a hierarchy of version 1
    # systemd's hybrid: the line of the memory controller is lost, the cgroup2 beside it says nothing
    (dict(files={"/proc/mounts": "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n",
                 "/proc/cgroups": ""}), "exposed"),
    # seen groups outweigh a damaged file that says that there can be none
    (dict(files={"/proc/cgroups": "memory\t0\t1\t0\n"}, slab={"entries": 230, "per_cgroup": ["dentry(40:%s)" % ID]}), "leaking"),
    (dict(cmdline="cgroup_disable=memory", slabinfo=limited(0)), "active"),
    (dict(NO_GROUPS, cmdline="cgroup_disable=memory", files={"/proc/cgroups": "memory\t0\t1\t0\n", "/proc/mounts": ""}), "not_applicable"),
    (dict(NO_GROUPS, cmdline="cgroup_disable=memory", files={"/proc/cgroups": "", "/proc/mounts": ""}), "not_applicable"),
    (dict(NO_GROUPS, files={"/proc/cgroups": "memory\t0\t1\t0\n", "/proc/mounts": ""}), "not_applicable"),
    # one of them alone is damaged
    (dict(NO_GROUPS, cmdline="cgroup_disable=memory"), "exposed"),
    (dict(NO_GROUPS, files={"/proc/cgroups": "memory\t5\t19\t0\n"}), "exposed"),
    (dict(NO_GROUPS, files={"/proc/cgroups": "memory\t5\t19\t9\n"}), "exposed"),
    (dict(NO_GROUPS, files={"/proc/cgroups": "memory\t0\t19\t11\n"}), "exposed"),
    (dict(NO_GROUPS, files={"/proc/cgroups": "memory\t0\t1\t0\n"}), "exposed"),  # but it is mounted
    (dict(slabinfo=limited(5), files={"/proc/mounts": "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "/proc/cgroups": ""}), "exposed"),
    (dict(NO_GROUPS, memory_cgroups=host()["memory_cgroups"], files={"/proc/cgroups": "memory\t0\t1\t0\n", "/proc/mounts": ""}), "exposed"),
    (dict(NO_GROUPS, kmem_usage={"/docker": 0}, cmdline="cgroup_disable=memory", files={"/proc/cgroups": "", "/proc/mounts": ""}), "exposed"),
    (dict(cmdline="cgroup_disable=memory", slabinfo=limited(5)), "exposed"),
    (dict(uname=None), "unknown"),
    (dict(schema=None), "unknown"),
    (dict(schema=2), "unknown"),
])  # fmt: skip
def test_verdict(changes, verdict):
    facts = _kmem.decide(host(**changes))
    assert facts["verdict"] == verdict, facts["evidence"]
    assert facts["evidence"]
    assert (facts["verdict"] != "unknown") or facts["missing"], "unknown has to name what is missing"


@pytest.mark.parametrize("dropped", sorted(host()))
def test_nothing_read_is_never_protected(dropped):
    """Without nokmem and with a runtime that leaks, no missing part may turn the verdict into a harmless one."""
    assert _kmem.decide(host(**{dropped: None}))["verdict"] in ("exposed", "unknown")


def test_started_again_containers_leak_under_their_own_name():
    names = ["dentry(%d:%s)" % (number, ID) for number in range(30, 40)]
    doc = host(slab={"entries": 300, "capped": False, "per_cgroup": names})
    doc["memory_cgroups"] = {"live": 3, "capped": False, "names": ["docker", ID]}
    assert _kmem.decide(doc)["slab"]["leaked"] == 9
    doc["memory_cgroups"] = {"live": 2, "capped": False, "names": ["docker"]}
    assert _kmem.decide(doc)["slab"]["leaked"] == 10


def test_a_walk_that_was_cut_short_gives_a_lower_bound():
    doc = host(slab={"entries": 300, "capped": False, "per_cgroup": ["dentry(%d:x%d)" % (n, n) for n in range(100)]})
    doc["memory_cgroups"] = {"live": 5, "capped": True, "names": []}
    facts = _kmem.decide(doc)
    assert (facts["verdict"], facts["slab"]["leaked"], facts["slab"]["capped"]) == ("leaking", 81, True)
    assert any("At least 81" in sentence for sentence in facts["evidence"])
    doc["memory_cgroups"] = {"live": 5, "capped": True, "names": []}
    doc["files"]["/proc/cgroups"] = "memory\t4\t101\t1\n"
    facts = _kmem.decide(doc)
    assert facts["verdict"] == "active" and "how many of them are gone is not known" in " ".join(facts["evidence"])
    doc["memory_cgroups"] = {"live": 5}  # a count, and no list
    del doc["files"]["/proc/cgroups"]
    assert (_kmem.decide(doc)["verdict"], _kmem.decide(doc)["slab"]["leaked"]) == ("leaking", 95)


def test_what_only_el7_does_is_not_said_of_another_kernel():
    doc = host(release="3.19.0-80-generic", files={"/proc/cgroups": "memory 4 65535 1"}, logs=[MKDIR % (ID, "no space left on device")])
    facts = _kmem.decide(doc)
    told = " ".join(facts["evidence"] + facts["recommendation"]["avoid"])
    assert facts["verdict"] == "failing" and "65535 memory cgroups are counted" in told and "never shows" not in told and "drop_caches" not in told


@pytest.mark.parametrize("release, line, build, support", [
    ("3.10.0-1160.119.1.el7.x86_64", "el7", [1160, 119, 1], "honoured"),
    ("3.10.0-1062.4.1.el7.x86_64", "el7", [1062, 4, 1], "honoured"),
    ("3.10.0-1062.4.0.el7.x86_64", "el7", [1062, 4, 0], "unknown"),
    ("3.10.0-1062.el7.x86_64", "el7", [1062], "unknown"),
    ("3.10.0-957.el7.x86_64", "el7", [957], "ignored"),
    ("3.10.0-957.1.3.el7.x86_64", "el7", [957, 1, 3], "unknown"),
    ("3.10.0-862.44.2.el7.x86_64", "el7", [862, 44, 2], "unknown"),
    ("3.10.0-862.14.4.el7.x86_64", "el7", [862, 14, 4], "ignored"),
    ("3.10.0-693.61.1.el7.x86_64", "el7", [693, 61, 1], "unknown"),
    ("3.10.0-514.6.2.el7.toa.2.x86_64", "el7", [514, 6, 2], "ignored"),
    ("3.10.0-1160.el7.x86_64.debug", "el7", [1160], "honoured"),
    ("3.10.0-1127.rt56.1093.el7.x86_64", "el7", [1127], "honoured"),
    ("3.10.0-1160.el7_9.x86_64", "el7", [1160], "honoured"),
    ("3.10.0-1160.90.1.vz7.200.7", "older", None, "unknown"),
    ("3.8.13-118.el7uek.x86_64", "older", None, "unknown"),
    ("4.14.0-115.el7a.aarch64", "newer", None, "honoured"),
    ("4.4.249-1.el7.elrepo.x86_64", "newer", None, "ignored"),
    ("6.9.7-1.el7.elrepo.x86_64", "newer", None, "honoured"),
    ("", "unknown", None, "unknown"),
    (None, "unknown", None, "unknown"),
    ("garbage", "unknown", None, "unknown"),
])  # fmt: skip
def test_kernel_release(release, line, build, support):
    facts = _kmem.kernel_facts(release)
    assert (facts["line"], facts["build"], facts["nokmem_support"]) == (line, build, support)


@pytest.mark.parametrize("name, owner", [
    ("dentry(17:%s)" % ID, (17, ID)),
    ("kmalloc-64(0:docker-%s.scope)" % ID, (0, "docker-%s.scope" % ID)),
    (":at-0000016", None), ("dentry", None), ("dentry(x:y)", None), ("dentry(17)", None), ("dentry(1:a(b))", (1, "a(b)")),
    ("dentry(5:)", (5, "")),
])  # fmt: skip
def test_owner_of_a_cache_name(name, owner):
    assert _kmem.owner_of(name) == owner


@pytest.mark.parametrize("text, nokmem", [
    ("ro cgroup.memory=nokmem", True), ("ro cgroup.memory=nosocket,nokmem quiet", True), ("cgroup.memory=nokmemx", False), ("", False),
    ('ro dyndbg="file a.c +p cgroup.memory=nokmem" quiet', False), ('ro "cgroup.memory=nokmem" quiet', True), ("ro -- cgroup.memory=nokmem", False),
    ("ro xcgroup.memory=nokmem", False), ("ro cgroup.memory=nokmem -- single", True), ("ro cgroup.memory= quiet", False), (None, None),
])  # fmt: skip
def test_the_command_line_as_the_kernel_reads_it(text, nokmem):
    assert _kmem.cmdline_facts(text)["nokmem"] is nokmem


NETWORKS = {"entries": 2300, "capped": False, "per_cgroup": [], "per_cgroup_entries": 0}


@pytest.mark.parametrize("changes, verdict", [
    # the names were not read, the numbers alone say it
    (dict(slab={"entries": 182210}, binaries=SAFE_RUNC), "leaking"), (dict(slab={"entries": 1100}, binaries=SAFE_RUNC), "active"),
    (dict(slab={"entries": 400}, binaries=SAFE_RUNC), "unknown"),
    (dict(slab=None, slabinfo=None, kmem_usage={"/docker/%s" % ID: 4096}, binaries=SAFE_RUNC), "active"),
    (dict(slab=None, kmem_usage={"/docker/%s" % ID: 0}, binaries=SAFE_RUNC), "unknown"),
    (dict(slab=None, files={"/proc/cgroups": "memory\t4\t60000\t1\n"}, binaries=SAFE_RUNC), "leaking"),
    # without a list of programs, active services do
    (dict(processes=None, services={"sshd": "active"}, packages={}, binaries={}, docker={}, slabinfo={}, memory_cgroups=None), "protected"),
    (dict(processes=None, services={"docker": "active"}, packages={}, binaries={}, docker={}), "unknown"),
    # the same, but a group called docker is there
    (dict(processes=None, services={"sshd": "active"}, packages={}, binaries={}, docker={}), "unknown"),
    # the kubelet that made this group was not seen
    (dict(binaries=SAFE_RUNC, slabinfo={"/kubepods/burstable/pod12345678-1": {"errno": 5, "head": ""}}), "unknown"),
    # a log that tells when: from before the boot it is history
    (dict(logs=["2026-11-20T10:00:00+0000 web1 dockerd: " + (MKDIR % (ID, "cannot allocate memory"))[25:]]), "exposed"),
    (dict(logs=["Nov 20 10:00:00 web1 dockerd: mkdir /sys/fs/cgroup/memory/docker/x: cannot allocate memory"]), "exposed"),
    (dict(logs=["Nov 23 10:00:00 web1 dockerd: mkdir /sys/fs/cgroup/memory/docker/x: cannot allocate memory"]), "failing"),
    (dict(cmdline="cgroup.memory=nokmem", slab=None), "protected"),
    (dict(packages={"docker-ce": "3:17.03.2.ce-1.el7"}, binaries={}, processes={}), "protected"),
    # thousands of network namespaces: a list that was read to its end, without a name of a group
    (dict(slab=NETWORKS), "exposed"), (dict(NO_RUNTIME, slab=NETWORKS), "protected"), (dict(slab=NETWORKS, cmdline="cgroup.memory=nokmem"), "protected"),
    (dict(slab=dict(NETWORKS, capped=True)), "leaking"), (dict(slab=dict(NETWORKS, entries=60000)), "leaking"),
    (dict(slabinfo={"/kubepods": {"head": "slabinfo - version: 2.1"}}), "active"), (dict(slabinfo={"/kubepods": {"head": ""}}), "exposed"),
    (dict(container="none"), "exposed"), (dict(container="docker"), "unknown"),
    # from 3.14 on removed groups are counted, whatever holds them
    (dict(NO_RUNTIME, release="3.19.0-80-generic", slab=None, files={"/proc/cgroups": "memory 4 65535 1"}), "unknown"),
])  # fmt: skip
def test_less_common_hosts(changes, verdict):
    facts = _kmem.decide(host(**changes))
    assert facts["verdict"] == verdict, (facts["evidence"], facts["missing"])


FULL = {"/docker": 534 << 20, "/docker/" + ID: 0}


@pytest.mark.parametrize("nokmem", ["", "cgroup.memory=nokmem"])
@pytest.mark.parametrize("changes, verdict", [
    # the parts of the slab list contradict each other
    (dict(slab={"entries": 182210, "per_cgroup": []}), "leaking"), (dict(slab={"entries": 182210, "per_cgroup": []}, memory_cgroups=None, files={
        "/proc/cgroups": ""}), "active"),
    (dict(slab={"entries": 1310, "per_cgroup": [], "per_cgroup_entries": 1085}), "leaking"),
    (dict(slab={"entries": 225, "per_cgroup": [], "per_cgroup_entries": 5}), "unknown"),
    (dict(slab={"entries": 225, "per_cgroup": [], "per_cgroup_entries": 5}, slabinfo=limited(5)), "unknown"),
    (dict(slab={"per_cgroup": ["dentry(17:abc", 5, None]}), "unknown"),
    (dict(slab={"entries": 20000, "per_cgroup": [], "capped": True}), "leaking"),
    (dict(slab={"entries": 900, "per_cgroup": [], "capped": True}), "unknown"),
    (dict(slab={"entries": 900, "per_cgroup": [], "capped": True}, kmem_usage=FULL), "leaking"),
    # kernel memory in a group that was not sampled, and in one that was
    (dict(slab=None, kmem_usage={"/docker/" + ID: 225280}, slabinfo={"/system.slice": {"errno": 5, "head": "", "limit": 1 << 62}}), "active"),
    (dict(slab=None, kmem_usage={"/docker/" + ID: 225280}, slabinfo={"/docker/" + ID: {"errno": 5, "head": "", "limit": 1 << 62}}), "unknown"),
])  # fmt: skip
def test_contradicting_slab_data_is_not_clean(nokmem, changes, verdict):
    facts = _kmem.decide(host(cmdline=nokmem, **dict(NO_RUNTIME, **changes)))
    assert facts["verdict"] == verdict, facts["evidence"]


OLD = "3.10.0-862.el7.x86_64"
CROWDED = {"/proc/cgroups": "memory\t4\t65001\t1\n"}
HALF_LEAKED = dict(slab={"entries": 400, "per_cgroup": ["dentry(1:%s)" % ID, "dentry(2:%s)" % ("a0" * 32)]},
                   memory_cgroups={"live": 4, "names": ["docker", ID, "system.slice"]})  # fmt: skip
BOTH = dict(host()["binaries"], **{"/usr/local/libexec/runc": SAFE_RUNC["/usr/bin/runc"]})
DEFAULT = {"cgroup_driver": "cgroupfs", "default_runtime": "runc-nokmem", "runtimes": {"runc-nokmem": "/usr/local/libexec/runc"}}
KUBELET = {"kubelet": "1.17.9-0"}
FOREIGN = {"/proc/modules": "nvidia 34091008 1 - Live 0xffffffffc1a4b000 (POE)\nxfs 1 1 - Live 0x0\n"}


@pytest.mark.parametrize("changes, strategy, words", [
    ({}, "mitigate", "strategy runc exchanges /usr/bin/runc"), (dict(release=OLD), "upgrade", "3.10.0-1062.4.1"),
    (dict(cmdline="cgroup.memory=nokmem"), "none", "protected"), (dict(release="5.4.278-1.el7.elrepo.x86_64"), "none", "not applicable"),
    (dict(uname=None), "none", "missing"), (dict(release=OLD, files=FOREIGN), "runc", "nvidia"), (dict(files=FOREIGN), "mitigate", "keeps the kernel"),
    (dict(release=OLD, units=["u%d.service" % number for number in range(80)]), "runc", "80 services"),
    (dict(release=OLD, files=FOREIGN, packages=KUBELET), "upgrade", "kubelet switches kmem accounting on by itself"),
    (dict(packages=KUBELET), "mitigate", "a node of a cluster"), (dict(cmdline="cgroup.memory=nokmem", slabinfo=limited(0)), "upgrade", "does not help here"),
    (dict(binaries=SAFE_RUNC, slab={"entries": 230, "per_cgroup": ["dentry(40:%s)" % ID]}), "reboot", "any more"),
    (dict(release=OLD, binaries=SAFE_RUNC, logs=[MKDIR % (ID, "no space left on device")]), "reboot", "any more"),
    (dict(release=OLD, binaries=SAFE_RUNC, logs=[MKDIR % (ID, "no space left on device")]), "reboot", "look first"),
    (dict(files={"/proc/cgroups": "memory\t4\t64734\t1\n"}, logs=[MKDIR % (ID, "cannot allocate memory")]), "mitigate", "live memory cgroups"),
    (dict(cmdline="cgroup.memory=nokmem", files=CROWDED, logs=[MKDIR % (ID, "cannot allocate memory")]), "none", "live memory cgroups"),
    (dict(cmdline="cgroup.memory=nokmem", files=CROWDED, probe={"errno": 12}), "none", "live memory cgroups"),
    (dict(binaries=SAFE_RUNC, files=CROWDED, probe={"errno": 12}), "none", "live memory cgroups"),
    # exchanged, but a container of before still runs
    (dict(HALF_LEAKED, release=OLD, binaries=SAFE_RUNC, files=FOREIGN), "reboot", "any more"),
    (dict(binaries=SAFE_RUNC, slabinfo=limited(0)), "reboot", "any more"),
    # runc is still there, but Docker's default runtime is another one
    (dict(HALF_LEAKED, release=OLD, binaries=BOTH, docker=DEFAULT), "reboot", "created anew"),
    (dict(release=OLD, binaries=BOTH, docker=DEFAULT, files=FOREIGN), "runc", "/usr/bin/runc"),
    # no binary was looked at
    (dict(release=OLD, binaries=None, files=FOREIGN), "runc", "the runc of containerd.io"),
    # not all was read, so something that is left may switch it on again
    (dict(binaries=None, packages={"containerd.io": "1.4.12-3.1.el7"}, logs=[MKDIR % (ID, "cannot allocate memory")]), "mitigate", "honours"),
    (dict(processes=None, packages={}, binaries=SAFE_RUNC, logs=[MKDIR % (ID, "cannot allocate memory")]), "mitigate", "honours"),
    (dict(processes=None, services={}, packages={}, binaries=SAFE_RUNC, logs=[MKDIR % (ID, "cannot allocate memory")]), "reboot", "any more"),
    # the runc of CentOS' Docker cannot be exchanged
    (dict(release=OLD, files=FOREIGN, packages={"docker": "1.13.1-209.git7d71120.el7.centos"}, binaries={
        "/usr/libexec/docker/docker-runc-current": host()["binaries"]["/usr/bin/runc"]}), "upgrade", "look at each before"),
    (dict(release="3.8.13-118.el7uek.x86_64"), "none", "not a kernel of EL7"),
    (dict(slab={"entries": 230, "per_cgroup": ["dentry(40:%s)" % ID]}), "mitigate", "freed by a reboot"),
])  # fmt: skip
def test_recommendation(changes, strategy, words):
    advice = _kmem.decide(host(**changes))["recommendation"]
    assert advice["strategy"] == strategy, advice
    assert any(words in reason for reason in advice["reasons"]), advice


LIMITED, POD = {"errno": 5, "head": "", "limit": 1 << 30}, "/kubepods/burstable/pod12345678-1234"
ON_RUNC = {"/usr/bin/runc": {"version": "", "strings": ["because either tasks have already joined this cgroup or it has children"]}}


@pytest.mark.parametrize("release", ["3.10.0-957.21.3.el7.x86_64", "3.10.0-693.61.1.el7.x86_64"])
@pytest.mark.parametrize("changes, verdict", [
    (dict(slabinfo={"/docker/" + ID: LIMITED}), "protected"),
    # made by systemd, which never switches it on
    (dict(slabinfo={"/system.slice/mysqld.service": LIMITED}), "exposed"),
    (dict(slabinfo={"/system.slice/mysqld.service": LIMITED, "/docker/" + ID: {"errno": 5, "head": ""}}), "exposed"),
    (dict(slabinfo={"/system.slice/docker-%s.scope" % ID: LIMITED}, docker={"cgroup_driver": "systemd"}), "exposed"),
    (dict(slabinfo={"/docker/" + ID: {"errno": 5, "head": ""}, "/system.slice": {"errno": 5, "head": "", "limit": 9223372036854771712}}), "exposed"),
    (dict(slabinfo={"/docker/%s/docker/%s" % (ID, ID): LIMITED}), "exposed"),  # by whatever is inside of the container
    # made by a runc that leaves it alone
    (dict(slabinfo={"/docker/" + ID: LIMITED}, binaries=SAFE_RUNC, packages=KUBELET), "exposed"),
    (dict(slabinfo={"/docker/" + ID: LIMITED}, binaries=dict(ON_RUNC, **{"/usr/local/bin/runc": SAFE_RUNC["/usr/bin/runc"]})), "exposed"),
    (dict(slabinfo={POD + "/" + ID: LIMITED}, binaries=SAFE_RUNC, packages=KUBELET), "exposed"),
    (dict(slabinfo={POD: LIMITED}, binaries=SAFE_RUNC, packages=KUBELET), "protected"),
    (dict(slabinfo={"/kubepods/pod12345678-1234": LIMITED}, packages=KUBELET), "protected"),
    (dict(slabinfo={POD: LIMITED}), "exposed"),  # no kubelet was found that is on
    (dict(slabinfo={POD + "/" + ID: LIMITED}, packages=KUBELET), "protected"),
    (dict(slabinfo={POD + "/system.slice": LIMITED, "/kubepods": LIMITED}, packages=KUBELET), "exposed"),
])  # fmt: skip
def test_what_proves_nokmem_on_a_build_that_is_not_known_to_honour_it(release, changes, verdict):
    facts = _kmem.decide(host(cmdline="cgroup.memory=nokmem", release=release, **changes))
    assert facts["verdict"] == verdict, facts["evidence"]


@pytest.mark.parametrize("changes", [dict(cmdline="cgroup.memory=nokmem"), dict(binaries=SAFE_RUNC), {}])
def test_where_nothing_leaked_no_reboot_is_asked_for(changes):
    advice = _kmem.decide(host(**dict(changes, files=CROWDED, probe={"errno": 12})))["recommendation"]
    assert not [reason for reason in advice["reasons"] if "leaked" in reason or "does not help" in reason], advice


def test_deciding_leaves_the_capture_alone():
    doc = host()
    before = copy.deepcopy(doc)
    _kmem.decide(doc)
    assert doc == before


def test_facts_have_the_keys_of_the_contract_also_where_nothing_was_read():
    keys = {"kernel", "cmdline", "cgroup", "slab", "accounting", "enablers", "symptoms", "verdict", "evidence", "forecast", "recommendation"}
    for doc in ({}, host(), fixture("3.10.0-1160-leaking")):
        assert keys <= set(_kmem.decide(doc))
    assert json.dumps(_kmem.decide({}))
