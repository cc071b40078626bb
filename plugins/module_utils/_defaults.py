# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of /etc/default/grub as text: a shell file that grub2-mkconfig sources, so it is read as the shell reads it.

Pure functions. Everything that was not asked for stays byte for byte.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import re

from ansible_collections.el7ops.kmem.plugins.module_utils import _cmdline

MAIN = "GRUB_CMDLINE_LINUX"
# grub2-mkconfig puts the two together for every entry but the rescue mode ones of GRUB_DISABLE_RECOVERY=false
VARIABLES = (MAIN, "GRUB_CMDLINE_LINUX_DEFAULT")
ASSIGNMENT = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)(\+?=)")
OPENS = re.compile(r"[ \t]*(?:if|for|while|until|case|\{|function\b|\w+[ \t]*\(\))(?:\s|$)")
CLOSES = re.compile(r"[ \t]*(?:fi|done|esac|\})(?:[\s;]|$)")
OPAQUE = u"\x01"  # stands for what only the shell knows, such as $(command)


class DefaultsError(_cmdline.CmdlineError):
    """The file cannot be edited with certainty; the message names the line and what to do by hand."""


class Assignment(object):
    """One assignment: variable, adds (extends the value before), line number, and the value with its place in the file.

    value is what the shell makes of it; where[i] is (start, end, quote) of its character i in the file.
    """

    def __init__(self, variable, operator, line, start):
        self.variable, self.adds, self.line, self.start = variable, operator == "+=", line, start
        self.end, self.value, self.where = start, u"", []

    def take(self, char, start, end, quote):
        self.value += char
        self.where.append((start, end, quote))


def fail(line, what):
    raise DefaultsError(
        "/etc/default/grub, line %d: %s. Nothing was changed. Write the value there as one string in double quotes, then run this again." % (line, what)
    )


def assignments(text):
    """Every assignment of the two variables in the order of the file; raises DefaultsError."""
    found, here, depth = [], 0, 0
    while here < len(text):
        line = text.count("\n", 0, here) + 1
        match = ASSIGNMENT.match(text, here)
        if match and match.group(1) in VARIABLES:
            one = Assignment(match.group(1), match.group(2), line, match.end())
            here = read_word(text, match.end(), one)
            if depth:
                fail(line, "%s is set inside an if, a loop or a function" % one.variable)
            rest = re.compile(r"[ \t]*(?:[;#][^\n]*)?\r?(?:\n|$)").match(text, here)
            if not rest:
                fail(line, "after the value of %s there is more text, which the shell would take for a command" % one.variable)
            here = rest.end()
            found.append(one)
            continue
        depth += 1 if OPENS.match(text, here) else 0
        depth -= 1 if CLOSES.match(text, here) and depth else 0
        here = end_of_statement(text, here)
    return found


def end_of_statement(text, here):
    """Where the line that starts here ends, quotes that run over line ends counted in."""
    quote, comment = None, False
    while here < len(text):
        char = text[here]
        if char == "\n" and not quote:
            return here + 1
        if comment:
            pass
        elif char == "\\" and quote != "'":
            here += 1
        elif quote:
            quote = None if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "#" and (not here or text[here - 1] in " \t\n;"):
            comment = True
        here += 1
    return here


def read_word(text, here, one):
    """Read the shell word at C(here) into C(one); the offset behind it is returned."""
    quote = None
    while here < len(text):
        char = text[here]
        if quote is None and (char in " \t\n;" or text.startswith("\r\n", here) or (char == "\r" and here + 1 == len(text))):
            break
        if char == quote:
            quote = None
        elif quote is None and char in "\"'":
            quote = char
        elif quote != "'" and char == "\\":
            after = text[here + 1 : here + 2]
            size = 3 if text.startswith("\r\n", here + 1) else 2
            if after in ("\n", "\r"):
                here += size
                continue
            if quote is None or after in '"$`\\':
                one.take(after, here, here + 2, quote)
                here += 2
                continue
            one.take(char, here, here + 1, quote)
        elif quote != "'" and char in "$`":
            end = end_of_substitution(text, here, one.line)
            name = text[here:end].strip("${}")
            if name == one.variable:
                one.adds = True
            one.take(OPAQUE, here, end, quote)
            here = end
            continue
        elif quote is None and char in "&|<>()":
            fail(one.line, "the value of %s holds %s outside of quotes" % (one.variable, char))
        else:
            one.take(char, here, here + 1, quote)
        here += 1
    if quote:
        fail(one.line, "the quote that opens the value of %s is never closed" % one.variable)
    one.end = here
    return here


def end_of_substitution(text, here, line):
    """The offset behind the $name, ${name}, $(command) or `command` at C(here)."""
    name = re.compile(r"\$(?:\w+|\{\w+\})").match(text, here)
    if name:
        return name.end()
    if text.startswith("$(", here):
        depth = 0
        for end in range(here + 1, len(text)):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            if not depth:
                return end + 1
        fail(line, "a $( is never closed")
    if text[here] == "`":
        end = text.find("`", here + 1)
        if end < 0:
            fail(line, "a ` is never closed")
        return end + 1
    if text.startswith("${", here):
        fail(line, "it holds a ${…} that is more than a name")
    return here + 1


def in_effect(found):
    """{variable: the assignments that make up its value at the end of the file}."""
    chains = {}
    for one in found:
        chains[one.variable] = (chains.get(one.variable, []) if one.adds else []) + [one]
    return chains


def value(text, name):
    """{variable: its value, or None where it is not set} and the tokens of C(name) in both; raises DefaultsError."""
    chains = in_effect(assignments(text))
    values = dict((variable, "".join(one.value for one in chains[variable]) if variable in chains else None) for variable in VARIABLES)
    return values, [token for variable in VARIABLES for one in chains.get(variable, []) for token in _cmdline.tokens(one.value, name)]


def change(text, name, token, state):
    """The text of the file with C(token) of C(name) present or absent in what new entries will get.

    It is added where the argument is already, else to GRUB_CMDLINE_LINUX, which gets a line of its own where it has none.
    """
    chains = in_effect(assignments(text))
    everything = [one for variable in VARIABLES for one in chains.get(variable, [])]
    if state == "absent":
        todo = everything
    elif token in value(text, name)[1]:
        return text
    else:
        holders = [one for one in everything if _cmdline.occurrences(one.value, name)]
        todo = (holders or chains.get(MAIN, []))[-1:]
        if not todo:
            end = "\r\n" if "\r\n" in text else "\n"
            return text + ("" if not text or text.endswith("\n") else end) + '%s="%s=%s"' % (MAIN, name, token) + end
    edits = []
    for one in todo:
        edits += [edit for change_ in _cmdline.edits(one.value, name, token, state) for edit in in_file(one, change_)]
    return _cmdline.apply_edits(text, sorted(edits))


def in_file(one, edit):
    """The edits of the file that make one edit of an assignment's value."""
    start, end, new = edit
    if start == end:
        if not one.where:
            empty = one.end - one.start == 2
            return [(one.start + 1,) * 2 + (new.strip(),) if empty else (one.start, one.end, '"%s"' % new.strip())]
        at, quote = (one.where[start - 1][1:]) if start else (one.where[0][0], one.where[0][2])
        if quote is None and " " in new:
            if any(part[2] for part in one.where):
                fail(one.line, "the value of %s is put together from quoted and unquoted parts" % one.variable)
            return [(one.start, one.start, '"'), (at, at, new), (one.end, one.end, '"')]
        return [(at, at, new)]
    parts = one.where[start:end]
    if len(set(part[2] for part in parts)) > 1:
        fail(one.line, "the value of %s is put together from quoted and unquoted parts" % one.variable)
    return [(parts[0][0], parts[-1][1], new)]
