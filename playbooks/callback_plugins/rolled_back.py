# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends ansible-playbook with code 3 where hosts failed, and all of them only by having gone back to their old kernel.

Ansible has no code for that: 2 says that a host failed, whatever it was. Loaded by itself, as it lies beside the playbooks.
"""

from __future__ import annotations

DOCUMENTATION = r"""
name: rolled_back
type: aggregate
short_description: An exit code of its own for hosts that went back to their old kernel
description:
  - Ends C(ansible-playbook) with code 3 instead of 2 where every failed host is one that returned to the kernel of before by
    itself and was verified there.
options: {}
"""

import atexit
import os
import sys

from ansible.plugins.callback import CallbackBase

ROLLED_BACK = 3
TASK = "Say that the host is back on the old kernel"


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "rolled_back"

    def __init__(self):
        super().__init__()
        self.back, self.failed = set(), set()
        # registered early, so it runs late: what others do at exit is done by then
        atexit.register(self.leave, os.getpid())

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not ignore_errors and result.task_name.endswith(TASK):
            self.back.add(result._host.get_name())

    def v2_playbook_on_stats(self, stats):
        self.failed = set(stats.failures) | set(stats.dark)

    def leave(self, pid):
        if os.getpid() == pid and self.failed and self.failed == self.back:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ROLLED_BACK)
