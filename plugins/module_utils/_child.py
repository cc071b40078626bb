# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A child process with a time limit, for reads that can hang. Apart from _host.py, which is compiled in the child then."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import fcntl
import marshal
import os
import select
import signal
import struct
import time


def stream_from_child(produce, timeout, limit=256 * 1024 * 1024, meanwhile=None):
    """Run produce(emit) in a child process for at most C(timeout) seconds; return ([(key, value)], finished).

    meanwhile() is called here as soon as the child has begun.
    Reads of a sick kernel can hang where no signal reaches them. What the child emitted before the deadline is
    kept; a child that cannot be killed is left to the kernel. marshal, not JSON: on Python 2 it keeps byte strings,
    which hold 65,000 cgroup names in a sixth of the memory; both ends are this one process image.
    """
    reader, writer = os.pipe()
    for end in (reader, writer):
        # a command that hangs must not keep the pipe open
        fcntl.fcntl(end, fcntl.F_SETFD, fcntl.fcntl(end, fcntl.F_GETFD) | fcntl.FD_CLOEXEC)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)

            def emit(key, value):
                raw = marshal.dumps((key, value))
                raw = struct.pack("=Q", len(raw)) + raw
                while raw:
                    raw = raw[os.write(writer, raw) :]

            try:
                produce(emit)
                status = 0
            except Exception as failure:  # pylint: disable=broad-except
                emit("failure", "%s: %s" % (type(failure).__name__, failure))
        finally:
            # no clean-up of the parent's state (atexit, buffers) may run in the child
            os._exit(status)
    os.close(writer)
    deadline = time.time() + timeout
    if meanwhile:
        meanwhile()
    parts, size, finished = [], 0, False
    while size < limit:
        left = deadline - time.time()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            break
        piece = os.read(reader, 1 << 20)
        if not piece:
            finished = True
            break
        parts.append(piece)
        size += len(piece)
    os.close(reader)
    data = b"".join(parts)
    if not finished:
        os.kill(child, signal.SIGKILL)
    # the pipe's end is the child's end; one that hangs in the kernel is not waited for
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid or time.time() > deadline + 0.5:
            finished = finished and pid and status == 0
            break
        time.sleep(0.002)
    items, position = [], 0
    while position + 8 <= len(data):
        (length,) = struct.unpack("=Q", data[position : position + 8])
        if position + 8 + length > len(data):
            break
        items.append(marshal.loads(data[position + 8 : position + 8 + length]))
        position += 8 + length
    return items, bool(finished)
