# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be seen on the host after nokmem with nokmem_state absent."""


def test_only_the_one_value_is_gone(host):
    entries = [line for line in host.check_output("grubby --info=ALL").splitlines() if line.startswith("args=")]
    assert entries and all("cgroup.memory=nosocket" in entry and "nokmem" not in entry for entry in entries)
    defaults = host.file("/etc/default/grub").content_string
    assert "cgroup.memory=nosocket" in defaults and "nokmem" not in defaults
