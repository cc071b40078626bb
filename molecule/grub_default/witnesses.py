# SPDX-License-Identifier: GPL-3.0-or-later
"""What GRUB's own tools and files say of the default, for the tests before and after the way back."""


def default_is(host, release, package):
    assert host.check_output("grubby --default-kernel") == f"/boot/vmlinuz-{release}"
    (saved,) = [line for line in host.check_output("grub2-editenv /boot/grub2/grubenv list").splitlines() if line.startswith("saved_entry=")]
    assert release in saved
    assert "GRUB_DEFAULT=saved" in host.file("/etc/default/grub").content_string.splitlines()
    # a later kernel of another package does not take its place
    assert f"DEFAULTKERNEL={package}" in host.file("/etc/sysconfig/kernel").content_string.splitlines()
