# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be seen on the host after the role monitor. The numbers are those of the machine around the container, no EL7 kernel's."""

import json

METRICS = "/var/lib/node_exporter/textfile_collector/el7ops_kmem.prom"


def test_the_timer_runs_and_survives_a_reboot(host):
    timer = host.service("el7ops-kmem-monitor.timer")
    assert timer.is_running and timer.is_enabled
    assert "el7ops-kmem-monitor.timer" in host.check_output("systemctl list-timers --no-pager")


def test_a_sample_was_taken_by_the_service(host):
    assert host.check_output("systemctl show -p Result el7ops-kmem-monitor") == "Result=success"
    sample = json.loads(host.file("/var/lib/el7ops-kmem/samples.json").content_string)[-1]
    assert 0 <= int(host.check_output("date +%s")) - sample["at"] < 600
    assert host.file("/var/lib/el7ops-kmem/samples.json").mode == 0o600


def test_node_exporter_gets_the_sample(host):
    assert host.file(METRICS).mode == 0o644
    metrics = dict(line.split() for line in host.file(METRICS).content_string.splitlines() if line[0] != "#")
    sample = json.loads(host.file("/var/lib/el7ops-kmem/samples.json").content_string)[-1]
    assert float(metrics["el7ops_kmem_sample_timestamp_seconds"]) == sample["at"]
    assert int(metrics["el7ops_kmem_live_groups"]) > 0
    gone = int(metrics["el7ops_kmem_leaked_groups"]) + int(metrics["el7ops_kmem_live_groups"])
    assert int(metrics["el7ops_kmem_ids_left"]) == 65535 - gone


def test_it_warns_in_the_journal(host):
    assert "memory cgroup ids are left" in host.check_output("journalctl -u el7ops-kmem-monitor -p warning --no-pager")
