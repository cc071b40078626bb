# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reading half of the logs: the journal, else the kernel's ring buffer and /var/log/messages, all of them bounded."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import glob
import os
import re
import time

from ansible_collections.el7ops.kmem.plugins.module_utils import _host, _schema

KEPT = 200
JOURNAL = 2 << 20  # bytes, of its newest lines: 5,000 of 400 bytes
TAIL = 4 << 20  # bytes of one file, of its end
FILES = 3
SECRET = re.compile(r"((?:pass(?:word|wd|phrase)?|secret|token)[\w.-]*=)\S+", re.I)


def telling(root, journal, limit=6):
    """The telling lines since the boot, newest last, at most KEPT of them; None where no log could be read.

    A journal in memory can have lost the lines of the first days, which /var/log/messages still has: that is read, too,
    where the journal tells nothing.
    """
    result = _host.finish(journal, limit, JOURNAL)
    read = result["rc"] == 0 or bool(result["out"])
    hits = sift(result["out"])[::-1]
    if not hits:
        files = messages(root)
        read = read or files is not None
        hits = files or []
    if not read:
        ring = _host.run(["dmesg"], 3)
        if ring["rc"] != 0:
            return None
        hits = sift(ring["out"])
    return hits[-KEPT:]


def sift(text):
    """The telling lines of a text, shortened and without what looks like a secret."""
    found = _schema.candidates(text)
    if not found:
        return []
    # most hosts have no such line, and its patterns take long to compile
    from ansible_collections.el7ops.kmem.plugins.module_utils import _journal

    return [SECRET.sub(r"\1(hidden)", _journal.shorten(line)) for line in found if _journal.telling(line)]


def messages(root):
    """The telling lines of /var/log/messages and its rotated files from this boot on, or None where there is none.

    Their times have no year: the newest that fits is taken. Packed files are left out.
    """
    try:
        boot = time.time() - float(_host.read_bytes(os.path.join(root, "proc/uptime")).split()[0])
    except (IOError, OSError, ValueError, IndexError):
        return None
    files = []
    for path in glob.glob(os.path.join(root, "var/log/messages*")):
        if os.path.isfile(path) and not path.endswith((".gz", ".xz", ".bz2")) and os.path.getmtime(path) >= boot:
            files.append((os.path.getmtime(path), path))
    here = (_host.probe_text(os.path.join(root, "proc/sys/kernel/hostname"))[0] or "").strip()
    kept = None
    for dummy, path in sorted(files)[-FILES:]:
        try:
            lines = sift(tail(path))
        except (IOError, OSError):
            continue
        kept = kept or []
        for line in lines:
            then = local_time(line)
            if then is not None and boot - 60 <= then and of_host(line, here):
                kept.append(line)
    return kept


def of_host(line, here):
    """Whether a line of syslog is of this host; what others send to a host that collects logs lies in the same file."""
    fields = line.split(None, 4) + [""] * 4
    name = fields[1] if "T" in fields[0][:11] and fields[0][:1].isdigit() else "" if fields[0][:1].isdigit() else fields[3]
    return not here or name.lower().split(".")[0] in (here.lower().split(".")[0], "localhost", "")


def tail(path):
    """Text of the end of a file; bytes that are not UTF-8 are replaced, so that one bad line does not spoil the others."""
    with open(path, "rb") as stream:
        stream.seek(max(0, os.path.getsize(path) - TAIL))
        return stream.read(TAIL).decode("utf-8", "replace")


def local_time(line):
    """Seconds since 1970 of a line of syslog, whose time is the host's; None where it has none."""
    from ansible_collections.el7ops.kmem.plugins.module_utils import _clock

    if _clock.ISO_TIME.match(line):
        return _clock.seconds_of(line)
    match = re.match(_clock.SYSLOG_TIME, line)
    if not match:
        return None
    now = time.time()
    year = time.localtime(now).tm_year
    for candidate in (year, year - 1):
        try:
            # not strptime: Ansible sets the locale, and in German a month has another name than in the file
            clock = [int(part) for part in match.groups()[1:]]
            then = time.mktime((candidate, _clock.MONTHS.index(match.group(1)) + 1) + tuple(clock) + (0, 0, -1))
        except (ValueError, OverflowError):
            return None
        if then <= now + 60:
            return then
    return None
