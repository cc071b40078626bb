# SPDX-License-Identifier: GPL-3.0-or-later
"""What docker and podman print, and what two looks at it mean."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _churn

WEB, JOB, DB = "0f" * 32, "1e" * 32, "2d" * 32
T0, T1 = "2026-11-23T20:00:00.123456789Z", "2026-11-23T20:00:41.000000001Z"


def row(key=WEB, name="/web", count=0, status="running", code=0, started=T0, policy="always", auto=False, memory=67108864, image="busybox:lab"):
    """One line as Docker 20.10 prints it with INSPECT_FORMAT."""
    return json.dumps([key, name, count, status, code, started, policy, auto, memory, image])


def one(**values):
    return list(_churn.parse_inspect(row(**values)).values())[0]


@pytest.mark.parametrize("text, expected", [
    ("", []), (WEB + "\n" + JOB + "\n", [WEB, JOB]), ("0123456789ab\n", ["0123456789ab"]),
    ("Got permission denied\n", None), (WEB + "\nCannot connect to the Docker daemon", None),
])  # fmt: skip
def test_ids(text, expected):
    assert _churn.ids(text) == expected


def test_the_format_asks_for_each_field_alone():
    assert _churn.INSPECT_FORMAT.count("{{json ") == len(_churn.FIELDS)
    assert _churn.INSPECT_FORMAT.startswith("[{{json .Id}},") and "Config.Env" not in _churn.INSPECT_FORMAT and ".State}" not in _churn.INSPECT_FORMAT


def test_a_line_of_inspect():
    assert one() == {
        "id": WEB, "name": "web", "restart_count": 0, "status": "running", "exit_code": 0, "started_at": T0, "restart_policy": "always",
        "auto_remove": False, "memory_limit": 67108864, "image": "busybox:lab",
    }  # fmt: skip
    # a docker older than a field prints null for it; podman leaves the policy empty
    assert one(auto=None, policy="")["restart_policy"] == "no" and one(auto=None)["auto_remove"] is None
    assert one(count="3", memory=True)["restart_count"] is None and one(memory=True)["memory_limit"] is None


@pytest.mark.parametrize("text", ["", "\n\n", "[]", "{}", "null", "[1,2]", "<no value>", row(key=None), row(name=""), row(name=None), row()[:-9], "\x00\xff"])
def test_odd_lines_of_inspect_are_left_out(text):
    assert _churn.parse_inspect(text) == {}
    assert list(_churn.parse_inspect(text + "\n" + row())) == [WEB]


def test_podman_inspects_in_full_documents():
    text = json.dumps([
        {"Id": WEB, "Name": "web", "RestartCount": 2, "ImageName": "localhost/web:1", "Config": {"Env": ["SECRET=1"], "Image": "x"},
         "State": {"Status": "running", "ExitCode": 0, "StartedAt": T0, "Pid": 7},
         "HostConfig": {"RestartPolicy": {"Name": ""}, "AutoRemove": True, "Memory": 0}},
        {"Id": JOB, "Name": "job"}, {"Id": 3}, [], None, "x",
    ])  # fmt: skip
    found = _churn.parse_inspect_json(text)
    assert sorted(found) == [WEB, JOB]
    assert found[WEB]["restart_count"] == 2 and found[WEB]["image"] == "localhost/web:1" and found[WEB]["restart_policy"] == "no"
    assert found[JOB]["status"] is None and found[JOB]["restart_count"] is None
    assert _churn.parse_inspect_json("Error") == _churn.parse_inspect_json("{}") == _churn.parse_inspect_json("") == {}


@pytest.mark.parametrize("text, expected", [
    ("", (0, 0, {}, 0)),
    ('["create","%s","busybox:lab"]\n["die","%s","busybox:lab"]\n["create","%s",""]\n' % (WEB, WEB, JOB), (2, 1, {"busybox:lab": 1, "unknown": 1}, 0)),
    # podman 1.6 and docker without a format
    ("2020-03-01 02:03:04.5 +0100 CET container died %s (image=docker.io/library/busybox:latest, name=x)\n" % WEB, (0, 1, {}, 0)),
    ("2026-11-23T21:00:00.000000000+01:00 container create %s (a=b, image=busybox:lab, name=x)\n" % WEB, (1, 0, {"busybox:lab": 1}, 0)),
    ("2020-03-01 02:03:04.5 +0100 CET container create %s\n" % WEB, (1, 0, {"unknown": 1}, 0)),
    ('["start","%s","x"]\n{}\nnull\n3\n["die"]\nWARNING: x\n' % WEB, (0, 0, {}, 6)),
    ('["create","%s",[1]]\n' % WEB, (1, 0, {"unknown": 1}, 0)),
])  # fmt: skip
def test_events(text, expected):
    assert _churn.parse_events(text) == expected


@pytest.mark.parametrize("before, after, expected", [
    ({}, {}, False),
    ({"count": 5}, {"count": 5}, False),
    ({"count": 5}, {"count": 6}, True),
    # the loop that reads well at both looks: running, exit code 0
    ({"count": 5}, {"count": 9, "started": T1}, True),
    # restarted from outside, by a unit that runs docker start: no restart count moves
    ({}, {"started": T1}, True),
    # the back-off is a minute long, nothing moved in a short interval
    ({"count": 57, "status": "restarting"}, {"count": 57, "status": "restarting"}, True),
    # it died once, and may come up well now
    ({"count": 1, "status": "restarting"}, {"count": 1, "status": "restarting"}, False),
    ({"count": 0}, {"count": 1, "status": "restarting"}, True),
    # a start is no restart
    ({"status": "exited"}, {"started": T1}, False), ({"status": "created", "started": "0001-01-01T00:00:00Z"}, {}, False),
    ({}, {"status": "exited"}, False),
    # what was not read is not "no"
    ({}, None, None), ({"count": 9}, None, None), ({"count": 9, "status": "restarting"}, None, True),
    ({"count": None, "started": None}, {"count": None, "started": None}, None), ({"status": None}, {}, None),
    ({"count": None}, {"count": None, "started": T1}, True),
    # stopped and started by hand: the count goes back to 0
    ({"count": 4}, {"count": 0}, False),
])  # fmt: skip
def test_loops(before, after, expected):
    assert _churn.loops(one(**before), one(**after) if after is not None else None) is expected


@pytest.mark.parametrize("values, expected", [
    ({}, False), ({"count": 1}, True), ({"count": None}, True), ({"status": "restarting"}, True), ({"status": None}, True), ({"status": "exited"}, False),
])  # fmt: skip
def test_suspicious(values, expected):
    assert _churn.suspicious(one(**values)) is expected


def runtime(name="docker", before=(), after=(), events=(0, 0, {}, 0), **more):
    looks = [dict((made["id"], made) for made in look) if look is not None else None for look in (before, after)]
    return dict(dict(runtime=name, present=True, answers=True, error=None, before=looks[0], after=looks[1], events=events), **more)


ABSENT = dict(runtime="podman", present=False, answers=None, error=None, before=None, after=None, events=None)


def test_a_report_of_a_host_with_a_loop_and_a_job():
    looks = [runtime(before=[one(), one(key=DB, name="/db", count=2)], after=[one(), one(key=DB, name="/db", count=7)], events=(3, 8, {"ci": 3}, 0)), ABSENT]
    result = _churn.report(looks, 60.0)
    assert (result["present"], result["answers"], result["complete"], result["looping"]) == (True, True, True, ["db"])
    assert (result["created_per_minute"], result["died_per_minute"], result["churn_per_minute"]) == (3.0, 8.0, 8.0)
    assert [(c["name"], c["restarts_in_interval"], c["looping"]) for c in result["containers"]] == [("db", 5, True), ("web", 0, False)]
    assert result["runtimes"]["podman"] == {"present": False, "answers": None, "error": None}


def test_a_container_that_came_in_between_and_one_that_went():
    result = _churn.report([runtime(before=[one()], after=[one(key=JOB, name="/job")])], 60)
    (job,) = result["containers"]
    assert (job["name"], job["looping"], job["restart_count_before"], job["restarts_in_interval"]) == ("job", None, None, None)


@pytest.mark.parametrize("changes", [
    {"events": None, "error": "events: exit code 1"}, {"events": (1, 1, {}, 2), "error": "events: 2 lines"},
    {"answers": False, "error": "docker: no answer within 20 s", "before": None, "after": None, "events": None},
])  # fmt: skip
def test_unknown_is_never_no_churn(changes):
    for looks in ([runtime(**changes)], [runtime("docker"), runtime("podman", **changes)]):
        result = _churn.report([dict(look, **changes) if look["runtime"] == looks[-1]["runtime"] else look for look in looks], 60)
        assert result["churn_per_minute"] is None and result["created"] is None and not result["complete"] and result["missing"]


def test_nothing_installed_and_one_look():
    result = _churn.report([dict(ABSENT, runtime="docker"), ABSENT], 0)
    assert (result["present"], result["answers"], result["complete"], result["containers"]) == (False, None, True, [])
    result = _churn.report([runtime(before=[one(count=3)], after=None, events=None)], 0)
    assert (result["complete"], result["churn_per_minute"], result["containers"][0]["looping"]) == (True, None, None)
