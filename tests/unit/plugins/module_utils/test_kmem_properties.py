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


@settings(max_examples=300, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@given(strategies.lists(JSON | strategies.text(alphabet=u"mkdir/sysfcgroupmemy:()0123456789 \u2018'", max_size=200), max_size=6), JSON, JSON)
def test_any_log_is_survived(lines, taken_at, uptime):
    doc = {"schema": 1, "uname": {"release": "3.10.0-1127.el7.x86_64"}, "logs": lines, "taken_at": taken_at, "uptime_s": uptime, "samples": lines}
    facts = _kmem.decide(doc)
    assert facts["verdict"] in ("unknown", "failing", "active")
    json.dumps(facts)
