# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which installed program switches kmem accounting on: pure functions over package versions and binary strings.

Sources: git history of opencontainers/runc (PR 1350, 1921, 2840), docker/containerd-packaging (PR 66, 75, 199) and
kubernetes (issue 61937, PR 102196, 103882). A string found in a binary outweighs a version table.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import re

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

RUNC_NAMES = ("runc", "docker-runc", "docker-runc-current")

# Packages asked of rpm. Those without a table below are reported as unknown, never as harmless.
PACKAGES = (
    "containerd.io", "docker-ce", "docker", "docker-engine", "docker-latest", "runc", "containerd", "kubelet", "podman",
    "cri-o", "nvidia-container-runtime", "slurm-slurmd", "k3s",
)  # fmt: skip
# Packages whose container runtime is another entry of the list or a binary that is looked at.
CARRIERS = ("docker-ce", "docker", "docker-engine", "docker-latest", "runc", "containerd", "podman")

# Running programs that can create memory cgroups with kmem accounting; the kernel cuts a comm at 15 characters.
PROCESSES = ("dockerd", "dockerd-current", "containerd", "kubelet", "crio", "k3s-server", "k3s-agent", "k3s", "rke2", "slurmd", "podman")


def numbers(version):
    """The leading numbers of an RPM version-release as two tuples: '1.2.13-3.2.el7' is ((1, 2, 13), (3, 2))."""
    parts = re.match(r"^(?:\d+:)?v?(\d+(?:\.\d+)*)(?:[^-]*)(?:-(\d+(?:\.\d+)*))?", version or "")
    if not parts:
        return None
    return tuple(tuple(int(number) for number in part.split(".")) if part else () for part in parts.groups())


def containerd_io(version):
    """kmem of the runc inside a containerd.io package of docker.com for EL7: 'on', 'off' or 'unknown'."""
    key = numbers(version)
    if key is None:
        return "unknown"
    if key < ((1, 2, 1), (3, 1)):
        return "on"
    if key < ((1, 2, 6), (3, 4)):
        return "off"
    if key <= ((1, 2, 13), (3, 2)):
        return "on"  # PR 75 had dropped the build tag
    # PR 199 restored it in September 2020; 1.3.7 carries the same date, so it stays unproved
    return "off" if key >= ((1, 3, 8), ()) and key[0] != (1, 4, 0) else "unknown"


def runc_version(text):
    """kmem of a runc by what `runc --version` prints: 'on', 'off' or 'unknown' (rc6..rc93: the build tag decides)."""
    match = re.search(r"runc version (\d+)\.(\d+)\.(\d+)(?:[-~.]rc\.?(\d+))?", text or "")
    if not match:
        return "unknown"
    major, minor, patch = (int(part) for part in match.groups()[:3])
    candidate = match.group(4)
    if (major, minor, patch) > (1, 0, 0) or ((major, minor, patch) == (1, 0, 0) and candidate is None):
        return "off"
    if (major, minor, patch) < (1, 0, 0) or int(candidate) <= 1:
        return "off"
    if int(candidate) >= 94:
        return "off"
    return "on" if int(candidate) <= 5 else "unknown"


def kubelet(version):
    """kmem of a stock upstream kubelet, which carries its own libcontainer: 'on', 'off' or 'unknown'."""
    key = numbers(version)
    if key is None or len(key[0]) < 2:
        return "unknown"
    if key[0] >= (1, 22):
        return "off"
    if key[0] >= (1, 21, 2):
        return "unknown"  # the cherry-pick's first release is an inference (kubernetes PR 102196)
    return "on" if key[0] >= (1, 8) else "off"


def binary(found):
    """(kmem, why) of one runc binary as captured: {'version': text, 'strings': [markers that are in the file]}."""
    strings = found.get("strings") or []
    for marker, kmem, why in MARKERS:
        if any(marker in text for text in strings):
            return kmem, 'the file contains "%s": %s' % (marker, why)
    first = (found.get("version") or "").split("\n")[0].strip()
    kmem = runc_version(first)
    if kmem == "unknown":
        return kmem, "%s: the version does not tell how it was built" % (first or "no version could be read")
    return kmem, first


def enablers(packages, binaries, docker, processes):
    """What on this host can switch kmem accounting on.

    Each argument is the part of a capture of that name, or None where it was not read. Returns a list of
    {name, version, kmem: on|off|unknown, evidence}, most telling first; [] means that nothing known is installed.
    The cgroup driver counts: runc rc3..rc93 touches kernel memory only under cgroupfs, under systemd only where a
    container asks for a kernel limit (apply_systemd.go). That is no guarantee, so it is said and not relied on.
    """
    found = []
    looked_at = {}
    driver = (docker or {}).get("cgroup_driver")
    for path in sorted(binaries or {}):
        if not isinstance(binaries[path], dict):
            continue
        kmem, why = binary(binaries[path])
        looked_at[path] = kmem
        if kmem == "on" and driver == "systemd":
            why += "; Docker's cgroup driver is systemd, where only containers with a kernel memory limit use it"
        version = re.search(r"version (\S+)", binaries[path].get("version") or "")
        found.append({"name": path, "version": version.group(1) if version else None, "kmem": kmem, "evidence": why})
    for name in sorted(packages or {}):
        version = packages[name]
        if name == "containerd.io":
            kmem = containerd_io(version)
            why = "table of docker.com's EL7 packages"
            if looked_at.get("/usr/bin/runc") in ("on", "off") and looked_at["/usr/bin/runc"] != kmem:
                why += " says %s, but the strings of its /usr/bin/runc decide" % kmem
                kmem = looked_at["/usr/bin/runc"]
        elif name == "kubelet":
            kmem, why = kubelet(version), "table of upstream kubelet releases; it does not use the host's runc for this"
        elif name in CARRIERS:
            kmem = "unknown"
            if "on" in looked_at.values():
                kmem = "on"
            elif looked_at and "unknown" not in looked_at.values():
                kmem = "off"
            why = "its runc is what counts"
        else:
            kmem, why = "unknown", "no table says how this one was built"
        found.append({"name": name, "version": version, "kmem": kmem, "evidence": why})
    known = " ".join(list(packages or {}) + list(binaries or {}))
    for name in sorted(processes or {}):
        stem = name.replace("dockerd", "docker").replace("-current", "")
        if stem in known or (stem in ("docker", "containerd", "podman") and looked_at):
            continue
        found.append({"name": name, "version": None, "kmem": "unknown", "evidence": "it runs (%s), and is in no table" % processes[name]})
    order = {"on": 0, "unknown": 1, "off": 2}
    return sorted(found, key=lambda item: order[item["kmem"]])
