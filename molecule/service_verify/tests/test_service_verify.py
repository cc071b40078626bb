# SPDX-License-Identifier: GPL-3.0-or-later
"""The role service_verify put right what was stopped and disabled."""


def test_the_database_runs_answers_and_is_enabled(host):
    mariadb = host.service("mariadb")
    assert mariadb.is_running and mariadb.is_enabled
    assert host.check_output("mysql -N -e 'SELECT 41+1'") == "42"
