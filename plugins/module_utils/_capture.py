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
import os
import re
import time

from ansible_collections.el7ops.kmem.plugins.module_utils import _host, _kmem, _runc

# ids end at 65,535, so a longer list of live groups is not one of memory cgroups
GROUP_LIMIT = 70000
WALK_SECONDS = 5
SAMPLES = 20
CHILDREN = 200
LOG_LINES = 5000
KEPT_LINES = 200
BINARY_LIMIT = 64 * 1024 * 1024
BINARY_PLACES = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/libexec/docker", "/opt/bin")
CONTAINER = re.compile(r"(?:^|[/-])([0-9a-f]{64})(?:\.scope)?$")
CONFIG = re.compile(r"^.*(?:_MEMCG|CONFIG_SLUB=).*\n", re.M)
SECRET = re.compile(r"((?:pass(?:word|wd|phrase)?|secret|token)[\w.-]*=)\S+", re.I)


def collect(emit, root="/", probe=False):
    """Read the host part by part and hand over each as emit(key, value) at once; the cheap and telling ones first."""
    # the commands run while the files are read: on a host of two cores that halves the time
    journal, packages, versions = start_journal(), start_rpm(), start_versions(root)
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
    emit("docker", docker(root, groups))
    emit("binaries", binaries(root, processes, versions))
    packages = installed(packages)
    if packages is not None:
        emit("packages", packages)
    lines = logs(root, journal)
    if lines is not None:
        emit("logs", lines)


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
        ("/proc/cmdline", lambda text: SECRET.sub(r"\1(hidden)", text)),
        ("/proc/cgroups", None),
        # other lines can hold the user names and servers of network mounts
        ("/proc/mounts", lambda text: lines_with(text, lambda line: line.split(" ")[2:3] in (["cgroup"], ["cgroup2"]))),
        ("/proc/meminfo", lambda text: lines_with(text, lambda line: line.startswith(("MemTotal", "MemFree", "Slab", "SReclaim", "SUnreclaim")))),
        ("/etc/os-release", None),
        ("/boot/config-%s" % release, lambda text: "".join(CONFIG.findall(text))),
        ("/sys/fs/cgroup/memory/memory.kmem.slabinfo", None),
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
    arguments = ""
    if pid and pid.strip().isdigit():
        arguments = (_host.probe_text(at(root, "/proc/%s/cmdline" % pid.strip()))[0] or "").replace("\0", " ")
    told = " ".join(settings.get("exec-opts") or []) + " " + arguments
    driver = re.search(r"native\.cgroupdriver=(\w+)", told)
    runtime = settings.get("default-runtime") or (re.search(r"--default-runtime[= ](\S+)", arguments) or [None, "runc"])[1]
    facts = {"cgroup_driver": driver.group(1) if driver else "cgroupfs", "default_runtime": runtime}
    if any(re.search(r"docker-[0-9a-f]{64}\.scope$", group) for group in groups):
        facts["cgroup_driver"] = "systemd"
    elif any(re.search(r"(^|/)docker/[0-9a-f]{64}$", group) for group in groups):
        facts["cgroup_driver"] = "cgroupfs"
    return facts


def start_journal():
    """journalctl of the kernel and the units that create memory cgroups, since the boot."""
    # systemd 219 has no --grep, so the newest lines of the units that create cgroups are read and sifted here
    argv = ["journalctl", "--boot", "--quiet", "--no-pager", "--output=short-iso", "--lines=%d" % LOG_LINES, "_TRANSPORT=kernel"]
    for unit in ("docker", "containerd", "kubelet", "crio", "gitlab-runner"):
        argv += ["+", "_SYSTEMD_UNIT=%s.service" % unit]
    return _host.start(argv)


def logs(root, journal):
    """The telling log lines since the boot, newest last, at most KEPT_LINES; None where no log could be read."""
    result = _host.finish(journal, 6)
    text = result["out"]
    if result["rc"] != 0 and not text:
        text = messages_since_boot(root)
        if text is None:
            return None
    hits = [SECRET.sub(r"\1(hidden)", line)[:600] for line in text.split("\n") if _kmem.telling(line)]
    return hits[-KEPT_LINES:]


def messages_since_boot(root):
    """The end of /var/log/messages from this boot on, or None. Its times have no year: the newest fitting is taken."""
    path = at(root, "/var/log/messages")
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as stream:
            stream.seek(max(0, size - (4 << 20)))
            text = _host.decode(stream.read(4 << 20))
        uptime = float(_host.read_bytes(at(root, "/proc/uptime")).split()[0])
    except (IOError, OSError, ValueError):
        return None
    now = time.time()
    kept = []
    for line in text.split("\n"):
        stamp = line[:15]
        for year in (time.localtime(now).tm_year, time.localtime(now).tm_year - 1):
            try:
                then = time.mktime(time.strptime("%d %s" % (year, stamp), "%Y %b %d %H:%M:%S"))
            except ValueError:
                break
            if then <= now + 60:
                if then >= now - uptime - 60:
                    kept.append(line)
                break
    return "\n".join(kept)


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


def runc_binaries(root, places):
    """[(path, real path)] of every runc in these directories, each file once."""
    found, seen = [], set()
    for place in places:
        for name in _runc.RUNC_NAMES:
            path = os.path.join(place, name)
            real = os.path.realpath(at(root, path))
            if real not in seen and os.path.isfile(real):
                seen.add(real)
                found.append((path, real))
    return found


def start_versions(root):
    """{real path: started command} that asks each runc in the usual places for its version."""
    return dict((real, _host.start([real, "--version"])) for dummy, real in runc_binaries(root, BINARY_PLACES))


def binaries(root, processes, versions):
    """{path: {version, strings}} of every runc: the places where packages put it, and beside running programs."""
    beside = [os.path.dirname(program) for program in processes.values() if program.startswith("/")]
    found = {}
    for path, real in runc_binaries(root, list(BINARY_PLACES) + beside):
        found[path] = {"strings": strings_in(real)}
        found[path]["version"] = _host.finish(versions.get(real) or _host.start([real, "--version"]), 2)["out"][:300]
    return found


def strings_in(path):
    """Those of the known markers that are in a file, of which at most BINARY_LIMIT bytes are read."""
    markers = [marker[0] for marker in _runc.MARKERS]
    found, tail, left = [], b"", BINARY_LIMIT
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
