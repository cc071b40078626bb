# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel command lines as text: which comma tokens an argument has, and the edits that add or remove one.

Pure functions. The kernel splits C(cgroup.memory=nosocket,nokmem) at the commas and lets several occurrences add up
(kernel/params.c next_arg, mm/memcontrol.c), so what counts is the union of the tokens.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

KERNEL = '"'    # quote characters of /proc/cmdline; no escapes
GRUB = "\"'"    # of a GRUB script line, where a backslash escapes and a word that starts with # ends the line


class CmdlineError(ValueError):
    """The text cannot be split into arguments with certainty; the message says why."""


def split(text, quotes=KERNEL):
    """([(start, end), ...] of the kernel's arguments, offset where the kernel's part ends).

    What follows a lone C(--) belongs to init and is not listed. With GRUB quotes, raises CmdlineError where a quote or
    an escape is not closed; the kernel itself just goes on to the end of the line.
    """
    spans, start, quote, skip = [], None, None, False
    for here, char in enumerate(text):
        if skip:
            skip = False
        elif quotes == GRUB and char == "\\" and quote != "'":
            skip = True
            start = here if start is None else start
        elif quote:
            quote = None if char == quote else quote
        elif char.isspace():
            if start is not None:
                if text[start:here] == "--":
                    return spans, start
                spans.append((start, here))
                start = None
        else:
            if start is None:
                if quotes == GRUB and char == "#":
                    return spans, here
                start = here
            quote = char if char in quotes else None
    if quotes == GRUB and (quote or skip):
        raise CmdlineError("a quote or a backslash in the arguments is not closed: %s" % text.strip())
    if start is not None:
        if text[start:] == "--":
            return spans, start
        spans.append((start, len(text)))
    return spans, len(text)


def occurrences(text, name, quotes=KERNEL):
    """[(start, end, value start, value end)] of each C(name) or C(name=value); the value is what its quotes enclose."""
    found = []
    for start, end in split(text, quotes)[0]:
        key = start + 1 if text[start] in quotes else start
        last = end - 1 if key > start and end - 1 > start and text[end - 1] == text[start] else end
        if text[key:last] == name:
            found.append((start, end, last, last))
        elif text.startswith(name + "=", key):
            first = key + len(name) + 1
            if last - first >= 2 and text[first] in quotes and text[last - 1] == text[first]:
                first, last = first + 1, last - 1
            found.append((start, end, first, last))
    return found


def tokens(text, name, quotes=KERNEL):
    """The tokens of every C(name=a,b) in order, without empty ones."""
    return [token for found in occurrences(text, name, quotes) for token in text[found[2]:found[3]].split(",") if token]


def others(text, name, quotes=KERNEL):
    """All arguments but the occurrences of C(name), as spelled, init's included: what an edit must leave as it is."""
    spans, limit = split(text, quotes)
    mine = set(found[:2] for found in occurrences(text, name, quotes))
    return [text[start:end] for start, end in spans if (start, end) not in mine] + text[limit:].split()


def edits(text, name, token, state, quotes=KERNEL):
    """The edits [(start, end, new text)], ascending, that make C(token) of C(name) present or absent; [] where it is.

    What C(present) inserts is what C(absent) takes out again, to the byte.
    """
    found = occurrences(text, name, quotes)
    if state == "absent":
        return [edit for one in found for edit in _removal(text, one, token)]
    if token in tokens(text, name, quotes):
        return []
    if found:
        start, end, first, last = found[-1]
        if first == last:
            bare = "=" if text[:last].endswith(name) else ""
            return [(last, last, bare + token)]
        return [(last, last, "," + token)]
    limit = split(text, quotes)[1]
    body = len(text[:limit].rstrip())
    if body:
        return [(body, body, " %s=%s" % (name, token))]
    if limit == len(text):
        return [(0, 0, "%s=%s" % (name, token))]
    return [(limit, limit, "%s=%s " % (name, token))]


def _removal(text, found, token):
    start, end, first, last = found
    parts = text[first:last].split(",")
    if token not in parts:
        return []
    if not ",".join(part for part in parts if part != token):
        if start and text[start - 1].isspace():
            return [(start - 1, end, "")]
        return [(start, end + 1 if text[end:].strip() else end, "")]
    cuts, here, kept = [], first, False
    for part in parts:
        if part != token:
            kept = True
        else:  # goes with the comma before it, or the one after it where nothing before it stays
            cuts.append((here - 1, here + len(part), "") if kept else (here, here + len(part) + 1, ""))
        here += len(part) + 1
    return cuts


def apply_edits(text, changes):
    """The text after edits as edits() gives them."""
    for start, end, new in reversed(changes):
        text = text[:start] + new + text[end:]
    return text


def change(text, name, token, state, quotes=KERNEL):
    """The text with C(token) of C(name) present or absent."""
    return apply_edits(text, edits(text, name, token, state, quotes))


def append(text, arguments, quotes=KERNEL):
    """The text with more arguments behind the kernel's own and in front of what belongs to init."""
    limit = split(text, quotes)[1]
    body = len(text[:limit].rstrip())
    return " ".join(part for part in (text[:body], " ".join(arguments), text[limit:].strip()) if part)
