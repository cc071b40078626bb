# SPDX-License-Identifier: GPL-3.0-or-later
"""Switched off again."""


def test_it_is_on_every_entry_again(host):
    entries = [line for line in host.check_output("grubby --info=ALL").splitlines() if line.startswith("args=")]
    assert entries and all("cgroup.memory=nosocket,nokmem" in entry for entry in entries)
