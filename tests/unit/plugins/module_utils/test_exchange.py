# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a binary fit, and what becomes of daemon.json."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json
import struct

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _exchange, _schema

ON, OFF, NOKMEM = _schema.MARKERS[2][0], _schema.MARKERS[0][0], _schema.MARKERS[1][0]


def program(machine=62, interpreter=False, bits=2):
    """The beginning of an ELF file with two program headers."""
    head = b"\x7fELF" + struct.pack("<BBB", bits, 1, 1) + b"\0" * 9 + struct.pack("<HHI", 2, machine, 1)
    head += struct.pack("<QQQIHHHHHH", 0x401000, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    return head + struct.pack("<I", 1) + b"\0" * 52 + struct.pack("<I", 3 if interpreter else 6) + b"\0" * 52


@pytest.mark.parametrize("head, kind", [
    (program(), {"machine": "x86_64", "static": True}), (program(183), {"machine": "aarch64", "static": True}),
    (program(interpreter=True), {"machine": "x86_64", "static": False}), (program(bits=1), None), (b"#!/bin/sh\n", None), (b"", None),
    (program()[:100], None), (program(3), {"machine": "machine 3", "static": True}),
])  # fmt: skip
def test_elf(head, kind):
    assert _exchange.elf(head) == kind


@pytest.mark.parametrize("head, strings, words", [
    (program(), [OFF], ""), (program(), [NOKMEM], ""), (program(), [NOKMEM, ON], ""), (program(), [ON], "switches kmem accounting on itself"),
    (program(), [], "none of its strings"), (program(183), [OFF], "this host is x86_64"), (program(interpreter=True), [OFF], "dynamically"),
    (b"PK", [OFF], "no 64-bit ELF"),
])  # fmt: skip
def test_unfit(head, strings, words):
    why = _exchange.unfit(head, strings, "x86_64")
    assert words in why and bool(why) == bool(words)


@pytest.mark.parametrize("path, words", [
    ("/usr/bin/runc", ""), ("/opt/kube/bin/runc", ""), ("/usr/libexec/docker/docker-runc-current", ""), ("/opt/runc.amd64", ""), ("/opt/bin/runc-1.0", ""),
    ("/usr/bin/nvidia-container-runtime", "yum update nvidia-container-runtime"), ("/usr/bin/kata-runtime", "no runc by its name"),
    ("/usr/bin/sysbox-runc", "no runc by its name"), ("/usr/bin/runcible", "no runc by its name"), ("/opt/runc/crun", "no runc by its name"),
])  # fmt: skip
def test_only_what_is_a_runc_by_its_name_is_exchanged(path, words):
    why = _exchange.no_runc(path)
    assert words in why and bool(why) == bool(words)


@pytest.mark.parametrize("text, name", [
    ("", ""), ("{}", ""), ('{"default-runtime": "runc"}', ""), ('{"default-runtime": "nvidia"}', "nvidia"),
    ('{"default-runtime": "runc-nokmem"}', "runc-nokmem"),
])  # fmt: skip
def test_another_default_runtime(text, name):
    assert _exchange.other_default(text) == name


def test_our_runtime_is_merged_and_taken_out_again():
    text = '{"log-driver": "json-file", "runtimes": {"kata": {"path": "/usr/bin/kata"}}, "default-runtime": "kata", "live-restore": true}'
    after = _exchange.merged(text, "runc-nokmem", "/x/runc")
    document = json.loads(after)
    assert document["default-runtime"] == "runc-nokmem" and document["log-driver"] == "json-file" and document["live-restore"] is True
    assert document["runtimes"] == {"kata": {"path": "/usr/bin/kata"}, "runc-nokmem": {"path": "/x/runc"}}
    assert _exchange.merged(after, "runc-nokmem", "/x/runc") == after
    assert json.loads(_exchange.parted(after, "runc-nokmem", "kata")) == json.loads(text)
    kept = json.loads(_exchange.parted(after, "runc-nokmem", "kata", keep=True))
    assert kept["default-runtime"] == "kata" and "runc-nokmem" in kept["runtimes"]


def test_an_empty_daemon_json_comes_and_goes():
    after = _exchange.merged("", "n", "/x")
    assert json.loads(after) == {"runtimes": {"n": {"path": "/x"}}, "default-runtime": "n"}
    assert json.loads(_exchange.parted(after, "n", None)) == {}
    assert _exchange.parted("{}", "n", None) == "{}"


@pytest.mark.parametrize("text", ["[]", "{", '{"runtimes": []}', "null"])
def test_what_docker_would_not_take_is_refused(text):
    with pytest.raises(ValueError):
        _exchange.merged(text, "n", "/x")


def test_flags_against_it():
    line = "/usr/bin/dockerd-current --add-runtime docker-runc=/usr/libexec/docker/docker-runc-current --default-runtime=docker-runc -H x"
    assert _exchange.flags_against(line.split(" ")) == ["--add-runtime", "--default-runtime"]
    assert _exchange.flags_against(["/usr/bin/dockerd", "-H", "fd://"]) == []
