# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reading half of kmem_facts: one capture document of a host (schema 1), by reads that are safe on a sick host.

Never read, because each can stall a host with many leaked groups: /proc/slabinfo, memory.stat of root or parents,
every memory.kmem.slabinfo there is, `docker stats`. Nothing is created, unless the caller asks for the probe.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import errno
import glob
import os
import re
import time

from ansible_collections.el7ops.kmem.plugins.module_utils import _host, _kmem, _logs, _runc

# ids end at 65,535, so a longer list of live groups is not one of memory cgroups
GROUP_LIMIT = 70000
WALK_SECONDS = 5
SAMPLES = 20
CHILDREN = 200
BINARY_LIMIT = 64 * 1024 * 1024
KUBELET_LIMIT = 192 * 1024 * 1024
BINARY_PLACES = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/libexec/docker", "/opt/bin")
SAMPLES_FILE = "/var/lib/el7ops-kmem/samples.json"
CONTAINER = re.compile(r"(?:^|[/-])([0-9a-f]{64})(?:\.scope)?$")
# programs that bring their own libcontainer along, and are asked for their version
OWN = ("kubelet", "hyperkube", "k3s", "rke2")


def collect(emit, root="/", probe=False):
    """Read the host part by part and hand over each as emit(key, value) at once; the cheap and telling ones first."""
    # the commands run while the files are read: on a host of two cores that halves the time
    journal, packages = _logs.start(), start_rpm()
    emit("schema", _kmem.SCHEMA)
    emit("taken_at", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    uname = os.uname()
    emit("hostname", uname[1])
    emit("uname", {"release": uname[2], "machine": uname[4]})
    emit("euid", os.geteuid())
    emit("container", container(root))
    files, errors = read_files(root, uname[2])
    emit("files", files)
    uptime, dummy = _host.probe_text(at(root, "/proc/uptime"))
    if uptime:
        emit("uptime_s", int(float(uptime.split()[0])))
    # the names before the directories: a group removed in between did leak, one created in between is not listed
    slab = slab_names(at(root, "/sys/kernel/slab"))
    if slab is not None:
        emit("slab", slab)
    mount = _kmem.memory_mount(files.get("/proc/mounts"))[1]
    groups = []
    if mount and _kmem.memory_mount(files.get("/proc/mounts"))[0] == 1:
        groups, capped = _host.directories_below(at(root, mount), GROUP_LIMIT, time.time() + WALK_SECONDS)
        emit("memory_cgroups", {"live": len(groups) + 1, "capped": capped, "names": [os.path.basename(group) for group in groups]})
        slabinfo, usage = sample(at(root, mount), groups)
        emit("slabinfo", slabinfo)
        emit("kmem_usage", usage)
        if probe:
            emit("probe", {"errno": try_mkdir(at(root, mount))})
    emit("errors", errors)
    processes = running(at(root, "/proc"))
    emit("processes", processes)
    engine = docker(root, groups)
    emit("docker", engine)
    emit("units", units(root))
    packages = installed(packages)
    if packages is not None:
        emit("packages", packages)
    emit("binaries", binaries(root, processes, packages, engine))
    samples = kept_samples(root)
    if samples:
        emit("samples", samples)
    lines = _logs.telling(root, journal)
    if lines is not None:
        emit("logs", lines)


def quick(emit, root="/"):
    """The part that a forecast needs, and no command is started for it: what role monitor reads every half hour."""
    emit("schema", _kmem.SCHEMA)
    emit("taken_at", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    emit("uname", {"release": os.uname()[2], "machine": os.uname()[4]})
    uptime, dummy = _host.probe_text(at(root, "/proc/uptime"))
    if uptime:
        emit("uptime_s", int(float(uptime.split()[0])))
    files = {}
    for path in ("/proc/cgroups", "/proc/mounts", "/proc/cmdline"):
        files[path] = _host.probe_text(at(root, path))[0]
    emit("files", files)
    slab = slab_names(at(root, "/sys/kernel/slab"))
    if slab is not None:
        emit("slab", slab)
    version, mount = _kmem.memory_mount(files["/proc/mounts"])
    if version == 1:
        groups, capped = _host.directories_below(at(root, mount), GROUP_LIMIT, time.time() + WALK_SECONDS)
        emit("memory_cgroups", {"live": len(groups) + 1, "capped": capped, "names": [os.path.basename(group) for group in groups]})


def at(root, path):
    """A path of the host below another root, for tests and mounted images."""
    return os.path.join(root, path.lstrip("/"))


def container(root):
    """Name of the container technology this runs in, or an empty string."""
    text, dummy = _host.probe_text(at(root, "/run/systemd/container"))
    if text:
        return text.strip()
    text, dummy = _host.probe_text(at(root, "/proc/1/environ"))
    for entry in (text or "").split("\0"):
        if entry.startswith("container="):
            return entry[len("container=") :]
    for path, name in (("/.dockerenv", "docker"), ("/run/.containerenv", "podman")):
        if os.path.exists(at(root, path)):
            return name
    return ""


def read_files(root, release):
    """({path: text}, {path: errno}) of the small files that a verdict needs, cut down to the lines that count."""
    wanted = (
        ("/proc/cmdline", lambda text: _logs.SECRET.sub(r"\1(hidden)", text)),
        ("/proc/cgroups", None),
        # other lines can hold the user names and servers of network mounts
        ("/proc/mounts", lambda text: lines_with(text, lambda line: line.split(" ")[2:3] in (["cgroup"], ["cgroup2"]))),
        ("/proc/meminfo", lambda text: lines_with(text, lambda line: line.startswith(("MemTotal", "MemFree", "Slab", "SReclaim", "SUnreclaim")))),
        ("/etc/os-release", None),
        ("/boot/config-%s" % release, lambda text: lines_with(text, lambda line: "_MEMCG" in line or "CONFIG_SLUB=" in line)),
        ("/sys/fs/cgroup/memory/memory.kmem.slabinfo", None),
        # what is not of the kernel's own tree: its letters are in parentheses
        ("/proc/modules", lambda text: lines_with(text, lambda line: "(" in line)),
        ("/etc/slurm/cgroup.conf", lambda text: lines_with(text, lambda line: "constrain" in line.lower())),
        ("/etc/cgconfig.conf", lambda text: lines_with(text, lambda line: "kmem" in line)),
    )
    files, errors = {}, {}
    for path, keep in wanted:
        text, number = _host.probe_text(at(root, path), limit=1 << 20)
        if number:
            errors[path] = number
        else:
            files[path] = keep(text) if keep else text
    return files, errors


def lines_with(text, wanted):
    """The lines of a text for which wanted(line) is true."""
    return "".join(line + "\n" for line in text.split("\n") if line and wanted(line))


def slab_names(path):
    """{entries, per_cgroup, per_cgroup_entries, capped} of /sys/kernel/slab, one name for each owner; None if unread.

    Only the listing is read, no entry is opened: 65,757 names take seconds even under emulation.
    """
    try:
        names = os.listdir(path)
    except OSError:
        return None
    owners, count = {}, 0
    for name in names:
        if name[-1:] == ")":
            count += 1
            owners.setdefault(name[name.find("(") :], name)
    return {"entries": len(names), "per_cgroup": sorted(owners.values()), "per_cgroup_entries": count, "capped": False}


def sample(mount, groups):
    """(slabinfo, kmem usage) of a few groups: containers first, those with a memory limit before others.

    At most SAMPLES reads of memory.kmem.slabinfo, each of which takes a mutex of the slab allocator, and only the
    head of it. Usage is read of the parents of containers and all their children, where there are not too many.
    """
    containers, others = [], []
    for group in groups:
        (containers if CONTAINER.search(group) else others).append(group)
    limits = {}
    for group in containers[:CHILDREN]:
        limits[group] = whole_number(os.path.join(mount, group, "memory.limit_in_bytes"))
    containers.sort(key=lambda group: (limits.get(group) or _kmem.UNLIMITED) >= _kmem.UNLIMITED)
    # of the rest, those that hold containers or pods: accounting is inherited from them
    others.sort(key=lambda group: (not re.search(r"docker|kubepods|containerd|crio|libpod|lxc|machine", group), group.count("/")))
    slabinfo = {}
    for group in (containers[: SAMPLES - 4] + others)[:SAMPLES]:
        text, number = _host.probe_text(os.path.join(mount, group, "memory.kmem.slabinfo"), 200)
        slabinfo["/" + group] = {"errno": number, "head": (text or "").partition("\n")[0]}
        limit = limits[group] if group in limits else whole_number(os.path.join(mount, group, "memory.limit_in_bytes"))
        if limit is not None:
            slabinfo["/" + group]["limit"] = limit
    usage = {}
    for parent in sorted(set(os.path.dirname(group) for group in containers if os.path.dirname(group)))[:8]:
        members = [group for group in groups if os.path.dirname(group) == parent]
        if len(members) <= CHILDREN:
            for group in [parent] + members:
                value = whole_number(os.path.join(mount, group, "memory.kmem.usage_in_bytes"))
                if value is not None:
                    usage["/" + group] = value
    return slabinfo, usage


def whole_number(path):
    """The number in a file of one number, or None."""
    text, dummy = _host.probe_text(path, 64)
    return int(text) if text and text.strip().isdigit() else None


def try_mkdir(mount):
    """errno of creating one memory cgroup, 0 where it works. It never had kmem accounting, so it cannot leak."""
    path = os.path.join(mount, "el7ops-kmem-probe-%d" % os.getpid())
    try:
        os.mkdir(path)
    except OSError as error:
        return error.errno
    os.rmdir(path)
    return 0


def running(proc):
    """{comm: path of its program} of running programs that can create memory cgroups."""
    found = {}
    for pid in os.listdir(proc):
        if not pid.isdigit():
            continue
        comm = (_host.probe_text(os.path.join(proc, pid, "comm"), 64)[0] or "").strip()
        if comm in _runc.PROCESSES and comm not in found:
            try:
                found[comm] = os.readlink(os.path.join(proc, pid, "exe"))
            except OSError:
                found[comm] = "path not readable"
    return found


def docker(root, groups):
    """{cgroup_driver, default_runtime} of Docker, from its live groups, else its configuration; {} without Docker.

    The daemon is not asked: on a sick host it may not answer.
    """
    import json

    text, dummy = _host.probe_text(at(root, "/etc/docker/daemon.json"))
    pid, dummy = _host.probe_text(at(root, "/var/run/docker.pid"), 16)
    if text is None and pid is None:
        return {}
    try:
        settings = json.loads(text or "{}")
    except ValueError:
        settings = {}
    settings = settings if isinstance(settings, dict) else {}
    arguments = ""
    if pid and pid.strip().isdigit():
        arguments = (_host.probe_text(at(root, "/proc/%s/cmdline" % pid.strip()))[0] or "").replace("\0", " ")
    told = "%s %s" % (settings.get("exec-opts"), arguments)
    driver = re.search(r"native\.cgroupdriver=(\w+)", told)
    flag = re.search(r"--default-runtime[= ](\S+)", arguments)
    runtimes = settings.get("runtimes") if isinstance(settings.get("runtimes"), dict) else {}
    facts = {
        "cgroup_driver": driver.group(1) if driver else "cgroupfs",
        "default_runtime": settings.get("default-runtime") or (flag.group(1) if flag else "runc"),
        "runtimes": dict((name, one.get("path")) for name, one in runtimes.items() if isinstance(one, dict)),
        "live_restore": bool(settings.get("live-restore")) or "--live-restore" in arguments,
    }
    if any(re.search(r"docker-[0-9a-f]{64}\.scope$", group) for group in groups):
        facts["cgroup_driver"] = "systemd"
    elif any(re.search(r"(^|/)docker/[0-9a-f]{64}$", group) for group in groups):
        facts["cgroup_driver"] = "cgroupfs"
    return facts


def units(root):
    """Names of the services that run, from systemd's own groups."""
    try:
        names = os.listdir(at(root, "/sys/fs/cgroup/systemd/system.slice"))
    except OSError:
        return None
    return sorted(name for name in names if name.endswith(".service"))[:500]


def kept_samples(root):
    """The ring of samples that role monitor keeps, or None."""
    import json

    text, dummy = _host.probe_text(at(root, SAMPLES_FILE), 1 << 20)
    try:
        samples = json.loads(text or "[]")
    except ValueError:
        return None
    return samples[-500:] if isinstance(samples, list) else None


def start_rpm():
    """rpm, asked for the packages that matter."""
    return _host.start(["rpm", "--query", "--queryformat", "%{NAME} %{VERSION}-%{RELEASE}\n"] + list(_runc.PACKAGES))


def installed(asked):
    """{package: version-release} of those that are installed; None where rpm gives no answer."""
    result = _host.finish(asked, 5)
    # its return code counts the packages that are not installed
    if result["rc"] is None or result["rc"] > len(_runc.PACKAGES):
        return None
    return dict(line.split(" ") for line in result["out"].split("\n") if re.match(r"^\S+ \d\S*$", line))


def runtimes(root, places, names=_runc.RUNC_NAMES):
    """[(path, real path)] of every program of these names in these directories, each file once."""
    found, seen = [], set()
    for place in places:
        for name in names:
            path = os.path.join(place, name)
            real = os.path.realpath(at(root, path))
            if real not in seen and os.path.isfile(real):
                seen.add(real)
                found.append((path, real))
    return found


def binaries(root, processes, packages, engine):
    """{path: {version, strings}} of every runc: where packages put it, beside running programs, and in k3s' and rke2's own folder."""
    beside = [os.path.dirname(program) for program in processes.values() if program.startswith("/")]
    bundled = [path[len(root.rstrip("/")):] for path in glob.glob(at(root, "/var/lib/rancher/*/data/current/bin"))]
    found = {}
    for path, real in runtimes(root, list(BINARY_PLACES) + beside + bundled):
        found[path] = look_at(real)
    for path, real in runtimes(root, list(BINARY_PLACES) + beside, OWN):
        # a table of releases decides about these, and rpm knows the release of what it installed
        found[path] = look_at(real, KUBELET_LIMIT, ask=os.path.basename(path) not in (packages or {}))
    # Docker's runtimes under other names and in other places
    for path in (engine.get("runtimes") or {}).values():
        real = os.path.realpath(at(root, path)) if isinstance(path, type(u"")) and path.startswith("/") else ""
        if path not in found and os.path.isfile(real):
            found[path] = look_at(real)
    return found


def look_at(real, limit=None, ask=True):
    """What one program tells about itself: its strings, and its version only where they do not decide.

    A program is not started for what is known already: on a failing host each start can hang.
    """
    strings = strings_in(real, limit or BINARY_LIMIT)
    ask = ask and (limit is not None or not strings)
    return {"strings": strings, "version": _host.run([real, "--version"], 2)["out"][:300] if ask else ""}


def strings_in(path, limit=BINARY_LIMIT):
    """Those of the known markers that are in a file, of which at most C(limit) bytes are read."""
    markers = [marker[0] for marker in _runc.MARKERS]
    found, tail, left = [], b"", limit
    try:
        with open(path, "rb") as stream:
            while left > 0:
                block = stream.read(min(left, 1 << 20))
                if not block:
                    break
                left -= len(block)
                data = tail + block
                found += [marker for marker in markers if marker not in found and marker.encode("ascii") in data]
                if len(found) and found[0] == markers[0]:
                    break
                tail = data[-200:]
    except (IOError, OSError) as error:
        if error.errno not in (errno.EACCES, errno.ENOENT):
            raise
    return found
