# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For any arguments and any /etc/default/grub: idempotent, reversible, nothing else touched."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import os
import subprocess
import tempfile

import pytest

hypothesis = pytest.importorskip("hypothesis")  # there is none for Python 2.7
from hypothesis import strategies as st  # noqa: E402

from ansible_collections.el7ops.kmem.plugins.module_utils import _cmdline, _grub  # noqa: E402

NAME, TOKEN = "cgroup.memory", "nokmem"
COMMON = hypothesis.settings(max_examples=300, deadline=None, database=None,
                             suppress_health_check=[hypothesis.HealthCheck.too_slow])
VALUES = st.lists(st.sampled_from(["nosocket", "nokmem", "nokmemX", "xnokmem", ""]), max_size=4).map(",".join)
OWN = st.one_of(VALUES.map(lambda value: NAME + "=" + value), VALUES.map(lambda value: NAME + '="' + value + '"'),
                VALUES.map(lambda value: '"' + NAME + "=" + value + '"'))
FOREIGN = st.one_of(
    st.sampled_from(["quiet", "ro", "rhgb", "--", "cgroup_memory=1", "xcgroup.memory=nokmem", "cgroup.memory.foo=1", "a=b,c",
                     "root=UUID=1-2", 'dyndbg="file foo +p"', 'x="cgroup.memory=nokmem y"', "crashkernel=auto", "-", "---"]),
    st.text("abz019.,_=-/:+", min_size=1, max_size=8).filter(lambda text: text.partition("=")[0] != NAME))
BLANKS = st.sampled_from([" ", " ", " ", "  ", "\t", " \t "])


@st.composite
def arguments(draw, own=True):
    parts = draw(st.lists(st.one_of(FOREIGN, OWN) if own else FOREIGN, max_size=7))
    text = draw(st.sampled_from(["", "", " ", "\t "]))
    for part in parts:
        text += part + draw(BLANKS)
    return text if draw(st.booleans()) else text.rstrip()


def foreign_text(text, quotes=_cmdline.KERNEL):
    return _cmdline.others(text, NAME, quotes)


@COMMON
@hypothesis.given(arguments(), st.sampled_from([_cmdline.KERNEL, _cmdline.GRUB]), st.sampled_from(["present", "absent"]))
def test_arguments_idempotent_and_nothing_else_touched(text, quotes, state):
    after = _cmdline.change(text, NAME, TOKEN, state, quotes)
    assert (TOKEN in _cmdline.tokens(after, NAME, quotes)) == (state == "present")
    assert _cmdline.change(after, NAME, TOKEN, state, quotes) == after
    assert _cmdline.others(after, NAME, quotes) == _cmdline.others(text, NAME, quotes)
    other = [token for token in _cmdline.tokens(text, NAME, quotes) if token != TOKEN]
    assert [token for token in _cmdline.tokens(after, NAME, quotes) if token != TOKEN] == other


@COMMON
@hypothesis.given(arguments(), st.sampled_from([_cmdline.KERNEL, _cmdline.GRUB]))
def test_arguments_reversible(text, quotes):
    hypothesis.assume(TOKEN not in _cmdline.tokens(text, NAME, quotes))
    hypothesis.assume(all(one[2] != one[3] for one in _cmdline.occurrences(text, NAME, quotes)))
    added = _cmdline.change(text, NAME, TOKEN, "present", quotes)
    assert _cmdline.change(added, NAME, TOKEN, "absent", quotes) == text


def quoted(draw, text):
    """The text as the value of an assignment, in one of the spellings people have."""
    style = draw(st.sampled_from(["double", "double", "single", "bare", "mixed"]))
    if style == "single":
        return "'" + text + "'"
    if style == "bare":
        return "".join("\\" + char if char in " \t\"'" else char for char in text)
    if style == "mixed" and len(text) > 1:
        cut = draw(st.integers(1, len(text) - 1))
        return "'" + text[:cut] + "'" + '"' + text[cut:].replace('"', '\\"') + '"'
    if draw(st.booleans()):
        text = text.replace(" ", " \\\n", 1)
    return '"' + text.replace('"', '\\"') + '"'


@st.composite
def defaults(draw):
    lines = []
    for unused in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["other", "other", "linux", "linux", "plus", "self", "default", "comment"]))
        value = quoted(draw, draw(arguments().filter(lambda text: "#" not in text)))
        tail = draw(st.sampled_from(["", "", " ", "  # cgroup.memory=nokmem", " ; FOO=1"]))
        export = draw(st.sampled_from(["", "", "export ", "  "]))
        if kind == "other":
            lines.append(draw(st.sampled_from([
                "GRUB_TIMEOUT=5", "GRUB_DISTRIBUTOR=\"$(sed 's, release .*$,,g' /etc/nothing 2>/dev/null)\"", "",
                "if [ -f /etc/nothing ]; then\n  GRUB_THEME='x'\nfi"])))
        elif kind == "comment":
            lines.append("#GRUB_CMDLINE_LINUX=" + value.replace("\n", " "))
        elif kind == "self":
            lines.append("GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX \"" + value)
        elif kind == "plus":
            lines.append("GRUB_CMDLINE_LINUX+=" + value + tail)
        else:
            lines.append("%sGRUB_CMDLINE_LINUX%s=%s%s" % (export, "_DEFAULT" if kind == "default" else "", value, tail))
    return "\n".join(lines) + draw(st.sampled_from(["\n", "\n", ""]))


def plan(text, state):
    try:
        return _grub.change_defaults(text, NAME, TOKEN, state)
    except _grub.GrubError:
        hypothesis.reject()


@COMMON
@hypothesis.given(defaults(), st.sampled_from(["present", "absent"]))
def test_defaults_idempotent(text, state):
    after, changes = plan(text, state)
    assert bool(changes) == (after != text)
    assert plan(after, state) == (after, [])


@COMMON
@hypothesis.given(defaults())
def test_defaults_reversible(text):
    for variable in ("GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"):
        try:
            value = _grub.chain(text, variable)[0]
        except _grub.GrubError:
            hypothesis.reject()
        meaning = "".join(char[0] for char in value)
        hypothesis.assume(TOKEN not in _cmdline.tokens(meaning, NAME, _cmdline.GRUB))
        hypothesis.assume(all(one[2] != one[3] for one in _cmdline.occurrences(meaning, NAME, _cmdline.GRUB)))
    added = plan(text, "present")[0]
    assert added != text
    assert plan(added, "absent")[0] == text


def sourced(text):
    """What a real shell makes of the file, as grub2-mkconfig does."""
    with tempfile.NamedTemporaryFile("w", suffix=".grub", newline="") as stream:
        stream.write(text)
        stream.flush()
        command = '. "$0"; printf "%s\\037%s\\037%s" "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT" "$GRUB_TIMEOUT$FOO$GRUB_THEME"'
        return subprocess.check_output(["bash", "--posix", "-c", command, stream.name]).decode("utf-8").split("\037")


@pytest.mark.skipif(not os.access("/bin/bash", os.X_OK), reason="needs bash")
@hypothesis.settings(COMMON, max_examples=60)
@hypothesis.given(defaults(), st.sampled_from(["present", "absent"]))
def test_defaults_mean_the_same_to_a_real_shell(text, state):
    after = plan(text, state)[0]
    old, new = sourced(text), sourced(after)
    has = [TOKEN in _cmdline.tokens(value, NAME, _cmdline.GRUB) for value in new[:2]]
    assert any(has) == (state == "present")
    for before, now in zip(old[:2], new[:2]):
        assert foreign_text(before, _cmdline.GRUB) == foreign_text(now, _cmdline.GRUB)
    assert old[2] == new[2]
