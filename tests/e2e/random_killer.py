# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills the controller, or cuts the host's power, at a random moment of strategy upgrade; ``make killer``, ten seeds, about an hour.

Not found by pytest on its own: the file has another name than a test's, and is given by path.
"""

import json
import os
import random
import signal
import subprocess
import time

import jsonschema
import pytest
from faults import EL7, ML, UPDATE
from trial_boot import SCHEMA, VARIABLES, no_traces, reachable, wait_for

from lab import play, venv

SEEDS = range(int(os.environ.get("EL7OPS_SEEDS", "10")))
RUN_SECONDS = 150  # about what the run takes on the lab's machine; later moments are no kill


@pytest.fixture(scope="module", autouse=True)
def before(vm, job, tmp_path_factory):
    VARIABLES["common_report_dir"] = str(tmp_path_factory.mktemp("reports"))
    vm.start(fresh=True, append="el7_memcg_id_max=400")
    job.wait_for_docker()
    vm.run("docker run -d --name web --restart always --network none busybox:lab sleep 1000000", timeout=120)
    vm.run("sync")
    vm.snapshot("evening")


def run(vm, playbook, **more):
    return play.playbook(playbook, play.inventory(vm), timeout=1200, **VARIABLES, **more)


@pytest.mark.parametrize("seed", SEEDS)
def test_whenever_it_is_killed_the_host_is_there_and_the_next_run_ends(vm, job, seed):
    chance = random.Random(seed)
    moment, power = chance.uniform(5, RUN_SECONDS), chance.random() < 0.5
    vm.restore("evening")
    env = venv.environment(play.collections())
    argv = ["ansible-playbook", "-i", str(play.inventory(vm)), "el7ops.kmem.remediate", "-e", json.dumps(VARIABLES)]
    process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               start_new_session=True)  # fmt: skip
    time.sleep(moment)
    tasks = os.set_blocking(process.stdout.fileno(), False) or process.stdout.read() or ""
    if power:
        vm.kill()
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    print(f"seed {seed}: {'power' if power else 'controller'} after {moment:.0f} s, at: {(['?'] + [one for one in tasks.splitlines() if 'TASK' in one])[-1]}")
    if power:
        vm.start(fresh=False)
    wait_for(lambda: reachable(vm), 300)
    assert vm.run("uname -r").stdout.strip() in (EL7, UPDATE, ML)
    found = vm.run("cat /var/lib/el7ops-kmem/run.json", check=False)
    if found.returncode == 0:
        jsonschema.validate(json.loads(found.stdout), SCHEMA)
    done = run(vm, "remediate")
    print(f"seed {seed}: the next run ended with {done.returncode}")
    if done.returncode != 0:
        # back by itself, or refused with a reason, such as an update that was cut off in the middle: the way back is open
        assert done.returncode == 3 or "NEXT:" in done.stdout or "REFUSED" in done.stdout, done.stdout
        back = run(vm, "rollback", kmem_take_over=True)
        assert back.returncode == 0, (done.stdout, back.stdout)
        assert vm.run("uname -r").stdout.strip() == EL7
    else:
        assert vm.run("uname -r").stdout.strip() == ML
    no_traces(vm)
    job.wait_for_docker()
    assert vm.run("mysql -N -e 'SELECT 41+1'").stdout.strip() == "42"
