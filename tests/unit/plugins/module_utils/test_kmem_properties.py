# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged captures: never a traceback, never a harmless verdict from garbage."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import copy
import glob
import io
import json
import os

import pytest

hypothesis = pytest.importorskip("hypothesis")

from ansible_collections.el7ops.kmem.plugins.module_utils import _kmem  # noqa: E402
from hypothesis import given, settings, strategies  # noqa: E402

JSON = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(),
    lambda inner: strategies.lists(inner, max_size=4) | strategies.dictionaries(strategies.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KEYS = (
    "uname", "files", "slab", "slabinfo", "memory_cgroups", "packages", "binaries", "docker", "processes", "logs", "probe",
    "kmem_usage", "errors", "services", "container", "euid", "notes", "uptime_s", "taken_at", "samples", "units",
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_net(monkeypatch):
    """Without what decide() falls back to, so that each document it would be needed for is found here."""
    monkeypatch.setattr(_kmem, "decide", lambda doc, samples=None: _kmem.decided(doc if isinstance(doc, dict) else {}, samples))


@settings(max_examples=400, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@given(strategies.fixed_dictionaries({"schema": strategies.just(1)}, optional=dict((key, JSON) for key in KEYS)))
def test_garbage_is_unknown(doc):
    facts = _kmem.decide(doc)
    assert facts["verdict"] == "unknown"
    json.dumps(facts)


@settings(max_examples=400, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@given(strategies.fixed_dictionaries({}, optional=dict((key, JSON) for key in KEYS if key != "uname")))
def test_a_kernel_that_can_leak_is_never_cleared_by_garbage(doc):
    doc.update(schema=1, uname={"release": "3.10.0-1127.el7.x86_64"})
    assert _kmem.decide(doc)["verdict"] not in ("protected", "not_applicable")


@settings(suppress_health_check=list(hypothesis.HealthCheck))
@given(JSON)
def test_anything_is_survived(doc):
    assert _kmem.decide(doc)["verdict"] == "unknown"


def affected():
    """The hosts of the fixtures that have the bug, or can get it."""
    found = []
    folder = os.path.join(os.path.dirname(__file__), "..", "..", "..", "fixtures")
    for path in sorted(glob.glob(os.path.join(folder, "threads", "*.json")) + glob.glob(os.path.join(folder, "captures", "*.json"))):
        with io.open(path, encoding="utf-8") as stream:
            doc = json.load(stream)
        doc = doc.get("capture", doc)
        if _kmem.decide(doc)["verdict"] in ("exposed", "active", "leaking", "failing"):
            found.append(doc)
    return found


AFFECTED = affected()
STEPS = strategies.lists(strategies.integers(0, 1000), min_size=1, max_size=4)
TEXT_DAMAGE = strategies.text(max_size=4) | strategies.sampled_from([u"\0", u"\ufffd", u"\n", u" ", u"nokmem", u"cgroup2", u"(", u"9" * 30])


def damage(node, steps, value, position):
    """Replace one part, at the place that the steps lead to; in a text, write over a few characters instead."""
    for number, step in enumerate(steps):
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = keys[step % len(keys)]
        inner = node[key]
        if number + 1 < len(steps) and isinstance(inner, (dict, list)) and inner:
            node = inner
            continue
        if isinstance(inner, type(u"")) and isinstance(value, type(u"")):
            place = position % (len(inner) + 1)
            value = inner[:place] + value + inner[place + len(value) :]
        node[key] = value
        return


@settings(max_examples=600, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@given(
    strategies.sampled_from(range(len(AFFECTED))),
    strategies.lists(strategies.tuples(STEPS, JSON | TEXT_DAMAGE, strategies.integers(0, 500)), min_size=1, max_size=2),
)
def test_a_damaged_capture_of_an_affected_host_never_clears_it(number, damages):
    doc = copy.deepcopy(AFFECTED[number])
    # another kernel is another host
    release, schema = doc.pop("uname"), doc.pop("schema")
    for steps, value, position in damages:
        damage(doc, steps, value, position)
    doc.update(uname=release, schema=schema)
    facts = _kmem.decide(doc)
    assert facts["verdict"] not in ("protected", "not_applicable"), (facts["verdict"], facts["evidence"])
    json.dumps(facts)


# Hosts that one part alone tells about, as it would be in a capture from a ticket: the rest of it is as on a clean host.
CODE = "because either tasks have already joined this cgroup or it has children"
CLEAN = {
    "schema": 1, "euid": 0, "uname": {"release": "3.10.0-1160.el7.x86_64"}, "packages": {}, "binaries": {}, "processes": {},
    "files": {"/proc/cmdline": "root=/dev/sda1 ro quiet\n", "/proc/cgroups": "memory\t5\t19\t1\n",
              "/proc/mounts": "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"},
    "slab": {"entries": 225, "per_cgroup": [], "per_cgroup_entries": 0, "capped": False},
}  # fmt: skip
ID = "3f" * 32
ENABLED = {"binaries": {"/usr/bin/runc": {"version": "runc version 1.0.0-rc10", "strings": [CODE]}}, "processes": {"dockerd": "/usr/bin/dockerd"}}
LEAKED = {"entries": 67000, "per_cgroup": ["dentry(17:%s)" % ID], "per_cgroup_entries": 65532, "capped": False}
EXPOSED = (
    ENABLED,
    dict(ENABLED, slabinfo={"/docker/" + ID: {"errno": 5, "head": "", "limit": 1 << 30}}),
    dict(ENABLED, memory_cgroups={"live": 3, "capped": False, "names": ["docker", "system.slice"]}),
)
SEEN = (
    {"slab": LEAKED},
    {"slab": LEAKED, "memory_cgroups": {"live": 3, "capped": False, "names": ["docker", "system.slice"]},
     "kmem_usage": {"/docker": 534 << 20, "/docker/" + ID: 0}},
    {"slab": None, "slabinfo": {"/system.slice": {"errno": 5, "head": "", "limit": 1 << 62}}, "kmem_usage": {"/docker/" + ID: 225280}},
)  # fmt: skip
# where more than one part speaks against it, with a nokmem that is given and does not work, too
HOSTS = [(witness, "") for witness in EXPOSED + SEEN] + [(witness, " cgroup.memory=nokmem") for witness in SEEN[:2]]
# what a field can become without being garbage: another number, an emptied list, a line that another host has
PLAUSIBLE = (
    None, 0, 1, 5, 9, 11, -1, 225, 182210, True, False, [], {}, "", "x", ["dentry(17:abc"], ["dentry"], "memory\t5\t19\t0\n", "memory\t5\t19\t9\n",
    "memory\t0\t1\t0\n", "root=/dev/sda1 ro cgroup_disable=memory\n", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
)  # fmt: skip


def paths(node, before=()):
    """The path of each part of a document, the parts themselves before what is in them."""
    found = []
    for key in sorted(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        found += [before + (key,)] + paths(node[key], before + (key,))
    return found


# other values of these are another host: one without the program, or with another kernel
TELLING = ("schema", "uname", "binaries", "processes", "packages")


def hosts():
    """(host, the parts of it that can be damaged)"""
    for witness, nokmem in HOSTS:
        doc = copy.deepcopy(dict(CLEAN, **witness))
        doc["files"]["/proc/cmdline"] = "root=/dev/sda1 ro quiet%s\n" % nokmem
        yield doc, [path for path in paths(doc) if path[0] not in TELLING]


def judged_with(doc, place, value):
    """What is said about a host with another value at one place."""
    doc = copy.deepcopy(doc)
    node = doc
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return _kmem.decide(doc)


@pytest.mark.parametrize("doc, places", list(hosts()))
def test_one_damaged_field_never_clears_a_host_that_little_tells_about(doc, places):
    cleared = [(place, value) for place in places for value in PLAUSIBLE if judged_with(doc, place, value)["verdict"] in ("protected", "not_applicable")]
    assert not cleared


@settings(max_examples=300, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@given(strategies.sampled_from(list(hosts())), strategies.integers(0, 1000), JSON | TEXT_DAMAGE)
def test_garbage_in_one_field_never_clears_a_host_that_little_tells_about(host, number, value):
    doc, places = host
    place = places[number % len(places)]
    facts = judged_with(doc, place, value)
    assert facts["verdict"] not in ("protected", "not_applicable"), (place, facts["evidence"])
    json.dumps(facts)


@settings(max_examples=300, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@given(strategies.lists(JSON | strategies.text(alphabet=u"mkdir/sysfcgroupmemy:()0123456789 \u2018'", max_size=200), max_size=6), JSON, JSON)
def test_any_log_is_survived(lines, taken_at, uptime):
    doc = {"schema": 1, "uname": {"release": "3.10.0-1127.el7.x86_64"}, "logs": lines, "taken_at": taken_at, "uptime_s": uptime, "samples": lines}
    facts = _kmem.decide(doc)
    assert facts["verdict"] in ("unknown", "failing", "active")
    json.dumps(facts)
