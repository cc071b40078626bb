# SPDX-License-Identifier: GPL-3.0-or-later
"""One machine of the lab for each file of end-to-end tests; they run in the order of the file, as a night does."""

import os
import pathlib
import shlex
import sys
import time

import pytest
import testinfra

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from lab import play, qemu  # noqa: E402
from lab.demo import Job  # noqa: E402
from lab.vm import HOST, Vm  # noqa: E402


def pytest_collection_modifyitems(items):
    """Of the faults, the one that tests/run.py wants, by its words."""
    # not -k, for which a comma and an apostrophe have a meaning
    words = os.environ.get("EL7OPS_FAULT", "").replace(" ", "-")
    items[:] = [item for item in items if words in item.name]


@pytest.fixture(scope="module")
def vm():
    # with pytest -n, each worker has a machine of its own; two of two processors each are a quarter slower on two cores, as a processor
    # that has no core just then lets the other wait
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        qemu.SMP = 1
    machine = Vm("-".join(filter(None, ["e2e", worker])))
    machine.destroy()
    yield machine
    machine.destroy()


@pytest.fixture(scope="module")
def job(vm):
    return Job(vm)


@pytest.fixture(scope="module")
def quiet():
    """Until nothing else that tests/run.py has started is at work: for tests that compare seconds."""
    beside = pathlib.Path(os.environ.get("EL7OPS_BESIDE", "/nonexistent"))
    deadline = time.monotonic() + 1800
    while beside.exists():
        assert time.monotonic() < deadline, f"{beside} is still there after half an hour"
        time.sleep(1)


@pytest.fixture(scope="module")
def where(vm):
    return play.inventory(vm)


@pytest.fixture
def host(vm):
    """The machine as testinfra sees it: from outside, over SSH."""
    return testinfra.get_host(f"ssh://root@{HOST}", ssh_extra_args=shlex.join(vm.ssh_options()))
