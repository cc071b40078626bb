# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that stopped before its reboot, as it was not allowed."""

import json


def test_the_argument_is_written_and_the_run_waits_for_the_reboot(host):
    run = json.loads(host.file("/var/lib/el7ops-kmem/run.json").content_string)
    assert run["status"] == "paused" and "PREPARED, NOT CURED" in run["message"]
    assert [stage["name"] for stage in run["stages"]] == ["nokmem"] and run["stages"][0]["reboots"] == []
    entries = [line for line in host.check_output("grubby --info=ALL").splitlines() if line.startswith("args=")]
    assert entries and all("cgroup.memory=nokmem" in entry for entry in entries)


def test_only_root_may_read_what_the_run_wrote_down(host):
    assert host.file("/var/lib/el7ops-kmem/run.json").mode == 0o600
    assert host.file("/var/lib/el7ops-kmem").user == "root"
