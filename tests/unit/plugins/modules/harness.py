# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module in this process, as Ansible would, and gives back what it answered."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common.text.converters import to_bytes


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
