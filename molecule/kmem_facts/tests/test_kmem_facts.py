# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts, one sick and one healthy, as the module kmem_facts judged them under the host's Python."""

import json

WANTED = {"sick": ("leaking", "mitigate"), "healthy": ("protected", "none")}


def test_the_verdict_is_that_of_the_capture(host):
    name = host.check_output("hostname")
    facts = json.loads(host.file("/root/facts.json").content_string)
    assert (facts["verdict"], facts["recommendation"]["strategy"]) == WANTED[name], facts
    assert facts["evidence"]
