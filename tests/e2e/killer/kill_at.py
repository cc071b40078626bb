# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills ansible-playbook, with all its children, when task number KILL_AT begins, or KILL_AFTER seconds later."""

from __future__ import annotations

DOCUMENTATION = r"""
name: kill_at
type: aggregate
short_description: Kills the controller at a task
description: Only for the end-to-end tests of this collection.
options: {}
"""

import os
import signal
import threading

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kill_at"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self.number = 0

    def v2_playbook_on_task_start(self, task, is_conditional):
        self.number += 1
        if os.environ.get("KILL_AT_TASK", str(self.number)) != str(self.number) or os.environ.get("KILL_AT_NAME", "") not in task.get_name():
            return
        # the screen is no witness: the last lines of a killed process may never reach it
        with open(os.environ["KILL_NOTE"], "w", encoding="utf-8") as note:
            note.write(task.get_name())
        delay = float(os.environ.get("KILL_AFTER", "0"))
        if delay:
            threading.Timer(delay, self.kill).start()
        else:
            self.kill()

    @staticmethod
    def kill():
        os.killpg(os.getpgrp(), signal.SIGKILL)
