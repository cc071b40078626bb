# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be seen on the host after the role nokmem."""


def kernel_lines(host):
    return [line.split() for line in host.file("/boot/grub2/grub.cfg").content_string.splitlines() if line.split()[:1] in (["linux"], ["linux16"])]


def test_every_boot_entry_has_the_argument_once(host):
    lines = kernel_lines(host)
    assert lines and all(words.count("cgroup.memory=nokmem") == 1 for words in lines), lines
    entries = [line for line in host.check_output("grubby --info=ALL").splitlines() if line.startswith("args=")]
    assert len(entries) == len(lines) and all("cgroup.memory=nokmem" in entry for entry in entries)


def test_later_kernels_get_it_too_and_nothing_else_changed(host):
    (line,) = [line for line in host.file("/etc/default/grub").content_string.splitlines() if line.startswith("GRUB_CMDLINE_LINUX=")]
    assert line.count("cgroup.memory=nokmem") == 1
    before = host.check_output("cat $(find /var/lib/el7ops-kmem/backups -name '*default*grub*' -type f)")
    now = host.file("/etc/default/grub").content_string
    changed = set(now.splitlines()) ^ set(before.splitlines())
    assert len(changed) == 2 and all(one.startswith("GRUB_CMDLINE_LINUX=") for one in changed), changed


def test_grub_can_read_its_configuration(host):
    assert host.run("grub2-script-check /boot/grub2/grub.cfg").rc == 0
