# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints a line for everything on the guest's disks: mode, owner, size, times, and a checksum of the content; of folders, no times.

The time of the last change of an inode (ctime) cannot be set by a program, so a file that was written and put back shows, too. Below
/usr, where the packages are, it stands for the content. Left out is what a running system writes by itself, named in OWN, and what rpm
and yum write when they are only asked, named in ASKED; their database and the packages are in.
"""
import hashlib
import os
import stat

OWN = (
    "/dev", "/proc", "/sys", "/run", "/tmp", "/var/tmp", "/var/log", "/root/.ansible", "/var/cache", "/var/lib/mysql",
    "/var/lib/docker", "/var/lib/containerd", "/var/lib/systemd",
)  # fmt: skip
ASKED = ("/var/lib/rpm/__db.", "/var/lib/rpm/.", "/var/lib/dnf/history.sqlite")


def line(path, found):
    mark = "-"
    if stat.S_ISLNK(found.st_mode):
        mark = os.readlink(path)
    elif stat.S_ISREG(found.st_mode) and not path.startswith("/usr/"):
        with open(path, "rb") as content:
            mark = hashlib.sha256(content.read()).hexdigest()
    rest = "" if stat.S_ISDIR(found.st_mode) else " %d %r %r %s" % (found.st_size, found.st_mtime, found.st_ctime, mark)
    return "%s %o %d:%d%s" % (path, found.st_mode, found.st_uid, found.st_gid, rest)


for folder, folders, files in os.walk("/"):
    folders[:] = sorted(name for name in folders if os.path.join(folder, name) not in OWN)
    for name in sorted(files + folders):
        path = os.path.join(folder, name)
        if not path.startswith(ASKED):
            print(line(path, os.lstat(path)))
