# SPDX-License-Identifier: GPL-3.0-or-later
"""The version tables of what switches kmem accounting on."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _runc

CODE = "because either tasks have already joined this cgroup or it has children"
DISABLED = "kernel memory accounting disabled in this runc build"
IGNORED = "Kernel memory settings are ignored"


@pytest.mark.parametrize("version, kmem", [
    ("1.2.0-3.1.el7", "on"), ("1.2.0-1.2.beta.2.el7", "on"), ("1.2.1-3.1.el7", "off"), ("1.2.6-3.3.el7", "off"),
    ("1.2.6-3.4.el7", "on"), ("1.2.10-3.2.el7", "on"), ("1.2.13-3.1.el7", "on"), ("1.2.13-3.2.el7", "on"),
    ("1.3.7-3.1.el7", "unknown"), ("1.3.9-3.1.el7", "off"), ("1.4.1-3.1.el7", "off"), ("1.4.0-3.1.el7", "unknown"),
    ("1.6.33-3.1.el7", "off"), ("", "unknown"), (None, "unknown"), ("garbage", "unknown"),
])  # fmt: skip
def test_containerd_io(version, kmem):
    assert _runc.containerd_io(version) == kmem


@pytest.mark.parametrize("text, kmem", [
    ("runc version 0.1.1", "off"), ("runc version 1.0.0-rc1", "off"), ("runc version 1.0.0-rc2", "on"), ("runc version 1.0.0-rc5+dev", "on"),
    ("runc version 1.0.0-rc10", "unknown"), ("runc version 1.0.0-rc93", "unknown"), ("runc version 1.0.0~rc93+ds1", "unknown"),
    ("runc version 1.0.0-rc94", "off"), ("runc version 1.0.0", "off"), ("runc version 1.0.1", "off"), ("runc version 1.1.12\ncommit: x", "off"),
    ("runc version unknown", "unknown"), ("", "unknown"), (None, "unknown"),
])  # fmt: skip
def test_runc_version(text, kmem):
    assert _runc.runc_version(text) == kmem


@pytest.mark.parametrize("version, kmem", [
    ("1.6.13-0", "off"), ("1.8.0-0", "on"), ("1.17.9-0", "on"), ("1.21.1-0", "on"), ("1.21.2-0", "unknown"), ("1.22.0-0", "off"), ("x", "unknown"),
])  # fmt: skip
def test_kubelet(version, kmem):
    assert _runc.kubelet(version) == kmem


@pytest.mark.parametrize("version, strings, kmem", [
    ("runc version 1.0.0-rc10", [CODE], "on"), ("runc version 1.0.0-rc10", [CODE, DISABLED], "off"), ("runc version 1.0.0-rc10", [DISABLED], "off"),
    ("runc version 1.0.0-rc5", [IGNORED], "off"), ("runc version 1.0.0-rc10", [], "unknown"), ("", [CODE], "on"), ("", [], "unknown"),
])  # fmt: skip
def test_strings_in_the_binary_outweigh_its_version(version, strings, kmem):
    assert _runc.binary({"version": version, "strings": strings})[0] == kmem


def test_the_binary_decides_for_its_package_and_the_conflict_is_said():
    (binary, package) = _runc.enablers({"containerd.io": "1.2.13-3.2.el7"}, {"/usr/bin/runc": {"version": "", "strings": [DISABLED]}}, {}, {})
    assert (binary["kmem"], package["kmem"]) == ("off", "off")
    assert "says on" in [item["evidence"] for item in (binary, package) if item["name"] == "containerd.io"][0]


def test_the_systemd_cgroup_driver_is_said_and_not_relied_on():
    (found,) = _runc.enablers({}, {"/usr/bin/runc": {"version": "", "strings": [CODE]}}, {"cgroup_driver": "systemd"}, {})
    assert found["kmem"] == "on" and "systemd" in found["evidence"]


def test_a_running_program_that_no_table_knows_is_unknown():
    found = _runc.enablers({}, {}, {}, {"slurmd": "/usr/sbin/slurmd", "dockerd": "/opt/docker/dockerd"})
    assert sorted((item["name"], item["kmem"]) for item in found) == [("dockerd", "unknown"), ("slurmd", "unknown")]


def test_known_programs_are_not_listed_twice():
    binaries = {"/usr/bin/runc": {"version": "", "strings": [CODE]}}
    found = _runc.enablers({}, binaries, {}, {"dockerd": "/usr/sbin/dockerd", "containerd": "/usr/bin/containerd"})
    assert [item["name"] for item in found] == ["/usr/bin/runc"]
