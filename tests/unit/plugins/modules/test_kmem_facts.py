# SPDX-License-Identifier: GPL-3.0-or-later
"""The module around the two halves: replay, capture file, time limit, what it says when a part is missing."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json
import os
import time

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _capture
from ansible_collections.el7ops.kmem.plugins.modules import kmem_facts
from ansible_collections.el7ops.kmem.tests.unit.plugins.modules.harness import run_module

FIXTURES = os.path.join(os.path.dirname(__file__), "..", "..", "..", "fixtures", "captures")


@pytest.fixture(name="run")
def fixture_run(monkeypatch, tmpdir):
    return lambda **options: run_module(kmem_facts, monkeypatch, tmpdir, **options)


def test_a_capture_is_replayed_without_reading_the_host(run, monkeypatch):
    monkeypatch.setattr(kmem_facts, "read_host", lambda *unused: pytest.fail("the host was read"))
    result = run(capture_from=os.path.join(FIXTURES, "3.10.0-1160-leaking.json"))
    kmem = result["ansible_facts"]["kmem"]
    assert (result["changed"], kmem["verdict"], kmem["slab"]["leaked"]) == (False, "leaking", 987)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\0\1"])
def test_a_capture_that_is_none_is_refused_with_a_way_on(run, tmpdir, content):
    path = tmpdir.join("capture.json")
    path.write(content)
    result = run(capture_from=str(path))
    assert result["failed"] and "Nothing was read or changed" in result["msg"] and "capture_to" in result["msg"]


def test_a_capture_is_written_for_root_alone_and_replays_to_the_same(run, tmpdir):
    path = str(tmpdir.join("capture.json"))
    assert run(capture_to=path, check=True)["changed"] and not os.path.exists(path)
    seen = run(capture_to=path)
    assert os.stat(path).st_mode & 0o777 == 0o600 and json.load(open(path))["schema"] == 1
    assert run(capture_from=path)["ansible_facts"]["kmem"]["verdict"] == seen["ansible_facts"]["kmem"]["verdict"]


def test_what_hangs_is_given_up_and_named(run, monkeypatch):
    def hang(emit, **unused):
        emit("schema", 1)
        emit("uname", {"release": "3.10.0-1127.el7.x86_64"})
        time.sleep(60)

    monkeypatch.setattr(_capture, "collect", hang)
    begin = time.time()
    kmem = run(timeout=1)["ansible_facts"]["kmem"]
    assert time.time() - begin < 10
    assert kmem["verdict"] == "unknown" and "after 'uname'" in kmem["missing"][0]


def test_a_part_that_fails_is_named(run, monkeypatch):
    def fail(emit, **unused):
        emit("schema", 1)
        emit("uname", {"release": "3.10.0-1127.el7.x86_64"})
        raise ValueError("odd")

    monkeypatch.setattr(_capture, "collect", fail)
    kmem = run()["ansible_facts"]["kmem"]
    assert kmem["verdict"] == "unknown" and "ValueError: odd" in kmem["missing"][0]


def test_the_probe_is_left_out_in_check_mode(run, monkeypatch):
    asked = []
    monkeypatch.setattr(kmem_facts, "read_host", lambda timeout, probe: asked.append(probe) or {"schema": 1})
    run(probe=True, check=True)
    run(probe=True)
    assert asked == [False, True]
