# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be seen on the host after the role runc_nokmem, method file."""

import hashlib
import json
import os
import pathlib

testinfra_hosts = ["ansible://runc_file"]
RUNC = "/usr/sbin/runc"


def new():
    return hashlib.sha256(pathlib.Path(os.environ["MOLECULE_RUNC"]).read_bytes()).hexdigest()


def test_the_new_runc_is_in_the_place_of_the_old_one(host):
    runc, before = host.file(RUNC), host.file("/root/runc.before")
    assert runc.sha256sum == new() != before.sha256sum
    assert (runc.user, runc.group, runc.mode) == ("root", "root", before.mode)
    assert "nokmem" in host.check_output(f"{RUNC} --version")


def test_the_old_one_is_kept_and_written_down(host):
    (entry,) = json.loads(host.file("/var/lib/el7ops-kmem/runc/record.json").content_string)["targets"]
    assert entry["path"] == RUNC and entry["sha256"] == host.file("/root/runc.before").sha256sum
    assert host.run(f"cmp {entry['original']} /root/runc.before").rc == 0


def test_a_package_update_does_not_bring_the_old_one_back(host):
    assert host.service("el7ops-kmem-runc.path").is_running and host.service("el7ops-kmem-runc").is_enabled
    # as rpm does it: a new file beside it, renamed over it
    host.check_output(f"cp -p /root/runc.before {RUNC}.new && mv {RUNC}.new {RUNC}")
    host.check_output(f"for i in $(seq 30); do sha256sum {RUNC} | grep -q {new()} && exit 0; sleep 1; done; exit 1")
    assert "exchanged again" in host.check_output("journalctl -u el7ops-kmem-runc --no-pager")


def test_docker_s_configuration_is_left_alone(host):
    assert host.run("cmp /etc/docker/daemon.json /root/daemon.json.before").rc == 0
