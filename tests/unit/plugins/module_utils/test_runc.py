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
    ("1.6.33-3.1.el7", "off"), ("1.2.6", "unknown"), ("1.2.1", "unknown"), ("1.2.5", "off"), ("1.2.13", "on"), ("1.4.12", "off"),
    ("", "unknown"), (None, "unknown"), ("garbage", "unknown"),
])  # fmt: skip
def test_containerd_io(version, kmem):
    assert _runc.containerd_io(version) == kmem


@pytest.mark.parametrize("text, kmem", [
    ("runc version 0.1.1", "off"), ("runc version 1.0.0-rc1", "off"), ("runc version 1.0.0-rc2", "on"), ("runc version 1.0.0-rc5+dev", "on"),
    ("runc version 1.0.0-rc10", "unknown"), ("runc version 1.0.0-rc93", "unknown"), ("runc version 1.0.0~rc93+ds1", "unknown"),
    ("runc version 1.0.0-rc94", "off"), ("runc version 1.0.0", "off"), ("runc version 1.0.1", "off"), ("runc version 1.1.12\ncommit: x", "off"),
    ("runc version unknown", "unknown"), ("", "unknown"), (None, "unknown"),
    # CentOS 7's own, from before the release; and what follows the release in packages
    ("1.0.0-52.dev.git70ca035.el7_5", "unknown"), ("1.0.0-59.dev.git2abd837.el7.centos", "unknown"), ("1.0.0-60.dev.git2abd837.el7", "unknown"),
    ("runc version 1.0.0-dev", "unknown"), ("runc version 1.0.0+dev\ncommit: x", "unknown"), ("1.0.0.git5", "unknown"), ("1.0.0-1.beta", "unknown"),
    ("1.0.0-1.el7", "off"), ("1.0.0-1", "off"), ("runc version 1.0.0\nspec: 1.0.2-dev", "off"), ("1.1.4-0ubuntu1~20.04.1", "off"),
    ("1.0.0-69.rc10.git2e06f4e.el7_9", "unknown"), ("1.0.0-5.rc2.gitb2d83b3.el7", "on"), ("runc version 1.0.0-rc5+dev.docker-18.06", "on"),
])  # fmt: skip
def test_runc_version(text, kmem):
    assert _runc.runc_version(text) == kmem


@pytest.mark.parametrize("version, kmem", [
    ("1.6.13-0", "off"), ("1.8.0-0", "on"), ("1.17.9-0", "on"), ("1.21.1-0", "on"), ("1.21.2-0", "unknown"), ("1.21.3-0", "off"),
    ("1.22.0-0", "off"), ("v1.22.0-alpha.1", "unknown"), ("1.23.0-beta.0", "off"), ("v1.16.0", "on"), ("x", "unknown"),
])  # fmt: skip
def test_kubelet(version, kmem):
    assert _runc.kubelet(version) == kmem


@pytest.mark.parametrize("version, strings, kmem", [
    ("runc version 1.0.0-rc10", [CODE], "on"), ("runc version 1.0.0-rc10", [CODE, DISABLED], "off"), ("runc version 1.0.0-rc10", [DISABLED], "off"),
    ("runc version 1.0.0-rc5", [IGNORED], "off"), ("runc version 1.0.0-rc10", [], "unknown"), ("", [CODE], "on"), ("", [], "unknown"),
])  # fmt: skip
def test_strings_in_the_binary_outweigh_its_version(version, strings, kmem):
    assert _runc.binary({"version": version, "strings": strings})[0] == kmem


@pytest.mark.parametrize("version, kmem", [
    ("1.12.1", "off"), ("1.12.2", "unknown"), ("17.05.0-ce", "off"), ("3:17.06.0.ce-1.el7.centos", "on"), ("17.12.0-ce", "on"),
    ("3:18.06.1.ce-3.el7", "on"), ("3:18.09.8-3.el7", None), ("20.10.7", None), ("x", "unknown"), (None, "unknown"),
])  # fmt: skip
def test_docker_with_a_runc_of_its_own(version, kmem):
    assert _runc.docker(version) == kmem


@pytest.mark.parametrize("version, kmem", [
    ("2:1.13.1-209.git7d71120.el7.centos", "on"), ("2:1.12.6-71.git3e8e77d.el7.centos.1", "unknown"), ("", "unknown"),
])  # fmt: skip
def test_docker_of_centos(version, kmem):
    assert _runc.centos_docker(version) == kmem


@pytest.mark.parametrize("version, kmem", [
    ("1.17.17+k3s1", "on"), ("v1.18.18+k3s1", "on"),
    ("1.0.1", "on"), ("v0.10.2", "on"), ("0.1.0", "on"), ("1", "unknown"),  # numbers of its own
    ("1.18.19+k3s1", "unknown"), ("1.20.6", "on"), ("1.20.7", "unknown"), ("1.22.2+k3s1", "off"), ("x", "unknown"),
])  # fmt: skip
def test_k3s(version, kmem):
    assert _runc.k3s(version) == kmem


@pytest.mark.parametrize("config, version, kmem", [
    ("ConstrainRAMSpace=yes\nConstrainKmemSpace=yes\n", "17.11.9-1.el7", "on"), ("constrainramspace=YES\nconstrainkmemspace=Yes # x\n", None, "on"),
    ("ConstrainKmemSpace=no\n", "17.02.1", "off"), ("#ConstrainKmemSpace=yes\nConstrainRAMSpace=yes\n", "20.11.9-1.el7", "off"),
    ("ConstrainRAMSpace=yes\n", "17.02.1-1", "unknown"), ("ConstrainCores=yes\n", "17.02.1-1", "off"), (None, "20.11.9", "unknown"),
])  # fmt: skip
def test_slurm(config, version, kmem):
    assert _runc.slurm(config, version)[0] == kmem


@pytest.mark.parametrize("text, kmem", [
    ("runc version 1.0.0-rc6+dev\ncommit: 69663f0bd4b60df09991c08812a60108003fa340", "on"), ("crun version 0.18", "off"),
    ("runc version 1.0.0-rc8+dev\ncommit: 3e425f80a8c931f88e6d94a8c831b9d5aa481657", "unknown"),
    ("runc version 1.0.0-rc2\ncommit: 51371867a01c467f08af739783b8beafc154c4d7", "off"), ({"a": 1}, "unknown"),
])  # fmt: skip
def test_commit_and_crun(text, kmem):
    assert _runc.binary({"version": text, "strings": None})[0] == kmem
