# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines that belong to the leak, and those that only read like it: pure functions over text.

Both ENOMEM and ENOSPC are the same disease: 514 and 693 answer ENOSPC (kubernetes issue 61937), 1062 and later ENOMEM
(docker/for-linux issue 841). Go programs print them in English in any locale; coreutils and scripts translate them.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import re

from ansible_collections.el7ops.kmem.plugins.module_utils import _clock, _schema

TEXT = _clock.TEXT

# glibc's words for ENOMEM and ENOSPC, beside the English ones
NO_MEMORY = (
    u"cannot allocate memory", u"out of memory", u"nicht gen\xfcgend hauptspeicher verf\xfcgbar", u"kann keinen speicher mehr anfordern",
    u"ne peut allouer de la m\xe9moire", u"impossible d'allouer de la m\xe9moire", u"no se pudo asignar memoria", u"no se puede asignar memoria",
    u"impossibile allocare memoria", u"n\xe3o foi poss\xedvel alocar mem\xf3ria", u"n\xe3o \xe9 poss\xedvel alocar mem\xf3ria",
    u"\u65e0\u6cd5\u5206\u914d\u5185\u5b58", u"\u4e0d\u80fd\u5206\u914d\u5185\u5b58",
    u"\u30e1\u30e2\u30ea\u3092\u78ba\u4fdd\u3067\u304d\u307e\u305b\u3093",
    u"\uba54\ubaa8\ub9ac\ub97c \ud560\ub2f9\ud560 \uc218 \uc5c6\uc2b5\ub2c8\ub2e4", u"\u7121\u6cd5\u914d\u7f6e\u8a18\u61b6\u9ad4",
    u"\u043d\u0435\u0432\u043e\u0437\u043c\u043e\u0436\u043d\u043e \u0432\u044b\u0434\u0435\u043b\u0438\u0442\u044c \u043f\u0430\u043c\u044f\u0442\u044c",
    u"\u043d\u0435 \u0443\u0434\u0430\u043b\u043e\u0441\u044c \u0432\u044b\u0434\u0435\u043b\u0438\u0442\u044c \u043f\u0430\u043c\u044f\u0442\u044c",
    u"nie mo\u017cna przydzieli\u0107 pami\u0119ci",
)  # fmt: skip
NO_SPACE = (
    u"no space left on device", u"auf dem ger\xe4t ist kein speicherplatz mehr verf\xfcgbar", u"aucun espace disponible sur le p\xe9riph\xe9rique",
    u"no queda espacio en el dispositivo", u"spazio esaurito sul device", u"spazio sul device esaurito",
    u"n\xe3o h\xe1 espa\xe7o dispon\xedvel no dispositivo", u"\u8bbe\u5907\u4e0a\u6ca1\u6709\u7a7a\u95f4",
    u"\u30c7\u30d0\u30a4\u30b9\u306b\u7a7a\u304d\u9818\u57df\u304c\u3042\u308a\u307e\u305b\u3093",
    u"\uc7a5\uce58\uc5d0 \ub0a8\uc740 \uacf5\uac04\uc774 \uc5c6\uc74c",
    u"\u8a2d\u5099\u4e0a\u6c92\u6709\u7a7a\u9593", u"\u8a2d\u5099\u4e0a\u5df2\u7121\u7a7a\u9593",
    u"\u043d\u0430 \u0443\u0441\u0442\u0440\u043e\u0439\u0441\u0442\u0432\u0435"
    u" \u043a\u043e\u043d\u0447\u0438\u043b\u043e\u0441\u044c \u043c\u0435\u0441\u0442\u043e",
    u"\u043d\u0435 \u043e\u0441\u0442\u0430\u043b\u043e\u0441\u044c"
    u" \u0441\u0432\u043e\u0431\u043e\u0434\u043d\u043e\u0433\u043e \u043c\u0435\u0441\u0442\u0430",
    u"brak miejsca na urz\u0105dzeniu",
)  # fmt: skip

# a directory of the memory controller, wherever it is mounted; a control file in it is another matter
NAME = u"(?:[^\\s:'\"\u2018\u2019]|:(?=\\S))*"
GROUP = u"(?:/%s)?/cgroups?/(?:[a-z_,]*,)?memory(?:,[a-z_,]*)?(?:/(?!(?:\\S*/)?(?:memory\\.[\\w.]+|cgroup\\.procs|tasks)(?![\\w./-]))%s)?" % (NAME, NAME)
QUOTE = u"[^\\w\\s/]{0,4}"
REFUSED = u"REFUSED"  # stands for the words of the error that the line has: with those of all languages they take long to compile
# (name, what the line must have in small letters, pattern): a pattern is compiled where a line has that
REFUSALS = (
    # Creating a memory cgroup failed. First as runc, dockerd, kubelet, coreutils and Slurm say it, the directory before the
    # error; then as Python and LXC do.
    ("mkdir_failed", "cgroup", u"(?:mkdir|creat)(?:(?!inotify)[^/]){0,80}?" + QUOTE + GROUP + QUOTE + u"[^:/]{0,40}?[\\s:\uff1a)]\\s*" + REFUSED),
    ("mkdir_failed", "cgroup", u"(?:\\[errno (?:12|28)\\]\\s*%s:\\s|%s\\s+-\\s+failed to create(?: directory)?\\s)%s%s(?![\\w/.])" % (
        REFUSED, REFUSED, QUOTE, GROUP)),
    # switching accounting on in a new group fails with the same errors, where the id of its caches is what is used up
    ("kmem_refused", "memory.kmem.limit", u"memory\\.kmem\\.limit_in_bytes" + QUOTE + u":?\\s+" + REFUSED),
)  # fmt: skip
OF_THE_KERNEL = (
    # the caches of a group are named NAME(ID:GROUP); they exist only where kmem accounting is on
    ("cache_of_group", "cache: ", r"cache: \S+\(\d+:[^)\s]*\),"),
    ("cache_of_group", "objects remaining", r"BUG \S+\(\d+:[^)\s]*\).*: Objects remaining in"),
    ("cache_of_group", "kmem_cache_", r"kmem_cache_(?:create|destroy)\S*\s\S*\(\d+:[^)\s]*\)"),
    # alone these have other causes, too
    ("slub_refused", "slub: ", r"SLUB: Unable to allocate memory on node -1"),
    ("cache_create_failed", "error -12", r"kmem_cache_create\(.*failed with error -12"),
    ("wrong_cache", "wrong slab", r"cache_from_obj: Wrong slab cache\."),
    ("memory_deadlock", "deadlock", r"possible memory allocation deadlock in kmem_\w+"),
)
# what a container says, with Docker's log driver journald, has its id where a program's name is; it can speak of other hosts
OF_CONTAINER = re.compile(r"(?:\S+ +){2,4}[0-9a-f]{12}(?:\[\d+\])?: ")
NAMES = ("mkdir_failed", "kmem_refused", "cache_of_group", "slub_refused", "cache_create_failed", "wrong_cache", "memory_deadlock")
# Not this bug, though it reads like it: inotify watches (kubernetes issue 70324), a cpuset without memory nodes
# (containerd/cgroups issue 48), another controller, a full disk
LOOKS_ALIKE = (
    (None, "inotify", r"inotify_add_watch .*no space left on device"),
    (None, "no space", r"(?:cgroup\.procs|/tasks)\W{0,4}:? no space left on device"),
    (None, "/sys/fs/cgroup/", r"mkdir /sys/fs/cgroup/(?!\S*memory)\S+: (?:no space left on device|cannot allocate memory)"),
    (None, "no space", r"mkdir /(?!sys/fs/cgroup)\S+: no space left on device"),
)


def matches(line):
    """[(name, match)] of what facts() counts in a line, each name once; the name None is for what only reads like it."""
    if not any(word in line for word in _schema.WORDS) or OF_CONTAINER.match(line):
        return []
    small = line.lower()
    words = u"|".join(re.escape(words) for words in NO_MEMORY + NO_SPACE if words in small)
    found = []
    for those, flags in ((REFUSALS, re.I | re.U), (OF_THE_KERNEL, 0), (LOOKS_ALIKE, re.I)):
        for name, needed, pattern in those:
            if needed not in small or name in [one for one, dummy in found] or not words and those is REFUSALS:
                continue
            match = re.search(pattern.replace(REFUSED, u"(?:%s)" % words), line, flags)
            if match and not quoted(line[: match.start()], match.group(0)):
                found.append((name, match))
    return found


def quoted(before, text):
    """Whether what was found is what somebody searched for, typed or ran: as Ansible, sudo and auditd log it, and shells that do."""
    if " Invoked with " in before or "EXECVE" in before or "sudo" in before and "COMMAND=" in before:
        return True
    # behind a bracket the command is at its end: the one of a container, which kubelet names in its complaint
    return "memory.*" in text or bool(re.search(r"\b(?:[efz]?grep|awk|sed)\s[^\]}]*$", before))


def telling(line):
    """Whether a log line is one that facts() counts."""
    return bool(matches(line))


def shorten(line, limit=1500):
    """A line cut down to its beginning, which has the time, and what was found in it."""
    if len(line) <= limit:
        return line
    for dummy, match in matches(line):
        head = min(200, match.start())
        return line[:head] + " ... " + line[max(head, match.start() - 100) : match.start() + limit - 400]
    return line[:limit]


def facts(lines, taken_at=None, uptime=None):
    """{read, signatures: [{id, count, last, sample}], look_alikes, mkdir_failed, before_boot} from log lines.

    Lines that tell a time before the boot are not counted: the
    reading half hands over lines since the boot only, a capture that somebody put together may not.
    """
    result = _schema.symptoms(True)
    now = _clock.seconds_of(taken_at) if isinstance(taken_at, TEXT) else None
    boot = now - uptime - _clock.SLACK if now is not None and uptime is not None else None
    hits = {}
    for line in lines:
        if not isinstance(line, TEXT):
            continue
        line = line[:20000]
        found = matches(line)
        if not found:
            continue
        then = _clock.seconds_of(line, now)
        if boot is not None and then is not None and then < boot:
            result["before_boot"] += 1
            continue
        known = [(name, match) for name, match in found if name]
        for name, match in known:
            hits.setdefault(name, []).append((_clock.line_time(line), match.group(0)[:300]))
        if not known:
            result["look_alikes"] += 1
    for name in NAMES:
        if name in hits:
            last, sample = hits[name][-1]
            result["signatures"].append({"id": name, "count": len(hits[name]), "last": last, "sample": sample})
    result["mkdir_failed"] = sum(len(hits.get(name, [])) for name in _schema.FAILING)
    return result
