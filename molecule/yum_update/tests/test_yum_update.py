# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be seen on the host after the role yum_update."""


def test_the_packages_are_the_new_ones_and_the_old_kernel_is_still_there(host):
    installed = host.check_output("rpm -qa").splitlines()
    for start in ("kernel-3.10.0-1127.el7", "kernel-3.10.0-1160.119.1.el7", "tzdata-2024a", "mariadb-server-5.5.68"):
        assert [name for name in installed if name.startswith(start)], (start, installed)


def test_the_database_that_the_update_stopped_and_disabled_runs_and_is_enabled(host):
    mariadb = host.service("mariadb")
    assert mariadb.is_running and mariadb.is_enabled
    assert host.check_output("mysql -N -e 'SELECT 41+1'") == "42"


def test_a_second_run_finds_nothing_to_update(host):
    assert host.run("yum -q check-update").rc == 0
