# SPDX-License-Identifier: GPL-3.0-or-later
"""After the kernel was removed and the repository taken away."""


def test_nothing_is_left(host):
    assert host.run("rpm -q kernel-ml").rc == 1
    assert host.check_output("ls /boot /lib/modules /etc/yum.repos.d").count("elrepo") == 0
    assert host.check_output("grubby --default-kernel") == "/boot/vmlinuz-3.10.0-1127.el7.x86_64"
