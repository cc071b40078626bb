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
# lines of Ansible and sudo quote what somebody typed, a search for this very message perhaps
QUOTED = (" Invoked with ", "COMMAND=")
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
        names = [path for path in glob.glob(os.path.join(root, "var/log/messages*")) if not path.endswith((".gz", ".xz", ".bz2"))]
        names = sorted((path for path in names if os.path.getmtime(path) >= boot), key=os.path.getmtime)[-FILES:]
        if not names:
            return None
        kept = []
        for path in names:
            for line in sift(tail(path)):
                then = local_time(line)
                if then is not None and boot - 60 <= then and not any(words in line for words in QUOTED):
                    kept.append(line)
        return kept
    except (IOError, OSError, ValueError, IndexError):
        return None


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
    now = time.time()
    year = time.localtime(now).tm_year
    for candidate in (year, year - 1):
        try:
            then = time.mktime(time.strptime("%d %s" % (candidate, line[:15]), "%Y %b %d %H:%M:%S"))
        except (ValueError, OverflowError):
            return None
        if then <= now + 60:
            return then
    return None
