# SPDX-License-Identifier: GPL-3.0-or-later
"""The third remedy on a host that leaks: runc is exchanged, nothing reboots, what runs keeps running, and the leak ends.

The runc is Debian's own source built with the tag nokmem (lab/runc.py). Beside it: what the detector never reads, and the
role monitor. The tests build on each other.
"""

import json
import os

import pytest

from lab import compiled, play, runc

COMMON = {"kmem_allow_reboot": False, "service_verify_record_interval": 0, "service_verify_churn_interval": 0}
LOOP = 8
MATRIX = bool(os.environ.get("EL7OPS_MATRIX"))  # make matrix: every case instead of some
day = {}  # what earlier tests saw


@pytest.fixture(scope="module", autouse=True)
def leaking(vm, job):
    """A host with a container that runs, one that restarts over and over, and some leaked groups."""
    # ids for all that follows; using them up is the matter of another file
    vm.start(fresh=True, append="el7_memcg_id_max=400")
    job.wait_for_docker()
    compiled.install(vm)
    vm.run("docker run -d --name web --memory 64m --restart always --network none busybox:lab sleep 1000000", timeout=120)
    assert job.guest("fill.py", 30).stdout.strip() == "made 30"
    url, sha256 = runc.serve(vm)
    day.update(url=url, sha256=sha256, boot=boot_id(vm), web=web(vm), runc=vm.run("sha256sum /usr/sbin/runc").stdout)


def boot_id(vm):
    return vm.run("cat /proc/sys/kernel/random/boot_id").stdout.strip()


def web(vm):
    """What tells that a container was not touched: its process, and when it started."""
    return vm.run("docker inspect -f '{{.State.Pid}} {{.State.StartedAt}} {{.RestartCount}}' web").stdout.strip()


def leaked(vm):
    """Owners in /sys/kernel/slab, counted without the collection."""
    return int(vm.run(r"ls /sys/kernel/slab | sed -n 's/.*\(([0-9]*:.*)\)$/\1/p' | sort -u | wc -l").stdout)


def names(**more):
    return {"runc_nokmem_url": day["url"], "runc_nokmem_sha256": day["sha256"], "runc_nokmem_proof_containers": 1, **more}


def remediate(where):
    return play.playbook("remediate", where, kmem_strategy="runc", **COMMON, **names())


def test_the_host_leaks_and_diagnose_names_the_runc(vm, where):
    done = play.playbook("diagnose", where)
    text = " ".join(done.stdout.split())
    assert f"{vm.name}: LEAKING" in text and "strategy runc exchanges /usr/bin/runc" in text, done.stdout


def test_the_plan_and_a_refusal_change_nothing(vm, where):
    done = play.role("runc_nokmem", where, "--check", **names())
    assert done.returncode == 0 and "what has leaked until now stays" in " ".join(done.stdout.split()), done.stdout
    done = play.role("runc_nokmem", where, **names(runc_nokmem_sha256="0" * 64))
    assert done.returncode != 0 and "checksum" in done.stdout, done.stdout
    assert vm.run("sha256sum /usr/sbin/runc").stdout == day["runc"] and web(vm) == day["web"]


def test_runc_is_exchanged_without_a_reboot_and_what_runs_keeps_running(vm, where, host):
    done = remediate(where)
    assert done.returncode == 0, done.stdout
    (stage,) = json.loads(vm.run("cat /var/lib/el7ops-kmem/run.json").stdout)["stages"]
    assert "fresh containers with a memory limit had kmem accounting off" in " ".join(stage["evidence"])
    assert boot_id(vm) == day["boot"] and web(vm) == day["web"]
    assert vm.run("sha256sum < /usr/sbin/runc").stdout.split()[0] == day["sha256"]
    assert host.service("el7ops-kmem-runc.path").is_running and host.service("docker").is_running


def test_the_leak_rate_is_zero_afterwards(vm, job):
    before = leaked(vm)
    done = job.guest("crash-loop.sh", LOOP)
    assert done.returncode == 0, done.stdout
    assert leaked(vm) == before, "containers leak still"


def test_a_second_run_changes_nothing(vm, where):
    done = remediate(where)
    assert done.returncode == 0 and "changed=0" in done.stdout, done.stdout


def test_a_package_update_does_not_bring_it_back(vm):
    # as rpm does it: a new file beside it, renamed over it
    vm.run("cp /var/lib/el7ops-kmem/runc/runc-* /usr/sbin/runc.new && chmod 755 /usr/sbin/runc.new && mv /usr/sbin/runc.new /usr/sbin/runc")
    vm.run(f"for i in $(seq 30); do sha256sum /usr/sbin/runc | grep -q {day['sha256']} && exit 0; sleep 1; done; exit 1")
    assert "exchanged again" in vm.run("journalctl -b -u el7ops-kmem-runc --no-pager").stdout


def test_monitor_counts_warns_and_goes(vm, where, host):
    vm.run("mkdir -p /var/lib/node_exporter/textfile_collector")
    done = play.role("monitor", where, monitor_least_ids=70000)
    assert done.returncode == 0, done.stdout
    text = host.file("/var/lib/node_exporter/textfile_collector/el7ops_kmem.prom").content_string
    metrics = dict(line.split() for line in text.splitlines() if line[0] != "#")
    # the container that ran before the exchange still has names of its own
    assert int(metrics["el7ops_kmem_leaked_groups"]) in (leaked(vm), leaked(vm) - 1)
    assert "memory cgroup ids are left" in vm.run("journalctl -b -u el7ops-kmem-monitor -p warning --no-pager").stdout
    assert host.service("el7ops-kmem-monitor.timer").is_running
    # the timer takes another at once on a host that has been up for more than its OnBootSec
    assert len(json.loads(vm.run("cat /var/lib/el7ops-kmem/samples.json").stdout)) in (1, 2)
    again = play.role("monitor", where, monitor_least_ids=70000)
    assert again.returncode == 0 and "CHANGED" not in again.stdout, again.stdout
    assert play.role("monitor", where, monitor_state="absent").returncode == 0
    assert not host.file("/usr/local/libexec/el7ops-kmem/monitor").exists
    assert not host.file("/etc/systemd/system/el7ops-kmem-monitor.timer").exists


@pytest.mark.skipif(not MATRIX, reason="make matrix: takes minutes, and LOOP shows the same")
def test_the_loop_over_twice_the_limit_after_one_reboot(vm, job):
    limit = 36  # the lab's own (lab/README.md); the tests before had more
    vm.snapshot("exchanged")
    vm.run("rm /etc/default/grub.d/zz-lab-append.cfg && grub2-mkconfig -o /boot/grub2/grub.cfg")
    vm.reboot()
    job.wait_for_docker()
    assert f"el7_memcg_id_max={limit}" in vm.run("cat /proc/cmdline").stdout.split()
    done = job.guest("crash-loop.sh", 2 * limit, timeout=1800)
    assert done.returncode == 0 and leaked(vm) == 0, done.stdout
    vm.restore("exchanged")


def test_rollback_puts_the_old_runc_back(vm, where, host):
    done = play.playbook("rollback", where, **COMMON)
    assert done.returncode == 0 and "ROLLED BACK" in done.stdout, done.stdout
    assert vm.run("sha256sum /usr/sbin/runc").stdout == day["runc"] and boot_id(vm) == day["boot"] and web(vm) == day["web"]
    assert not host.file("/etc/systemd/system/el7ops-kmem-runc.path").exists and not host.file("/usr/local/libexec/el7ops-kmem/runc").exists


def test_by_docker_s_own_configuration(vm, where):
    done = play.role("runc_nokmem", where, **names(runc_nokmem_method="docker"))
    assert done.returncode == 0, done.stdout
    assert vm.run("docker info -f '{{.DefaultRuntime}}'").stdout.strip() == "runc-nokmem"
    assert vm.run("sha256sum /usr/sbin/runc").stdout == day["runc"] and web(vm) == day["web"]
    assert play.role("runc_nokmem", where, runc_nokmem_state="absent").returncode == 0
    assert vm.run("docker info -f '{{.DefaultRuntime}}'").stdout.strip() == "runc" and web(vm) == day["web"]
