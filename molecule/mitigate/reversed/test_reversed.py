# SPDX-License-Identifier: GPL-3.0-or-later
"""The same run, rolled back."""

import json


def test_the_files_are_as_before_the_run(host):
    run = json.loads(host.file("/var/lib/el7ops-kmem/run.json").content_string)
    assert run["status"] == "rolled_back"
    copies = {one["path"]: one["backup"] for one in run["files"] if one["backup"]}
    assert {"/etc/default/grub", "/boot/grub2/grub.cfg"} <= set(copies)
    assert [path for path, backup in copies.items() if host.run(f"cmp {backup} {path}").rc] == []
    assert "nokmem" not in host.check_output("grubby --info=ALL")
