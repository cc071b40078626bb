# SPDX-License-Identifier: GPL-3.0-or-later
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import witnesses  # noqa: E402


def test_all_that_decide_name_the_old_kernel(host):
    witnesses.default_is(host, "3.10.0-1127.el7.x86_64", "kernel")
