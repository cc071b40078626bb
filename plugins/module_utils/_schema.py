# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the reading and the deciding half of kmem_facts both go by. Neither imports the other: Python compiles them at the same time."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

SCHEMA = 1
UNLIMITED = 1 << 60  # bytes; a memory.limit_in_bytes from here on is none
# Each line that a pattern can match has one of these. Most lines of a log have none.
WORDS = ("cgroup/", "cgroups/", "SLUB: Unable", "cache: ", "cache_from_obj", "kmem_cache", "in kmem_", "memory.kmem.limit", "Objects remaining", "mkdir /")
FAILING = ("mkdir_failed", "kmem_refused")

# What the reader looks for in a runc binary, in this order: the first one found decides.
MARKERS = (
    # runc rc94 and later (PR 2840): the code that switches accounting on is gone
    ("Kernel memory settings are ignored", "off", "it no longer touches kernel memory (runc rc94 or later)"),
    # runc rc7..rc93 built with the tag nokmem (PR 1939)
    ("kernel memory accounting disabled in this runc build", "off", "it was built with the tag nokmem"),
    # runc rc3..rc93 without the tag (PR 1350)
    (
        "because either tasks have already joined this cgroup or it has children",
        "on",
        "the code that switches kmem accounting on is compiled in",
    ),
)
RUNC_NAMES = ("runc", "docker-runc", "docker-runc-current", "docker-runc-latest")
# Running programs that can create memory cgroups with kmem accounting; the kernel cuts a comm at 15 characters.
PROCESSES = (
    "dockerd", "dockerd-current", "dockerd-latest", "containerd", "docker-containe", "kubelet", "hyperkube", "crio", "k3s-server",
    "k3s-agent", "k3s", "rke2", "openshift", "slurmd", "podman", "lxc-start", "lxd", "mesos-agent", "mesos-slave", "nomad",
    "kubelite", "k0s", "gdn",
)  # fmt: skip
# of these, those that have a runc do it
ENGINES = ("dockerd", "containerd", "docker-containe", "crio", "podman")


def memory_mount(mounts):
    """(cgroup version of the memory controller, mount point): (1, path), (2, path), (None, None) from /proc/mounts.

    A cgroup2 beside other cgroups of version 1 is systemd's own (hybrid) and says nothing about the memory controller.
    """
    second, first = None, False
    for line in (mounts or "").split("\n"):
        fields = line.split(" ")
        if len(fields) < 4:
            continue
        if fields[2] == "cgroup" and "memory" in fields[3].split(","):
            return 1, fields[1]
        first = first or fields[2] == "cgroup"
        if fields[2] == "cgroup2":
            second = fields[1]
    return (2, second) if second and not first else (None, None)


def symptoms(read):
    """The symptoms of a host without a telling line; C(read): whether a log could be read, else it is not known how often mkdir failed."""
    return {"read": read, "signatures": [], "look_alikes": 0, "mkdir_failed": 0 if read else None, "before_boot": 0}


def candidates(text, words=WORDS):
    """The lines of a text that have one of these words, in their order; nothing is done for each of the other lines."""
    spans = set()
    for word in words:
        at = text.find(word)
        while at >= 0:
            end = text.find("\n", at)
            end = end if end >= 0 else len(text)
            spans.add((text.rfind("\n", 0, at) + 1, end))
            at = text.find(word, end)
    return [text[begin:end] for begin, end in sorted(spans)]
