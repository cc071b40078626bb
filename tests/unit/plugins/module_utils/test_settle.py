# SPDX-License-Identifier: GPL-3.0-or-later
"""A file system that was frozen is thawed again, whatever happens. No file system is frozen here: the call is played."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import errno
import os
import signal
import time

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _disk


@pytest.fixture
def calls(monkeypatch, tmpdir):
    """What was asked of the kernel, in order, by whichever process; C(fails) maps a request to the error it ends with."""
    log, fails = tmpdir.join("calls"), {}

    def ioctl(dummy, request, dummy2):
        with open(str(log), "a") as stream:
            stream.write({_disk.FIFREEZE: "freeze ", _disk.FITHAW: "thaw "}[request])
        if request in fails:
            raise fails[request]() if callable(fails[request]) else IOError(fails[request], "")

    monkeypatch.setattr(_disk.fcntl, "ioctl", ioctl)
    return lambda: log.read().split() if log.check() else [], fails


def test_it_is_thawed_at_once(calls, tmpdir):
    assert _disk.settle(str(tmpdir)) == "" and calls[0]() == ["freeze", "thaw"]


@pytest.mark.parametrize("number, why", [(errno.EOPNOTSUPP, ""), (errno.EPERM, os.strerror(errno.EPERM)), (errno.EBUSY, os.strerror(errno.EBUSY))])
def test_what_was_not_frozen_by_us_is_not_thawed_by_us(calls, tmpdir, number, why):
    calls[1][_disk.FIFREEZE] = number
    assert _disk.settle(str(tmpdir)) == why and calls[0]() == ["freeze"]


def test_what_somebody_else_thawed_is_said(calls, tmpdir):
    calls[1][_disk.FITHAW] = errno.EINVAL
    assert "thawed" in _disk.settle(str(tmpdir))


def test_it_is_thawed_when_the_one_that_froze_it_is_killed(calls, tmpdir):
    calls[1][_disk.FIFREEZE] = lambda: os.kill(os.getpid(), signal.SIGKILL)
    process = os.fork()
    if not process:
        _disk.settle(str(tmpdir))
        os._exit(0)
    assert os.waitpid(process, 0)[1] == signal.SIGKILL
    for dummy in range(200):
        if calls[0]() == ["freeze", "thaw"]:
            return
        time.sleep(0.05)
    raise AssertionError(calls[0]())
