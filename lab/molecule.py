# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the Molecule scenarios on the project's own image, with an engine that runs only meanwhile."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from lab import cache, containers, image, others, play, runc, venv
from lab.progress import LabError, say

BUDGET = 900  # seconds for all of them, the image not counted


def scenarios() -> list[str]:
    """Return the names of all scenarios."""
    return sorted(path.parent.name for path in (play.REPO / "molecule").glob("*/molecule.yml"))


def run(wanted: Sequence[str] = (), engine: str = "", action: str = "test", tag: str = "", jobs: int = 2) -> dict[str, int]:
    """Run the scenarios WANTED (all of them) with ENGINE (the quicker one), two at a time; return their return codes.

    With TAG the image gets this name, too, and is used under it.
    """
    unknown = sorted(set(wanted) - set(scenarios()))
    if unknown:
        raise LabError(f"there is no scenario {', '.join(unknown)}; there are {', '.join(scenarios())}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # a CI job that is cancelled leaves no engine behind
    with containers.Engine(engine or containers.usable()[0]) as there:
        name = there.image()
        if tag:
            there.call(["tag", name, tag])
            there.later(["rmi", tag])
        env = {
            **venv.environment(os.pathsep.join([str(play.collections()), str(others.ensure())])),
            **there.environment, "MOLECULE_IMAGE": tag or name, "MOLECULE_MIRROR": str(image.repositories()), "MOLECULE_NETWORK": "none",
            "MOLECULE_RUNC": str(runc.ensure() / runc.NAME),
        }  # fmt: skip
        env.pop("LD_LIBRARY_PATH")  # for the engine alone, its wrapper sets it
        env["PATH"] = os.pathsep.join([str(venv.ensure()), there.environment["PATH"]])
        deadline, stop = time.monotonic() + BUDGET, threading.Event()
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            try:
                return dict(pool.map(lambda scenario: (scenario, _one(scenario, action, env, deadline, stop)), wanted or scenarios()))
            except BaseException:
                stop.set()  # Molecule is in a session of its own and does not hear the terminal's interrupt
                raise


def log(scenario: str) -> pathlib.Path:
    """Return the path of the log of a scenario's last run."""
    return cache.root() / "log" / f"molecule-{scenario}.log"


def _one(scenario: str, action: str, env: dict[str, str], deadline: float, stop: threading.Event) -> int:
    began = time.monotonic()
    # an Ansible home of its own: two runs must not meet in it, and no copy of the collection may be found there
    home = cache.root() / "molecule" / scenario
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    env = {**env, "HOME": str(home), "ANSIBLE_HOME": str(home / ".ansible"), "MOLECULE_EPHEMERAL_DIRECTORY": str(home / "ephemeral")}
    argv = ["molecule", action, "--scenario-name", scenario]
    log(scenario).parent.mkdir(exist_ok=True)
    with open(log(scenario), "wb") as out:
        process = subprocess.Popen(
            argv, cwd=play.collections() / "ansible_collections" / "el7ops" / "kmem", env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
        while process.poll() is None:
            if stop.wait(0.5) or time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)  # its own group: Molecule and the playbook it runs
                process.wait()
        code = process.returncode
    say(f"{scenario}: {'ok' if code == 0 else f'FAILED ({code}), see {log(scenario)}'}, {time.monotonic() - began:.0f} s")
    return code
