# SPDX-License-Identifier: GPL-3.0-or-later
"""The trial boot against real failures. Each test breaks a host that is about to boot its new kernel, and looks at the end from outside.

``make faults`` runs all of them, ``make fault NAME="…"`` those with these words in the name; test_whole_night.py takes the quick ones along
on its own machine. Not found by pytest on its own: the file has another name than a test's, and is given by path.
"""

import datetime
import fcntl
import json
import os
import pathlib
import subprocess
import threading
import time

import jsonschema
import pytest
from faults import DONE, EL7, FAULTS, ML, PAUSED, ROLLED_BACK, TWO_RUNS, UPDATE

from lab import compiled, play, qemu
from lab.poller import Poller

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parents[1]
RESULTS = os.environ.get("EL7OPS_FAULTS")  # where tests/run.py wants to read what was seen
VARIABLES = {
    "kmem_strategy": "upgrade", "kmem_allow_reboot": True, "snapshot_reminder_acknowledged": True, "snapshot_reminder_id": "snap-4711",
    "service_verify_record_interval": 0, "service_verify_churn_interval": 2, "grub_default_confirm_timeout": 90,
    "service_verify_timeout": 60, "service_verify_docker_timeout": 60, "common_report_dir": "",
}  # fmt: skip
SCHEMA = json.loads((REPO / "roles" / "common" / "files" / "report.schema.json").read_text())


@pytest.fixture(scope="module", autouse=True)
def before(vm, job, tmp_path_factory):
    """The host before the run."""
    VARIABLES["common_report_dir"] = str(tmp_path_factory.mktemp("reports"))
    vm.start(fresh=True, append="el7_memcg_id_max=400")
    job.wait_for_docker()
    compiled.install(vm)
    # a sleep that is process 1 does not end by itself, and Docker would wait for it at each reboot
    vm.run("docker run -d --name web --restart always --network none --stop-signal KILL busybox:lab sleep 1000000", timeout=120)
    vm.run("sync")
    vm.snapshot("evening")


@pytest.fixture(scope="module")
def stand(vm, tmp_path_factory):
    """Takes the host to one of its two moments: "evening", or "ready" for the boot of the new kernel, all else being done.

    It gets ready when a test first wants that. Where two machines share the tests, one does, and the other goes on from its copy.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    had = {"evening"}

    def get_ready():
        vm.restore("evening")
        done = remediate(play.inventory(vm), **paused_before("grub_default"))
        assert done.returncode == 0 and document(vm)["status"] == "paused", done.stdout
        vm.run("sync")
        vm.snapshot("ready")
        vm.put_by(shared / "ready")

    def at(moment):
        if moment in had:
            vm.restore(moment)
            return
        with open(shared / "lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (shared / "ready").exists():
                vm.run_on(shared / "ready", "ready")
            else:
                get_ready()
        had.add(moment)

    return at


def remediate(where, env=None, **variables):
    return play.playbook("remediate", where, env=env, timeout=900, **{**VARIABLES, **variables})


def window_around_now():
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"kmem_window": f"{now - datetime.timedelta(hours=1):%H:%M}-{now + datetime.timedelta(hours=4):%H:%M}", "kmem_window_timezone": "UTC"}


def paused_before(stage):
    """The variables with which a run ends before that STAGE, as it does not fit into the window."""
    return {**window_around_now(), "kmem_stage_minutes": {stage: 600}}


def document(vm):
    found = json.loads(vm.run("cat /var/lib/el7ops-kmem/run.json").stdout)
    jsonschema.validate(found, SCHEMA)
    return found


def one_line(done):
    return " ".join(done.stdout.split())


def wait_for(what, seconds):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.5)


def kernel_of(vm):
    return vm.run("uname -r").stdout.strip()


def answering(vm):
    """The kernel that runs, or nothing while nobody answers."""
    try:
        done = vm.run("uname -r", check=False, timeout=30)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def at_task(note, name, **more):
    """The environment in which killer/kill_at.py acts at the task of that NAME, and puts it into the file NOTE."""
    return {"ANSIBLE_CALLBACK_PLUGINS": str(HERE / "killer"), "ANSIBLE_CALLBACKS_ENABLED": "kill_at", "KILL_NOTE": str(note),
            "KILL_AT_NAME": name, **more}  # fmt: skip


def killed(vm, where, note, fault, variables):
    """The run whose controller, and perhaps the host's power, goes away in the middle."""
    env = at_task(note, fault.kill_at or "never", KILL_AFTER=str(fault.kill_after))
    if fault.serial:
        env["KILL_FILE"] = str(note) + ".now"
        seen = vm.serial_log.stat().st_size
        thread = threading.Thread(target=remediate, args=(where, env), kwargs=variables)
        thread.start()
        wait_for(lambda: fault.serial.encode() in vm.serial_log.read_bytes()[seen:], 600)
        time.sleep(fault.kill_after)
        vm.kill()
        pathlib.Path(env["KILL_FILE"]).touch()
        thread.join()
    else:
        done = remediate(where, env, grub_default_services_timeout=fault.services_timeout)
        assert done.returncode == -9, done.stdout
        if fault.power:
            vm.kill()
    if fault.power:
        vm.start(fresh=False)


def disturbed(vm, where, note, fault):
    """The run while which something else happens on the host."""
    go_on = pathlib.Path(str(note) + ".on")
    env = at_task(note, fault.kill_at, KILL_WAIT=str(go_on))
    results = []
    thread = threading.Thread(target=lambda: results.append(remediate(where, env)))
    thread.start()
    wait_for(lambda: note.exists() or not thread.is_alive(), 600)
    vm.run(fault.meanwhile, timeout=120)
    go_on.touch()
    thread.join()
    assert note.exists(), results[0].stdout
    return results[0]


# the longest first, and at the head of the file: one machine is at work on it while the other gets ready for the rest
@pytest.mark.parametrize("fault", sorted(FAULTS, key=lambda fault: not fault.evening), ids=lambda fault: fault.name.replace(" ", "-"))
def test_no_host_is_lost(vm, job, stand, tmp_path, fault):
    stand("evening" if fault.evening else "ready")
    try:
        away = survive(vm, job, tmp_path, fault)
    except Exception:
        try:
            wait_for(lambda: reachable(vm), 300)
        except AssertionError:
            note(fault.name, fault.happens, 0, "lost")
        else:
            note(fault.name, fault.happens, 0, "wrong")
        raise
    note(fault.name, fault.happens, away, fault.ends)


def test_two_runs_at_once(vm, stand):
    stand("ready")
    results, where = [], play.inventory(vm)
    first = threading.Thread(target=lambda: results.append(remediate(where)))
    with Poller(vm, ["ssh"], calm=3) as poller:
        first.start()
        wait_for(lambda: vm.run("cat /var/lib/el7ops-kmem/lock", check=False, timeout=30).returncode == 0, 120)
        second = remediate(play.inventory(vm, ansible_ssh_extra_args="-o ControlMaster=no"))
        assert second.returncode == 2 and "another run holds the lock" in one_line(second), second.stdout
        first.join()
    assert results[0].returncode == 0 and document(vm)["status"] == "done", results[0].stdout
    assert kernel_of(vm) == ML
    note(TWO_RUNS, "the second is refused: the first holds the lock on the host", round(poller.watches["ssh"].seconds), DONE)


def note(name, happens, away, ends):
    """What became of a fault."""
    note_result(name=name, happens=happens, away=away, ends=ends)


def note_result(**row):
    """One line for docs/safety.md, if tests/run.py wants it."""
    if RESULTS:
        with open(RESULTS, "a", encoding="utf-8") as out:
            out.write(json.dumps({**row, "on": str(datetime.date.today())}) + "\n")


def survive(vm, job, tmp_path, fault):
    """Break the host that stands ready, and hold it to the end that the fault has to have; for how many seconds it was away."""
    where = play.inventory(vm)  # a machine whose power was cut has other ports
    variables = paused_before("elrepo_kernel") if fault.ends == PAUSED else {}
    if fault.before:
        vm.run(fault.before, timeout=120)
    names = containers(vm)
    before = vm.run("cat /proc/sys/kernel/random/boot_id").stdout
    began = time.monotonic()
    with Poller(vm, ["ssh"], calm=3) as poller:
        if (fault.kill_at or fault.serial) and not fault.meanwhile:
            killed(vm, where, tmp_path / "note", fault, variables)
            if fault.reset:
                assert poller.watches["ssh"].down_since, "it hangs"
                qemu.monitor(vm.directory, "system_reset", 30)
            if fault.ends == ROLLED_BACK:
                # nobody does anything: the host has to get back by itself
                wait_for(lambda: answering(vm) not in ("", ML), 600)
            vm.wait_ssh()
            if fault.between:
                vm.run(fault.between, timeout=180)
            where = play.inventory(vm)
        done = disturbed(vm, where, tmp_path / "note", fault) if fault.meanwhile else remediate(where, **variables)
        if fault.cleans and "an earlier update was cut off" in one_line(done):
            vm.run(fault.cleans, timeout=300)
            done = remediate(where, **variables)
        vm.wait_ssh()
    took = time.monotonic() - began
    text = one_line(done)
    print(f"\n{fault.name}: rc {done.returncode} after {took:.0f} s, away {poller.watches['ssh'].seconds:.0f} s")
    state = document(vm)
    boot = vm.run("cat /proc/sys/kernel/random/boot_id").stdout
    if fault.ends == DONE:
        assert done.returncode == 0 and state["status"] == "done", done.stdout
        assert kernel_of(vm) == ML and default(vm) == ML
        assert vm.run("grubby --info=ALL | grep -c '^args=.*el7ops_kmem.trial'", check=False).stdout.strip() == "0"
    elif fault.ends == PAUSED:
        assert done.returncode == 0 and state["status"] == "paused", done.stdout
        assert [stage["name"] for stage in state["stages"] if stage["status"] == "done"][-1] == "yum_update", state
        assert kernel_of(vm) == EL7 and default(vm) == EL7
        doubled = vm.run("rpm -qa --qf '%{name}\\n' | sort | uniq -d").stdout.split()
        assert set(doubled) <= {"kernel", "gpg-pubkey"}, doubled
        assert f"kernel-{UPDATE}" in vm.run("rpm -q kernel").stdout.split()
    elif fault.ends == ROLLED_BACK:
        assert done.returncode == 3 and "ROLLED BACK" in text and state["status"] == "rolled_back", done.stdout
        assert kernel_of(vm) == EL7 and default(vm) == EL7
        assert list(pathlib.Path(VARIABLES["common_report_dir"]).glob(f"*{state['run_id']}*.html"))
        if fault.quick:  # the same for all: the same command does not try it again unasked
            again = remediate(where)
            assert again.returncode == 2 and "REFUSED, nothing was changed" in one_line(again) and "kmem_new_run" in again.stdout, again.stdout
    else:
        assert done.returncode == 2 and boot == before and kernel_of(vm) == EL7, done.stdout
        # a disk that filled up meanwhile does not take the end
        assert state["status"] in ("failed", "paused", *(["running"] if fault.meanwhile else []))
    assert fault.says in text, (fault.says, done.stdout)
    no_traces(vm)
    job.wait_for_docker()
    assert vm.run("mysql -N -e 'SELECT 41+1'").stdout.strip() == "42"
    assert containers(vm) == names
    return round(poller.watches["ssh"].seconds)


def containers(vm):
    """Those that run and stay; the one in a crash loop comes and goes."""
    return sorted(set(vm.run("docker ps --format '{{.Names}}'").stdout.split()) - {"churn"})


def reachable(vm):
    return answering(vm) != ""


def default(vm):
    return vm.run("grubby --default-kernel").stdout.strip().replace("/boot/vmlinuz-", "")


def no_traces(vm):
    """What is left of a trial would act again one day."""
    left = "ls /boot/grub2/custom.cfg /etc/el7ops-kmem/* /etc/systemd/system/el7ops* /etc/systemd/system/sysinit.target.d/* 2> /dev/null"
    assert vm.run(f"{left}; grub2-editenv list | grep next_entry=.", check=False).stdout == ""
