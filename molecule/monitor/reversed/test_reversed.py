# SPDX-License-Identifier: GPL-3.0-or-later
"""After monitor_state absent only the samples are left."""


def test_only_the_samples_are_left(host):
    assert "el7ops" not in host.check_output("systemctl list-unit-files --no-pager") + host.check_output("systemctl list-timers --all --no-pager")
    assert host.check_output("find /usr/local/libexec /var/lib/node_exporter -name '*kmem*' -type f") == ""
    assert host.file("/var/lib/el7ops-kmem/samples.json").exists
