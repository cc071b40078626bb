# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof by fresh containers, with a stand-in of the docker command; the real one is in tests/e2e/test_runc.py."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import os

import pytest
from ansible_collections.el7ops.kmem.plugins.modules import runc_proof
from ansible_collections.el7ops.kmem.tests.unit.plugins.modules.harness import run_module

ID = "3f" * 32
DOCKER = """#!/bin/sh
echo "$@" >> %(root)s/calls
case $1 in
    run) %(run)s ;;
    inspect) echo 4711 ;;
esac
"""


@pytest.fixture(name="prove")
def fixture_prove(tmpdir, monkeypatch):
    root = str(tmpdir)
    group = os.path.join(root, "memory/docker", ID)
    for folder in (group, os.path.join(root, "slab"), os.path.join(root, "bin")):
        os.makedirs(folder)
    monkeypatch.setattr(runc_proof, "MOUNT", os.path.join(root, "memory"))
    monkeypatch.setattr(runc_proof, "SLAB", os.path.join(root, "slab"))
    monkeypatch.setattr(runc_proof, "memory_group", lambda pid: "/docker/" + ID)
    monkeypatch.setenv("PATH", os.path.join(root, "bin") + ":" + os.environ["PATH"])

    def prove(head=None, name=None, run="echo WARNING; echo %s" % ID, check=False):
        if head is None:
            # a file that answers EIO, as memory.kmem.slabinfo does where accounting is off, cannot be made: its read is replaced
            monkeypatch.setattr(runc_proof._host, "probe_text", lambda path, limit=0: (None, 5))
        else:
            with open(os.path.join(group, "memory.kmem.slabinfo"), "w") as stream:
                stream.write(head)
        if name:
            os.mkdir(os.path.join(root, "slab", name))
        with open(os.path.join(root, "bin/docker"), "w") as stream:
            stream.write(DOCKER % {"root": root, "run": run})
        os.chmod(os.path.join(root, "bin/docker"), 0o755)
        result = run_module(runc_proof, monkeypatch, root, check=check)
        calls = os.path.join(root, "calls")
        return result, open(calls).read().split("\n") if os.path.exists(calls) else []

    return prove


def test_off_and_nothing_left(prove):
    result, calls = prove()
    assert (result["accounting"], result["left"], result["reason"], len(result["containers"])) == ("inactive", 0, "", 2)
    assert result["containers"][0]["id"] == ID and result["containers"][0]["errno"] == 5
    assert [call.split()[0] for call in calls if call].count("run") == 2 and calls[-2].startswith("rmi --force el7ops-kmem-proof")


def test_a_header_or_a_name_that_is_left_is_on(prove):
    assert prove(head="slabinfo - version: 2.1\n")[0]["accounting"] == "active"


def test_a_name_that_is_left_is_a_leak(prove):
    result = prove(name="dentry(7:%s)" % ID)[0]
    assert (result["accounting"], result["left"]) == ("active", 2)


def test_what_fails_is_told_and_cleaned_up(prove):
    result, calls = prove(run="echo mkdir /sys/fs/cgroup/memory/docker/x: cannot allocate memory >&2; exit 125")
    assert result["accounting"] == "unknown" and "cannot allocate memory" in result["reason"] and not result["failed"]
    assert calls[-2].startswith("rmi") and [call.split()[0] for call in calls if call].count("rm") == 2


def test_check_mode_runs_nothing(prove):
    result, calls = prove(check=True)
    assert result["accounting"] == "unknown" and calls == []
