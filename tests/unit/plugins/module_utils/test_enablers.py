# SPDX-License-Identifier: GPL-3.0-or-later
"""What on a host can switch kmem accounting on, one host at a time."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _enablers

CODE = "because either tasks have already joined this cgroup or it has children"
DISABLED = "kernel memory accounting disabled in this runc build"
IGNORED = "Kernel memory settings are ignored"
ON, OFF, BARE = ({"version": "runc version 1.0.0-rc10", "strings": strings} for strings in ([CODE], [IGNORED], []))
ID = "3f" * 32


def found(**doc):
    return dict((item["name"], item) for item in _enablers.enablers(doc))


def test_the_binary_decides_for_its_package_and_the_conflict_is_said():
    seen = found(packages={"containerd.io": "1.2.13-3.2.el7"}, binaries={"/usr/bin/runc": {"version": "", "strings": [DISABLED]}})
    assert seen["/usr/bin/runc"]["kmem"] == seen["containerd.io"]["kmem"] == "off"
    assert "says on" in seen["containerd.io"]["evidence"]


def test_the_systemd_cgroup_driver_is_said_and_not_relied_on():
    item = found(binaries={"/usr/bin/runc": ON}, docker={"cgroup_driver": "systemd"})["/usr/bin/runc"]
    assert item["kmem"] == "on" and "systemd" in item["evidence"]


@pytest.mark.parametrize("doc, names", [
    (dict(processes={"slurmd": "/usr/sbin/slurmd", "dockerd": "/opt/docker/dockerd"}), {"slurmd": "unknown", "dockerd": "unknown"}),
    (dict(processes={"bash": "/bin/bash", "sshd": "x"}), {}),
    (dict(services={"docker": "active", "kubelet": "unknown", "sshd": "active"}), {"dockerd": "unknown"}),
    # a unit that does not run is installed, and can be started
    (dict(services={"docker": "failed", "kubelet": "inactive", "crio": "not-found"}), {"dockerd": "unknown", "kubelet": "unknown"}),
    (dict(services={"docker": "active (running)"}), {"dockerd": "unknown"}),
    (dict(services={"docker-latest": "active", "atomic-openshift-node": "active", "cri-o": "active"}),
     {"dockerd": "unknown", "openshift": "unknown", "crio": "unknown"}),
    (dict(services={"docker": "inactive"}, packages={"docker-ce": "3:17.03.2.ce-1.el7"}), {"docker-ce": "off"}),
    (dict(processes={"openshift": "/usr/bin/openshift"}), {"openshift": "unknown"}),
    (dict(processes={"crio": "/usr/local/bin/crio"}, binaries={"/usr/bin/runc": OFF}), {"crio": "unknown", "/usr/bin/runc": "off"}),
    (dict(processes={"rke2": "/usr/local/bin/rke2"}, binaries={"/usr/local/bin/rke2": {"version": "rke2 version v1.24.2+rke2r1 (x)"}}),
     {"/usr/local/bin/rke2": "off"}),
    (dict(services={"rke2-server": "active"}, binaries={"/usr/local/bin/rke2": {"version": "rke2 version v1.24.2+rke2r1 (x)"}}),
     {"/usr/local/bin/rke2": "off"}),
    (dict(processes={"hyperkube": "/usr/bin/hyperkube"}, binaries={"/usr/bin/hyperkube": {"version": "Kubernetes v1.24.1"}}), {"/usr/bin/hyperkube": "off"}),
    # that of a container is another one, and so is the one that ran before an update
    (dict(processes={"kubelet": "/usr/local/bin/kubelet"}, packages={"kubelet": "1.22.0-0"}),
     {"kubelet": "off", "/usr/local/bin/kubelet": "unknown"}),
    (dict(processes={"kubelet": "/usr/bin/kubelet (deleted)"}, packages={"kubelet": "1.22.0-0"}),
     {"kubelet": "off", "/usr/bin/kubelet (deleted)": "unknown"}),
    (dict(processes={"kubelet": "/usr/bin/kubelet"}, packages={"kubelet": "1.22.0-0"}), {"kubelet": "off"}),
    (dict(processes={"kubelet": "/opt/kube/bin/kubelet"}, binaries={"/opt/kube/bin/kubelet": {"version": "Kubernetes v1.24.1"}}),
     {"/opt/kube/bin/kubelet": "off"}),
    (dict(processes={"hyperkube": "/hyperkube"}, packages={"kubelet": "1.24.1-0"}), {"kubelet": "off", "hyperkube": "unknown"}),
    (dict(packages={"atomic-openshift-node": "3.11.153-1.git.0.aaf3f71.el7"}, processes={"hyperkube": "/usr/bin/hyperkube"}), {"atomic-openshift-node": "on"}),
    (dict(packages={"atomic-openshift-node": "3.11.153-1.git.0.aaf3f71.el7"}, binaries={"/usr/bin/hyperkube": {"version": "", "strings": [DISABLED]}}),
     {"atomic-openshift-node": "off", "/usr/bin/hyperkube": "off"}),
    (dict(packages={"origin-node": "3.6.1-1.0.008f2d5"}), {"origin-node": "unknown"}),
    (dict(files={"/etc/cgconfig.conf": "", "/etc/cgconfig.d/batch.conf": "memory.kmem.limit_in_bytes = 1G;"}), {"/etc/cgconfig.d/batch.conf": "on"}),
    (dict(services={"kubelet.service": "active"}), {"kubelet": "unknown"}),
    (dict(memory_cgroups={"names": ["docker", ID]}), {"dockerd": "unknown"}),
    (dict(memory_cgroups={"names": ["docker"]}, processes={}), {}),  # an empty parent stays when Docker is gone
    (dict(memory_cgroups={"names": ["docker", ID]}, processes={}), {"containerd": "unknown"}),
    (dict(memory_cgroups={"names": ["docker-%s.scope" % ID]}, processes={}), {"dockerd": "unknown"}),
    (dict(slabinfo={"/kubepods/burstable/pod1": {}}), {"kubelet": "unknown"}),
    (dict(kmem_usage={"/machine.slice/libpod-%s.scope" % ID: 1}), {"podman": "unknown"}),
    (dict(docker={"server_version": "20.10.7"}), {"docker": "unknown"}),
    (dict(docker={"server_version": "17.12.0-ce"}), {"docker": "on"}),
    (dict(docker={"server_version": "18.09.8", "runc_commit": "69663f0bd4b60df09991c08812a60108003fa340"}), {"docker": "on"}),
    (dict(processes={"docker-containe": "x"}, binaries={"/usr/bin/docker-runc": ON}), {"/usr/bin/docker-runc": "on"}),
    (dict(processes={"dockerd": "x", "containerd": "x"}, binaries={"/usr/bin/runc": ON}), {"/usr/bin/runc": "on"}),
    (dict(packages={"kubelet": "1.17.9-0"}, processes={"kubelet": "x"}), {"kubelet": "on"}),
    (dict(packages={"cri-o": "1.17.4"}, binaries={"/usr/bin/runc": OFF}), {"cri-o": "unknown", "/usr/bin/runc": "off"}),
    (dict(packages={"cri-o": "1.17.4"}), {"cri-o": "unknown"}),
    (dict(packages={"podman": "1.6.4", "crun": "0.13"}, binaries={"/usr/bin/runc": BARE}), {"podman": "unknown", "crun": "off", "/usr/bin/runc": "unknown"}),
    (dict(packages={"docker": "1.13.1-209.git7d71120.el7.centos"}), {"docker": "on"}),
    (dict(packages={"docker-ce": "18.06.3.ce-3.el7"}), {"docker-ce": "on"}),
    (dict(packages={"docker-ce": "19.03.13-3.el7"}), {"docker-ce": "unknown"}),
    (dict(packages={"docker-ce": "19.03.13-3.el7", "containerd.io": "1.4.13-3.1.el7"}), {"docker-ce": "off", "containerd.io": "off"}),
    (dict(packages={"docker-ce": "19.03.13-3.el7", "containerd.io": "1.2.13-3.2.el7"}), {"docker-ce": "on", "containerd.io": "on"}),
    (dict(slabinfo={"/batch": {"errno": 0, "head": "slabinfo"}, "/docker/%s" % ID: {"errno": 0, "head": "x"}, "/x": {"errno": 5}}, processes={}),
     {"cgroup /batch": "on", "containerd": "unknown"}),
    (dict(packages={"nvidia-container-runtime": "2.0.0-1.docker18.06.1"}, binaries={"/usr/bin/runc": OFF}),
     {"nvidia-container-runtime": "unknown", "/usr/bin/runc": "off"}),
    (dict(packages={"nvidia-container-runtime": "3.1.4-1"}, binaries={"/usr/bin/runc": OFF}), {"nvidia-container-runtime": "off", "/usr/bin/runc": "off"}),
    (dict(packages={"slurm-slurmd": "17.11.8-1.el7"}, files={"/etc/slurm/cgroup.conf": "ConstrainKmemSpace=yes\n"}), {"slurm-slurmd": "on"}),
    (dict(files={"/etc/cgconfig.conf": "  memory.kmem.limit_in_bytes = 1G;\n"}), {"/etc/cgconfig.conf": "on"}),
    (dict(files={"/etc/cgconfig.conf": "# memory.kmem.limit_in_bytes = 1G;\n"}), {}),
    (dict(binaries={"/usr/local/bin/k3s": {"version": "k3s version v1.18.8+k3s1 (6b595318)", "strings": []}}), {"/usr/local/bin/k3s": "on"}),
    (dict(binaries={"/usr/local/bin/k3s": {"version": "k3s version v1.0.1 (e94a3c60)", "strings": []}}), {"/usr/local/bin/k3s": "on"}),
    (dict(binaries={"/usr/local/bin/k3s": {"version": "k3s version v0.10.2 (8833bfd9)", "strings": [CODE]}}), {"/usr/local/bin/k3s": "on"}),
    (dict(binaries={"/usr/bin/kubelet": {"version": "Kubernetes v1.17.9", "strings": [CODE]}}), {"/usr/bin/kubelet": "on"}),
    # rebuilt with -tags=nokmem under the same version, as klts does
    (dict(packages={"kubelet": "1.17.9-0"}, binaries={"/usr/bin/kubelet": {"version": "Kubernetes v1.17.9", "strings": [DISABLED]}}),
     {"kubelet": "off", "/usr/bin/kubelet": "off"}),
    (dict(binaries={"/usr/bin/kubelet": {"version": "Kubernetes v1.24.1", "strings": []}}), {"/usr/bin/kubelet": "off"}),
    # Docker up to 18.06 and Red Hat's have a runc of their own, and another one says nothing about it
    (dict(packages={"docker": "1.13.1-209.git7d71120.el7.centos"}, binaries={"/usr/bin/runc": OFF}, processes={"dockerd-current": "x"}),
     {"docker": "on", "/usr/bin/runc": "off"}),
    (dict(packages={"docker": "1.13.1-209.git7d71120.el7.centos"}, binaries={"/usr/libexec/docker/docker-runc-current": OFF}),
     {"docker": "off", "/usr/libexec/docker/docker-runc-current": "off"}),
    (dict(packages={"docker-ce": "18.06.3.ce-3.el7"}, binaries={"/usr/bin/runc": OFF}), {"docker-ce": "on", "/usr/bin/runc": "off"}),
    (dict(packages={"docker-ce": "18.06.3.ce-3.el7"}, binaries={"/usr/bin/docker-runc": OFF}), {"docker-ce": "off", "/usr/bin/docker-runc": "off"}),
    (dict(packages={"docker-ce": "19.03.13-3.el7"}, binaries={"/usr/bin/docker-runc": OFF}), {"docker-ce": "unknown", "/usr/bin/docker-runc": "off"}),
    (dict(docker={"server_version": "17.12.0-ce"}, binaries={"/usr/bin/runc": OFF}), {"docker": "on", "/usr/bin/runc": "off"}),
    (dict(processes={"dockerd-current": "x"}, binaries={"/usr/bin/runc": OFF}), {"dockerd": "unknown", "/usr/bin/runc": "off"}),
    (dict(packages={"docker-ce": "19.03.13-3.el7"}, binaries={"/var/lib/rancher/k3s/data/current/bin/runc": OFF}),
     {"docker-ce": "unknown", "/var/lib/rancher/k3s/data/current/bin/runc": "off"}),
    (dict(packages={"docker-ee": "17.06.2.ee.25-3.el7"}), {"docker-ee": "on"}),
    (dict(packages={"docker-ee": "18.09.9-3.el7", "containerd.io": "1.2.10-3.2.el7"}), {"docker-ee": "on", "containerd.io": "on"}),
    # a bare number is that of the program it is said of
    (dict(binaries={"/usr/bin/kubelet": {"version": "1.17.9"}, "/usr/local/bin/k3s": {"version": "v1.19.5+k3s2"}}),
     {"/usr/bin/kubelet": "on", "/usr/local/bin/k3s": "on"}),
    (dict(binaries={"/usr/bin/kubelet": {"version": "v1.24.1"}, "/opt/bin/runc-1.1": {"version": "1.1.4"}, "/usr/bin/crun": {"version": "1.4"}}),
     {"/usr/bin/kubelet": "off", "/opt/bin/runc-1.1": "off", "/usr/bin/crun": "off"}),
    (dict(binaries={"/opt/bin/engine": {"version": "19.03.12"}}), {"/opt/bin/engine": "unknown"}),
    (dict(binaries={"/opt/engine": {"version": "runc version 1.1.4"}}, docker={"runtimes": {"other": "/opt/engine"}}), {"/opt/engine": "off"}),
    (dict(binaries={"/usr/bin/dockerd": {"version": "19.03.12"}, "/usr/bin/containerd": {"version": "1.2.13"}}),
     {"dockerd": "unknown", "containerd": "unknown"}),
    (dict(binaries={"/usr/bin/dockerd": {"version": "19.03.12"}, "/usr/bin/containerd-shim-runc-v2": {"version": "1.4.1"}, "/usr/bin/runc": OFF}),
     {"/usr/bin/runc": "off"}),
    (dict(packages={"docker-ce": "19.03.12-3.el7"}, binaries={"/usr/bin/containerd": {"version": "1.2.13"}}),
     {"docker-ce": "unknown", "containerd": "unknown"}),
    (dict(binaries={"/usr/bin/openshift": {"version": "openshift v3.11.0"}, "/usr/sbin/slurmd": {"version": "slurm 17.11.5"}}),
     {"openshift": "unknown", "slurmd": "unknown"}),
    # they bring a runc or a kubelet along
    (dict(processes={"gdn": "/var/vcap/packages/guardian/bin/gdn", "kubelite": "/snap/microk8s/2210/kubelite", "lxd": "x"}),
     {"gdn": "unknown", "kubelite": "unknown", "lxd": "unknown"}),
    (dict(services={"snap.microk8s.daemon-kubelet": "active", "snap.docker.dockerd.service": "active",
                    "k0sworker.service": "inactive", "openshift-node": "active"}),
     {"kubelet": "unknown", "dockerd": "unknown", "k0s": "unknown", "openshift": "unknown"}),
    (dict(packages={"moby-runc": "1.0.0-rc10", "lxd": "4"}), {"moby-runc": "unknown", "lxd": "unknown"}),
    (dict(packages={"kernel": "3.10.0-1160.el7", "docker-ce-cli": "26.1.4-1.el7", "container-selinux": "2.119.2-1", "kubectl": "1.17.9-0", "bash": "4"}), {}),
    # docker.com and CentOS both had a 1.13.1
    (dict(docker={"server_version": "1.13.1"}), {"docker": "unknown"}),
    (dict(docker={"server_version": "1.13.1"}, processes={"dockerd-current": "/usr/bin/dockerd-current"}), {"docker": "on"}),
    (dict(docker={"server_version": "1.13.1", "runc_commit": "9f9c96235cc97674e935002fc3d78361b696a69e"}), {"docker": "on"}),
    (dict(docker={"server_version": "1.13.0"}), {"docker": "off"}),
    # before 17.06 runc had the code, and called it only where a container asks for a kernel limit
    (dict(packages={"docker-ce": "17.03.2.ce-1.el7.centos"}, binaries={"/usr/bin/docker-runc": ON}), {"docker-ce": "off", "/usr/bin/docker-runc": "off"}),
    (dict(packages={"docker-ce": "17.06.2.ce-1.el7.centos"}, binaries={"/usr/bin/docker-runc": ON}), {"docker-ce": "on", "/usr/bin/docker-runc": "on"}),
    (dict(packages={"docker-ce": "17.03.2.ce-1.el7.centos"}, binaries={"/usr/bin/runc": ON}), {"docker-ce": "off", "/usr/bin/runc": "on"}),
    # what Docker's configuration names and nobody looked at
    (dict(docker={"default_runtime": "old", "runtimes": {"old": "/opt/old/runc"}}, binaries={"/usr/bin/runc": OFF}),
     {"/usr/bin/runc": "off", "Docker's runtime old": "unknown"}),
    (dict(docker={"default_runtime": "kata"}, binaries={"/usr/bin/runc": OFF}), {"/usr/bin/runc": "off", "Docker's runtime kata": "unknown"}),
    (dict(docker={"default_runtime": "runc", "runtimes": {"runc": "runc", "io.containerd.runc.v2": None}}, binaries={"/usr/bin/runc": OFF}),
     {"/usr/bin/runc": "off"}),
    (dict(docker={"default_runtime": "runc", "damaged": True}, binaries={"/usr/bin/runc": OFF}), {"/usr/bin/runc": "off", "Docker's configuration": "unknown"}),
    (dict(docker={"runtimes": {"nvidia": "/usr/bin/nvidia-container-runtime"}}, binaries={
        "/usr/bin/runc": OFF, "/usr/bin/nvidia-container-runtime": {"version": "NVIDIA Container Runtime version 1.13.5", "strings": []}}),
     {"/usr/bin/runc": "off"}),
    (dict(docker={"runtimes": {"nvidia": "/usr/bin/nvidia-container-runtime"}}, binaries={
        "/usr/bin/nvidia-container-runtime": {"version": "NVIDIA Container Runtime version 1.13.5", "strings": []}}),
     {"nvidia-container-runtime": "unknown"}),
    (dict(processes={"k3s-server": "/usr/local/bin/k3s", "containerd": "/var/lib/rancher/k3s/data/4d/bin/containerd"},
          binaries={"/usr/local/bin/k3s": {"version": "k3s version v1.24.1+k3s1"}}), {"/usr/local/bin/k3s": "off"}),
    (dict(packages={"libvirt-daemon-driver-lxc": "4.5.0-36.el7", "plexus-containers-container-default": "1.5.5-14.el7", "cockpit-docker": "195-1.el7"}), {}),
    # Docker in Docker: its runc is not the host's, and the host's is not its
    (dict(nested={"/proc/900/root/usr/local/bin/dockerd": "dockerd"}, binaries={"/usr/bin/runc": OFF}),
     {"/usr/bin/runc": "off", "/proc/900/root/usr/local/bin/dockerd": "unknown"}),
    (dict(nested={"/proc/900/root/usr/local/bin/dockerd": "dockerd"}, packages={"docker-ce": "19.03.13-3.el7"},
          binaries={"/usr/bin/runc": OFF, "/proc/900/root/usr/local/bin/runc": ON}),
     {"/usr/bin/runc": "off", "docker-ce": "off", "/proc/900/root/usr/local/bin/runc": "on"}),
    ({}, {}), (dict(packages=[], binaries="x", docker=3, processes=None, services=[1]), {}),
])  # fmt: skip
def test_findings(doc, names):
    assert dict((name, item["kmem"]) for name, item in found(**doc).items()) == names


def test_what_runs_is_told():
    seen = found(packages={"kubelet": "1.17.9-0", "containerd.io": "1.2.13-3.2.el7"}, processes={"containerd": "x"})
    assert (seen["kubelet"]["running"], seen["containerd.io"]["running"]) == (False, True)
    seen = found(binaries={"/usr/bin/hyperkube": {"version": "Kubernetes v1.11.0"}}, processes={"hyperkube": "/usr/bin/hyperkube"})
    assert seen["/usr/bin/hyperkube"]["running"]
    assert not found(services={"docker": "failed"}, packages={"docker-ce": "3:17.03.2.ce-1.el7"})["docker-ce"]["running"]


def test_another_default_runtime_is_said_and_does_not_clear_the_host():
    docker = {"runtimes": {"nokmem": "/usr/local/libexec/runc"}, "default_runtime": "nokmem"}
    seen = found(binaries={"/usr/bin/runc": ON, "/usr/local/libexec/runc": OFF}, docker=docker, processes={"dockerd": "x", "containerd": "x"})
    assert seen["/usr/bin/runc"]["kmem"] == "on" and seen["/usr/bin/runc"]["idle"] and "default runtime" in seen["/usr/bin/runc"]["evidence"]
    seen = found(binaries={"/usr/bin/runc": ON, "/usr/local/libexec/runc": OFF}, docker=docker, packages={"kubelet": "1.17.9"})
    assert not seen["/usr/bin/runc"]["idle"]
