# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that kmem_facts asks a host with. They take longer than all that it reads itself, so they are started first."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

from ansible_collections.el7ops.kmem.plugins.module_utils import _host

UNITS = ("docker", "containerd", "kubelet", "crio", "gitlab-runner", "k3s", "k3s-agent", "rke2-server", "rke2-agent", "slurmd")

# Packages asked of rpm. Those without a table below are reported as unknown, never as harmless.
PACKAGES = (
    "containerd.io", "docker-ce", "docker-ee", "docker", "docker-engine", "docker-latest", "runc", "containerd", "kubelet", "podman", "crun",
    "cri-o", "nvidia-container-runtime", "slurm-slurmd", "slurm", "k3s", "rke2", "rke2-server", "rke2-agent", "lxc",
    "atomic-openshift-node", "origin-node",
)  # fmt: skip


# one of them is on each EL7 host, in a container, too: an rpm database that has neither was not read
WITNESSES = ("glibc", "kernel")


def start():
    """(journalctl, rpm) as _host.finish() takes them; rpm takes longer."""
    packages = start_rpm()
    return start_journalctl(), packages


def start_journalctl():
    """journalctl of the units that create memory cgroups and of the kernel's warnings, since the boot, the newest line first."""
    # systemd 219 has no --grep, so _logs sifts, and reads no further than its limit. With --lines all the entries would be gone
    # through backwards before the first line came, and then forwards; 219 does that even beside --reverse. All that counts
    # the kernel says as a warning (4) or worse (KERN_WARNING and KERN_ERR in mm/slub.c and mm/slab_common.c of 3.10); the rest of
    # what it says at a boot would take as long as all else.
    argv = ["journalctl", "--boot", "--quiet", "--no-pager", "--output=short-iso", "--reverse", "_TRANSPORT=kernel"]
    argv += ["PRIORITY=%d" % number for number in range(5)]
    for unit in UNITS:
        argv += ["+", "_SYSTEMD_UNIT=%s.service" % unit]
    return _host.start(argv)


def start_rpm():
    """rpm, asked for the packages that matter; to check the signature of each again takes a fifth of its time."""
    argv = ["rpm", "--query", "--nosignature", "--nodigest", "--queryformat", "%{NAME} %{VERSION}-%{RELEASE}\n"]
    return _host.start(argv + list(WITNESSES + PACKAGES))
