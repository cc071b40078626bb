# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on a host that really fails. The tests build on each other: they are one night, in its order."""

import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from lab import compiled, demo, play, venv

HERE = pathlib.Path(__file__).resolve().parent
DEFAULTS, CONFIG = "/etc/default/grub", "/boot/grub2/grub.cfg"
EL7 = "3.10.0-1127.el7.x86_64"
# the churn is watched for a minute by default, which is right for a host and long for a test
STRATEGY = {"kmem_strategy": "mitigate", "kmem_allow_reboot": True, "service_verify_churn_interval": 5}
MATRIX = bool(os.environ.get("EL7OPS_MATRIX"))  # make matrix: every case instead of some
night = {}  # what earlier tests saw


@pytest.fixture(scope="module", autouse=True)
def evening(vm):
    vm.start(fresh=True)
    compiled.install(vm)


def files(host):
    return host.file(DEFAULTS).content_string, host.file(CONFIG).content_string


def boot_id(host):
    return host.file("/proc/sys/kernel/random/boot_id").content_string


def refused(done, *words):
    assert done.returncode != 0, done.stdout
    text = " ".join(done.stdout.split())
    assert "REFUSED, nothing was changed" in text, done.stdout
    for word in words:
        assert word in text, (word, done.stdout)


def test_docker_fails_with_the_real_message(job, host):
    job.wait_for_docker()
    night["files"], night["boot"] = files(host), boot_id(host)
    message = job.make_sick()
    assert "mkdir /sys/fs/cgroup/memory/docker/" in message and "cannot allocate memory" in message
    before = night["before"] = job.numbers()
    assert before["docker run --memory 64m"] == "fails"
    # the trap for detectors: nothing unusual here
    assert int(before["memory cgroups in /proc/cgroups"]) < 60
    assert int(before["names of cgroups in /sys/kernel/slab"]) >= demo.LEFT_FOR_DOCKER


def test_diagnose_says_failing_and_its_capture_replays_to_the_same(vm, where, tmp_path):
    done = play.playbook("diagnose", where, kmem_capture_dir=str(tmp_path))
    assert done.returncode == 0 and f"{vm.name}: FAILING" in done.stdout, done.stdout
    text = " ".join(done.stdout.split())
    assert "memory cgroups are gone and still hold their id" in text and "cannot allocate memory" in text
    capture = tmp_path / f"{vm.name}.json"
    assert json.loads(capture.read_text())["uname"]["release"] == EL7
    again = play.playbook("diagnose", "localhost,", "-c", "local", kmem_replay=str(capture), ansible_python_interpreter=sys.executable)
    assert "localhost: FAILING" in again.stdout, again.stdout


def test_kmem_facts_needs_little_memory(vm, where):
    play.module("el7ops.kmem.kmem_facts", where)
    env = {**venv.environment(play.collections()), "ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_PIPELINING": "0"}
    subprocess.run(["ansible", "-i", str(where), vm.name, "-m", "el7ops.kmem.kmem_facts"], env=env, check=True, capture_output=True)
    script = (
        "import glob,resource,subprocess,sys; null=open('/dev/null','w');"
        "subprocess.check_call(['/usr/bin/python2.7', glob.glob('/root/.ansible/tmp/*/AnsiballZ_kmem_facts.py')[0]], stdout=null);"
        "print('%s %d' % (sys.version.split()[0], resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))"
    )
    version, kilobytes = vm.run(["python2.7", "-c", script]).stdout.split()
    vm.run("rm -rf /root/.ansible/tmp/*")
    print(f"Python {version}, {int(kilobytes) / 1024:.1f} MB")
    assert version.startswith("2.7") and int(kilobytes) < 40 * 1024


@pytest.mark.parametrize("variables, words", [
    ({}, "kmem_strategy"), ({"kmem_strategy": "mitigate"}, "kmem_allow_reboot"), ({"kmem_strategy": "x", "kmem_allow_reboot": True}, "'x'"),
])  # fmt: skip
def test_an_unanswered_question_is_a_failure(where, host, variables, words):
    refused(play.playbook("remediate", where, **variables), words)
    assert files(host) == night["files"]


def test_without_root_it_is_unknown_and_refused(vm, host):
    where = play.inventory(vm, ansible_user="ops")
    done = play.playbook("diagnose", where)
    assert done.returncode == 0 and "become: true" in done.stdout and f"{vm.name}: PROTECTED" not in done.stdout
    refused(play.playbook("remediate", where, **STRATEGY), "user id", "--become")
    assert files(host) == night["files"]


def test_the_plan_changes_nothing(where, host):
    done = play.playbook("remediate", where, "--check", "--diff", **STRATEGY)
    assert done.returncode == 0, done.stdout
    assert "+GRUB_CMDLINE_LINUX=" in done.stdout and "cgroup.memory=nokmem" in done.stdout
    assert "nothing was changed: Switch kmem accounting off" in " ".join(done.stdout.split()) and "Reboots: 1." in done.stdout
    assert files(host) == night["files"] and boot_id(host) == night["boot"]
    assert not host.file("/var/lib/el7ops-kmem").exists


def killed(where, note, **at):
    """A remediate whose controller is killed; the task at which that happened stands in the file NOTE."""
    env = {"ANSIBLE_CALLBACK_PLUGINS": str(HERE / "killer"), "ANSIBLE_CALLBACKS_ENABLED": "kill_at", "KILL_NOTE": str(note)}
    done = play.playbook("remediate", where, env={**env, **{key: str(value) for key, value in at.items()}}, **STRATEGY)
    assert done.returncode == -9, done.stdout
    return note.read_text()


def settled(vm):
    """A module goes on on the host when its controller is gone: wait for it."""
    vm.run("for i in $(seq 60); do pgrep -x python2.7 > /dev/null || exit 0; sleep 0.5; done; ps ax; exit 1", timeout=60)


def test_killed_at_any_task_both_files_are_one_of_two_states(vm, where, host, tmp_path):
    """Kill the controller at task 1, run again and kill at task 2, and so on up to the reboot, each run on what is left."""
    states = [night["files"]]
    number, rebooting = 0, False
    while not rebooting:
        number += 1 if MATRIX else 11
        rebooting = "reboot | Reboot" in killed(where, tmp_path / "note", KILL_AT_TASK=number)
        settled(vm)
        if files(host) not in states:
            states.append(files(host))
        # the steps get small where it writes and where it would reboot
        if not MATRIX and (len(states) > 1 or number > 44):
            number -= 10
    assert number > 15, "the play has more tasks than that before it reboots"
    assert boot_id(host) == night["boot"]
    assert len(states) == 2, "as before, and as after"
    night["written"] = states[1]
    for text in states[1]:
        assert "cgroup.memory=nokmem" in text


@pytest.mark.parametrize("after", [0.3, 0.8, 1.4, 2.0] if MATRIX else [1.0])
def test_killed_while_it_writes_both_files_are_one_of_two_states(vm, where, host, tmp_path, after):
    # back to the state before, the same way as an admin would
    play.module("el7ops.kmem.kernel_cmdline", where, {"state": "absent"})
    assert files(host) == night["files"]
    # the task comes twice: a preflight tries it without writing
    killed(where, tmp_path / "note", KILL_AT_NAME="Write the argument to every boot entry", KILL_AFTER=after)
    settled(vm)
    assert all(text in (old, new) for text, old, new in zip(files(host), night["files"], night["written"]))


# the tasks behind the reboot, in the same run; in make test one in the middle
@pytest.mark.parametrize("number", range(1, 17) if MATRIX else [9])
def test_killed_behind_the_reboot_the_next_run_finishes_without_another(vm, where, host, tmp_path, number):
    if "before the reboot" not in night:
        night["before the reboot"] = "before"
        vm.snapshot("before")
    else:
        vm.restore("before")
    met = killed(where, tmp_path / "note", KILL_BEHIND="Reboot and wait for an answer", KILL_AT_TASK=number)
    print(f"killed at: {met}")
    settled(vm)
    boot = boot_id(host)
    assert boot != night["boot"]
    done = play.playbook("remediate", where, **STRATEGY)
    assert done.returncode == 0 and "-> protected" in done.stdout, done.stdout
    assert boot_id(host) == boot and files(host) == night["written"]


def test_killed_while_it_reboots_the_next_run_finishes_the_job(vm, where, host, tmp_path):
    vm.restore("before")
    killed(where, tmp_path / "note", KILL_AT_NAME="Reboot and wait", KILL_AFTER=3)
    time.sleep(5)
    vm.wait_ssh()
    done = play.playbook("remediate", where, **STRATEGY)
    assert done.returncode == 0 and "PREPARED" not in done.stdout, done.stdout
    assert boot_id(host) != night["boot"]
    assert files(host) == night["written"]


def test_the_host_is_cured_seen_from_outside(vm, job, host):
    assert host.check_output("uname -r") == EL7
    assert "cgroup.memory=nokmem" in host.file("/proc/cmdline").content_string.split()
    entries = [line for line in host.check_output("grubby --info=ALL").splitlines() if line.startswith("args=")]
    assert len(entries) == 2 and all("cgroup.memory=nokmem" in entry for entry in entries)
    job.wait_for_docker()
    for service in ("docker", "mariadb", "sshd"):
        assert host.service(service).is_running, service
    vm.run(demo.LIMITED, timeout=60)
    done = job.guest("crash-loop.sh", 3 * demo.LEFT_FOR_DOCKER)
    assert done.returncode == 0, done.stdout
    assert job.guest("fill.py", 1000).stdout.strip() == "made 1000"
    after = job.numbers()
    assert after["its memory.kmem.slabinfo"] == "Input/output error"
    assert after["names of cgroups in /sys/kernel/slab"] == "0"
    assert "cannot allocate memory" not in host.check_output("journalctl -b -u docker --no-pager")


def test_diagnose_says_protected_and_proved(vm, where):
    done = play.playbook("diagnose", where)
    assert f"{vm.name}: PROTECTED" in done.stdout, done.stdout
    assert play.module("el7ops.kmem.kmem_facts", where)["ansible_facts"]["kmem"]["accounting"]["state"] == "inactive"


def test_a_second_run_changes_nothing(where, host):
    before, boot = files(host), boot_id(host)
    done = play.playbook("remediate", where, **STRATEGY)
    assert done.returncode == 0 and "changed=0" in done.stdout, done.stdout
    assert files(host) == before and boot_id(host) == boot
    assert "kmem accounting is off in the live" in " ".join(done.stdout.split())


def test_inside_a_container_it_is_unknown_and_refused(vm, host):
    # python2.7 of the host's userland, inside a container: what Ansible would reach there
    wrapper = '#!/bin/sh\nexec docker exec -i inside /usr/bin/python2.7 "$@"\n'
    before = files(host)
    vm.run("cat > /usr/local/bin/python-inside && chmod 755 /usr/local/bin/python-inside", stdin=wrapper)
    vm.run("docker run -d --name inside --network none -v /usr:/usr:ro -v /lib:/lib:ro -v /lib64:/lib64:ro busybox:lab sleep 3600", timeout=60)
    where = play.inventory(vm, ansible_python_interpreter="/usr/local/bin/python-inside")
    done = play.playbook("diagnose", where)
    assert f"{vm.name}: UNKNOWN" in done.stdout and "inside of a container" in done.stdout, done.stdout
    refused(play.playbook("remediate", where, **STRATEGY), "inside of a container")
    vm.run("docker rm -f inside")
    assert files(host) == before


def test_without_leave_to_reboot_it_writes_and_says_that_nothing_is_cured(where, host, vm):
    play.module("el7ops.kmem.kernel_cmdline", where, {"state": "absent"})
    vm.reboot()
    boot = boot_id(host)
    done = play.playbook("remediate", where, **{**STRATEGY, "kmem_allow_reboot": False})
    assert done.returncode == 0 and "PREPARED, NOT CURED" in done.stdout, done.stdout
    assert boot_id(host) == boot and files(host) == night["written"]
    assert play.module("el7ops.kmem.kmem_facts", where)["ansible_facts"]["kmem"]["verdict"] != "protected"


def test_taking_it_away_gives_both_files_back_to_the_byte(where, host):
    play.module("el7ops.kmem.kernel_cmdline", where, {"state": "absent"})
    assert files(host) == night["files"]


def test_cgroup_version_2_is_not_applicable_and_refused(vm, where, host):
    line = 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT systemd.unified_cgroup_hierarchy=1 el7_memcg_id_max=65535"'
    vm.run("cat > /etc/default/grub.d/zz-v2.cfg && grub2-mkconfig -o /boot/grub2/grub.cfg", stdin=line + "\n")
    vm.reboot()
    before = files(host)
    assert host.check_output("uname -r") == EL7 and not host.file("/sys/fs/cgroup/memory").exists
    assert f"{vm.name}: NOT APPLICABLE" in play.playbook("diagnose", where).stdout
    refused(play.playbook("remediate", where, **STRATEGY), "version 2")
    assert files(host) == before


def test_the_machine_this_runs_on_is_refused_too():
    """Debian or Ubuntu itself, over the local connection; it is refused before anything could be written."""
    local = {"ansible_python_interpreter": sys.executable}
    done = play.playbook("diagnose", "localhost,", "-c", "local", **local)
    assert "localhost: NOT APPLICABLE" in done.stdout or "localhost: UNKNOWN" in done.stdout, done.stdout
    done = play.playbook("remediate", "localhost,", "-c", "local", "--check", **local, **STRATEGY)
    refused(done, os.uname().release if os.geteuid() == 0 else "user id")
