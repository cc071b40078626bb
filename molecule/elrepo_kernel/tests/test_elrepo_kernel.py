# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be seen on the host after the role elrepo_kernel."""

ML = "6.9.7-1.el7.elrepo.x86_64"
EL7 = "3.10.0-1127.el7.x86_64"


def test_the_new_kernel_is_there_beside_the_old_one(host):
    for release in (EL7, ML):
        for path in (f"/boot/vmlinuz-{release}", f"/boot/initramfs-{release}.img", f"/lib/modules/{release}/modules.dep"):
            assert host.file(path).size > 0, path
    assert f"vmlinuz-{ML}" in host.check_output("grubby --info=ALL")


def test_the_old_kernel_is_still_the_default(host):
    assert host.check_output("grubby --default-kernel") == f"/boot/vmlinuz-{EL7}"


def test_its_package_is_signed_and_the_repository_stays_off(host):
    assert "none" not in host.check_output("rpm -q --qf '%{RSAHEADER:pgpsig}' kernel-ml")
    assert "elrepo" not in host.check_output("yum -q repolist --enabled")
