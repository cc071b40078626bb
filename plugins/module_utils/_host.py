# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounded reads and commands with a time limit: with _child.py and _disk.py, the only file that touches the system.

Runs on Python 2.7.5 and 3.6+. Everything else in module_utils is pure functions over text and dicts.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import errno
import os
import select
import signal
import stat
import subprocess
import sys
import time

READ_LIMIT = 65536
# Python 2 tries to close each descriptor that the limit allows, a million on many Docker hosts, which takes half a second
# for each command. What must not be inherited is marked instead (_child.py), as subprocess does with its own.
CLOSE = sys.version_info[0] > 2


def decode(raw):
    """Text of bytes from the system; what is not UTF-8 keeps its bytes as latin-1, so nothing is lost."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def encode(text, like=b""):
    """Bytes of text, in the encoding that decode() found in the bytes C(like)."""
    try:
        like.decode("utf-8")
    except UnicodeDecodeError:
        return text.encode("latin-1")
    return text.encode("utf-8")


def native(path):
    """A path as Python 2 needs it, bytes: with text, a name that the locale cannot say comes back as bytes, and the two do not join."""
    return path if isinstance(path, str) else path.encode("utf-8")


def read_bytes(path, limit=READ_LIMIT):
    """The first C(limit) bytes of a file (None: all of it). Raises OSError with the errno of the read.

    Plain os.read: a cgroup file that opens and then answers EIO must give that errno on both Pythons.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        parts = []
        left = limit
        while left is None or left > 0:
            part = os.read(descriptor, READ_LIMIT if left is None else min(left, READ_LIMIT))
            if not part:
                break
            parts.append(part)
            if left is not None:
                left -= len(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)


def probe_text(path, limit=READ_LIMIT):
    """(text, 0) of a file, or (None, errno) where it cannot be read."""
    try:
        return decode(read_bytes(path, limit)), 0
    except (IOError, OSError) as error:
        return None, error.errno or errno.EIO


def run(argv, timeout, limit=4 * 1024 * 1024, errors=False):
    """Run a command without a shell, in the C locale, for at most C(timeout) seconds; see finish()."""
    return finish(start(argv, errors), timeout, limit)


def start(argv, errors=False):
    """Start a command whose answer finish() will fetch, so that several can run at a time. C(errors): with what it complains."""
    environ = dict(os.environ, LC_ALL="C", LANG="C", SYSTEMD_PAGER="", PAGER="cat")
    try:
        with open(os.devnull, "r+b") as null:
            return argv, subprocess.Popen(argv, stdin=null, stdout=subprocess.PIPE, stderr=subprocess.STDOUT if errors else null, env=environ,
                                          close_fds=CLOSE)
    except (IOError, OSError) as failure:
        return argv, "%s: %s" % (argv[0], os.strerror(failure.errno))


def finish(started, timeout, limit=4 * 1024 * 1024):
    """The answer of a started command, waited for at most C(timeout) seconds from now.

    Returns a dict: rc (None where it never ended by itself), out (text, at most C(limit) bytes),
    error (None, or why there is no result: not installed, timed out).
    A process that cannot be killed (D state) is left behind instead of waited for.
    """
    argv, child = started
    result = {"rc": None, "out": "", "error": None}
    if not hasattr(child, "stdout"):
        result["error"] = child
        return result
    deadline = time.time() + timeout
    parts, size = [], 0
    while True:
        left = deadline - time.time()
        ready = left > 0 and select.select([child.stdout], [], [], left)[0]
        if not ready:
            result["error"] = "%s: no answer within %d s" % (argv[0], timeout)
            break
        part = os.read(child.stdout.fileno(), READ_LIMIT)
        if not part:
            break
        parts.append(part)
        size += len(part)
        if size >= limit:
            result["error"] = "%s: stopped after %d bytes" % (argv[0], limit)
            break
    result["out"] = decode(b"".join(parts)[:limit])
    while result["error"] is None:
        if child.poll() is not None:
            result["rc"] = child.returncode
            break
        if time.time() > deadline:
            result["error"] = "%s: did not end within %d s" % (argv[0], timeout)
            break
        time.sleep(0.005)
    if child.poll() is None:
        try:
            os.kill(child.pid, signal.SIGKILL)
        except OSError:
            pass
    child.stdout.close()
    return result


def directories_below(root, limit, deadline):
    """Names of the directories below C(root), as paths relative to it, and whether the list was cut short.

    A leaf is told by its link count (2), so that only directories with children are listed: 20,000 live memory
    cgroups cost 20,000 stats instead of 800,000. Cgroup file systems keep that count, also on 3.10.
    """
    found, todo = [], [""]
    while todo:
        base = todo.pop()
        path = os.path.join(root, base)
        try:
            children = os.lstat(path).st_nlink - 2
            names = os.listdir(path) if children else []
        except OSError:
            continue  # removed since its parent was read
        for name in names:
            # the controller's own files; a look at each would make the walk forty times as long
            if name.startswith(("memory.", "cgroup.")) or name in ("tasks", "notify_on_release", "release_agent"):
                continue
            below = os.path.join(base, name)
            try:
                is_directory = stat.S_ISDIR(os.lstat(os.path.join(root, below)).st_mode)
            except OSError:
                continue
            if is_directory:
                if len(found) >= limit or time.time() > deadline:
                    return found, True
                found.append(below)
                todo.append(below)
    return found, False
