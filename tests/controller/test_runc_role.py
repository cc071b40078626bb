# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runtimes that the facts name the role runc_nokmem exchanges, and which it refuses; its own expressions are evaluated."""

import pathlib

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.el7ops.kmem.plugins.module_utils import _exchange

ROLE = pathlib.Path(__file__).resolve().parents[2] / "roles" / "runc_nokmem"


def load(name):
    return yaml.load((ROLE / name).read_text(), yaml.SafeLoader)


def evaluated(task, variable, enablers, **options):
    variables = dict(load("defaults/main.yml"), **load("vars/main.yml"), **options)
    variables["ansible_facts"] = {"kmem": {"enablers": enablers}}
    return Templar(DataLoader(), variables=variables).template(task["vars"][variable])


def one(name, kmem="on", kind="runc"):
    return {"name": name, "kmem": kmem, "kind": kind}


HOST = [
    one("/opt/kube/bin/runc"), one("/usr/bin/nvidia-container-runtime"), one("/usr/bin/runc", "off"), one("/usr/libexec/docker/docker-runc-current"),
    one("/usr/bin/docker-runc", "unknown"), one("docker-ce", kind="engine"), one("/usr/bin/kubelet", kind="kubelet"),
]


@pytest.mark.parametrize("options, wanted", [
    ({}, ["/opt/kube/bin/runc", "/usr/libexec/docker/docker-runc-current"]),
    ({"runc_nokmem_method": "docker"}, []), ({"runc_nokmem_state": "absent"}, []),
])  # fmt: skip
def test_what_the_facts_name_is_what_is_exchanged(options, wanted):
    (task,) = [one for block in load("tasks/main.yml") for one in block.get("block", []) if "el7ops.kmem.runc_exchange" in one]
    assert "__runc_nokmem_targets" in task["el7ops.kmem.runc_exchange"]["targets"]
    assert evaluated(task, "__runc_nokmem_targets", HOST, **dict({"runc_nokmem_state": "present", "runc_nokmem_method": "file"}, **options)) == wanted
    assert not any(_exchange.no_runc(path) for path in wanted), "the module would refuse it"


def test_what_is_no_plain_runc_is_refused_before_anything_is_fetched():
    (task,) = [one for one in load("tasks/preflight.yml") if "Refuse where a runtime" in one["name"]]
    special = evaluated(task, "__runc_nokmem_special", HOST)
    assert special == ["/usr/bin/nvidia-container-runtime"] and all(_exchange.no_runc(path) for path in special)
    assert "yum update nvidia-container-runtime" in " ".join(task["ansible.builtin.assert"]["fail_msg"].split())
