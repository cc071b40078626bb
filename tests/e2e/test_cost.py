# SPDX-License-Identifier: GPL-3.0-or-later
"""What kmem_facts costs, compared with ping over the same connection, on a healthy host and on one that fails."""

import os
import pathlib
import re
import statistics
import subprocess
import xml.etree.ElementTree

import pytest

from lab import play, venv

HERE = pathlib.Path(__file__).resolve().parent
MATRIX = bool(os.environ.get("EL7OPS_MATRIX"))  # make matrix: every case instead of some


@pytest.fixture(scope="module", autouse=True)
def evening(vm):
    vm.start(fresh=True)


def compare_with_ping(where, folder, pipelining):
    """Median seconds of ten pings and of ten kmem_facts that took turns over one connection; the first pair opens it."""
    env = {**venv.environment(play.collections()), "ANSIBLE_CALLBACKS_ENABLED": "junit", "JUNIT_OUTPUT_DIR": str(folder)}
    env["ANSIBLE_PIPELINING"] = pipelining
    subprocess.run(["ansible-playbook", "-i", str(where), str(HERE / "cost.yml")], env=env, check=True, capture_output=True)
    (report,) = folder.glob("*.xml")
    took = {"Ping": [], "Read the facts": []}
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        for name in took:
            if case.get("name").endswith(name):
                took[name].append(float(case.get("time")))
    assert [len(times) for times in took.values()] == [11, 11]
    return [statistics.median(times[1:]) for times in took.values()]


def costs_at_most(limit, where, folder, pipelining="1"):
    """How much longer than a ping kmem_facts may take; other load can only make that worse: up to three rounds, the best counts."""
    ratios = []
    while len(ratios) < 3 and (not ratios or min(ratios) > limit):
        ping, facts = compare_with_ping(where, folder / str(len(ratios)), pipelining)
        ratios.append(facts / ping)
        print(f"pipelining {pipelining}, ping {ping:.2f} s, kmem_facts {facts:.2f} s, ratio {facts / ping:.2f}")
    assert min(ratios) <= limit, ratios


# with pipelining, which Ansible does not have on by itself, a ping takes half the time, and the same difference is more of it
@pytest.mark.parametrize("pipelining, limit", [("0", 1.3), ("1", 1.6)] if MATRIX else [("0", 1.3)])
def test_kmem_facts_costs_little_on_a_healthy_host(job, where, quiet, tmp_path, pipelining, limit):
    job.wait_for_docker()
    costs_at_most(limit, where, tmp_path, pipelining)


def test_kmem_facts_costs_little_on_the_sick_host(job, where, tmp_path):
    job.make_sick()
    costs_at_most(1.6, where, tmp_path)


def test_no_forbidden_read_and_nothing_is_written(vm, where):
    """kmem_facts under strace, on the host that leaks: the reads that can stall such a host are not among its reads."""
    vm.run("rm -rf /root/.ansible/tmp/*")
    env = {"ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_PIPELINING": "0"}
    done = play._run(["ansible", "-i", str(where), vm.name, "-m", "el7ops.kmem.kmem_facts"], env, False, 300)
    assert done.returncode == 0, done.stdout
    script = (
        "cd /root/.ansible/tmp/*/ && strace -f -qq -o /root/trace -e trace=openat,open,creat,mkdir,mkdirat,rename,unlink,rmdir,execve,getdents64 -y"
        " python2.7 AnsiballZ_kmem_facts.py > /dev/null && cat /root/trace; rm -rf /root/trace /root/.ansible/tmp/*"
    )
    trace = vm.run(script, timeout=300).stdout
    opened = re.findall(r'open(?:at)?\((?:AT_FDCWD[^,]*, )?"([^"]+)", ([A-Z_|]+)', trace)
    paths = [path for path, _flags in opened]
    assert "/sys/kernel/slab" in paths and any(path.endswith("memory.kmem.slabinfo") for path in paths), "it was traced"
    assert not [path for path in paths if path == "/proc/slabinfo" or path.endswith("memory.stat") or path.startswith("/sys/kernel/slab/")]
    assert len([path for path in paths if path.endswith("memory.kmem.slabinfo")]) <= 21
    assert not re.findall(r"(?:mkdir|rmdir)(?:at)?\([^)]*cgroup", trace)
    programs = {path.rpartition("/")[2] for path in re.findall(r'execve\("([^"]+)", [^)]*\) += 0', trace)}
    assert programs <= {"python2.7", "journalctl", "rpm", "runc"}, programs
    # Ansible unpacks the module into a folder of its own, and Python tries whether it can write there
    own = ("/dev/", "/proc/self/", "/tmp/", "/root/.ansible/tmp/")
    written = [path for path, flags in opened if re.search("WRONLY|RDWR|CREAT", flags) and not path.startswith(own)]
    # rpm and the journal's reader have files of their own open
    assert not [path for path in written if "/lib/rpm/" not in path and "rpmdb" not in path], written
