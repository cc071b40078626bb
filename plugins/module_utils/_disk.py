# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole-file writes that a reader, or a power cut, never meets half done. Apart from _host.py, since most runs of kmem_facts write nothing."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import errno
import fcntl
import os
import signal
import tempfile

from ansible_collections.el7ops.kmem.plugins.module_utils import _host

FIFREEZE, FITHAW = 0xC0045877, 0xC0045878  # linux/fs.h


def stage_file(path, content):
    """Write bytes to a new file beside C(path), on disk before this returns; its name is returned.

    The caller renames it over C(path): readers, and a power cut, meet the old file or the new one.
    """
    descriptor, name = tempfile.mkstemp(prefix="." + os.path.basename(path) + ".el7ops-", dir=os.path.dirname(path))
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except (IOError, OSError):
        os.unlink(name)
        raise
    return name


def sync_directory(path):
    """Make a rename below C(path) survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle(directory):
    """Have a file system write to its place what is only in its journal so far. Returns "", or why that could not be done.

    GRUB reads ext4 and XFS without their journals, where a rename can stay for minutes: after a power cut it sees the old files,
    while Linux sees the new ones (GRUB 2.04 on ext4 booted the default of before; ``make fault NAME="before the reboot"``). A file
    system that is frozen has written its journal out; it is thawed at once.
    """
    _host.run(["sync"], 60)  # or all writers wait while the freeze does it
    why, descriptor = "", os.open(directory, os.O_RDONLY)
    reader, writer = os.pipe()
    keeper = os.fork()
    if not keeper:
        # a process of its own thaws it: frozen it must not stay, should the one that froze it be killed in between
        status = 1
        try:
            os.close(writer)
            for one in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
                signal.signal(one, signal.SIG_IGN)
            if not os.read(reader, 1):
                fcntl.ioctl(descriptor, FITHAW, 0)
            status = 0
        finally:
            os._exit(status)
    try:
        fcntl.ioctl(descriptor, FIFREEZE, 0)
    except (IOError, OSError) as error:
        os.write(writer, b"n")  # not frozen by us
        if error.errno != errno.EOPNOTSUPP:  # no journal, as VFAT
            why = os.strerror(error.errno)
    os.close(writer)
    if os.waitpid(keeper, 0)[1]:
        why = "it was thawed by somebody else"
    for one in (reader, descriptor):
        os.close(one)
    return why
