# SPDX-License-Identifier: GPL-3.0-or-later
"""After nokmem_state absent both files are as before the first run."""


def test_both_files_are_as_before(host):
    for name, path in (("*default*grub*", "/etc/default/grub"), ("*grub.cfg*", "/boot/grub2/grub.cfg")):
        oldest = host.check_output(f"find /var/lib/el7ops-kmem/backups -name '{name}' -type f | sort | head -1")
        assert oldest and host.run(f"cmp {oldest} {path}").rc == 0, (oldest, path)
    assert "nokmem" not in host.check_output("grubby --info=ALL")
