# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import pytest

from ansible_collections.el7ops.kmem.plugins.module_utils import _cmdline

NAME, TOKEN = "cgroup.memory", "nokmem"

# before, after present, after absent of that
ADDED = [
    ("", "cgroup.memory=nokmem"),
    ("   ", "cgroup.memory=nokmem   "),
    ("quiet", "quiet cgroup.memory=nokmem"),
    ("quiet ", "quiet cgroup.memory=nokmem "),
    ("  ro\tquiet", "  ro\tquiet cgroup.memory=nokmem"),
    ("quiet\r", "quiet cgroup.memory=nokmem\r"),
    ("cgroup.memory=nosocket", "cgroup.memory=nosocket,nokmem"),
    ("ro cgroup.memory=nosocket quiet", "ro cgroup.memory=nosocket,nokmem quiet"),
    ("cgroup.memory=nosocket, quiet", "cgroup.memory=nosocket,,nokmem quiet"),
    ("cgroup.memory=, quiet", "cgroup.memory=,,nokmem quiet"),
    ("cgroup.memory=a ro cgroup.memory=b quiet", "cgroup.memory=a ro cgroup.memory=b,nokmem quiet"),
    ('cgroup.memory="nosocket" quiet', 'cgroup.memory="nosocket,nokmem" quiet'),
    ('"cgroup.memory=nosocket" quiet', '"cgroup.memory=nosocket,nokmem" quiet'),
    # decoys
    ("cgroup_memory=1", "cgroup_memory=1 cgroup.memory=nokmem"),
    ("xcgroup.memory=nokmem", "xcgroup.memory=nokmem cgroup.memory=nokmem"),
    ("cgroup.memory.foo=1", "cgroup.memory.foo=1 cgroup.memory=nokmem"),
    ("cgroup.memory=nokmemX", "cgroup.memory=nokmemX,nokmem"),
    ("cgroup.memory=xnokmem", "cgroup.memory=xnokmem,nokmem"),
    ('dyndbg="file cgroup.memory=nokmem +p" quiet', 'dyndbg="file cgroup.memory=nokmem +p" quiet cgroup.memory=nokmem'),
    # what follows -- is init's
    ("quiet -- cgroup.memory=nokmem", "quiet cgroup.memory=nokmem -- cgroup.memory=nokmem"),
    ("quiet  --", "quiet cgroup.memory=nokmem  --"),
    ("-- single", "cgroup.memory=nokmem -- single"),
    ("  -- single", "  cgroup.memory=nokmem -- single"),
    ("cgroup.memory=a -- x", "cgroup.memory=a,nokmem -- x"),
]


@pytest.mark.parametrize("before,after", ADDED)
def test_present_then_absent(before, after):
    assert _cmdline.change(before, NAME, TOKEN, "present") == after
    assert _cmdline.change(after, NAME, TOKEN, "present") == after
    assert _cmdline.change(after, NAME, TOKEN, "absent") == before
    assert _cmdline.change(before, NAME, TOKEN, "absent") == before
    assert TOKEN in _cmdline.tokens(after, NAME)


@pytest.mark.parametrize("text", [
    "cgroup.memory=nokmem",
    "ro cgroup.memory=nosocket,nokmem quiet",
    "cgroup.memory=nokmem cgroup.memory=nokmem",
    "cgroup.memory=nokmem cgroup.memory=nosocket",
    "cgroup.memory=nokmem,nokmem",
    '"cgroup.memory=nokmem"',
    'cgroup.memory="nokmem"',
])
def test_present_leaves_any_spelling(text):
    assert _cmdline.edits(text, NAME, TOKEN, "present") == []


@pytest.mark.parametrize("before,after", [
    ("cgroup.memory=nokmem", ""),
    ("ro cgroup.memory=nokmem quiet", "ro quiet"),
    ("cgroup.memory=nokmem quiet", "quiet"),
    ("cgroup.memory=nokmem,nosocket quiet", "cgroup.memory=nosocket quiet"),
    ("cgroup.memory=a,nokmem,b", "cgroup.memory=a,b"),
    ("cgroup.memory=nokmem,nokmem,a", "cgroup.memory=a"),
    ("cgroup.memory=a,nokmem,nokmem", "cgroup.memory=a"),
    ("cgroup.memory=nokmem,nokmem x", "x"),
    ("ro cgroup.memory=,nokmem x", "ro x"),
    ("cgroup.memory=nokmem ro cgroup.memory=nosocket,nokmem quiet cgroup.memory=nokmem", "ro cgroup.memory=nosocket quiet"),
    ('ro "cgroup.memory=nokmem" quiet', "ro quiet"),
    ('ro cgroup.memory="nokmem" quiet', "ro quiet"),
    ('cgroup.memory="nokmem,a"', 'cgroup.memory="a"'),
    ("quiet -- cgroup.memory=nokmem", "quiet -- cgroup.memory=nokmem"),
    ("cgroup.memory quiet", "cgroup.memory quiet"),
])
def test_absent(before, after):
    assert _cmdline.change(before, NAME, TOKEN, "absent") == after
    assert TOKEN not in _cmdline.tokens(after, NAME)


def test_an_empty_value_is_filled():
    assert _cmdline.change("ro cgroup.memory= quiet", NAME, TOKEN, "present") == "ro cgroup.memory=nokmem quiet"
    assert _cmdline.change("ro cgroup.memory quiet", NAME, TOKEN, "present") == "ro cgroup.memory=nokmem quiet"
    assert _cmdline.change('ro cgroup.memory="" quiet', NAME, TOKEN, "present") == 'ro cgroup.memory="nokmem" quiet'


def test_tokens_are_the_union():
    assert _cmdline.tokens("cgroup.memory=a,b x cgroup.memory=,c cgroup.memory -- cgroup.memory=d", NAME) == ["a", "b", "c"]


def test_kernel_and_grub_quotes_differ():
    assert _cmdline.tokens("it's cgroup.memory=nokmem", NAME) == [TOKEN]
    assert _cmdline.tokens("'cgroup.memory=nokmem'", NAME, _cmdline.GRUB) == [TOKEN]
    assert _cmdline.tokens("'cgroup.memory=nokmem'", NAME) == []
    assert _cmdline.change("quiet # note", NAME, TOKEN, "present", _cmdline.GRUB) == "quiet cgroup.memory=nokmem # note"
    assert _cmdline.change("a\\ -- b", NAME, TOKEN, "present", _cmdline.GRUB) == "a\\ -- b cgroup.memory=nokmem"


@pytest.mark.parametrize("text", ["it's", 'dyndbg="file foo', "quiet \\"])
def test_grub_text_that_is_not_closed(text):
    with pytest.raises(_cmdline.CmdlineError):
        _cmdline.edits(text, NAME, TOKEN, "present", _cmdline.GRUB)


def test_others_keep_init():
    assert _cmdline.others('a cgroup.memory=x "b c" -- cgroup.memory=y', NAME) == ["a", '"b c"', "--", "cgroup.memory=y"]
