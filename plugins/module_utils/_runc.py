# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which program switches kmem accounting on: version tables and strings of a binary, as pure functions.

Sources: git history of opencontainers/runc (PR 1350, 1921, 2840), docker/containerd-packaging (PR 66, 75, 199) and
kubernetes (issue 61937, PR 102196, 103882; rancher/rke2 PR 1267 for what 1.21 uses), moby issues 27576 and 37722,
projectatomic/runc issue 26, k3s-io/k3s issues 3312, 3313 and 3315, SchedMD's bug 5082, NVIDIA/nvidia-container-runtime
issue 118. A string found in a binary outweighs a version table.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import re

from ansible_collections.el7ops.kmem.plugins.module_utils import _schema

TEXT = (type(""), type(u""))

CRUN = ("off", "crun switches it on only where a container asks for a kernel memory limit")
# What a commit that `docker info` and `runc --version` print says, where the version does not: read in runc's git.
COMMITS = {
    "69663f0bd": "on", "3f2f8b84a": "on", "b2567b37d": "on", "9f9c96235": "on", "4fc53a81f": "on", "51371867a": "off",
}  # fmt: skip


def numbers(version):
    """The leading numbers of an RPM version-release as two tuples: '1.2.13-3.2.el7' is ((1, 2, 13), (3, 2))."""
    parts = re.match(r"^(?:\d+:)?v?(\d+(?:\.\d+)*)(?:[^-]*)(?:-(\d+(?:\.\d+)*))?", version if isinstance(version, TEXT) else "")
    if not parts:
        return None
    return tuple(tuple(int(number) for number in part.split(".")) if part else () for part in parts.groups())


def containerd_io(version):
    """kmem of the runc inside a containerd.io package of docker.com for EL7: 'on', 'off' or 'unknown'."""
    key = numbers(version)
    # 1.2.1 and 1.2.6 alone, as `containerd --version` says them, are of packages from both sides of a change
    if key is None or key in (((1, 2, 1), ()), ((1, 2, 6), ())):
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
    match = re.search(r"(?:runc version |^)(\d+)\.(\d+)\.(\d+)(?:[-~.]rc\.?(\d+)|-\d+(?:\.\d+)*\.rc(\d+))?(-\d[\d.]*(?:el\d|\s|$)|\s|$)?", text or "")
    if not match:
        return "unknown"
    major, minor, patch = (int(part) for part in match.groups()[:3])
    candidate = match.group(4) or match.group(5)
    if (major, minor, patch) == (1, 0, 0) and candidate is None:
        # the release, as it says or as a package has it; what CentOS 7 calls 1.0.0-59.dev.git2abd837 is from long before
        return "off" if match.group(6) is not None else "unknown"
    if (major, minor, patch) > (1, 0, 0):
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
    if key[0] == (1, 21, 2) or key[0] == (1, 22, 0) and re.search("alpha|beta", version):
        return "unknown"  # the cherry-pick's first release is an inference (kubernetes PR 102196, merged after 1.21.1)
    if key[0] >= (1, 21, 3):
        return "off"
    return "on" if key[0] >= (1, 8) else "off"


def k3s(version):
    """kmem of k3s and rke2, which hold a kubelet and a runc of their own: 'on', 'off' or 'unknown'."""
    kmem = kubelet(version)
    # runc rc94 came to 1.18 to 1.20 in May 2021; of their kubelet nothing is known
    key = numbers(version)
    if key and len(key[0]) > 1 and key[0] < (1, 8):
        return "on"  # v0.1 to v1.0.1 are numbers of k3s' own: Kubernetes 1.13 to 1.16
    first = {(1, 18): 19, (1, 19): 11, (1, 20): 7, (1, 21): 1}
    if kmem == "on" and len(key[0]) > 2 and key[0][2] >= first.get(key[0][:2], 1 << 30):
        return "unknown"
    return kmem


def docker(version):
    """kmem of a Docker that carries its own runc, up to 18.06: 'on', 'off', 'unknown'; None where containerd.io has it."""
    key = numbers(version)
    if key is None or len(key[0]) < 2:
        return "unknown"
    if key[0] >= (18, 9):
        return None
    if key[0] >= (17, 6):
        return "on"
    # runc rc2 was on; 1.12.2 was seen to be (moby issue 27576), what fixed it in which release was not looked up
    return "unknown" if (1, 12, 2) <= key[0] < (1, 13) else "off"


def centos_docker(version):
    """kmem of the package docker of CentOS and RHEL, whose runc is a fork."""
    key = numbers(version)
    return "on" if key is not None and (1, 13, 1) <= key[0] < (2,) else "unknown"


def slurm(config, version):
    """(kmem, why) of Slurm by its cgroup.conf (None: not read) and version."""
    wanted = {}
    for line in (config or "").split("\n"):
        name, equals, value = line.partition("#")[0].partition("=")
        if equals:
            wanted[name.strip().lower()] = value.strip().lower()
    if wanted.get("constrainkmemspace") == "yes":
        return "on", "cgroup.conf has ConstrainKmemSpace=yes"
    if wanted.get("constrainkmemspace") == "no":
        return "off", "cgroup.conf has ConstrainKmemSpace=no"
    if config is not None and wanted.get("constrainramspace", "no") != "yes":
        return "off", "cgroup.conf does not have ConstrainRAMSpace=yes, without which it sets no kernel limit"
    key = numbers(version)
    if config is not None and key is not None and key[0] >= (18, 8):
        return "off", "cgroup.conf does not set ConstrainKmemSpace, and since 18.08 the default is no"
    return "unknown", "whether ConstrainKmemSpace is set in cgroup.conf was not read, or its default is not known (SchedMD bug 5082)"


def binary(found, is_runc=True):
    """(kmem, why) of one binary as captured: {'version': text, 'strings': [markers that are in the file]}.

    What runc's versions and commits mean is asked for a runc alone; a bare number can be that of any program.
    """
    strings = found.get("strings") if isinstance(found.get("strings"), list) else []
    for marker, kmem, why in _schema.MARKERS:
        if any(marker in text for text in strings if isinstance(text, TEXT)):
            return kmem, 'the file contains "%s": %s' % (marker, why)
    text = found.get("version") if isinstance(found.get("version"), TEXT) else ""
    first = text.split("\n")[0].strip()
    if first.startswith("crun version"):
        return CRUN
    kmem = "unknown"
    if is_runc:
        # Docker 1.13 says 1.0.0-rc2 of a commit that is later and off
        for commit in sorted(COMMITS):
            if commit in text:
                return COMMITS[commit], "commit %s in runc's history" % commit
        kmem = runc_version(first)
    if kmem == "unknown":
        return kmem, "%s: the version does not tell how it was built" % (first or "no version could be read")
    return kmem, first
