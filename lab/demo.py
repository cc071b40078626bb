# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job, shown: a host on which Docker fails is diagnosed, cured and proved cured."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable

from lab import image, play
from lab.cache import LAB_DIR
from lab.progress import LabError, say
from lab.vm import Vm

NAME = "demo"
# ids that are left for containers when the loop begins; the rest is filled the quick way, as runc does it
LEFT_FOR_DOCKER = 12
ERROR = "cannot allocate memory"
LIMITED = "docker run -d --name limited --memory 64m --restart unless-stopped --network none busybox:lab sleep 100000"


class Job:
    """The steps of the main job on one machine; the end-to-end tests take the same ones."""

    def __init__(self, vm: Vm) -> None:
        self.vm = vm

    def guest(self, script: str, *arguments: object, timeout: float = 900):
        """Run one of the scripts of lab/guest on the machine; its return code is the caller's to judge."""
        shell = {".sh": "sh -s --", ".py": "python2.7 -"}[script[-3:]]
        words = " ".join(str(argument) for argument in arguments)
        return self.vm.run(f"{shell} {words}", check=False, timeout=timeout, stdin=(LAB_DIR / "guest" / script).read_text())

    def wait_for_docker(self) -> None:
        """Wait until Docker answers: on a slow machine it is up some seconds after SSH."""
        self.vm.run("for i in $(seq 90); do docker info > /dev/null 2>&1 && exit 0; sleep 1; done; exit 1", timeout=200)

    def free_ids(self) -> int:
        """Count the memory cgroup ids that are left, by making empty groups that leak nothing."""
        script = (
            "cd /sys/fs/cgroup/memory; n=0; while mkdir free-$n 2>/dev/null; do n=$((n+1)); [ $n -lt 400 ] || break; done;"
            " echo $n; while [ $n -gt 0 ]; do n=$((n-1)); rmdir free-$n; done"
        )
        return int(self.vm.run(script).stdout)

    def make_sick(self) -> str:
        """Use the ids up, the last of them by Docker itself; return Docker's error message."""
        self.wait_for_docker()
        free = self.free_ids()
        say(f"{free} memory cgroup ids are free (the lab's kernel has few, so that this takes minutes and not weeks)")
        self.guest("fill.py", max(0, free - LEFT_FOR_DOCKER))
        done = self.guest("crash-loop.sh", 4 * LEFT_FOR_DOCKER)
        if done.returncode == 0:
            raise LabError(f"Docker started {4 * LEFT_FOR_DOCKER} containers and did not fail: the lab does not show the bug")
        return done.stdout.strip()

    def numbers(self) -> dict[str, str]:
        """What can be seen of the bug from a shell on the host."""
        script = r"""
echo "kernel|$(uname -r)"
echo "cgroup.memory on the running command line|$(tr ' ' '\n' < /proc/cmdline | grep ^cgroup.memory= | paste -sd' ')"
echo "memory cgroups in /proc/cgroups|$(awk '$1 == "memory" { print $3 }' /proc/cgroups)"
echo "names of cgroups in /sys/kernel/slab|$(ls /sys/kernel/slab | grep -c '(')"
docker rm -f probe > /dev/null 2>&1
if id=$(docker run -d --name probe --memory 64m --network none busybox:lab sleep 600 2> /dev/null); then
    echo "docker run --memory 64m|works"
    echo "its memory.kmem.slabinfo|$(head -1 /sys/fs/cgroup/memory/docker/$id/memory.kmem.slabinfo 2>&1 | sed 's/.*: //')"
else
    echo "docker run --memory 64m|fails"
    echo "its memory.kmem.slabinfo|-"
fi
docker rm -f probe > /dev/null 2>&1
echo "boot id|$(cat /proc/sys/kernel/random/boot_id)"
"""
        lines = self.vm.run(script, timeout=300).stdout.strip().splitlines()
        return dict(line.split("|", 1) for line in lines)


class Show:
    """Steps with a headline, and what must be true after each."""

    def __init__(self) -> None:
        self.number = 0
        self.began = time.monotonic()

    def step(self, title: str) -> None:
        self.number += 1
        print(f"\n=== {self.number}. {title}   [{time.monotonic() - self.began:.0f} s]", flush=True)

    def must(self, fact: bool, what: str) -> None:
        print(f"  {'ok  ' if fact else 'NOT '} {what}", flush=True)
        if not fact:
            raise LabError(
                f"the demo did not show what it promises: {what}. Nothing outside the lab was touched."
                " To look around on the machine afterwards: python3 -m lab demo --keep, then python3 -m lab ssh demo"
            )


def table(before: dict[str, str], after: dict[str, str]) -> None:
    """Print what was seen before and after, side by side."""
    width = max(len(row) for row in before) + 2
    column = max(max(len(value) for value in before.values()), 8) + 2
    print(f"\n  {'':<{width}}{'before':<{column}}after")
    for row in before:
        print(f"  {row:<{width}}{before[row] or '-':<{column}}{after.get(row) or '-'}")


def run(keep: bool = False) -> None:
    """Show the main job from end to end; raises LabError where any of it is not so."""
    show = Show()
    vm = Vm(NAME)
    job = Job(vm)
    with contextlib.ExitStack() as stack:
        if not keep:
            stack.callback(_quietly(vm.destroy))
        show.step("A host: Debian 11 dressed as CentOS 7, a lab kernel with EL7's leak. Stand-ins, see lab/README.md")
        image.ensure()
        vm.start(fresh=True)
        show.step("Containers with a memory limit come and go, until Docker fails")
        message = job.make_sick()
        print("  " + message.replace("\n", "\n  "))
        show.must(ERROR in message, f"Docker says: {ERROR}")
        before = job.numbers()
        show.must(int(before["memory cgroups in /proc/cgroups"]) < 60, "and /proc/cgroups shows nothing unusual")
        where = play.inventory(vm)
        show.step("Diagnose: ansible-playbook el7ops.kmem.diagnose")
        done = play.playbook("diagnose", where, show=True)
        show.must(done.returncode == 0 and f"{NAME}: FAILING" in done.stdout, "the verdict is failing")
        show.step("Remediate: ansible-playbook el7ops.kmem.remediate -e kmem_strategy=mitigate -e kmem_allow_reboot=true")
        done = play.playbook("remediate", where, show=True, kmem_strategy="mitigate", kmem_allow_reboot=True, service_verify_churn_interval=5)
        show.must(done.returncode == 0, "it succeeded")
        show.must("failing -> protected" in done.stdout, "and proved after the reboot that the host is protected")
        show.step(f"Proof: the same loop, {4 * LEFT_FOR_DOCKER} containers where {LEFT_FOR_DOCKER} were too many, and 1,000 the quick way")
        job.wait_for_docker()
        vm.run(LIMITED, timeout=60)
        done = job.guest("crash-loop.sh", 4 * LEFT_FOR_DOCKER)
        show.must(done.returncode == 0, f"Docker: {done.stdout.strip()}")
        made = job.guest("fill.py", 1000).stdout.strip()
        show.must(made == "made 1000", f"groups as runc makes them: {made}")
        after = job.numbers()
        show.must(after["its memory.kmem.slabinfo"] == "Input/output error", "memory.kmem.slabinfo of a limited container: Input/output error")
        show.must(after["names of cgroups in /sys/kernel/slab"] == "0", "no removed cgroup is left in /sys/kernel/slab")
        done = play.playbook("diagnose", where, show=True)
        proved = "kmem accounting is off in the live" in done.stdout
        show.must(f"{NAME}: PROTECTED" in done.stdout and proved, "the verdict is protected, proved in a container")
        table(before, after)
        show.step("Remediate once more: nothing may change")
        done = play.playbook("remediate", where, show=True, kmem_strategy="mitigate", kmem_allow_reboot=True, service_verify_churn_interval=5)
        show.must(done.returncode == 0 and "changed=0" in done.stdout, "nothing was changed")
        show.must(job.numbers()["boot id"] == after["boot id"], "and the host was not rebooted")
    print(f"\nDone in {time.monotonic() - show.began:.0f} s. All of it was seen on the host, which is a stand-in for CentOS 7.")


def _quietly(act: Callable[[], None]) -> Callable[[], None]:
    """Clean-up must not hide why the demo failed."""

    def wrapped() -> None:
        try:
            act()
        except (LabError, OSError) as error:
            print(f"clean-up: {error}", file=sys.stderr)

    return wrapped
