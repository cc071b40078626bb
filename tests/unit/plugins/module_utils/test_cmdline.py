# SPDX-License-Identifier: GPL-3.0-or-later
"""The merge of one token into a kernel command line."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _cmdline

NAME, TOKEN = "cgroup.memory", "nokmem"


@pytest.mark.parametrize("before, after", [
    ("", "cgroup.memory=nokmem"),
    ("ro quiet", "ro quiet cgroup.memory=nokmem"),
    ("ro cgroup.memory=nosocket quiet", "ro cgroup.memory=nosocket,nokmem quiet"),
    ("cgroup.memory=nosocket ro cgroup.memory=nobpf", "cgroup.memory=nosocket ro cgroup.memory=nobpf,nokmem"),
    ("cgroup_memory=1", "cgroup_memory=1 cgroup.memory=nokmem"),
    ("xcgroup.memory=nokmem", "xcgroup.memory=nokmem cgroup.memory=nokmem"),
    ("cgroup.memory.x=nokmem", "cgroup.memory.x=nokmem cgroup.memory=nokmem"),
    ('dyndbg="file a +p" ro', 'dyndbg="file a +p" ro cgroup.memory=nokmem'),
    ("ro -- single", "ro cgroup.memory=nokmem -- single"),
    ("  ro   quiet  ", "  ro   quiet cgroup.memory=nokmem  "),
])  # fmt: skip
def test_added_and_taken_away_again(before, after):
    assert _cmdline.change(before, NAME, TOKEN, "present") == after
    assert _cmdline.change(after, NAME, TOKEN, "present") == after
    assert _cmdline.change(after, NAME, TOKEN, "absent") == before
    assert _cmdline.others(after, NAME) == _cmdline.others(before, NAME)


@pytest.mark.parametrize("before, after", [
    ("cgroup.memory=nokmem", ""),
    ("ro cgroup.memory=nokmem quiet", "ro quiet"),
    ("ro cgroup.memory=nosocket,nokmem quiet", "ro cgroup.memory=nosocket quiet"),
    ("ro cgroup.memory=nokmem,nosocket quiet", "ro cgroup.memory=nosocket quiet"),
    ("ro cgroup.memory=a,nokmem,b quiet", "ro cgroup.memory=a,b quiet"),
    ("cgroup.memory=nokmem ro cgroup.memory=nokmem", "ro"),
    ("cgroup.memory=nosocket ro cgroup.memory=nokmem", "cgroup.memory=nosocket ro"),
    ("ro -- cgroup.memory=nokmem", "ro -- cgroup.memory=nokmem"),
])  # fmt: skip
def test_taken_away(before, after):
    assert _cmdline.change(before, NAME, TOKEN, "absent") == after
    assert _cmdline.change(after, NAME, TOKEN, "absent") == after


@pytest.mark.parametrize("text", ["cgroup.memory=nokmem", "cgroup.memory=nosocket,nokmem", "cgroup.memory=nosocket cgroup.memory=nokmem",
                                  'cgroup.memory="nokmem"', '"cgroup.memory=nokmem"'])  # fmt: skip
def test_what_is_there_is_left_alone(text):
    assert TOKEN in _cmdline.tokens(text, NAME)
    assert _cmdline.change(text, NAME, TOKEN, "present") == text
