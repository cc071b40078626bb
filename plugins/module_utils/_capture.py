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
import struct
import time

from ansible_collections.el7ops.kmem.plugins.module_utils import _commands, _host, _logs, _schema

# ids end at 65,535, so a longer list of live groups is not one of memory cgroups
GROUP_LIMIT = 70000
WALK_SECONDS = 5
SAMPLES = 20
CHILDREN = 200
BINARY_LIMIT = 64 * 1024 * 1024
KUBELET_LIMIT = 192 * 1024 * 1024
BINARY_PLACES = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/libexec/docker", "/opt/bin", "/opt/kube/bin")
SAMPLES_FILE = "/var/lib/el7ops-kmem/samples.json"
NESTED = 8  # engines in containers whose runc is looked at
CONTAINER = re.compile(r"(?:^|[/-])([0-9a-f]{64})(?:\.scope)?$")
# programs that bring their own libcontainer along, and are asked for their version
OWN = ("kubelet", "hyperkube", "k3s", "rke2")


def collect(emit, root="/", probe=False, started=None):
    """Read the host part by part and hand over each as emit(key, value) at once; the cheap and telling ones first.

    C(started) is what _commands.start() gave: the commands run while the files are read.
    """
    journal, packages = started or _commands.start()
    emit("schema", _schema.SCHEMA)
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
    version, mount = _schema.memory_mount(files.get("/proc/mounts"))
    groups = []
    # something else can be mounted over it, and would read as a host without groups
    if version == 1 and os.path.exists(at(root, mount + "/cgroup.procs")):
        groups, capped = _host.directories_below(_host.native(at(root, mount)), GROUP_LIMIT, time.time() + WALK_SECONDS)
        emit("memory_cgroups", {"live": len(groups) + 1, "capped": capped, "names": base_names(groups)})
        slabinfo, usage = sample(_host.native(at(root, mount)), groups)
        emit("slabinfo", slabinfo)
        emit("kmem_usage", usage)
        if probe:
            emit("probe", {"errno": try_mkdir(at(root, mount))})
    emit("errors", errors)
    processes, nested = running(at(root, "/proc"))
    emit("processes", processes)
    emit("nested", nested)
    engine = docker(root, groups)
    emit("docker", engine)
    emit("units", units(root))
    programs = binaries(root, processes, nested, engine)
    # journalctl answers before rpm does
    lines = _logs.telling(root, journal)
    if lines is not None:
        emit("logs", lines)
    packages = installed(packages)
    if packages is not None:
        emit("packages", packages)
    ask_versions(root, programs, packages or {})
    emit("binaries", programs)
    samples = kept_samples(root)
    if samples:
        emit("samples", samples)


def quick(emit, root="/"):
    """The part that a forecast needs, and no command is started for it: what role monitor reads every half hour."""
    emit("schema", _schema.SCHEMA)
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
    version, mount = _schema.memory_mount(files["/proc/mounts"])
    if version == 1 and os.path.exists(at(root, mount + "/cgroup.procs")):
        groups, capped = _host.directories_below(_host.native(at(root, mount)), GROUP_LIMIT, time.time() + WALK_SECONDS)
        emit("memory_cgroups", {"live": len(groups) + 1, "capped": capped, "names": base_names(groups)})


def base_names(groups):
    """The last parts of their paths, as text where they are not plain ASCII."""
    names = [os.path.basename(group) for group in groups]
    try:
        "".join(names).encode("ascii")
    except UnicodeError:
        names = [name if isinstance(name, type(u"")) else _host.decode(name) for name in names]
    return names


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
        # of 6,000 lines, a look at each takes as long as all other files
        ("/boot/config-%s" % release, lambda text: "".join(line + "\n" for line in _schema.candidates(text, ("_MEMCG", "CONFIG_SLUB=")))),
        ("/sys/fs/cgroup/memory/memory.kmem.slabinfo", None),
        # what is not of the kernel's own tree: its letters are in parentheses
        ("/proc/modules", lambda text: lines_with(text, lambda line: "(" in line)),
        ("/etc/slurm/cgroup.conf", lambda text: lines_with(text, lambda line: "constrain" in line.lower())),
    )
    rules = ["/etc/cgconfig.conf"] + ["/etc/cgconfig.d/" + os.path.basename(path) for path in sorted(glob.glob(at(root, "/etc/cgconfig.d/*.conf")))]
    wanted += tuple((path, lambda text: lines_with(text, lambda line: "kmem" in line)) for path in rules)
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
    containers.sort(key=lambda group: (limits.get(group) or _schema.UNLIMITED) >= _schema.UNLIMITED)
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
    """({comm: path of its program} of running programs that can create memory cgroups, {path: comm} of those in containers).

    An engine in a container (Docker in Docker) has a runc of its own, and its groups are in the host's hierarchy, too. The path
    leads through /proc/PID/root.
    """
    found, nested, roots = {}, {}, set()
    for pid in sorted(os.listdir(proc)):
        if not pid.isdigit():
            continue
        comm = (_host.probe_text(os.path.join(proc, pid, "comm"), 64)[0] or "").strip()
        if comm in _schema.PROCESSES:
            try:
                program = os.readlink(os.path.join(proc, pid, "exe"))
            except OSError:
                program = "path not readable"
            inside = identity(os.path.join(proc, pid, "root")) if comm in _schema.ENGINES else None
            if inside is None or inside == identity(os.path.join(proc, "1", "root")):
                found.setdefault(comm, program)
            elif inside not in roots:
                # one program of each container will do
                roots.add(inside)
                nested["/proc/%s/root%s" % (pid, program)] = comm
    return found, nested


def identity(path):
    """What tells one directory from another, None where that cannot be said: services of a host differ in namespaces, not in their root."""
    try:
        there = os.stat(path)
    except OSError:
        return None
    return there.st_dev, there.st_ino


def docker(root, groups):
    """{cgroup_driver, default_runtime} of Docker, from its live groups, else its configuration; {} without Docker.

    The daemon is not asked: on a sick host it may not answer.
    """
    import json

    text, number = _host.probe_text(at(root, "/etc/docker/daemon.json"))
    pid, dummy = _host.probe_text(at(root, "/var/run/docker.pid"), 16)
    if text is None and pid is None:
        return {}
    try:
        settings = json.loads((text or "").strip() or "{}")
    except ValueError:
        settings = None
    # an empty file is none to Docker
    damaged = not isinstance(settings, dict) or number not in (0, errno.ENOENT)
    settings = settings if isinstance(settings, dict) else {}
    arguments = ""
    if pid and pid.strip().isdigit():
        arguments = (_host.probe_text(at(root, "/proc/%s/cmdline" % pid.strip()))[0] or "").replace("\0", " ")
    told = "%s %s" % (settings.get("exec-opts"), arguments)
    driver = re.search(r"native\.cgroupdriver=(\w+)", told)
    flag = re.search(r"--default-runtime[= ](\S+)", arguments)
    named = settings.get("runtimes") if isinstance(settings.get("runtimes"), dict) else {}
    named = dict((name, one.get("path")) for name, one in named.items() if isinstance(one, dict))
    named.update(re.findall(r"--add-runtime[= ]([^\s=]+)=(\S+)", arguments))
    facts = {
        "cgroup_driver": driver.group(1) if driver else "cgroupfs",
        "default_runtime": settings.get("default-runtime") or (flag.group(1) if flag else "runc"),
        "runtimes": dict((name, in_path(root, path)) for name, path in named.items()),
        "damaged": damaged,
        "live_restore": bool(settings.get("live-restore")) or "--live-restore" in arguments,
    }
    if any(re.search(r"docker-[0-9a-f]{64}\.scope$", group) for group in groups):
        facts["cgroup_driver"] = "systemd"
    elif any(re.search(r"(^|/)docker/[0-9a-f]{64}$", group) for group in groups):
        facts["cgroup_driver"] = "cgroupfs"
    return facts


def in_path(root, name):
    """The path of a program of which only the name is given, as dockerd would find it; what is a path, or not found, stays as it is."""
    for place in BINARY_PLACES[3::-1] if isinstance(name, type(u"")) and "/" not in name else ():
        if os.path.isfile(at(root, os.path.join(place, name))):
            return os.path.join(place, name)
    return name


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


def installed(asked):
    """{package: version-release} of those that are installed; None where rpm gives no answer.

    Of a damaged database rpm says that a package is not installed, and that it is damaged on stderr (seen with 4.18).
    """
    result = _host.finish(asked, 5)
    # its return code counts the packages that are not installed
    if result["rc"] is None or result["rc"] > len(_commands.WITNESSES + _commands.PACKAGES):
        return None
    found = dict(line.split(" ") for line in result["out"].split("\n") if re.match(r"^\S+ \d\S*$", line))
    if not any(name in found for name in _commands.WITNESSES):
        return None
    return dict((name, found[name]) for name in found if name not in _commands.WITNESSES)


def runtimes(root, places, names=_schema.RUNC_NAMES):
    """[(path, real path)] of every program of these names in these directories, each file once."""
    found, seen = [], set()
    for place in places:
        for name in names:
            path = os.path.join(place, name)
            if os.path.isfile(at(root, path)):
                real = os.path.realpath(at(root, path))
                if real not in seen:
                    seen.add(real)
                    found.append((path, real))
    return found


def binaries(root, processes, nested, engine):
    """{path: {version, strings}} of every runc: where packages put it, beside running programs, and in k3s' and rke2's own folder."""
    beside = [os.path.dirname(program) for program in processes.values() if program.startswith("/")]
    bundled = [path[len(root.rstrip("/")):] for path in glob.glob(at(root, "/var/lib/rancher/*/data/current/bin"))]
    # Docker's runtimes can have other names and places
    named = [path for path in (engine.get("runtimes") or {}).values() if isinstance(path, type(u"")) and path.startswith("/")]
    found = {}
    for path, real in runtimes(root, list(BINARY_PLACES) + beside + bundled):
        found[path] = strings_in(real)
    for path, real in runtimes(root, list(BINARY_PLACES) + beside, OWN):
        found[path] = strings_in(real, KUBELET_LIMIT)
    for program in sorted(nested)[:NESTED]:
        inside = "/".join(program.split("/")[:4])  # /proc/PID/root
        for place in set([os.path.dirname(program)] + [inside + place for place in BINARY_PLACES[:4]]):
            for path in (os.path.join(place, name) for name in _schema.RUNC_NAMES):
                # a link would lead to a file of the host
                if os.path.isfile(at(root, path)) and not os.path.islink(at(root, path)):
                    found[path] = strings_in(at(root, path))
    for path in named:
        if path not in found and os.path.isfile(at(root, path)):
            found[path] = strings_in(at(root, path))
    return dict((path, {"strings": strings, "version": ""}) for path, strings in found.items())


def ask_versions(root, programs, packages):
    """Have programs say their version where nothing else decides. On a failing host each start can hang.

    A table of releases decides about OWN, and rpm knows the release of what it installed; strings decide about a runc.
    """
    for path, told in programs.items():
        known = os.path.basename(path) in packages if os.path.basename(path) in OWN else told["strings"]
        # what is in a container is not started on the host
        if not known and not path.startswith("/proc/"):
            told["version"] = _host.run([os.path.realpath(at(root, path)), "--version"], 2)["out"][:300]


def strings_in(path, limit=BINARY_LIMIT):
    """Those of the known markers that are in a file, of which at most C(limit) bytes are read.

    A program keeps its texts in the section .rodata, a third of it or less; the rest is read where none was found there.
    """
    markers = [marker[0] for marker in _schema.MARKERS]
    try:
        with open(path, "rb") as stream:
            begin, size = rodata(stream)
            found = markers_in(stream, begin, min(size, limit), markers) if size else []
            return found or markers_in(stream, 0, limit, markers)
    except (IOError, OSError):
        return []  # a bad sector in it must not cost the rest of the capture


def rodata(stream):
    """(offset, size) of the section .rodata of a 64-bit ELF program, (0, 0) where there is none."""
    head = stream.read(64)
    if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
        return 0, 0
    offset = struct.unpack("<Q", head[40:48])[0]
    size, count, names = struct.unpack("<HHH", head[58:64])
    end = os.fstat(stream.fileno()).st_size
    if offset > end:
        return 0, 0
    stream.seek(offset)
    table = stream.read(min(size * count, 1 << 16))
    sections = [struct.unpack("<II4Q", table[start : start + 40]) for start in range(0, len(table) - 63, 64)] if size == 64 else []
    if names >= len(sections) or any(section[4] > end for section in sections):
        return 0, 0
    stream.seek(sections[names][4])
    texts = stream.read(min(sections[names][5], 1 << 16))
    for section in sections:
        if texts[section[0] :].startswith(b".rodata\0"):
            return section[4], section[5]
    return 0, 0


def markers_in(stream, begin, left, markers):
    """The markers between two places of a file, in their order; the first of them ends the search."""
    found, tail = set(), b""
    stream.seek(begin)
    while left > 0:
        block = stream.read(min(left, 1 << 20))
        if not block:
            break
        left -= len(block)
        data = tail + block
        found.update(marker for marker in markers if marker not in found and marker.encode("ascii") in data)
        if markers[0] in found:
            break
        tail = data[-200:]
    return [marker for marker in markers if marker in found]
