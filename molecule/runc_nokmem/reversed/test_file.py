# SPDX-License-Identifier: GPL-3.0-or-later
"""The old runc is back, byte for byte, and nothing exchanges it again."""

testinfra_hosts = ["ansible://runc_file"]


def test_the_old_runc_is_back(host):
    assert host.run("cmp /usr/sbin/runc /root/runc.before").rc == 0
    assert host.file("/usr/sbin/runc").mode == host.file("/root/runc.before").mode


def test_nothing_is_left_that_would_exchange_it(host):
    assert "el7ops" not in host.check_output("systemctl list-unit-files --no-pager")
    assert host.check_output("find /usr/local/libexec/el7ops-kmem -type f") == ""
    assert not host.file("/var/lib/el7ops-kmem/runc/record.json").exists
