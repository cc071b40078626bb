# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB 2 as EL7 has it: menu entries of grub.cfg, the shell file /etc/default/grub, the grubby calls for a change.

Pure functions, text in and text out. All offsets count characters. Errors are GrubError: where it is, what is wrong,
what to do by hand; the caller has written nothing then.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import re

from ansible_collections.el7ops.kmem.plugins.module_utils import _cmdline

VARIABLE = "GRUB_CMDLINE_LINUX"
MARK = "  # added by el7ops.kmem"
ENDED = ", and the end of the line above"  # so that taking it away gives a file without one at its end again
OPAQUE = "\0"    # stands for an expansion such as $(cat x) whose text only the shell knows

_ENTRY = re.compile(r"^[ \t]*(menuentry|submenu)[ \t]+")
_KERNEL = re.compile(r"^[ \t]*linux(?:16|efi)?[ \t]+(\S+)(.*)$")
_ID = re.compile(r"[ \t](?:\$\{?menuentry_id_option\}?|--id)(?:[ \t]+|=)")
_INITRD = re.compile(r"^[ \t]*initrd(?:16|efi)?[ \t]+(.*?)[ \t\r]*$")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?=)")
_EXPANSION = re.compile(r"\$(?:\{(\w+)\}|(\w+)|[@*#?$!-])")
_OPENERS = {"if": "fi", "for": "done", "while": "done", "until": "done", "select": "done", "case": "esac", "{": "}"}
_EXPORTS = ("export", "readonly", "declare", "typeset")
_PREFIXES = ("then", "do", "else", "elif", "!", "if", "while", "until", "{")


class GrubError(ValueError):
    """A file that cannot be understood with certainty."""


def line_number(text, offset):
    """The line, from 1, that an offset is in."""
    return text.count("\n", 0, offset) + 1


# words: quoting is the same in sh and in GRUB script

def _substitution_end(text, here):
    """The offset after $(...), ${...} or `...` that starts at C(here)."""
    if text[here] == "`":
        end = text.find("`", here + 1)
        while end > 0 and text[end - 1] == "\\":
            end = text.find("`", end + 1)
        return end + 1 if end >= 0 else None
    close, depth, here = {"(": ")", "{": "}"}[text[here + 1]], 0, here + 1
    opening = text[here]
    while here < len(text):
        char = text[here]
        if char == "\\":
            here += 1
        elif char == "'":
            here = text.find("'", here + 1)
            if here < 0:
                return None
        elif char == '"':
            here += 1
            while here < len(text) and text[here] != '"':
                here += 2 if text[here] == "\\" else 1
        elif char == opening:
            depth += 1
        elif char == close:
            depth -= 1
            if not depth:
                return here + 1
        here += 1
    return None


def word(text, here):
    """(characters, end) of the shell word at an offset; a character is (what it means, start, end, quote or "").

    An expansion is one OPAQUE character. Raises GrubError where a quote or a substitution never ends.
    """
    chars, quote, opened = [], "", here
    while here < len(text):
        char, end = text[here], here + 1
        if quote == "'":
            if char == "'":
                quote = ""
            else:
                chars.append((char, here, end, quote))
        elif char == quote:
            quote = ""
        elif char == "\\" and here + 1 < len(text):
            end = here + 2
            if text.startswith("\r\n", here + 1):
                end += 1
            elif text[here + 1] == "\n":
                pass
            elif quote and text[here + 1] not in '"\\$`':
                end = here + 1
                chars.append((char, here, end, quote))
            else:
                chars.append((text[here + 1], here, end, quote))
        elif char == "`" or (char == "$" and text[here + 1:here + 2] in ("(", "{")) or (char == "$" and _EXPANSION.match(text, here)):
            match = _EXPANSION.match(text, here)
            end = match.end() if match else _substitution_end(text, here)
            if end is None:
                raise GrubError("line %d: a command substitution starts that never ends" % line_number(text, here))
            chars.append((OPAQUE, here, end, quote))
        elif not quote and char in "\"'":
            quote, opened = char, here
        elif not quote and (char in " \t\n;&|<>()" or text.startswith("\r\n", here)):
            break
        else:
            chars.append((char, here, end, quote))
        here = end
    if quote:
        raise GrubError("line %d: a quote (%s) opens that is never closed" % (line_number(text, opened), quote))
    return chars, here


def _meaning(chars):
    return "".join(char[0] for char in chars)


# grub.cfg

def menu(text):
    """The menu of a grub.cfg as grub2-mkconfig and grubby write it, in order, as GRUB counts it.

    Each item a dict: kind (menuentry or submenu), title, id, index (GRUB's own, "1>2": sub menus and entries without a
    kernel count), submenu (titles of the menus around it), items (of a sub menu), and where it has a kernel: kernel (as
    written), version (after vmlinuz-, or ""), initrd, args, rescue, line (of the kernel), span (offsets in the text of
    the kernel's path and its arguments); block (offsets of all of it). Raises GrubError for a file that ends half-way.
    """
    top, stack, offset = {"kind": "top", "items": []}, [], 0
    for number, line in enumerate(text.split("\n"), 1):
        start = _ENTRY.match(line)
        body = line.strip()
        if start and "{" in line:
            chars, end = word(text, offset + start.end())
            if text[end:offset + len(line)].rstrip()[-1:] != "{":
                raise GrubError("line %d: an entry that is not laid out as grub2-mkconfig does (text after the brace); put a "
                                "line break after { and before }" % number)
            menus = [outer for outer in stack if outer["kind"] == "submenu"]
            around, own = (menus or [top])[-1], _ID.search(line, end - offset)
            title = _meaning(chars)
            stack.append({
                "kind": start.group(1), "title": title, "line": number, "initrd": "", "items": [], "kernel": None,
                "block": (offset, None),
                "id": _meaning(word(text, offset + own.end())[0]) if own else title,
                "submenu": [outer["title"] for outer in menus],
                "index": ">".join([outer["index"] for outer in menus[-1:]] + [str(len(around["items"]))])})
            around["items"].append(stack[-1])
        elif body == "}" and stack:
            closed = stack.pop()
            if "block" in closed:
                closed["block"] = (closed["block"][0], offset + len(line) + 1)
        elif body.endswith("{") and not body.startswith("#"):
            stack.append({"kind": "other", "line": number})
        elif stack and stack[-1]["kind"] == "menuentry":
            kernel, initrd = _KERNEL.match(line), _INITRD.match(line)
            if kernel and not stack[-1]["kernel"]:
                path = kernel.group(1)
                stack[-1].update({
                    "kernel": path, "version": path.partition("vmlinuz-")[2], "rescue": "vmlinuz-0-rescue" in path,
                    "args": kernel.group(2).strip(), "line": number,
                    "span": (offset + kernel.start(1), offset + kernel.end(2))})
            elif initrd and not stack[-1]["initrd"]:
                stack[-1]["initrd"] = initrd.group(1)
        offset += len(line) + 1
    if stack:
        raise GrubError("line %d: a { opens that is never closed; the file may be cut off" % stack[-1]["line"])
    return top["items"]


def with_kernel(items):
    """The entries with a kernel among the items of menu() and of their sub menus, in order."""
    return [one for one in _all(items) if one["kernel"]]


def _all(items):
    return [one for item in items for one in [item] + _all(item["items"])]


def entries(text):
    """The menu entries with a kernel of a grub.cfg, in order."""
    return with_kernel(menu(text))


def change_entries(text, name, token, state):
    """The grub.cfg with C(token) of C(name) present or absent in every entry; nothing else is different."""
    changes = []
    for entry in entries(text):
        start, end = entry["span"]
        try:
            edits = _cmdline.edits(text[start:end], name, token, state, _cmdline.GRUB)
        except _cmdline.CmdlineError as error:
            raise GrubError("line %d: %s. Close it, or join the lines, by hand" % (entry["line"], error))
        changes.extend((start + first, start + last, new) for first, last, new in edits)
    return _cmdline.apply_edits(text, changes)


def wrong_entries(before, after, name, token, state):
    """What is not as it should be after a change, as sentences; [] where every entry is as wanted and else the same."""
    if len(before) != len(after):
        return ["there were %d entries, now there are %d" % (len(before), len(after))]
    wrong = []
    for old, new in zip(before, after):
        for key in ("title", "kernel", "initrd", "index"):
            if old[key] != new[key]:
                wrong.append("%s of entry %s was %s, now %s" % (key, old["index"], old[key], new[key]))
        wrong.extend(_wrong_args(new, name, token, state))
        if _cmdline.others(old["args"], name, _cmdline.GRUB) != _cmdline.others(new["args"], name, _cmdline.GRUB):
            wrong.append("other arguments of \"%s\" changed: %s, now %s" % (old["title"], old["args"], new["args"]))
        lost = set(_cmdline.tokens(old["args"], name, _cmdline.GRUB)) - set([token])
        if lost != set(_cmdline.tokens(new["args"], name, _cmdline.GRUB)) - set([token]):
            wrong.append("other values of %s in \"%s\" changed: %s, now %s" % (name, old["title"], old["args"], new["args"]))
    return wrong


def wrong_regeneration(before, after, name, token, state):
    """The same for a grub.cfg that grub2-mkconfig wrote anew: entries may differ, but no kernel may have lost its own."""
    wrong = lost_kernels(before, after)
    for entry in after:
        wrong.extend(_wrong_args(entry, name, token, state))
    return wrong


def lost_kernels(before, after):
    have = set(entry["kernel"] for entry in after)
    return ["no entry boots %s any more" % entry["kernel"] for entry in before if entry["kernel"] not in have]


def _wrong_args(entry, name, token, state):
    has = token in _cmdline.tokens(entry["args"], name, _cmdline.GRUB)
    if has == (state == "present"):
        return []
    return ["\"%s\" %s %s=%s: %s" % (entry["title"], "still has" if has else "does not have", name, token, entry["args"])]


def grubby_calls(found, name, token, state):
    """The options for grubby, a list per call, that make the change; None where grubby cannot make it.

    grubby replaces the value of an argument that is there already and removes by name, so each value is merged here.
    It splits at blanks whatever the quotes, touches all entries of a kernel alike, takes the first of several
    occurrences, and appends behind C(--); those cases are not for it.
    """
    wanted, changed = {}, []
    for entry in found:
        args, key = entry["args"], grubby_path(entry["kernel"])
        after = _cmdline.change(args, name, token, state, _cmdline.GRUB)
        own = [after[one[0]:one[1]] for one in _cmdline.occurrences(after, name, _cmdline.GRUB)]
        result = own[0] if own else None
        if after != args:
            if not _grubby_can(args, name):
                return None
            changed.append(key)
        if len(own) > 1 or wanted.setdefault(key, result) != result:
            wanted[key] = False  # no single value is right for all entries of this kernel
    if any(wanted[key] is False for key in changed):
        return None
    if changed and len(set(wanted.values())) == 1:
        return [["--update-kernel=ALL", _grubby_option(name, wanted[changed[0]])]]
    return [["--update-kernel=" + key, _grubby_option(name, wanted[key])] for key in sorted(set(changed), key=changed.index)]


def _grubby_can(args, name):
    own = [args[one[0]:one[1]] for one in _cmdline.occurrences(args, name, _cmdline.GRUB)]
    if [one for one in args.split() if one.split("=")[0] == name] != own or len(own) > 1:
        return False
    if own:
        return not set("\"'\\") & set(own[0])
    return _cmdline.split(args, _cmdline.GRUB)[1] == len(args)


def _grubby_option(name, argument):
    return "--args=%s" % argument if argument else "--remove-args=%s" % name


def grubby_path(kernel):
    """A kernel as grubby wants it named: below /boot also where /boot is a partition and grub.cfg says /vmlinuz."""
    return kernel if kernel.startswith("/boot/") else "/boot" + kernel


# what GRUB boots by default

_SET_DEFAULT = re.compile(r"(?m)^([ \t]*set[ \t]+default=)(.*?)[ \t\r]*$")
_BLOCK = re.compile(r"(?ms)^(?:menuentry|submenu)\b.*?^\}")
_NUMBER = re.compile(r"[ \t\n\r\v\f]*(0x[0-9a-fA-F]+|0[0-7]+|[0-9]+)")  # as grub_strtoul reads it, base 0
SAVED = "${saved_entry}"


def _outside(text):
    """The text with menu entries blanked, offsets kept: what they set counts only once they are booted."""
    return _BLOCK.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), text)


def _default_lines(text):
    """Matches of the lines that set default, but for the one that serves a one-shot boot."""
    return [match for match in _SET_DEFAULT.finditer(_outside(text)) if "next_entry" not in match.group(2)]


def default_rule(text):
    """How a grub.cfg chooses: a dict of value (SAVED, a constant, or None where that is not certain), why (it is not),
    lines (that set it), once (whether it serves next_entry), previous (whether it knows prev_saved_entry)."""
    found, outside = _default_lines(text), _outside(text)
    lines = [line_number(text, match.start()) for match in found]
    values = sorted(set(_meaning_or_saved(match.group(2)) for match in found))
    rule = {"value": None, "why": "", "lines": lines, "previous": "prev_saved_entry" in outside,
            "once": bool(re.search(r"(?m)^[ \t]*set[ \t]+default=.*next_entry", outside)) and "load_env" in outside}
    if not found:
        rule["value"] = ""  # GRUB takes the first entry
    elif len(values) > 1 or OPAQUE in values[0]:
        rule["why"] = "default is set in line %s to %s" % (
            ", ".join(str(line) for line in lines), ", ".join(match.group(2) for match in found))
    elif values[0] == SAVED and "load_env" not in outside:
        rule["why"] = "default is saved_entry, but nothing loads the environment block (load_env)"
    else:
        rule["value"] = values[0]
    return rule


def _meaning_or_saved(source):
    if source.strip("\"") in (SAVED, "$saved_entry"):
        return SAVED
    return _meaning(word(source + "\n", 0)[0])


def change_default(text, value):
    """The grub.cfg with C(value) where it sets default, as grub2-mkconfig would write it there; None if it sets none."""
    found = _default_lines(text)
    for match in reversed(found):
        text = text[:match.start(2)] + "\"%s\"" % value + text[match.end(2):]
    return text if found else None


def _same(name, value):
    """Whether a value means an item by this title or id, and what of the value is left for the menu inside; or None."""
    here = there = 0
    while there < len(value):
        if value[there] == ">":
            if value[there + 1:there + 2] != ">":
                return value[there + 1:] if here == len(name) else None
            there += 1
        if name[here:here + 1] != value[there]:
            return None
        here, there = here + 1, there + 1
    return "" if here == len(name) else None


def resolve(items, value):
    """(the item that GRUB takes for this value of its variable default, how): number, title, id, or fallback.

    What leads nowhere is the first entry, silently, in each menu anew; None only for a menu that is empty.
    """
    how, item = "", None
    while items:
        number, item, step, rest = _NUMBER.match(value), None, "fallback", ""
        if number:
            digits = number.group(1)
            index = int(digits, 16 if digits[1:2] == "x" else 8 if re.match("0[0-7]", digits) else 10)
            if index < len(items):
                item, step = items[index], "number"
            rest = value[number.end():].partition(">")[2]
        else:
            for one in items:
                matches = [(kind, _same(one[kind], value)) for kind in ("title", "id")]
                matches = [match for match in matches if match[1] is not None]
                if matches and not item:
                    item, (step, rest) = one, matches[0]
        item = item or items[0]
        how = step if step == "fallback" or how in ("", "title", "id") else how
        if item["kind"] != "submenu":
            break
        # a sub menu by itself means its first entry; only a rest that leads nowhere is a fallback
        items, value = item["items"], rest or "0"
    return item, how


def name_of(items, wanted):
    """The value of default that means this entry by name, never by number; None where no name means it alone.

    Titles come first: entries that grubby copied keep the id of the entry they were copied from.
    """
    path = [item for item in _all(items) if wanted["index"].startswith(item["index"] + ">")] + [wanted]
    for kind in ("title", "id"):
        names = [one[kind] for one in path]
        value = ">".join(name.replace(">", ">>") for name in names)
        # GRUB would read a number at the start of a name as an index
        if "\n" in value or [name for name in names if not name or _NUMBER.match(name)]:
            continue
        if resolve(items, value)[0] is wanted:
            return value
    return None


def lasting(items, value, wanted):
    """Whether a value means this entry by a name that stays its own when a kernel is installed."""
    item, how = resolve(items, value)
    # grubby copies an entry with its id and puts the copy in front
    return item is wanted and (how == "title" or how == "id" and len([one for one in _all(items) if one["id"] == wanted["id"]]) == 1)


def candidates(found, version):
    """The entries that boot a kernel as uname -r names it, in earnest: neither rescue nor recovery."""
    return [entry for entry in found if entry["version"] == version and not entry["rescue"] and "-recovery-" not in entry["id"]
            and not set(("single", "1", "rescue", "emergency")) & set(entry["args"].split())]


def lost_arguments(before, after):
    """(entry, arguments) for entries whose arguments no entry of the same kernel has after grub2-mkconfig.

    C(LANG) is new-kernel-pkg's own addition, and root= may be spelt in another way; rescue entries get the common arguments.
    """
    lost = []
    for old in before:
        left = None
        for new in after:
            if new["kernel"] == old["kernel"]:
                have = _arguments(new["args"])
                gone = [one for one in _arguments(old["args"]) if one not in have and not one.startswith(("LANG=", "root="))]
                left = gone if left is None or len(gone) < len(left) else left
        if left and not old["rescue"]:
            lost.append((old, left))
    return lost


def _arguments(args):
    return [args[start:end] for start, end in _cmdline.split(args, _cmdline.GRUB)[0]]


# the environment block

SIGNATURE = "# GRUB Environment Block\n"
BLOCK_SIZE = 1024


def environment(text, size):
    """(variables as a list of name and value, what is wrong or "") of an environment block; size is that of the file."""
    if not text.startswith(SIGNATURE):
        return [], "it does not begin with the line \"%s\"" % SIGNATURE.strip()
    found = re.findall(r"(?ms)^(?!#)([^=\n]+)=((?:\\.|[^\\\n])*)\n", text[len(SIGNATURE):])
    variables = [(name, re.sub(r"(?s)\\(.)", r"\1", value)) for name, value in found]
    return variables, "" if size == BLOCK_SIZE else "it has %d bytes, not %d" % (size, BLOCK_SIZE)


def change_environment(variables, changes):
    """Variables with others set, or removed where the new value is None, in the order in which grub2-editenv keeps them."""
    result = [(name, changes.get(name, value)) for name, value in variables]
    result += sorted((name, value) for name, value in changes.items() if name not in dict(variables))
    return [(name, value) for name, value in result if value is not None]


def environment_text(variables, old=""):
    """An environment block as grub2-editenv makes it, in place of an C(old) one. Raises GrubError where it does not fit.

    Newer ones begin it with a comment and keep that (2.04).
    """
    comment = re.match(r"(?:#[^\n]*\n)*", old).group(0) or SIGNATURE
    lines = comment + "".join("%s=%s\n" % (name, re.sub(r"([\\\n])", r"\\\1", value)) for name, value in variables)
    left = BLOCK_SIZE - len(lines.encode("utf-8"))
    if left < 0:
        raise GrubError("the variables do not fit into %d bytes, %d are missing" % (BLOCK_SIZE, -left))
    return lines + "#" * left


def config_path(uefi, links, boot, os_id):
    """The grub.cfg that this host boots from.

    C(links) maps "bios" and "uefi" to where /etc/grub2.cfg and /etc/grub2-efi.cfg lead, None where there is no link.
    The firmware decides, never which files exist: a host often has both files and reads one.
    """
    if uefi:
        vendor = {"rhel": "redhat", "ol": "redhat"}.get(os_id, os_id)
        return links["uefi"] or "%s/efi/EFI/%s/grub.cfg" % (boot, vendor)
    return links["bios"] or boot + "/grub2/grub.cfg"


def stub_target(text):
    """The path of the file that a config only hands over to, as written with $prefix filled in; None for a real config."""
    if re.search(r"(?m)^[ \t]*menuentry\b", text):
        return None
    match = re.search(r"(?m)^[ \t]*configfile[ \t]+(\S+)", text)
    if not match:
        return None
    prefix = re.findall(r"(?m)^[ \t]*set[ \t]+prefix=(\S+)", text)
    path = match.group(1).strip("\"'")
    if prefix:
        path = re.sub(r"\$\{?prefix\}?", lambda unused: prefix[-1].strip("\"'"), path)
    return re.sub(r"^\([^)]*\)", "", path)


# /etc/default/grub

def _commands(text):
    """Simple commands of a shell file: (offset, words, plain), in order; a word is (start, characters, end) of word().

    C(plain) is false inside if, loops, functions and subshells and after && or ||, where nobody knows whether it runs.
    """
    stack, words, result, here, conditional = [], [], [], 0, False

    def finish(operator):
        names = [_meaning(one[1]) for one in words]
        while names and (names[0] in _PREFIXES or names[0] in _OPENERS.values()):
            if names[0] in _OPENERS:
                stack.append(_OPENERS[names[0]])
            elif stack and stack[-1] == names[0]:
                stack.pop()
            del names[0], words[0]
        if names and (names[0] in _OPENERS or names[-1] == "{"):
            stack.append(_OPENERS.get(names[0], "}"))
        elif words:
            result.append((words[0][0], list(words), not stack and not conditional and operator not in ("|", "&")))
        del words[:]

    while here < len(text):
        char = text[here]
        if char == "\\" and re.match(r"\\\r?\n", text[here:here + 3]):
            here = text.index("\n", here) + 1
        elif char in " \t\r":
            here += 1
        elif char == "#":
            here = text.find("\n", here) if "\n" in text[here:] else len(text)
        elif text.startswith("<<", here):
            raise GrubError("line %d: a here-document, which this module does not read" % line_number(text, here))
        elif char in "\n;&|()":
            operator = text[here:here + 2] if text[here:here + 2] in ("&&", "||", ";;") else char
            conditional = conditional and (bool(words) or operator == "\n")
            pending = conditional and not words
            finish(operator)
            if char == "(":
                stack.append(")")
            elif char == ")" and stack and stack[-1] == ")":
                stack.pop()
            conditional = pending or operator in ("&&", "||", "|")
            here += len(operator)
        elif char in "<>":
            here += 2 if text[here + 1:here + 2] == "&" else 1
        else:
            chars, end = word(text, here)
            words.append((here, chars, end))
            here = end
    finish("\n")
    return result


def chain(text, variable):
    """(characters of the variable's effective value, where an empty value takes text or None if it is never set, lines).

    Follows V=..., V+=... and V="$V ...": the value is what the last of them leaves. Raises GrubError where that is unsure.
    """
    value, slot, lines = [], None, []
    for offset, words, plain in _commands(text):
        names = [_meaning(one[1]) for one in words]
        number = line_number(text, offset)
        if names[0] == "unset" and variable in names:
            if not plain:
                raise GrubError("line %d: %s is unset only on a condition" % (number, variable))
            value, slot, lines = [], None, []
        targets = [_ASSIGNMENT.match(text, one[0]) for one in words]
        found = [match for match in targets if match and match.group(1) == variable]
        if not found or (not targets[0] and names[0] not in _EXPORTS):
            continue
        if not plain:
            raise GrubError("line %d: %s is set inside a condition, loop or function; whether it counts is unknown. Set it on a "
                            "line of its own" % (number, variable))
        stray = [one for one, match in zip(names, targets) if not match]
        if targets[0] and stray:
            raise GrubError("line %d: the shell takes \"%s\" after the value as a command, and the value is lost. Put the text "
                            "inside the quotes, or a # before it" % (number, stray[0]))
        for match in found:
            chars = word(text, match.end())[0]
            if match.group(2) == "=":
                kept, value, lines = value, [], []
            else:
                kept = []
            for char in chars:
                expansion = _EXPANSION.match(text, char[1]) if char[0] == OPAQUE else None
                if expansion and variable in expansion.groups():
                    value, kept = value + kept, []
                else:
                    value = value + [char]
            opening = match.end()
            slot = (opening + 1 if text[opening:opening + 1] in ("'", '"') else opening, text[opening:opening + 1])
            lines.append(number)
    return value, slot, lines


def _value(text, variable):
    """(effective value as text, its characters, slot, lines)."""
    chars, slot, lines = chain(text, variable)
    meaning = _meaning(chars)
    try:
        _cmdline.split(meaning, _cmdline.GRUB)
    except _cmdline.CmdlineError:
        raise GrubError("line %s: a quote inside the value of %s is not closed" % (lines[-1], variable))
    return meaning, chars, slot, lines


def _refuse_unknown(text, variable, name, value):
    """Raises GrubError where an expansion may hold the argument; crashkernel=$SIZE cannot."""
    meaning, chars = value[:2]
    for start, end in _cmdline.split(meaning, _cmdline.GRUB)[0]:
        argument = meaning[start:end]
        key = argument.partition(OPAQUE)[0].lstrip("\"'")
        if OPAQUE in argument and ("=" not in key or key.startswith(name + "=")):
            raise GrubError("line %d: %s contains %s, and only the shell knows whether %s is in it. Write its text in its place"
                            % (line_number(text, chars[start][1]), variable, text[chars[start][1]:chars[end - 1][2]], name))


def _shown(text, chars):
    return "".join(text[char[1]:char[2]] if char[0] == OPAQUE else char[0] for char in chars)


def change_defaults(text, name, token, state):
    """/etc/default/grub with C(token) of C(name) present or absent: (new text, [change, ...]).

    A change is a dict: variable, before, after (effective values), line (None for an appended line). The edit goes where
    the argument lives: GRUB_CMDLINE_LINUX, or GRUB_CMDLINE_LINUX_DEFAULT where only that has it; absent cleans both.
    The file is shell code that grub2-mkconfig sources: the last assignment counts, and everything else stays as it is.
    Without any assignment, present appends one, marked so that absent can take the whole line away again.
    Raises GrubError where the effective value cannot be known.
    """
    both = [VARIABLE, VARIABLE + "_DEFAULT"]
    values = dict((variable, _value(text, variable)) for variable in both)
    has = [variable for variable in both if token in _cmdline.tokens(values[variable][0], name, _cmdline.GRUB)]
    if state == "absent" or not has:
        for variable in both:
            _refuse_unknown(text, variable, name, values[variable])
    if state == "absent":
        targets = has
    elif has:
        targets = []
    else:
        targets = [variable for variable in both if _cmdline.occurrences(values[variable][0], name, _cmdline.GRUB)][:1] or both[:1]
    changes, source = [], []
    for variable in targets:
        meaning, chars, slot, lines = values[variable]
        edits = _cmdline.edits(meaning, name, token, state, _cmdline.GRUB)
        if slot is None:
            break
        for start, end, new in edits:
            source.extend(_to_source(chars, slot, start, end, new))
        line = line_number(text, source[-1][0]) if source else lines[-1]
        changes.append({"variable": variable, "before": _shown(text, chars), "line": line})
    if targets and not changes:
        changes = [{"variable": VARIABLE, "before": None, "line": None}]
        new_text = _append_line(text, "%s=\"%s=%s\"%s" % (VARIABLE, name, token, MARK))
    else:
        new_text = _cmdline.apply_edits(text, sorted(source))
        if state == "absent":
            new_text = _drop_appended(new_text)
    for change in changes:
        meaning, chars = _value(new_text, change["variable"])[:2]
        change["after"] = _shown(new_text, chars)
        if (token in _cmdline.tokens(meaning, name, _cmdline.GRUB)) != (state == "present"):
            raise GrubError("line %s: the edit of %s did not have the effect it should; edit the file by hand"
                            % (change["line"], change["variable"]))
    return new_text, changes


def variable_value(text, variable):
    """The effective value of a variable in a shell file of assignments, None where it is not set."""
    chars, slot = chain(text, variable)[:2]
    return None if slot is None else _shown(text, chars)


def set_variable(text, variable, value):
    """The shell file with this effective value of a variable; all else stays. C(value) is one plain word.

    Raises GrubError where it is set under a condition, or where the edit would not have that effect.
    """
    chars, slot, lines = chain(text, variable)
    if slot is not None and _meaning(chars) == value:
        return text
    if slot is None:
        end = "\r\n" if "\r\n" in text else "\n"
        new = text + ("" if not text or text.endswith("\n") else end) + "%s=%s%s" % (variable, value, end)
    else:
        new = _cmdline.apply_edits(text, sorted(_to_source(chars, slot, 0, len(chars), value)))
    if variable_value(new, variable) != value:
        raise GrubError("line %s: the edit of %s did not have the effect it should; edit the file by hand"
                        % (lines[-1] if lines else "?", variable))
    return new


def _to_source(chars, slot, start, end, new):
    """An edit of the value as edits of the file: cuts character by character, and one insertion in the right quotes."""
    cuts = [(char[1], char[2], "") for char in chars[start:end]]
    if not new:
        return cuts
    if start:
        place, quote = chars[start - 1][2], chars[start - 1][3]
    elif chars:
        place, quote = chars[0][1], chars[0][3]
    else:
        place, quote = slot
    return cuts + [(place, place, new if quote in ("'", '"') else new.replace(" ", "\\ "))]


def _append_line(text, line):
    end = "\r\n" if "\r\n" in text else "\n"
    if not text or text.endswith("\n"):
        return text + line + end
    return text + end + line + ENDED + end


def _drop_appended(text):
    match = re.search("(?m)^%s=\"\"%s(%s)?(\r?\n|\\Z)" % (VARIABLE, MARK, ENDED), text)
    if not match:
        return text
    before = text[:match.start()]
    return (re.sub("\r?\n\\Z", "", before) if match.group(1) else before) + text[match.end():]
