# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of the merge that hold for every command line and every file: idempotent, reversible, nothing else touched."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import pytest

hypothesis = pytest.importorskip("hypothesis")

from ansible_collections.el7ops.kmem.plugins.module_utils import _cmdline, _defaults, _grub  # noqa: E402
from hypothesis import assume, given, settings, strategies  # noqa: E402

NAME, TOKEN = "cgroup.memory", "nokmem"
WORD = strategies.text("abcxyz019._-/:", min_size=1, max_size=8).filter(lambda word: word.strip("-"))
VALUES = strategies.lists(strategies.sampled_from(["nosocket", "nokmem", "nobpf", "nokmemx"]), min_size=1, max_size=3).map(",".join)
ARGUMENT = (
    WORD
    | strategies.tuples(WORD, WORD).map("=".join)
    | VALUES.map(lambda value: "cgroup.memory=" + value)
    | strategies.sampled_from(["cgroup_memory=1", "xcgroup.memory=nokmem", "cgroup.memory.x=nokmem", 'dyndbg="file a +p"', "--"])
)
LINE = strategies.lists(ARGUMENT, max_size=8).flatmap(
    lambda words: strategies.lists(strategies.sampled_from([" ", "  "]), min_size=len(words) + 1, max_size=len(words) + 1).map(
        lambda gaps: "".join(gap + word for gap, word in zip(gaps[1:], words)).strip()
    )
)
STATE = strategies.sampled_from(["present", "absent"])


@settings(max_examples=500, deadline=None)
@given(LINE, STATE)
def test_idempotent_and_nothing_else_touched(line, state):
    once = _cmdline.change(line, NAME, TOKEN, state)
    assert _cmdline.change(once, NAME, TOKEN, state) == once
    assert (TOKEN in _cmdline.tokens(once, NAME)) == (state == "present")
    assert _cmdline.others(once, NAME) == _cmdline.others(line, NAME)
    rest = [token for token in _cmdline.tokens(line, NAME) if token != TOKEN]
    assert [token for token in _cmdline.tokens(once, NAME) if token != TOKEN] == rest


@settings(max_examples=500, deadline=None)
@given(LINE)
def test_reversible(line):
    assume(TOKEN not in _cmdline.tokens(line, NAME))
    assert _cmdline.change(_cmdline.change(line, NAME, TOKEN, "present"), NAME, TOKEN, "absent") == line


@settings(max_examples=500, deadline=None)
@given(LINE.filter(lambda line: '"' not in line), strategies.sampled_from(['"%s"', "'%s'"]), strategies.sampled_from(["\n", "\r\n"]), strategies.sampled_from(["", " # x"]))
def test_a_file_is_changed_in_that_value_alone(line, quotes, end, comment):
    text = end.join(["GRUB_TIMEOUT=5", "GRUB_CMDLINE_LINUX=" + quotes % line + comment, "GRUB_DISABLE_RECOVERY=true", ""])
    added = _defaults.change(text, NAME, TOKEN, "present")
    assert added == text.replace(quotes % line, quotes % _cmdline.change(line, NAME, TOKEN, "present"), 1) or not line
    assert _defaults.change(added, NAME, TOKEN, "present") == added
    if TOKEN not in _cmdline.tokens(line, NAME):
        assert _defaults.change(added, NAME, TOKEN, "absent") == text


@settings(max_examples=500, deadline=None)
@given(strategies.text('GRUB_CMDLINE_LINUX="\'$(){}\\ \n#;=+acgroup.memory', max_size=60), STATE)
def test_an_odd_file_is_edited_right_or_refused(text, state):
    try:
        once = _defaults.change("GRUB_CMDLINE_LINUX=" + text, NAME, TOKEN, state)
        assert _defaults.change(once, NAME, TOKEN, state) == once
        assert (TOKEN in _defaults.value(once, NAME)[1]) == (state == "present")
    except _cmdline.CmdlineError:
        pass


@settings(max_examples=300, deadline=None)
@given(strategies.lists(LINE, min_size=1, max_size=4), STATE)
def test_grubby_as_it_was_seen_to_work_makes_what_was_predicted(lines, state):
    """The calls, carried out by a model of grubby (tests/unit, not the real one), give every entry what it shall have."""
    assume(all("--" not in line.split() for line in lines))
    blocks = ["menuentry 'k%d' {\n\tlinux16 /vmlinuz-%d %s\n\tinitrd16 /initramfs-%d.img\n}\n" % (n, n, line, n) for n, line in enumerate(lines)]
    before = "".join(blocks)
    after = before
    for call in _grub.grubby_calls(before, NAME, TOKEN, state):
        after = grubby_model(after, call)
    assert _grub.problems(before, after, NAME, TOKEN, state) == []
    assert _grub.grubby_calls(after, NAME, TOKEN, state) == []


def grubby_model(text, call):
    """--args replaces the first value of that name, else appends; --remove-args takes the first of that name."""
    options = dict(option[2:].split("=", 1) for option in call)
    for entry in reversed(_grub.entries(text)):
        if options["update-kernel"] not in ("ALL", "/boot" + entry["kernel"]):
            continue
        spans = _cmdline.split(entry["args"], _cmdline.GRUB)[0]
        words = [entry["args"][start:end] for start, end in spans]
        names = [word.split("=")[0] for word in words]
        if "remove-args" in options and options["remove-args"] in names:
            del words[names.index(options["remove-args"])]
        if "args" in options:
            name = options["args"].split("=")[0]
            words = [options["args"] if n == (names.index(name) if name in names else -1) else word for n, word in enumerate(words)]
            words += [options["args"]] if name not in names else []
        start, end = entry["span"]
        text = text[:start] + " " + " ".join(words) + text[end:]
    return text
