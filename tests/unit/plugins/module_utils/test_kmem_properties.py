# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged captures: never a traceback, never a harmless verdict from garbage."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json

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
    "kmem_usage", "errors", "services", "container", "euid", "notes", "uptime_s",
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(strategies.fixed_dictionaries({"schema": strategies.just(1)}, optional=dict((key, JSON) for key in KEYS)))
def test_garbage_is_unknown(doc):
    facts = _kmem.decide(doc)
    assert facts["verdict"] == "unknown"
    json.dumps(facts)


@settings(max_examples=400, deadline=None)
@given(strategies.fixed_dictionaries({}, optional=dict((key, JSON) for key in KEYS if key != "uname")))
def test_a_kernel_that_can_leak_is_never_cleared_by_garbage(doc):
    doc.update(schema=1, uname={"release": "3.10.0-1127.el7.x86_64"})
    assert _kmem.decide(doc)["verdict"] not in ("protected", "not_applicable")


@given(JSON)
def test_anything_is_survived(doc):
    assert _kmem.decide(doc)["verdict"] == "unknown"
