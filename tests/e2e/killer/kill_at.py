# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills ansible-playbook, with all its children, when a task begins, or KILL_AFTER seconds later.

The task is number KILL_AT_TASK, counted from the first or behind the first task with KILL_BEHIND in its name; or the
KILL_COUNTth one (default: the first) with KILL_AT_NAME in its name. With KILL_FILE it is killed once that file is there, too.
With KILL_WAIT nobody is killed: the task waits until that file is there.
"""

from __future__ import annotations

DOCUMENTATION = r"""
name: kill_at
type: aggregate
short_description: Kills the controller at a task
description: Only for the end-to-end tests of this collection.
options: {}
"""

import os
import pathlib
import signal
import threading
import time

from ansible.plugins.callback import CallbackBase


def wait_for(file, seconds=float("inf")):
    deadline = time.monotonic() + seconds
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.2)


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kill_at"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self.number = self.met = 0
        self.counting = "KILL_BEHIND" not in os.environ
        if "KILL_FILE" in os.environ:
            threading.Thread(target=self.watch, args=(pathlib.Path(os.environ["KILL_FILE"]),), daemon=True).start()

    def v2_playbook_on_task_start(self, task, is_conditional):
        name = task.get_name()
        self.number += self.counting
        self.counting = self.counting or os.environ["KILL_BEHIND"] in name
        self.met += os.environ.get("KILL_AT_NAME", "") in name
        if "KILL_AT_NAME" in os.environ:
            due = os.environ["KILL_AT_NAME"] in name and self.met == int(os.environ.get("KILL_COUNT", "1"))
        else:
            due = self.number == int(os.environ["KILL_AT_TASK"])
        if not due:
            return
        # the screen is no witness: the last lines of a killed process may never reach it
        with open(os.environ["KILL_NOTE"], "w", encoding="utf-8") as note:
            note.write(name)
        if "KILL_WAIT" in os.environ:
            wait_for(pathlib.Path(os.environ["KILL_WAIT"]), 300)
            return
        delay = float(os.environ.get("KILL_AFTER", "0"))
        if delay:
            threading.Timer(delay, self.kill).start()
        else:
            self.kill()

    def watch(self, file):
        wait_for(file)
        self.kill()

    @staticmethod
    def kill():
        os.killpg(os.getpgrp(), signal.SIGKILL)
