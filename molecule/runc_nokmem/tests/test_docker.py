# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be seen on the host after the role runc_nokmem, method docker."""

import hashlib
import json
import os
import pathlib

testinfra_hosts = ["ansible://runc_docker"]


def test_the_new_runc_is_docker_s_default_beside_what_was_there(host):
    daemon = host.file("/etc/docker/daemon.json")
    runtimes = {"crun": {"path": "/usr/bin/crun"}, "runc-nokmem": {"path": "/usr/local/libexec/el7ops-kmem/runc"}}
    assert json.loads(daemon.content_string) == {"log-level": "warn", "runtimes": runtimes, "default-runtime": "runc-nokmem"}
    assert daemon.mode == 0o640
    kept = host.file("/usr/local/libexec/el7ops-kmem/runc")
    assert kept.sha256sum == hashlib.sha256(pathlib.Path(os.environ["MOLECULE_RUNC"]).read_bytes()).hexdigest()


def test_no_file_of_a_package_is_touched_and_docker_is_not_started(host):
    assert host.run("cmp /usr/sbin/runc /root/runc.before").rc == 0
    assert not host.service("docker").is_running
