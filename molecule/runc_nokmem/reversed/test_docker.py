# SPDX-License-Identifier: GPL-3.0-or-later
"""The old default is back. As Docker cannot say which containers need the new runtime, it stays defined, and its program with it."""

import json

testinfra_hosts = ["ansible://runc_docker"]


def test_the_old_default_is_back_and_the_new_runtime_can_still_start_its_containers(host):
    daemon = json.loads(host.file("/etc/docker/daemon.json").content_string)
    assert daemon["default-runtime"] == "runc" and set(daemon["runtimes"]) == {"crun", "runc-nokmem"} and daemon["log-level"] == "warn"
    assert host.run(f"{daemon['runtimes']['runc-nokmem']['path']} --version").rc == 0
    assert not host.service("docker").is_running
