# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module in this process, as Ansible would, and gives back what it answered."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json
import os

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common.text.converters import to_bytes
from ansible_collections.el7ops.kmem.plugins.module_utils import _door


class Exit(Exception):
    """What the module answered."""


def run_module(module, monkeypatch, scratch, check=False, **options):
    """The result of a module's main() with these options, with 'failed' always set."""
    options.update(_ansible_check_mode=check, _ansible_diff=True, _ansible_remote_tmp=str(scratch), _ansible_keep_remote_files=False)
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", to_bytes(json.dumps({"ANSIBLE_MODULE_ARGS": options})))

    def answer(failed):
        def leave(dummy, **result):
            raise Exit(dict(result, failed=failed))

        return leave

    monkeypatch.setattr(basic.AnsibleModule, "exit_json", answer(False))
    monkeypatch.setattr(basic.AnsibleModule, "fail_json", answer(True))
    with pytest.raises(Exit) as left:
        module.main()
    return left.value.args[0]


class Tree(object):
    """A tree that stands for a host, and a module that writes boot files run on it."""

    def __init__(self, root, monkeypatch, module):
        self.root, self.monkeypatch, self.module = str(root), monkeypatch, module
        paths = dict(module.PATHS)
        for key, value in paths.items():
            paths[key] = self.path(value) if isinstance(value, str) else tuple(self.path(one) for one in value)
        monkeypatch.setattr(module, "PATHS", paths)
        # the file system under the tree is that of whoever runs the tests
        monkeypatch.setattr(_door._disk, "settle", lambda directory: "")
        monkeypatch.setattr(_door.os, "geteuid", lambda: 0)  # the tree is the user's own, whoever runs the tests

    def path(self, name):
        return os.path.join(self.root, name.lstrip("/"))

    def put(self, name, text):
        if not os.path.isdir(os.path.dirname(self.path(name))):
            os.makedirs(os.path.dirname(self.path(name)))
        with open(self.path(name), "wb") as stream:
            stream.write(text.encode("utf-8"))

    def put_tool(self, name, text):
        self.put(name, text)
        os.chmod(self.path(name), 0o755)

    def run(self, check=False, **options):
        options.setdefault("backup_dir", self.path("backups"))
        return run_module(self.module, self.monkeypatch, self.root, check=check, **options)
