# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of /etc/default/grub, in every spelling that was met."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import subprocess

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _defaults

NAME, TOKEN = "cgroup.memory", "nokmem"

# (before, after adding); taking it away again gives the first back, unless a third says what
CASES = [
    ('GRUB_CMDLINE_LINUX="quiet"\n', 'GRUB_CMDLINE_LINUX="quiet cgroup.memory=nokmem"\n'),
    ("GRUB_CMDLINE_LINUX='quiet'\n", "GRUB_CMDLINE_LINUX='quiet cgroup.memory=nokmem'\n"),
    ("GRUB_CMDLINE_LINUX=quiet\n", 'GRUB_CMDLINE_LINUX="quiet cgroup.memory=nokmem"\n', 'GRUB_CMDLINE_LINUX="quiet"\n'),
    ('GRUB_CMDLINE_LINUX=""\n', 'GRUB_CMDLINE_LINUX="cgroup.memory=nokmem"\n'),
    ("GRUB_CMDLINE_LINUX=\n", 'GRUB_CMDLINE_LINUX="cgroup.memory=nokmem"\n', 'GRUB_CMDLINE_LINUX=""\n'),
    ('GRUB_CMDLINE_LINUX="cgroup.memory=nosocket quiet"\n', 'GRUB_CMDLINE_LINUX="cgroup.memory=nosocket,nokmem quiet"\n'),
    ("GRUB_CMDLINE_LINUX=cgroup.memory=nosocket\n", "GRUB_CMDLINE_LINUX=cgroup.memory=nosocket,nokmem\n"),
    ('GRUB_CMDLINE_LINUX="a cgroup.memory=nosocket b cgroup.memory=nobpf"\n', 'GRUB_CMDLINE_LINUX="a cgroup.memory=nosocket b cgroup.memory=nobpf,nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="cgroup_memory=1 quiet"\n', 'GRUB_CMDLINE_LINUX="cgroup_memory=1 quiet cgroup.memory=nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="quiet" # kept\n', 'GRUB_CMDLINE_LINUX="quiet cgroup.memory=nokmem" # kept\n'),
    ('GRUB_TIMEOUT=5\n', 'GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX="cgroup.memory=nokmem"\n', 'GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX=""\n'),
    ('GRUB_TIMEOUT=5', 'GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX="cgroup.memory=nokmem"\n', 'GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX=""\n'),
    ("", 'GRUB_CMDLINE_LINUX="cgroup.memory=nokmem"\n', 'GRUB_CMDLINE_LINUX=""\n'),
    ('#GRUB_CMDLINE_LINUX="x"\n', '#GRUB_CMDLINE_LINUX="x"\nGRUB_CMDLINE_LINUX="cgroup.memory=nokmem"\n', '#GRUB_CMDLINE_LINUX="x"\nGRUB_CMDLINE_LINUX=""\n'),
    ('GRUB_CMDLINE_LINUX="quiet \\\n  rhgb"\n', 'GRUB_CMDLINE_LINUX="quiet \\\n  rhgb cgroup.memory=nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="quiet"\r\nGRUB_TIMEOUT=5\r\n', 'GRUB_CMDLINE_LINUX="quiet cgroup.memory=nokmem"\r\nGRUB_TIMEOUT=5\r\n'),
    ('A=1\r\n', 'A=1\r\nGRUB_CMDLINE_LINUX="cgroup.memory=nokmem"\r\n', 'A=1\r\nGRUB_CMDLINE_LINUX=""\r\n'),
    ('GRUB_CMDLINE_LINUX="quiet"', 'GRUB_CMDLINE_LINUX="quiet cgroup.memory=nokmem"'),
    ('export GRUB_CMDLINE_LINUX="quiet"\n', 'export GRUB_CMDLINE_LINUX="quiet cgroup.memory=nokmem"\n'),
    ('  GRUB_CMDLINE_LINUX="quiet"\n', '  GRUB_CMDLINE_LINUX="quiet cgroup.memory=nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="old"\nGRUB_CMDLINE_LINUX="new"\n', 'GRUB_CMDLINE_LINUX="old"\nGRUB_CMDLINE_LINUX="new cgroup.memory=nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX b"\n', 'GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX b cgroup.memory=nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="a cgroup.memory=nosocket"\nGRUB_CMDLINE_LINUX+=" b"\n', 'GRUB_CMDLINE_LINUX="a cgroup.memory=nosocket,nokmem"\nGRUB_CMDLINE_LINUX+=" b"\n'),
    ('GRUB_CMDLINE_LINUX="x=\\"a b\\" y"\n', 'GRUB_CMDLINE_LINUX="x=\\"a b\\" y cgroup.memory=nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="$([ -x /usr/sbin/p ] && /usr/sbin/p "z" || :) rhgb"\n', 'GRUB_CMDLINE_LINUX="$([ -x /usr/sbin/p ] && /usr/sbin/p "z" || :) rhgb cgroup.memory=nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX_DEFAULT="cgroup.memory=nosocket"\n', 'GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX_DEFAULT="cgroup.memory=nosocket,nokmem"\n'),
    ('GRUB_DISTRIBUTOR="$(sed \'s, release .*$,,g\' /etc/system-release)"\nGRUB_CMDLINE_LINUX="a"\n',
     'GRUB_DISTRIBUTOR="$(sed \'s, release .*$,,g\' /etc/system-release)"\nGRUB_CMDLINE_LINUX="a cgroup.memory=nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="a"\nif [ x = y ]; then\n  GRUB_TIMEOUT=1\nfi\n', 'GRUB_CMDLINE_LINUX="a cgroup.memory=nokmem"\nif [ x = y ]; then\n  GRUB_TIMEOUT=1\nfi\n'),
]  # fmt: skip

THERE = [
    'GRUB_CMDLINE_LINUX="cgroup.memory=nokmem"\n',
    "GRUB_CMDLINE_LINUX='quiet cgroup.memory=nosocket,nokmem'\n",
    'GRUB_CMDLINE_LINUX="cgroup.memory=nosocket cgroup.memory=nokmem"\n',
    'GRUB_CMDLINE_LINUX="cgroup.memory=nokmem quiet cgroup.memory=nokmem"\n',
    'GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX_DEFAULT="cgroup.memory=nokmem"\n',
    'GRUB_CMDLINE_LINUX="a cgroup.memory=nokmem"\nGRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX b"\n',
]

REFUSED = [
    'GRUB_CMDLINE_LINUX="quiet\n',
    'GRUB_CMDLINE_LINUX="quiet" trailing\n',
    'if true; then\nGRUB_CMDLINE_LINUX="quiet"\nfi\n',
    'GRUB_CMDLINE_LINUX="$(unclosed"\n',
    'GRUB_CMDLINE_LINUX="${X:-quiet}"\n',
]


@pytest.mark.parametrize("case", CASES)
def test_adding_and_taking_away(case):
    before, after = case[:2]
    assert _defaults.change(before, NAME, TOKEN, "present") == after
    assert _defaults.change(after, NAME, TOKEN, "present") == after
    assert _defaults.change(after, NAME, TOKEN, "absent") == (case[2] if len(case) == 3 else before)


@pytest.mark.parametrize("text", THERE)
def test_what_is_there_is_left_alone_and_can_be_taken_away(text):
    assert _defaults.change(text, NAME, TOKEN, "present") == text
    gone = _defaults.change(text, NAME, TOKEN, "absent")
    assert TOKEN not in gone and _defaults.change(gone, NAME, TOKEN, "absent") == gone
    assert ("nosocket" in gone) == ("nosocket" in text)


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_understood_is_refused_with_its_line(text):
    with pytest.raises(_defaults.DefaultsError) as failure:
        _defaults.change(text, NAME, TOKEN, "present")
    assert "line " in str(failure.value) and "Nothing was changed" in str(failure.value)


@pytest.mark.parametrize("case", [case for case in CASES if "\r" not in case[0]])
def test_a_real_shell_reads_the_result_the_same(case, tmpdir):
    path = tmpdir.join("grub")
    for text, wanted in ((case[0], False), (case[1], True)):
        path.write(text)
        script = '. "$1"; printf "%s %s" "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT"'
        out = subprocess.Popen(["/bin/bash", "-c", script, "sh", str(path)], stdout=subprocess.PIPE).communicate()[0].decode()
        tokens = [token for word in out.split() if word.startswith("cgroup.memory=") for token in word.partition("=")[2].split(",")]
        assert ("nokmem" in tokens) == wanted
