# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills the controller, or cuts the host's power, at a random moment of strategy upgrade; ``make killer``, ten seeds, over an hour.

Not found by pytest on its own: the file has another name than a test's, and is given by path.
"""

import json
import os
import pathlib
import random

import jsonschema
import pytest
from faults import EL7, ML, UPDATE
from trial_boot import SCHEMA, VARIABLES, no_traces, note_result, reachable, wait_for

from lab import compiled, play

HERE = pathlib.Path(__file__).resolve().parent
SEEDS = range(int(os.environ.get("EL7OPS_SEEDS", "10")))
TASKS = 700  # about as many as the run has
# most of the time goes by in these: seconds that each may take on the lab's machine
LONG = {"update | Let yum update": 40, "install | Install the file that was checked": 40, "trial | Boot the new kernel once": 6,
        "reboot | Reboot and wait for an answer": 60, "stage | Keep it for good": 6}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def before(vm, job, tmp_path_factory):
    VARIABLES["common_report_dir"] = str(tmp_path_factory.mktemp("reports"))
    vm.start(fresh=True, append="el7_memcg_id_max=400")
    job.wait_for_docker()
    compiled.install(vm)
    # a sleep that is process 1 does not end by itself, and Docker would wait for it at each reboot
    vm.run("docker run -d --name web --restart always --network none --stop-signal KILL busybox:lab sleep 1000000", timeout=120)
    vm.run("sync")
    vm.snapshot("evening")


def run(vm, playbook, env=None, **more):
    return play.playbook(playbook, play.inventory(vm), env=env, timeout=1200, **VARIABLES, **more)


@pytest.mark.parametrize("seed", SEEDS)
def test_whenever_it_is_killed_the_host_is_there_and_the_next_run_ends(vm, job, tmp_path, seed):
    chance = random.Random(seed)
    power = chance.random() < 0.5
    if chance.random() < 0.5:
        at = {"KILL_AT_TASK": str(chance.randint(1, TASKS))}
    else:
        name = chance.choice(sorted(LONG))
        at = {"KILL_AT_NAME": name, "KILL_AFTER": str(chance.uniform(0, LONG[name]))}
    vm.restore("evening")
    note = tmp_path / "note"
    env = {"ANSIBLE_CALLBACK_PLUGINS": str(HERE / "killer"), "ANSIBLE_CALLBACKS_ENABLED": "kill_at", "KILL_NOTE": str(note), **at}
    done = run(vm, "remediate", env=env)
    if power:
        vm.kill()
    assert done.returncode in (-9, 0), done.stdout
    where = note.read_text().replace("el7ops.kmem.", "") if note.exists() else "the end of the run"
    if "KILL_AFTER" in at:
        where += ", %.1f s after it began" % float(at["KILL_AFTER"])
    row = {"seed": seed, "cut": "the power" if power else "the controller", "where": where, "next": "none", "ends": "**not reachable**"}
    try:
        survive(vm, job, power, row)
    finally:
        note_result(**row)


def survive(vm, job, power, row):
    """The host is there, and the same command, or else the way back, ends well. ROW gets what was seen."""
    if power:
        vm.start(fresh=False)
    wait_for(lambda: reachable(vm), 300)
    row["ends"] = "**not as it should be**"
    assert vm.run("uname -r").stdout.strip() in (EL7, UPDATE, ML)
    found = vm.run("cat /var/lib/el7ops-kmem/run.json", check=False)
    if found.returncode == 0:
        jsonschema.validate(json.loads(found.stdout), SCHEMA)
    done = run(vm, "remediate")
    if done.returncode == 4:
        # it was on its way into a reboot, and went away under this run
        wait_for(lambda: reachable(vm), 300)
        done = run(vm, "remediate")
    row["next"] = f"code {done.returncode}"
    if done.returncode != 0:
        # back by itself, or refused with a reason, such as an update that was cut off in the middle: the way back is open
        assert done.returncode == 3 or "NEXT:" in done.stdout or "REFUSED" in done.stdout, done.stdout
        back = run(vm, "rollback", kmem_take_over=True)
        row["next"] += f", then rollback with code {back.returncode}"
        assert back.returncode == 0, (done.stdout, back.stdout)
        assert vm.run("uname -r").stdout.strip() == EL7
    else:
        assert vm.run("uname -r").stdout.strip() == ML
    no_traces(vm)
    job.wait_for_docker()
    assert vm.run("mysql -N -e 'SELECT 41+1'").stdout.strip() == "42"
    row["ends"] = "the new kernel, confirmed" if done.returncode == 0 else "the old kernel"
