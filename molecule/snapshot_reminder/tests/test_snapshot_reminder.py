# SPDX-License-Identifier: GPL-3.0-or-later
"""The role snapshot_reminder takes an answer and leaves the host alone."""

import json


def test_it_took_the_answer(host):
    said = json.loads(host.file("/root/result.json").content_string)
    assert said["changed"] is False and said["snapshot"]["id"] == "snap-4711" and said["snapshot"]["keep_days"] == 2


def test_nothing_was_written_on_the_host(host):
    assert not host.file("/var/lib/el7ops-kmem").exists
