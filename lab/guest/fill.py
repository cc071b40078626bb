# SPDX-License-Identifier: GPL-3.0-or-later
"""What runc rc3 to rc93 does for each container with a memory limit, without the container: usage: fill.py COUNT

mkdir, write 1 and then -1 to memory.kmem.limit_in_bytes, rmdir. Prints how many groups could be made, and the error.
A removed group gives its id back a moment later (RCU); one that leaked never does, so ENOMEM is final after PATIENCE.
"""
from __future__ import print_function

import errno
import os
import sys
import time

ROOT = '/sys/fs/cgroup/memory/docker/'
PATIENCE = 5  # seconds


def make(path):
    """mkdir, with patience for ids that are on their way back."""
    deadline = time.time() + PATIENCE
    while True:
        try:
            return os.mkdir(path)
        except OSError as error:
            if error.errno != errno.ENOMEM or time.time() > deadline:
                raise
            time.sleep(0.05)


made = 0
try:
    if not os.path.isdir(ROOT):
        os.mkdir(ROOT)
    for number in range(int(sys.argv[1])):
        group = ROOT + 'fill-%d' % number
        make(group)
        for value in ('1', '-1'):
            with open(group + '/memory.kmem.limit_in_bytes', 'w') as limit:
                limit.write(value)
        os.rmdir(group)
        made += 1
except EnvironmentError as error:
    print(error)
print('made %d' % made)
