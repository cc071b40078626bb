# SPDX-License-Identifier: GPL-3.0-or-later
"""A host as AWX meets it: the plan before the night, which touches nothing, then Remediate from the answers of a survey."""

import json
import pathlib
import sys

import pytest
import yaml

from lab import compiled, demo, image, kernel

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests"))

import awx_runner  # noqa: E402
import awx_standin  # noqa: E402

# set for the host in its inventory; a minute of watching containers is long for a test
HOST_VARS = {"service_verify_record_interval": 0, "service_verify_churn_interval": 5}


@pytest.fixture(scope="module", autouse=True)
def evening(vm, job):
    vm.start(fresh=True)
    vm.run("for i in $(seq 60); do systemctl is-system-running && exit 0; sleep 1; done; exit 1", timeout=120)
    job.wait_for_docker()
    compiled.install(vm)
    # as many services run it; one with unless-stopped was seen to stay off after the reboot until service_verify started it
    vm.run(demo.LIMITED.replace("unless-stopped", "always"), timeout=60)


def inventory(vm):
    """As AWX writes it: the credential is no part of it, ansible-runner puts the key into an agent."""
    variables = {**vm.inventory_vars(), **HOST_VARS}
    del variables["ansible_ssh_private_key_file"]
    variables["ansible_ssh_common_args"] = variables["ansible_ssh_common_args"].replace("-o IdentitiesOnly=yes ", "")
    return {"all": {"hosts": {vm.name: variables}}}


def launch(vm, folder, playbook, *options, **given):
    """Launch the template of a playbook with the answers GIVEN."""
    folder.mkdir()
    spec = yaml.safe_load((REPO / "extensions" / "awx" / "surveys" / f"{playbook}.yml").read_text())
    variables = awx_standin.Awx(set()).launch({"survey_enabled": True, "_survey": {"spec": spec}}, given)
    return awx_runner.run(folder, playbook, inventory(vm), variables, *options, ssh_key=image.private_key().read_text())


def hashes(job):
    done = job.guest("hash.py", timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_plan_says_all_of_it_and_touches_nothing(vm, job, tmp_path):
    before = hashes(job)
    assert len(before) > 10000 and any(line.startswith("/boot/grub2/grub.cfg ") for line in before)
    done = launch(vm, tmp_path / "plan", "remediate", "--check", "--diff",
                  kmem_strategy="article", kmem_allow_reboot="true", snapshot_reminder_id="snap-4711")  # fmt: skip
    assert done.code == 0, done.stdout
    after = hashes(job)
    assert after == before, "\n".join(sorted(set(before) ^ set(after)))
    # what would be written, which packages, how many reboots, about how long
    packages = [f"kernel {kernel.EL7_UPDATE.removesuffix('.x86_64')}", "mariadb-server 5.5.68-1.el7", f"kernel-ml-{kernel.KERNEL_ML}"]
    for words in ("+GRUB_CMDLINE_LINUX=", "cgroup.memory=nokmem added to", *(f"{package} would be installed" for package in packages),
                  "Reboots: 4.", "At most about 145 minutes."):  # fmt: skip
        assert words in done.line(), (words, done.stdout)
    left = done.artifacts["el7ops_kmem"][vm.name]
    assert (left["status"], left["strategy"], left["reboots"], left["minutes"]) == ("planned", "article", 4, 145)
    assert len(left["stages"]) == 6


def test_remediate_from_the_answers_of_a_survey(vm, host, tmp_path):
    boot = host.file("/proc/sys/kernel/random/boot_id").content_string
    done = launch(vm, tmp_path / "night", "remediate", kmem_strategy="mitigate", kmem_allow_reboot="true", kmem_serial=1)
    assert (done.code, done.status) == (0, "successful"), done.stdout
    # seen on the host
    assert host.file("/proc/sys/kernel/random/boot_id").content_string != boot
    assert "cgroup.memory=nokmem" in host.file("/proc/cmdline").content_string.split()
    run = json.loads(host.file("/var/lib/el7ops-kmem/run.json").content_string)
    # on the job's page
    left = done.artifacts["el7ops_kmem"][vm.name]
    assert (left["status"], left["strategy"], left["reboots"], left["verdict"]) == ("done", "mitigate", 1, "protected")
    assert left["run_id"] == run["run_id"] and left["downtime_s"] > 0 and left["kernel"] == kernel.EL7 and left["stages"] == {"nokmem": "done"}
    assert left["verdict_before"] in ("exposed", "active") and left["report"].endswith(".html") and "facts" not in left
    # the events, one after the other
    tasks = done.tasks()
    order = ["Ask for what only the operator can decide", "guard | Read the host", "Take the lock and write the run down",
             "Write the argument to every boot entry", "Reboot and wait for an answer", "Prove by the boot id",
             "work | Write it into the run's document"]  # fmt: skip
    places = [next(number for number, task in enumerate(tasks) if words in task) for words in order]
    # the argument is tried without writing before the run begins
    places[3] = max(number for number, task in enumerate(tasks) if order[3] in task)
    assert places == sorted(places), list(zip(order, places))
    assert done.stats["failures"] == {} and set(done.stats["ok"]) == {vm.name}
    # no secret in any event
    secret = image.private_key().read_text().splitlines()[2]
    assert secret not in json.dumps(done.events) + done.stdout


def test_the_failure_branch_leaves_a_host_alone_whose_run_did_not_fail(vm, host, tmp_path):
    """What the workflow launches after another host has failed."""
    boot, config = host.file("/proc/sys/kernel/random/boot_id").content_string, host.file("/boot/grub2/grub.cfg").content_string
    done = launch(vm, tmp_path / "back", "rollback", kmem_allow_reboot="true", kmem_only_failed="true")
    assert done.code == 0 and "left as it is, its last run did not fail (done)" in done.line(), done.stdout
    assert host.file("/proc/sys/kernel/random/boot_id").content_string == boot
    assert host.file("/boot/grub2/grub.cfg").content_string == config
    assert json.loads(host.file("/var/lib/el7ops-kmem/run.json").content_string)["status"] == "done"
