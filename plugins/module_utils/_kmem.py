# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a capture of a host to a verdict about the kernel-memory leak of EL7's cgroup v1: pure functions.

What the numbers mean was seen on real 3.10.0-514.el7 and 3.10.0-1160.el7 kernels (tests/fixtures/captures):
/proc/cgroups never counts a leaked group; its caches stay in /sys/kernel/slab as NAME(ID:CGROUP). Newer kernels are
the other way round, and there leftovers are normal. So no single number decides.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import re

from ansible_collections.el7ops.kmem.plugins.module_utils import _advice, _enablers, _forecast, _schema

ID_SPACE = 65535  # MEM_CGROUP_ID_MAX, the same in 3.10 and later
EIO = 5
NO_ROOM = {12: "cannot allocate memory", 28: "no space left on device"}
NEARLY_FULL = 60000
# a group below another one that is no unit of systemd's own, where a capture does not tell its memory limit
LOOKS_LIKE_CONTAINER = re.compile(r"^/[^/]+/.*(?<!\.slice)(?<!\.service)(?<!\.mount)(?<!\.socket)$")
ORPHANED_NOISE = 1 << 20  # bytes; the parent and its children are not read at the same instant

# a healthy EL7 host has 200 to 450 entries in /sys/kernel/slab (225 on the captures); a live group adds up to 60 (kmem-facts:
# 182,210 on a host that failed)
SLAB_NORMAL, SLAB_OF_A_GROUP, SLAB_OF_NETWORKS = 1000, 60, 20000
RELEASE = re.compile(r"^(\d{1,2})\.(\d{1,3})(?:\.\d+)*(?:[-.+~_][\w.+~-]*)?$")


def part(mapping, key, kind):
    """mapping[key] where it has the expected type, else None: a damaged capture must not become a verdict."""
    value = mapping.get(key) if isinstance(mapping, dict) else None
    if isinstance(value, bool) and kind is not bool:
        return None
    return value if isinstance(value, kind) else None


def text_of(doc, path):
    """Text of a captured file, or None where it was not read."""
    value = part(doc, "files", dict) or {}
    value = value.get(path)
    return value if isinstance(value, type("")) or isinstance(value, type(u"")) else None


def kernel_facts(release):
    """{release, line, build, nokmem_support} of a kernel release string, as uname -r prints it.

    line: el7 (3.10.0-BUILD.el7...), older (another kernel below 4.0), newer (4.0 and later), unknown.
    build: list of numbers after 3.10.0-, or None. nokmem_support: honoured | ignored | unknown; the argument came
    with BZ 1507149 (RHSA-2019:3055: 3.10.0-1062.4.1); 514 was seen to ignore it silently, 1127 and 1160 to honour it.
    """
    facts = {"release": release, "line": "unknown", "build": None, "nokmem_support": "unknown"}
    numbers = RELEASE.match(release or "")
    if not numbers:
        return facts
    version = (int(numbers.group(1)), int(numbers.group(2)))
    if version >= (4, 0):
        facts["line"] = "newer"
        facts["nokmem_support"] = "honoured" if version >= (4, 5) else "ignored"
        return facts
    build = re.match(r"^3\.10\.0-(\d+(?:\.\d+)*)", release)
    if not build or not re.search(r"\.el7(?![a-z])", release):
        facts["line"] = "older"
        return facts
    facts["line"] = "el7"
    facts["build"] = [int(number) for number in build.group(1).split(".")]
    facts["nokmem_support"] = nokmem_support(tuple(facts["build"]))
    return facts


def nokmem_support(build):
    """Whether an EL7 kernel build honours cgroup.memory=nokmem; build is the tuple after 3.10.0-."""
    if build >= (1062, 4, 1):
        return "honoured"
    backported = {693: (693, 61, 1), 862: (862, 44, 2), 957: (957, 1), 1062: (1062,)}
    # errata of the extended streams list the same BZ; 957's was not found, 1062 has it in its sources: prove by effect
    return "unknown" if build >= backported.get(build[0], (99999,)) else "ignored"


def cmdline_facts(text):
    """{'tokens': [every value of every cgroup.memory=], 'nokmem': bool or None, 'memory_disabled': bool}."""
    if text is None:
        return {"tokens": None, "nokmem": None, "memory_disabled": None}
    # as the kernel reads it: a blank inside of double quotes does not end an argument, "--" ends the kernel's part
    arguments = re.findall(r'(?:"[^"]*"?|[^\s"])+', text)
    arguments = [argument.replace('"', "") for argument in (arguments[: arguments.index("--")] if "--" in arguments else arguments)]
    tokens = []
    for argument in arguments:
        name, dummy, value = argument.partition("=")
        if name == "cgroup.memory":
            tokens.extend(value.split(","))
    disabled = any(a.startswith("cgroup_disable=") and "memory" in a.partition("=")[2].split(",") for a in arguments)
    return {"tokens": tokens, "nokmem": "nokmem" in tokens, "memory_disabled": disabled}


def cgroup_facts(doc):
    """{version, mount, hierarchy, num_cgroups, enabled, live, capped} of the memory controller."""
    version, mount = _schema.memory_mount(text_of(doc, "/proc/mounts"))
    facts = {"version": version, "mount": mount, "hierarchy": None, "num_cgroups": None, "enabled": None}
    for line in (text_of(doc, "/proc/cgroups") or "").split("\n"):
        fields = line.split()
        if len(fields) == 4 and fields[0] == "memory" and all(field.isdigit() for field in fields[1:]):
            facts.update(hierarchy=int(fields[1]), num_cgroups=int(fields[2]), enabled={"0": False, "1": True}.get(fields[3]))
    groups = part(doc, "memory_cgroups", dict) or {}
    facts["live"] = part(groups, "live", int)
    facts["capped"] = bool(groups.get("capped"))
    # a mount found by /proc/cgroups alone: version 1 has a hierarchy number, version 2 shows 0
    if facts["hierarchy"]:
        facts["version"] = 1
    return facts


def owner_of(name):
    """(id, cgroup) of a per-cgroup cache name such as 'dentry(17:0a1b...)', or None."""
    start = name.find("(")
    if start < 0 or not name.endswith(")"):
        return None
    number, colon, cgroup = name[start + 1 : -1].partition(":")
    return (int(number), cgroup) if colon and number.isdigit() else None


def slab_facts(doc):
    """{entries, per_cgroup, owners, highest_id, leaked, live_owners, capped} from the names in /sys/kernel/slab.

    owners: distinct (id, cgroup). leaked: owners that no live directory accounts for; a container that is started
    again keeps its name and gets a new id, so of the owners of one name as many are leaked as exceed the live
    directories of that name. None where the names, or the directories to compare with, were not read; with capped
    lists it is what is certain at least.
    """
    slab = part(doc, "slab", dict)
    facts = {"entries": None, "per_cgroup": None, "owners": None, "highest_id": None, "leaked": None, "live_owners": None, "capped": False}
    if slab is None:
        return facts
    names = part(slab, "per_cgroup", list)
    facts["entries"] = part(slab, "entries", int)
    facts["capped"] = bool(slab.get("capped"))
    if names is None:
        return facts
    owners = set(owner_of(name) for name in names if isinstance(name, (type(""), type(u""))))
    owners.discard(None)
    facts["per_cgroup"] = part(slab, "per_cgroup_entries", int)
    if facts["per_cgroup"] is None:
        facts["per_cgroup"] = len(names)
    # a list that was read to its end and counted: on 3.10 each network namespace has a cache of its own (nf_conntrack_init_net(), seen
    # in moby issue 40835), so that hosts with thousands of containers have as many entries, and none of a group
    counted = part(slab, "per_cgroup_entries", int) == 0 and slab.get("capped") is False
    most = SLAB_OF_NETWORKS if counted else SLAB_NORMAL
    if not owners and (names or facts["per_cgroup"] > 0 or (facts["entries"] or 0) > most):
        return facts  # names that say nothing, or numbers that say that there must be some: not clean, but not read
    facts["owners"] = len(owners)
    facts["highest_id"] = max(number for number, dummy in owners) if owners else None
    groups = part(doc, "memory_cgroups", dict) or {}
    live_names, live = part(groups, "names", list), part(groups, "live", int)
    if not owners:
        facts.update(leaked=0, live_owners=0)
    elif live_names is not None and not groups.get("capped"):
        left = {}
        for name in live_names:
            base = ("%s" % (name,)).rstrip("/").rpartition("/")[2]
            left[base] = left.get(base, 0) + 1
        gone = known = 0
        for dummy, cgroup in owners:
            if left.get(cgroup, 0) > 0:
                left[cgroup] -= 1
            elif cgroup in left:
                known += 1
            else:
                gone += 1
        # a list without repeats cannot say how many directories share a name: give each unlisted one the benefit
        unlisted = max(0, (live or 0) - 1 - len(live_names))
        facts["leaked"] = gone + max(0, known - unlisted)
        facts["live_owners"] = len(owners) - facts["leaked"]
    else:
        cgroups = cgroup_facts(doc)
        # EL7's num_cgroups is the number of live directories, so what exceeds it is leaked for certain
        most = live if live is not None and not cgroups["capped"] else cgroups["num_cgroups"]
        if most is not None:
            facts["leaked"] = max(0, len(owners) - most)
            facts["capped"] = True
    return facts


def orphaned_kmem(usage):
    """{parent: bytes} of kernel memory that a parent is charged with and none of its children: a second witness."""
    orphaned = {}
    for parent in usage:
        prefix = parent.rstrip("/") + "/"
        children = [path for path in usage if path.startswith(prefix) and "/" not in path[len(prefix) :]]
        if children:
            orphaned[parent] = max(0, usage[parent] - sum(usage[path] for path in children))
    return orphaned


def accounting_facts(doc, slab):
    """{state, sampled, orphaned}: is kmem accounting on in live groups?

    memory.kmem.slabinfo of a group: a header means on, even without rows; EIO means off. The root always says EIO.
    state: active; inactive (a group with a memory limit was read and is off); not_provable (no such group runs, and
    only those are switched on by runc); unknown (nothing could be read).
    """
    sampled, active, inactive, unlimited = [], 0, 0, 0
    for group, read in sorted((part(doc, "slabinfo", dict) or {}).items()):
        if not isinstance(read, dict):
            continue
        number, limit = part(read, "errno", int), part(read, "limit", int)
        state = "unknown"
        if _enablers.accounting_on(read):
            state = "active"
            active += 1
        elif number == EIO and group.strip("/"):
            state = "inactive"
            if limit < _schema.UNLIMITED if limit is not None else LOOKS_LIKE_CONTAINER.search(group):
                inactive += 1
            else:
                unlimited += 1
        sampled.append({"cgroup": group, "errno": number, "limit": limit, "state": state})
    if active or (slab["live_owners"] or 0) > 0:
        state = "active"
    elif inactive:
        state = "inactive"
    elif unlimited or (part(doc, "memory_cgroups", dict) and slab["owners"] == 0):
        state = "not_provable"
    else:
        state = "unknown"
    usage = part(doc, "kmem_usage", dict) or {}
    usage = dict((path, number) for path, number in usage.items() if part(usage, path, int) is not None and isinstance(path, (type(""), type(u""))))
    return {"state": state, "sampled": sampled, "orphaned": orphaned_kmem(usage), "usage": usage}


def symptom_facts(doc):
    """What _journal.facts() says about the log lines of a capture, and the errno of the probe."""
    uptime = part(doc, "uptime_s", (int, float))
    lines = part(doc, "logs", list)
    facts = _schema.symptoms(lines is not None)
    if lines:
        # most hosts have no such line, and to compile this takes Python 2 as long as reading a log
        from ansible_collections.el7ops.kmem.plugins.module_utils import _journal

        facts = _journal.facts(lines, doc.get("taken_at"), uptime)
    facts["probe"] = part(part(doc, "probe", dict) or {}, "errno", int)
    return facts


def config_says_no(doc, release):
    """True where the kernel's own config says that it was built without MEMCG_KMEM."""
    text = text_of(doc, "/boot/config-%s" % release) or ""
    return bool(re.search(r"^# CONFIG_MEMCG_KMEM is not set", text, re.M))


def decide(doc, samples=None):
    """All facts about one host from its capture (schema 1, docs/detection.md) and earlier samples. Never raises.

    verdict: not_applicable | protected | exposed | active | leaking | failing | unknown.
    """
    try:
        return decided(doc if isinstance(doc, dict) else {}, samples)
    except Exception as error:  # pylint: disable=broad-except
        # a document that nobody thought of: unknown, and never a traceback in the middle of a night
        return decided({"notes": ["a capture that can be judged (%s: %s)" % (type(error).__name__, error)]}, None)


def decided(doc, samples):
    """What decide() says about a dict."""
    release = part(part(doc, "uname", dict) or {}, "release", (type(""), type(u"")))
    facts = {
        "schema": _schema.SCHEMA,
        "taken_at": doc.get("taken_at"),
        "hostname": doc.get("hostname"),
        "euid": part(doc, "euid", int),
        "container": doc.get("container"),
        "kernel": kernel_facts(release),
        "cmdline": cmdline_facts(text_of(doc, "/proc/cmdline")),
        "cgroup": cgroup_facts(doc),
        "slab": slab_facts(doc),
        "symptoms": symptom_facts(doc),
        "missing": [],
    }
    facts["accounting"] = accounting_facts(doc, facts["slab"])
    facts["enablers"] = _enablers.enablers(doc)
    facts["host"] = _advice.host_facts(doc)
    earlier = samples if isinstance(samples, list) else part(doc, "samples", list) or []
    facts["sample"] = _forecast.sample(doc, facts)
    facts["samples"] = _forecast.keep(earlier, facts["sample"])
    facts["forecast"] = _forecast.forecast(earlier + [facts["sample"]])
    if doc.get("schema") != _schema.SCHEMA:
        facts["missing"].append("this is not a capture of schema %d" % _schema.SCHEMA)
    for note in part(doc, "notes", list) or []:
        facts["missing"].append("%s" % (note,))
    facts["verdict"], facts["evidence"] = judge(facts, doc)
    facts["recommendation"] = _advice.recommend(facts, _enablers.unread(doc))
    # of each group it is in a capture: in the facts of a host it would be most of them, and for nobody
    del facts["accounting"]["sampled"], facts["accounting"]["usage"]
    return facts


def judge(facts, doc):
    """(verdict, evidence): the rules in order of gravity. Evidence is a list of sentences with the source read."""
    kernel, cgroup, slab = facts["kernel"], facts["cgroup"], facts["slab"]
    accounting, symptoms, missing = facts["accounting"], facts["symptoms"], facts["missing"]
    evidence = []
    say = evidence.append
    release = kernel["release"]
    if doc.get("schema") != _schema.SCHEMA or kernel["line"] == "unknown":
        if kernel["line"] == "unknown":
            missing.append("the kernel release (uname -r)")
        say("Nothing can be said about this host: %s." % "; ".join(missing))
        return "unknown", evidence
    say("The kernel is %s: %s (uname -r)." % (release, LINES[kernel["line"]]))
    if kernel["line"] == "newer":
        if symptoms["mkdir_failed"]:
            say("Creating memory cgroups did fail %d times, which on this kernel has another cause (logs)." % symptoms["mkdir_failed"])
        return "not_applicable", evidence
    if doc.get("container") not in (None, "", "none"):
        say("This is the inside of a container (%s): the memory cgroups seen here are not the host's." % (doc["container"],))
        missing.append("a look at the host itself instead of a container on it")
        return "unknown", evidence
    seen = judge_what_was_seen(facts, doc, evidence)
    if seen:
        return seen, evidence
    # only now, and only where no group was read: one damaged file must not outweigh what was seen
    if not cgroup["live"] and not accounting["sampled"] and not accounting["usage"] and cgroup["version"] != 1:
        disabled = facts["cmdline"]["memory_disabled"]
        if cgroup["version"] == 2:
            say("The memory controller is cgroup version 2, which this bug does not touch (/proc/mounts).")
            return "not_applicable", evidence[:1] + evidence[-1:]
        if cgroup["enabled"] is False or disabled and cgroup["enabled"] is None:
            say("The memory controller is switched off on this host (/proc/cmdline, /proc/cgroups).")
            return "not_applicable", evidence[:1] + evidence[-1:]
    return judge_quiet_host(facts, doc, say), evidence


LINES = {
    "el7": "EL7's 3.10, whose removed memory cgroups are never freed once kmem accounting was on in them",
    "older": "not EL7's 3.10, but below 4.0, so it can have the same bug",
    "newer": "4.0 or later, which does not have EL7's bug",
}


def judge_what_was_seen(facts, doc, evidence):
    """failing, leaking or active where something of the bug was seen, else None."""
    slab, accounting, symptoms = facts["slab"], facts["accounting"], facts["symptoms"]
    say = evidence.append
    say_numbers(facts, say)
    verdict = None
    if symptoms["probe"] in NO_ROOM:
        say("Creating a memory cgroup failed just now: %s (probe)." % NO_ROOM[symptoms["probe"]])
        verdict = "failing"
    if symptoms["mkdir_failed"]:
        item = [item for item in symptoms["signatures"] if item["id"] in _schema.FAILING][0]
        when = ", last at %s" % item["last"] if item["last"] else ""
        say("Creating a memory cgroup failed %d times since the boot%s: \"%s\" (journal)." % (symptoms["mkdir_failed"], when, item["sample"]))
        verdict = "failing"
    if symptoms["before_boot"]:
        say("%d lines about it are from before the boot and do not count (journal)." % symptoms["before_boot"])
    if verdict:
        return verdict
    orphaned = sum(accounting["orphaned"].values())
    if slab["leaked"] or ((slab["leaked"] is None or slab["capped"]) and orphaned > ORPHANED_NOISE):
        return "leaking"
    if slab["owners"] is None and facts["cgroup"]["version"] != 2:
        extra = hidden_names(facts)
        if extra:
            say(extra[1])
            return extra[0]
    if accounting["state"] == "active" or slab["owners"]:
        return "active"
    of_group = [item for item in symptoms["signatures"] if item["id"] == "cache_of_group"]
    if of_group:
        say("The kernel named a cache of a memory cgroup, which it has only with kmem accounting on: \"%s\" (kernel log)." % of_group[0]["sample"])
        return "active"
    return None


def used_groups(accounting, sampled=()):
    """The groups, but for those in C(sampled), that kernel memory is charged to."""
    return [path for path, number in sorted(accounting["usage"].items()) if number > 0 and path.strip("/") and path not in sampled]


def hidden_names(facts):
    """(verdict, sentence) from numbers alone, where the names in /sys/kernel/slab were not read; None where they say nothing."""
    entries, live = facts["slab"]["entries"], facts["cgroup"]["live"]
    numbers = facts["cgroup"]["num_cgroups"]
    known = live if live is not None else numbers
    if entries is not None and entries > SLAB_NORMAL:
        if known is not None and not facts["cgroup"]["capped"] and entries > SLAB_NORMAL + SLAB_OF_A_GROUP * known:
            return "leaking", "%d entries in the slab list are more than %d live groups can have (/sys/kernel/slab)." % (entries, known)
        return "active", "%d entries in the slab list are more than a host without kmem accounting has (/sys/kernel/slab)." % entries
    # never seen on 514 and 1160, which count live groups only; a build that holds the groups themselves would show it
    if facts["kernel"]["line"] == "el7" and numbers is not None and live is not None and not facts["cgroup"]["capped"] and numbers > 2 * live + SLAB_NORMAL:
        return "leaking", "%d memory cgroups are counted where %d directories are (/proc/cgroups): removed ones are still held." % (numbers, live)
    used = used_groups(facts["accounting"], [item["cgroup"] for item in facts["accounting"]["sampled"]])
    if used:
        return "active", "Kernel memory is charged to %s, so kmem accounting is on there (memory.kmem.usage_in_bytes)." % used[0]
    return None


def say_numbers(facts, say):
    """The numbers that a verdict rests on, as sentences."""
    cgroup, slab, accounting = facts["cgroup"], facts["slab"], facts["accounting"]
    if slab["owners"] and slab["leaked"] == 0 and slab["capped"]:
        say("%d groups have names in the slab list; not all live groups were read, so how many of them are gone is not known (/sys/kernel/slab)."
            % slab["owners"])  # fmt: skip
    elif slab["owners"] and slab["leaked"] == 0:
        say("%d live memory cgroups have names in the slab list, none of a removed one was found (/sys/kernel/slab)." % slab["owners"])
    elif slab["owners"] and slab["leaked"] is not None:
        say(
            "%s%d memory cgroups are gone and still hold their id: of %d groups with names in the slab list (%d names), "
            "%s are live (/sys/kernel/slab)."
            % ("At least " if slab["capped"] else "", slab["leaked"], slab["owners"], slab["per_cgroup"], slab["live_owners"])
        )
    elif slab["owners"]:
        say("%d groups have names in the slab list; which of them are live was not read (/sys/kernel/slab)." % slab["owners"])
    elif slab["owners"] == 0:
        say("No memory cgroup, live or removed, has names in the slab list (/sys/kernel/slab).")
    else:
        say("No names of groups could be read from the slab list, so leaked groups could not be counted (/sys/kernel/slab).")
    orphaned = sum(accounting["orphaned"].values())
    if orphaned > ORPHANED_NOISE and (slab["owners"] != 0 or slab["capped"]):
        parents = ", ".join(sorted(accounting["orphaned"]))
        say("%.1f MB of kernel memory belong to no live child of %s (memory.kmem.usage_in_bytes)." % (orphaned / 1e6, parents))
    say(ACCOUNTING[accounting["state"]])
    if cgroup["num_cgroups"] is not None:
        if facts["kernel"]["line"] == "el7":
            say("%d memory cgroups are live; on this kernel that number never shows a leak (/proc/cgroups)." % cgroup["num_cgroups"])
        else:  # from about 3.14 on removed groups count until their last page is gone
            say("%d memory cgroups are counted, which may be live ones or removed ones (/proc/cgroups)." % cgroup["num_cgroups"])
        if facts["kernel"]["line"] == "el7" and cgroup["num_cgroups"] >= NEARLY_FULL:
            say("That is close to the limit of %d: removing some of the live groups helps at once, a reboot is not needed for that." % ID_SPACE)


ACCOUNTING = {
    "active": "kmem accounting is on in live memory cgroups: each one that is removed can leak (memory.kmem.slabinfo).",
    "inactive": "kmem accounting is off in the live memory cgroups that were read: Input/output error (memory.kmem.slabinfo).",
    "not_provable": "No memory cgroup with a memory limit is running, so there is nothing to read kmem accounting from.",
    "unknown": "Whether kmem accounting is on could not be read (memory.kmem.slabinfo).",
}


def proves(item, enablers):
    """Whether accounting that is off in a group proves that the kernel keeps it off: its maker would have switched it on.

    That is a container with a memory limit of a runc, or a pod with one of a kubelet, where all of that kind are on. Under
    systemd's driver (.scope, kubepods.slice) no runc does, and what systemd itself makes never had it.
    """
    if item["state"] != "inactive" or item["limit"] is None or item["limit"] >= _schema.UNLIMITED:
        return False
    path = item["cgroup"].split("/")
    container = _enablers.maker(path[-1], False) == "containerd"
    if path[1:2] == ["kubepods"] and len(path) in (3 + container, 4 + container) or container and path[1:2] == ["docker"] and len(path) == 3:
        kinds = ("runc", "engine") if container else ("kubelet", "k3s")
        return set(one["kmem"] for one in enablers if one["kind"] in kinds) == set(["on"]) and (container or path[-1].startswith("pod"))
    return False


def judge_quiet_host(facts, doc, say):
    """The verdict where nothing leaks and no accounting was seen: can it come?"""
    kernel, accounting, missing = facts["kernel"], facts["accounting"], facts["missing"]
    on = [item["name"] for item in facts["enablers"] if item["kmem"] == "on"]
    doubtful = [item["name"] for item in facts["enablers"] if item["kmem"] == "unknown"]
    proved_off = accounting["state"] == "inactive" and any(proves(item, facts["enablers"]) for item in accounting["sampled"])
    slab_clean = facts["slab"]["owners"] == 0 and not facts["slab"]["capped"]
    if facts["cmdline"]["nokmem"]:
        if kernel["nokmem_support"] == "honoured":
            say("cgroup.memory=nokmem is on the command line of the running kernel, and this build honours it (/proc/cmdline).")
            unread = facts["slab"]["per_cgroup"] is None and not facts["slab"]["capped"]  # else the slab list contradicts itself
            if slab_clean or unread and accounting["state"] in ("inactive", "not_provable") and not used_groups(accounting):
                return "protected"
            missing.append("a look at /sys/kernel/slab or at a container's memory.kmem.slabinfo, to prove that nokmem works")
            return "unknown"
        if kernel["nokmem_support"] == "unknown" and proved_off and slab_clean:
            say("cgroup.memory=nokmem is given, and containers with a memory limit prove that it works (/proc/cmdline).")
            return "protected"
        say(
            "cgroup.memory=nokmem is given, but this build %s (/proc/cmdline)."
            % ("ignores it without a word" if kernel["nokmem_support"] == "ignored" else "is not known to honour it")
        )
    if config_says_no(doc, kernel["release"]) and slab_clean:
        say("This kernel was built without CONFIG_MEMCG_KMEM (/boot/config-%s)." % kernel["release"])
        return "protected"
    for item in facts["enablers"]:
        say("%s %s: kmem accounting %s%s; %s." % (
            item["name"], item["version"] or "", item["kmem"], "" if item["running"] else ", does not run", item["evidence"]))
    if on:
        return "exposed"
    unread = _enablers.unread(doc)
    if unread:
        missing.append("which container runtimes are installed (%s)" % ", ".join(unread))
    if doubtful:
        missing.append("whether %s switches kmem accounting on" % ", ".join(doubtful))
    if not slab_clean:
        missing.append("the names in /sys/kernel/slab")
    if missing:
        return "unknown"
    if facts["enablers"]:
        say("None of these switches kmem accounting on, and nothing else that could was found (rpm, strings of binaries, running programs).")
    else:
        say("No container runtime is installed (rpm, the usual places of binaries, running programs).")
    return "protected"
