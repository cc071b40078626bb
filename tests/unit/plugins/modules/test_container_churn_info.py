# SPDX-License-Identifier: GPL-3.0-or-later
"""The module with a stand-in of the docker command: two looks, a sick daemon, odd output, time limits."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import os
import time

import pytest
from ansible_collections.el7ops.kmem.plugins.modules import container_churn_info
from ansible_collections.el7ops.kmem.tests.unit.plugins.modules.harness import run_module

WEB, JOB = "0f" * 32, "1e" * 32
ROW = '["%s","/%s",%d,"running",0,"%s","always",false,0,"busybox:lab"]'

# answers from files beside it: ps, inspect, events; each may have a second state after the first events call
STAND_IN = """#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/asked"
[ "$1" = events ] && touch "$here/later"
answer=$here/$1
[ -e "$here/later" ] && [ "$1" != events ] && [ -e "$answer.later" ] && answer=$answer.later
[ -e "$answer.slow" ] && exec sleep 30
[ -e "$answer" ] && cat "$answer"
[ -e "$answer.rc" ] && exit "$(cat "$answer.rc")"
exit 0
"""


@pytest.fixture(name="docker")
def fixture_docker(tmpdir):
    """A folder with a docker command that answers what is put beside it."""
    script = tmpdir.join("docker")
    script.write(STAND_IN)
    script.chmod(0o755)
    tmpdir.join("ps").write(WEB + "\n")
    tmpdir.join("inspect").write(ROW % (WEB, "web", 0, "T0") + "\n")
    tmpdir.join("events").write("")
    return tmpdir


@pytest.fixture(name="run")
def fixture_run(monkeypatch, tmpdir):
    def path_of(dummy, name, *unused, **ignored):
        path = str(tmpdir.join(name))
        return path if os.path.exists(path) else None

    monkeypatch.setattr(container_churn_info.AnsibleModule, "get_bin_path", path_of)
    monkeypatch.setattr(container_churn_info, "podman_was_used", lambda: True)
    return lambda **options: run_module(container_churn_info, monkeypatch, tmpdir, **options)


def test_no_runtime_is_no_error_and_costs_no_wait(run):
    begin = time.time()
    result = run(interval=60)
    assert time.time() - begin < 5
    assert (result["failed"], result["changed"], result["present"], result["answers"], result["complete"]) == (False, False, False, None, True)


def test_a_quiet_host(run, docker):
    result = run(interval=1)
    assert (result["complete"], result["looping"], result["churn_per_minute"], result["containers"][0]["looping"]) == (True, [], 0.0, False)
    asked = docker.join("asked").read()
    assert "stats" not in asked and "--since" in asked and "--until" in asked and "event=die" in asked


def test_a_loop_is_told_by_the_second_look(run, docker):
    docker.join("inspect.later").write(ROW % (WEB, "web", 4, "T1") + "\n")
    docker.join("events").write('["die","%s","busybox:lab"]\n' % WEB * 4)
    result = run(interval=1)
    assert result["looping"] == ["web"] and result["containers"][0]["restarts_in_interval"] == 4 and result["died"] == 4


def test_a_short_wait_where_nothing_was_ever_restarted(run, docker):
    begin = time.time()
    result = run(interval=60, quiet_interval=0)
    assert time.time() - begin < 10 and result["interval"] == 0 and result["churn_per_minute"] is None and result["complete"]
    docker.join("inspect").write(ROW % (WEB, "web", 3, "T0") + "\n")
    assert run(interval=1, quiet_interval=0)["interval"] >= 1


@pytest.mark.parametrize("broken", ["ps", "inspect", "events"])
def test_a_command_that_fails_makes_it_unknown(run, docker, broken):
    docker.join(broken + ".rc").write("1")
    if broken == "inspect":
        docker.join("inspect").write("")
    result = run(interval=1)
    assert not result["failed"] and not result["complete"] and result["churn_per_minute"] is None and broken in result["missing"][0]
    assert result["answers"] is (broken == "events")


@pytest.mark.parametrize("broken", ["ps", "inspect", "events"])
def test_a_command_that_hangs_is_given_up(run, docker, broken):
    docker.join(broken + ".slow").write("")
    begin = time.time()
    result = run(interval=1, timeout=1)
    assert time.time() - begin < 15 and not result["complete"] and "within" in result["missing"][0]


@pytest.mark.parametrize("name", ["ps", "inspect", "events"])
@pytest.mark.parametrize("content", ["{", "null\n", "\n\n[]\n", "Error response from daemon: x\n", "[1,2,3]\n"])
def test_odd_output_gives_no_traceback_and_no_all_clear(run, docker, name, content):
    docker.join(name).write(content)
    result = run(interval=1)
    assert not result["failed"] and not result["complete"] and result["missing"]


def test_a_container_that_goes_between_list_and_inspect_is_not_missing(run, docker):
    docker.join("ps").write(WEB + "\n" + JOB + "\n")
    docker.join("inspect.rc").write("1")
    script = docker.join("docker").read()
    # from the second list on it is gone
    docker.join("docker").write(script.replace('echo "$@"', '[ "$1" = inspect ] && echo %s > "$here/ps"\necho "$@"' % WEB))
    result = run(interval=1)
    assert result["complete"] and [c["name"] for c in result["containers"]] == ["web"]


def test_podmans_wrapper_is_not_docker(run, docker):
    docker.join("docker").write('#!/bin/sh\nexec /usr/bin/podman "$@"\n')
    assert run(interval=1)["present"] is False


def test_a_podman(run, docker):
    docker.join("docker").rename(docker.join("podman"))
    docker.join("inspect").write('[{"Id": "%s", "Name": "web", "RestartCount": 0, "State": {"Status": "running", "StartedAt": "T0"}}]' % WEB)
    docker.join("events").write("2020-03-01 02:03:04.5 +0100 CET container died %s (image=x, name=web)\n" % WEB)
    result = run(interval=1)
    assert (result["complete"], result["died"], result["containers"][0]["runtime"]) == (True, 1, "podman")
    assert "--stream=false" in docker.join("asked").read()


@pytest.mark.parametrize("options", [{"interval": -1}, {"quiet_interval": -1}, {"timeout": 0}])
def test_senseless_numbers_are_refused(run, options):
    result = run(**options)
    assert result["failed"] and "Nothing was read" in result["msg"]
