# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What on a host can switch kmem accounting on, from the parts of a capture: a pure function.

Each finding is {name, kind, version, kmem: on|off|unknown, installed, running, idle, evidence}. Where two sources
disagree both are said; a string in the binary that runs outweighs a table, nothing outweighs an unknown.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import re

from ansible_collections.el7ops.kmem.plugins.module_utils import _runc, _schema

TEXT = _runc.TEXT
# Packages whose container runtime is another package or a binary that is looked at.
CARRIERS = ("docker-ce", "docker-ee", "docker", "docker-engine", "docker-latest", "runc", "containerd", "podman")
KINDS = {"kubelet": "kubelet", "atomic-openshift-node": "kubelet", "origin-node": "kubelet", "hyperkube": "kubelet", "slurmd": "slurm",
         "slurm-slurmd": "slurm", "slurm": "slurm", "k3s": "k3s", "k3s-server": "k3s", "k3s-agent": "k3s", "rke2": "k3s",
         "rke2-server": "k3s", "rke2-agent": "k3s", "openshift": "kubelet"}  # fmt: skip
# programs that run: the packages and binaries that explain them
EXPLAINED_BY = {
    "dockerd": ("docker-ce", "docker-ee", "docker", "docker-engine", "docker-latest", "runc"),
    "containerd": ("containerd.io", "containerd", "docker-engine", "runc"),
    "kubelet": ("kubelet",), "crio": ("cri-o",), "k3s": ("k3s",), "rke2": ("rke2", "rke2-server", "rke2-agent", "k3s"),
    "hyperkube": ("atomic-openshift-node", "origin-node"), "openshift": ("atomic-openshift-node", "origin-node"),
    "nvidia-container-runtime": ("nvidia-container-runtime", "runc"), "slurmd": ("slurm-slurmd", "slurm"), "podman": ("podman", "runc"), "lxc-start": ("lxc",),
}  # fmt: skip
OWN = ("kubelet", "hyperkube", "k3s", "rke2")
# packages that hold no runtime although they have the name of one in theirs
HARMLESS = ("docker-ce-cli", "docker-ce-rootless", "docker-ce-selinux", "docker-client", "docker-common", "docker-compose", "docker-buildx",
            "docker-scan", "docker-selinux", "docker-registry", "container-selinux", "container-storage", "containers-common", "container-exception",
            "containernetworking", "kubectl", "kubeadm", "kubernetes-cni", "kubernetes-client", "kubernetes-master", "libnvidia-container",
            "nvidia-container-toolkit", "nvidia-docker", "podman-docker", "python", "libvirt", "plexus", "docker-distribution", "skopeo", "cockpit",
            "slurm-libs", "slurm-perlapi", "slurm-contribs")  # fmt: skip
RUNTIMES = ("runc", "container", "docker", "kube", "moby", "crun", "cri-o", "podman", "lxc", "lxd", "mesos", "nomad", "garden", "guardian",
            "k3s", "k0s", "rke2", "openshift", "origin", "slurm", "rkt")  # fmt: skip
STEMS = {"dockerd-current": "dockerd", "dockerd-latest": "dockerd", "docker-containe": "containerd", "k3s-server": "k3s", "k3s-agent": "k3s",
         "docker": "dockerd", "docker-latest": "dockerd", "rke2-server": "rke2", "rke2-agent": "rke2", "cri-o": "crio",
         "atomic-openshift-node": "openshift", "origin-node": "openshift", "openshift-node": "openshift", "garden": "gdn",
         "k0sworker": "k0s", "k0scontroller": "k0s"}  # fmt: skip
# beginnings of names of groups of containers that such programs make, and names of the parents of such groups, which stay
# behind when the program is gone. No patterns: compiling some takes Python 2.7 as long as reading a log.
SIGNS = (("docker-", "dockerd"), ("kubepods-", "kubelet"), ("crio-", "crio"), ("libpod-", "podman"))
PARENTS = {"docker": "dockerd", "kubepods": "kubelet", "kubepods.slice": "kubelet", "lxc": "lxc-start", "slurm": "slurmd"}
HEX = "0123456789abcdef"
OF_ENGINES = re.compile(r"docker|kubepods|containerd|crio|libpod|machine\.slice|lxc|slurm|[0-9a-f]{64}")
CONFIGS = ("/etc/slurm/cgroup.conf", "/etc/slurm-llnl/cgroup.conf")
RULES = ("/etc/cgconfig.conf", "/etc/cgconfig.d/")


def mapping(doc, key):
    """doc[key] where it is a mapping, else None."""
    value = doc.get(key)
    return value if isinstance(value, dict) else None


def maker(base, parents):
    """The program that makes groups of this name, None where that cannot be told."""
    if parents and base in PARENTS:
        return PARENTS[base]
    for begin, stem in SIGNS:
        # 64 hex digits and more, but for kubepods-burstable and its like
        if base.startswith(begin) and (begin == "kubepods-" or len(base) >= len(begin) + 64):
            return stem
    if base[:3] == "pod" and len(base) > 12 and base[11] == "-" and not base[3:11].strip(HEX):
        return "kubelet"
    return "containerd" if len(base) == 64 and not base.strip(HEX) else None


def units(doc):
    """[(stem, state)] of services of such programs that the host has, whatever they do."""
    found = []
    for name, state in sorted((mapping(doc, "services") or {}).items()):
        stem = ("%s" % (name,)).replace(".service", "")
        if stem.startswith("snap."):
            stem = re.split("[.-]", stem)[-1]  # snap.docker.dockerd, snap.microk8s.daemon-kubelet
        stem, state = STEMS.get(stem, stem), ("%s" % (state,)).lower()
        if (stem in EXPLAINED_BY or stem in _schema.PROCESSES) and not state.startswith(("not-found", "unknown")):
            found.append((stem, state))
    return found


def runs(doc):
    """{stem: evidence} of programs that run or ran: processes, active services, groups that only they make."""
    found = {}
    for name, path in sorted((mapping(doc, "processes") or {}).items()):
        if name in _schema.PROCESSES:
            found[STEMS.get(name, name)] = "it runs (%s)" % (path,)
    for stem, state in units(doc):
        if state.startswith(("activ", "running", "reloading")):
            found.setdefault(stem, "its service is %s" % state)
    groups = mapping(doc, "memory_cgroups") or {}
    names = list(groups.get("names") if isinstance(groups.get("names"), list) else [])
    for key in ("slabinfo", "kmem_usage"):
        for path in mapping(doc, key) or {}:
            names += ("%s" % (path,)).strip("/").split("/")
    for name in names:
        stem = maker(name.rstrip("/").rpartition("/")[2], mapping(doc, "processes") is None) if isinstance(name, TEXT) else None
        if stem and stem not in found:
            found[stem] = "a memory cgroup of its is there (%s)" % name[:80]
    docker = mapping(doc, "docker") or {}
    if docker.get("server_version") and "dockerd" not in found:
        found["dockerd"] = "it answered with version %s" % (docker["server_version"],)
    return found


def enablers(doc):
    """The findings about one host, most telling first; [] means that nothing known is installed or runs."""
    running = runs(doc)
    docker = mapping(doc, "docker") or {}
    binaries, packages, files = mapping(doc, "binaries") or {}, mapping(doc, "packages") or {}, mapping(doc, "files") or {}
    found, looked_at, own = [], {}, {}
    there = dict((stem, "its service is %s" % state) for stem, state in units(doc))
    there.update(running)
    early = [name for name in ("docker-ce", "docker-ee", "docker-engine") if name in packages and _runc.docker(packages[name]) == "off"]
    for path in sorted(binaries):
        base = ("%s" % (path,)).rpartition("/")[2]
        stem = "containerd" if "shim" in base or base == "ctr" else STEMS.get(base, base)
        if not isinstance(binaries[path], dict):
            continue
        if base.startswith("nvidia-container-runtime") and ("%s" % (binaries[path].get("version"),)).startswith("NVIDIA"):
            stem = "nvidia-container-runtime"  # that of the toolkit, which runs the host's runc; version 2 was a runc and says so
        if stem in EXPLAINED_BY and base not in OWN and not binaries[path].get("strings"):
            there.setdefault(stem, "it is installed (%s)" % path)  # another program makes the groups for it
        else:
            found.append(of_binary(path, binaries[path], docker, looked_at, own, early))
    for name in sorted(packages):
        if name in KINDS or not name.startswith(HARMLESS) and any(word in name for word in RUNTIMES):
            found.append(of_package(name, packages[name], looked_at, files, own))
    programs = mapping(doc, "processes") or {}
    private = any(name in programs for name in ("dockerd-current", "dockerd-latest", "docker-containe"))
    found += of_runtimes(docker, binaries)
    for path in sorted(mapping(doc, "nested") or {}):
        if not any(one.startswith("/".join(path.split("/")[:4]) + "/") for one in looked_at):
            found.append(finding(path, None, "unknown", "it runs in a container, and no runc was found there", kind="nested"))
    of_centos = "dockerd-current" in programs or "dockerd-latest" in programs
    found += of_docker_alone(docker, packages, looked_at, of_centos)
    known = set(item["name"] for item in found) | set(item["kind"] for item in found)
    for stem in sorted(there):
        explained = [name for name in EXPLAINED_BY.get(stem, ()) if name in known and (name != "runc" or runcs(looked_at, private))]
        path = programs.get(stem) if isinstance(programs.get(stem), TEXT) else ""
        # a kubelet that is not the one of the package: that of a container, or one that an update replaced
        other = stem == "kubelet" and path.startswith("/") and path != "/usr/bin/kubelet"
        explained = path in known or explained and not other
        # a package that is there explains the program; a runc explains only those that use the host's
        if stem == "containerd" and path.startswith("/var/lib/rancher/") and "k3s" in known:
            continue  # that of k3s or rke2
        if stem == "containerd" and "a memory cgroup" in there[stem] and set(running) - set([stem]):
            continue  # a bare container id, made by another program that is listed
        if not explained:
            item = finding(path if other else stem, None, "unknown", "%s, and no package or binary of it was seen" % there[stem], kind=KINDS.get(stem))
            if stem == "slurmd":
                item["kmem"], why = _runc.slurm(slurm_config(files), None)
                item["evidence"] = "%s; %s" % (there[stem], why)
            found.append(dict(item, installed=None))
    for path, read in sorted((mapping(doc, "slabinfo") or {}).items()):
        # accounting that is on outside of containers is nobody's runc
        if accounting_on(read) and not OF_ENGINES.search("%s" % (path,)):
            found.append(finding("cgroup %s" % (path,), None, "on", "kmem accounting is on in it, and no container engine made it", kind="group"))
    for path in sorted(files):
        rules = files[path] if path.startswith(RULES) else None
        if not isinstance(rules, TEXT) or not re.search(r"^[^#\n]*memory\.kmem\.limit_in_bytes", rules, re.M):
            continue
        found.append(finding(path, None, "on", "it gives groups a kernel memory limit, which switches accounting on in them", kind="group"))
    for item in found:
        names = [stem for stem, by in EXPLAINED_BY.items() if item["name"] in by or item["kind"] in by] + [item["name"]]
        item["running"] = any(stem in running for stem in names) or item["name"] in list(programs.values())
    mark_idle(found, docker, looked_at, running)
    order = {"on": 0, "unknown": 1, "off": 2}
    return sorted(found, key=lambda item: order[item["kmem"]])


def accounting_on(read):
    """Whether what was read of a group's memory.kmem.slabinfo shows that accounting is on there: only then it has a header."""
    errno = read.get("errno") if isinstance(read, dict) else ""
    return (errno is None or errno == 0 and not isinstance(errno, bool)) and ("%s" % (read.get("head"),)).startswith("slabinfo")


def finding(name, version, kmem, why, kind=None):
    return {"name": name, "kind": kind or KINDS.get(name, "engine"), "version": version, "kmem": kmem, "installed": True, "running": False,
            "idle": False, "evidence": why}  # fmt: skip


def of_binary(path, read, docker, looked_at, own, early):
    """The finding about one binary; what it says is put into looked_at.

    early: the packages of a Docker whose runc calls the code that is looked for only where a container asks for a kernel limit
    (runc issue 1725: bisected to 17.06).
    """
    base = ("%s" % (path,)).rpartition("/")[2]
    kind = KINDS[base] if base in OWN else "nested" if path.startswith("/proc/") else "runc"
    named = docker.get("runtimes") if isinstance(docker.get("runtimes"), dict) else {}
    is_runc = kind in ("runc", "nested") and ("runc" in base or path in list(named.values()))
    kmem, why = _runc.binary(read, is_runc) if base != "crun" else _runc.CRUN
    text = read.get("version") if isinstance(read.get("version"), TEXT) else ""
    version = re.search(r"(?:version |Kubernetes |^)v?(\d\S*)", text)
    version = version.group(1) if version else None
    if kmem == "on" and early and base == "docker-runc":
        kmem, why = "off", "%s, but only where a container asks for it: %s is older than 17.06" % (why, early[0])
    if base in OWN and kmem != "off":
        # its strings tell that the code is there, not from which release on it is unused
        table = _runc.kubelet(version) if kind == "kubelet" else _runc.k3s(version)
        kmem, why = (table, "table of its releases") if table != "unknown" or kmem != "on" else (kmem, why)
    if base not in OWN and (is_runc or kmem != "unknown"):
        looked_at[path] = kmem
    elif path in ("/usr/bin/kubelet", "/usr/bin/hyperkube"):
        own[base] = kmem
    if kmem == "on" and docker.get("cgroup_driver") == "systemd" and kind == "runc":
        why += "; Docker's cgroup driver is systemd, where only containers with a kernel memory limit use it"
    return finding(path, version, kmem, why, kind=kind)


def of_package(name, version, looked_at, files, own):
    """The finding about one package; a binary that was looked at decides where the package only carries it."""
    version = version if isinstance(version, TEXT) else None
    kind = KINDS.get(name, "engine")
    if name == "containerd.io":
        kmem, why = _runc.containerd_io(version), "table of docker.com's EL7 packages"
        seen = looked_at.get("/usr/bin/runc")
        if seen in ("on", "off") and seen != kmem:
            why += " says %s, but the strings of its /usr/bin/runc decide" % kmem
            kmem = seen
        looked_at.setdefault("containerd.io", kmem)
    elif name == "kubelet":
        kmem, why = _runc.kubelet(version), "table of upstream kubelet releases; it does not use the host's runc for this"
        if own.get("kubelet") == "off" != kmem:
            why += "; it says %s, but the strings of /usr/bin/kubelet decide" % kmem
            kmem = "off"
    elif kind == "kubelet":
        # OpenShift 3.N is Kubernetes 1.N, with patches: the table's off is not taken over
        release = (_runc.numbers(version) or ((),))[0]
        kmem = _runc.kubelet("1.%d" % release[1]) if release[:1] == (3,) and len(release) > 1 else "unknown"
        kmem, why = "on" if kmem == "on" else "unknown", "table of kubelet releases: OpenShift 3.N has that of Kubernetes 1.N"
        if own.get("hyperkube") == "off":
            kmem, why = "off", why + "; but the strings of /usr/bin/hyperkube decide"
    elif kind == "k3s":
        kmem, why = _runc.k3s(version), "table of k3s and rke2 releases"
    elif kind == "slurm":
        kmem, why = _runc.slurm(slurm_config(files), version)
    elif name == "crun":
        kmem, why = _runc.CRUN
    elif name in CARRIERS:
        kmem, why = of_carrier(name, version, looked_at)
    elif name == "cri-o":
        kmem = "on" if "on" in [kmem for path, kmem in looked_at.items() if path != "containerd.io"] else "unknown"
        why = "the runtime that its crio.conf names is what counts, and that file is not read"
    elif name == "nvidia-container-runtime" and (_runc.numbers(version) or ((0,),))[0] >= (3,):
        kmem, why = of_carrier(name, version, looked_at)
    else:
        kmem, why = "unknown", "no table says how this one was built"
    return finding(name, version, kmem, why, kind=kind)


def runcs(looked_at, private):
    """What the runc binaries say that a program can use: Docker up to 18.06 and Red Hat's have one of their own, as k3s and containers do."""
    return [kmem for path, kmem in looked_at.items()
            if path != "containerd.io" and not path.startswith(("/var/lib/rancher/", "/proc/")) and ("/docker-runc" in path) == private]  # fmt: skip


def of_carrier(name, version, looked_at):
    """(kmem, why) of a package that uses the host's runc, or brings one along."""
    table = None
    if name in ("docker-ce", "docker-ee", "docker-engine"):
        table = _runc.docker(version)
    elif name in ("docker", "docker-latest"):
        table = _runc.centos_docker(version)
    seen = runcs(looked_at, table is not None)
    if "on" in seen:
        return "on", "its runc is what counts"
    if seen and "unknown" not in seen:
        return "off", "its runc is what counts"
    if name in ("docker-ce", "docker-ee", "docker-engine") and table is None and "containerd.io" in looked_at:
        return looked_at["containerd.io"], "its runc is that of containerd.io"
    if name == "runc":
        table = _runc.runc_version(version)
    if table in ("on", "off"):
        return table, "table of releases; its runc was not looked at"
    return "unknown", "its runc is what counts, and that was not told by its strings"


# what dockerd knows without a path in its configuration
BUILT_IN = ("runc", "docker-runc", "oci", "io.containerd.runc.v1", "io.containerd.runc.v2", "io.containerd.runtime.v1.linux", "None", "")


def of_runtimes(docker, binaries):
    """Runtimes that Docker's configuration names and nobody looked at."""
    named = docker.get("runtimes") if isinstance(docker.get("runtimes"), dict) else {}
    found = [finding("Docker's runtime %s" % name, None, "unknown", "its program is %s, which was not looked at" % (named[name],))
             for name in sorted(named) if named[name] not in binaries and not (name in BUILT_IN and "/" not in "%s" % (named[name],))]  # fmt: skip
    default = "%s" % (docker.get("default_runtime"),)
    if default not in BUILT_IN and default not in named:
        found.append(finding("Docker's runtime %s" % default, None, "unknown", "it is the default, and its program was not found in the configuration"))
    if docker.get("damaged") is True:
        found.append(finding("Docker's configuration", None, "unknown", "/etc/docker/daemon.json could not be read, so its runtimes are not known"))
    return found


def unread(doc):
    """Names of the parts of a capture that tell what is installed and runs, and are not in it."""
    names = [name for name in ("packages", "binaries") if not isinstance(doc.get(name), dict)]
    if mapping(doc, "processes") is None and mapping(doc, "services") is None:
        names.append("processes")
    return names


def of_docker_alone(docker, packages, looked_at, of_centos):
    """Docker of which only the answer of `docker info` is known; of_centos: it runs under the name that it has in CentOS' package."""
    version = docker.get("server_version")
    if not isinstance(version, TEXT) or any(name.startswith(("docker", "containerd")) for name in packages):
        return []
    kmem = _runc.docker(version)
    if runcs(looked_at, kmem is not None):
        return []
    commit = docker.get("runc_commit")
    for known in sorted(_runc.COMMITS):
        if isinstance(commit, TEXT) and commit.startswith(known):
            return [finding("docker", version, _runc.COMMITS[known], "its runc is commit %s" % known)]
    if (_runc.numbers(version) or ((),))[0] == (1, 13, 1):
        kmem = _runc.centos_docker(version) if of_centos else "unknown"
        return [finding("docker", version, kmem, "docker.com's 1.13.1 is off and that of CentOS is on")]
    return [finding("docker", version, kmem or "unknown", "table of Docker releases" if kmem else "its containerd.io is what counts")]


def slurm_config(files):
    """Text of Slurm's cgroup.conf, None where it was not read."""
    for path in CONFIGS:
        if isinstance(files.get(path), TEXT):
            return files[path]
    return None


def mark_idle(found, docker, looked_at, running):
    """Mark what is installed and used by nothing: Docker's default runtime is another binary, which was looked at.

    Only where Docker is the one engine there is; a runtime can still be named, and containers keep the one they were
    created with, so this is said and not hidden.
    """
    runtimes = docker.get("runtimes") if isinstance(docker.get("runtimes"), dict) else {}
    default = runtimes.get("%s" % (docker.get("default_runtime"),))
    if not isinstance(default, TEXT) or looked_at.get(default) != "off":
        return
    if set(running) - set(("dockerd", "containerd")) or any(item["kind"] not in ("runc", "engine") for item in found):
        return
    for item in found:
        if item["name"] != default and item["kmem"] == "on" and item["name"] not in ("podman", "cri-o"):
            item["idle"] = True
            item["evidence"] += "; Docker's default runtime is %s, so only containers that name or were created with another use it" % default
