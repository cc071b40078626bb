# SPDX-License-Identifier: GPL-3.0-or-later
"""The document of a run, and who may take its lock."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import copy

import pytest

from ansible_collections.el7ops.kmem.plugins.module_utils import _run

RUN = {"run_id": "r1", "host": "web1", "strategy": "upgrade", "controller": "me@here", "before": {"kernel": "3.10.0-1127.el7.x86_64"},
       "stages": [{"name": "yum_update", "title": "Update"}, {"name": "grub_default", "title": "Boot"}]}
OWNER = {"controller": "here", "user": "me", "pid": 7, "began": "100@x"}


def begun():
    return _run.begin(RUN, [{"path": "/etc/default/grub", "backup": "/b"}], "boot-1", "T0")


def test_a_new_run_has_no_problem_and_every_stage_pending():
    run = begun()
    assert _run.problems(run) == []
    assert [one["status"] for one in run["stages"]] == ["pending", "pending"]
    assert run["status"] == "running" and run["ended_at"] is None


@pytest.mark.parametrize("key", ["schema", "run_id", "host", "strategy", "status", "started_at", "before", "files", "stages"])
def test_a_document_with_a_part_missing_is_not_trusted(key):
    run = begun()
    del run[key]
    assert _run.problems(run)


@pytest.mark.parametrize("damaged", [None, [], "x", 3, {}])
def test_what_is_no_document_is_not_trusted(damaged):
    assert _run.problems(damaged)


def test_a_stage_of_an_unknown_status_is_not_trusted():
    run = begun()
    run["stages"][0]["status"] = "fine"
    assert _run.problems(run)


def test_a_stage_keeps_its_start_and_its_lists_grow_without_repeats():
    before = begun()
    seen = copy.deepcopy(before)
    run = _run.change_stage(before, "yum_update", {"status": "started", "changes": ["a"]}, "boot-1", "T1")
    assert before == seen  # the old document is not touched
    run = _run.change_stage(run, "yum_update", {"status": "started", "changes": ["a", "b"], "rebooting_from": "boot-1"}, "boot-1", "T2")
    run = _run.change_stage(run, "yum_update", {"status": "done"}, "boot-2", "T3")
    stage = run["stages"][0]
    assert (stage["started_at"], stage["ended_at"], stage["boot_id"], stage["rebooting_from"]) == ("T1", "T3", "boot-2", "boot-1")
    assert stage["changes"] == ["a", "b"]
    assert run["stages"][1] == before["stages"][1]


def test_an_unknown_stage_is_an_error():
    with pytest.raises(ValueError):
        _run.change_stage(begun(), "x", {}, "boot-1", "T1")


def test_nothing_is_null_however_it_was_handed_in():
    assert _run.begin(dict(RUN, window=""), [], "b", "T0")["window"] is None
    assert _run.change(begun(), {"after": "", "snapshot": ""}, "T9")["after"] is None


def test_end_and_resume_set_and_clear_the_end():
    run = _run.change(begun(), {"status": "paused", "message": "the window closed"}, "T9")
    assert (run["status"], run["ended_at"]) == ("paused", "T9")
    run = _run.change(run, {"status": "running"}, "T10")
    assert run["ended_at"] is None


@pytest.mark.parametrize("lock, take_over, refused", [
    (None, False, False), ({"owner": OWNER, "since": "T"}, False, False), ({"owner": dict(OWNER, pid=8), "since": "T"}, False, True),
    ({"owner": dict(OWNER, pid=8), "since": "T"}, True, False), ({"owner": {}, "since": "T"}, False, True), ({"x": 1}, False, True),
])
def test_lock(lock, take_over, refused):
    answer = _run.lock_refusal(lock, OWNER, take_over, 600)
    assert bool(answer) == refused
    assert not refused or "10 min" in answer


def test_the_local_fact_holds_no_facts_of_the_host():
    assert "before" not in _run.summary(begun()) and "files" not in _run.summary(begun())
