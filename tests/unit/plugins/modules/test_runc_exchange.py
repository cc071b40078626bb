# SPDX-License-Identifier: GPL-3.0-or-later
"""The exchange on a tree that stands for a host: what is replaced, kept, refused, and put back."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import hashlib
import json
import os
import shutil
import subprocess

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _exchange, _host, _schema
from ansible_collections.el7ops.kmem.plugins.modules import runc_exchange
from ansible_collections.el7ops.kmem.tests.unit.plugins.modules.harness import run_module

KEEP = os.path.join(os.path.dirname(__file__), "..", "..", "..", "..", "roles", "runc_nokmem", "files", "runc-keep")
ON, OFF = _schema.MARKERS[2][0], _schema.MARKERS[0][0]


def script(marker, works=True):
    """A stand-in of runc: a shell script with a marker in it; the check of the ELF header is left out in these tests."""
    return ("#!/bin/sh\n# %s\n%s\n" % (marker, "echo runc version 1.1.5" if works else "exit 1")).encode("ascii")


def put(path, content, mode=0o755):
    if not os.path.isdir(os.path.dirname(path)):
        os.makedirs(os.path.dirname(path))
    with open(path, "wb") as stream:
        stream.write(content)
    os.chmod(path, mode)


def read(path):
    with open(path, "rb") as stream:
        return stream.read()


class Host(object):
    def __init__(self, root, monkeypatch):
        self.root, self.monkeypatch = root, monkeypatch
        self.old, self.new = script(ON), script(OFF)
        self.runc, self.candidate = os.path.join(root, "usr/bin/runc"), os.path.join(root, "candidate")
        self.kept, self.daemon = os.path.join(root, "libexec/runc"), os.path.join(root, "daemon.json")
        put(self.runc, self.old, 0o750)
        put(os.path.join(root, "usr/bin/docker-runc"), script(OFF))
        put(self.candidate, self.new)
        monkeypatch.setattr(runc_exchange, "ROOT", root)
        monkeypatch.setattr(runc_exchange, "DAEMON", self.daemon)
        monkeypatch.setattr(_exchange, "elf", lambda head: {"machine": os.uname()[4], "static": True})
        monkeypatch.setattr(runc_exchange, "owner", lambda path: "containerd.io-1.2.13-3.2.el7")

    def run(self, **options):
        options.setdefault("candidate", self.candidate)
        options.setdefault("sha256", hashlib.sha256(self.new).hexdigest())
        options.update(directory=os.path.dirname(self.kept), backup_dir=os.path.join(self.root, "backup"))
        return run_module(runc_exchange, self.monkeypatch, self.root, **options)


@pytest.fixture(name="host")
def fixture_host(tmpdir, monkeypatch):
    return Host(str(tmpdir), monkeypatch)


def test_check_mode_writes_nothing_and_the_exchange_does_and_a_second_changes_nothing(host):
    planned = host.run(check=True)
    assert planned["changed"] and read(host.runc) == host.old and not os.path.exists(host.kept)
    done = host.run()
    assert not done["failed"] and done["actions"] == planned["actions"] and done["diff"] == planned["diff"]
    assert read(host.runc) == read(host.kept) == host.new and os.stat(host.runc).st_mode & 0o777 == 0o750
    (target,) = done["targets"]
    assert (target["before"], target["after"], target["package"]) == ("on", "off", "containerd.io-1.2.13-3.2.el7")
    os.unlink(host.candidate)  # the kept one is enough from then on
    assert host.run()["changed"] is False


def test_absent_puts_every_byte_back(host):
    host.run()
    done = host.run(state="absent", candidate=None, sha256=None)
    assert done["changed"] and read(host.runc) == host.old and os.stat(host.runc).st_mode & 0o777 == 0o750
    assert not os.path.exists(host.kept) and "nothing was exchanged" in host.run(state="absent")["notes"][0]


def test_absent_leaves_what_a_package_update_brought(host):
    host.run()
    put(host.runc, script("new package"))
    done = host.run(state="absent")
    assert read(host.runc) == script("new package") and "neither the new nor the old" in done["notes"][0]


@pytest.mark.parametrize("change, words", [
    (dict(sha256="0" * 64), "has the SHA-256"), (dict(sha256="xyz"), "64 hex digits"), (dict(candidate="/nonexistent"), "has the SHA-256 None"),
])  # fmt: skip
def test_a_wrong_candidate_is_refused(host, change, words):
    done = host.run(**change)
    assert done["failed"] and words in done["msg"] and "Nothing was changed" in done["msg"] and read(host.runc) == host.old


@pytest.mark.parametrize("content, words", [
    (script(ON), "switches kmem accounting on itself"), (script("x"), "none of its strings"), (script(OFF, False), "does not answer"),
])  # fmt: skip
def test_an_unfit_candidate_is_refused(host, content, words):
    put(host.candidate, content)
    done = host.run(sha256=hashlib.sha256(content).hexdigest())
    assert done["failed"] and words in done["msg"] and read(host.runc) == host.old and "Done until then: nothing" in done["msg"]


def test_a_candidate_that_may_not_be_executed_is_tried_where_it_is_kept(host):
    os.chmod(host.candidate, 0o644)
    assert not host.run(check=True)["failed"] and os.stat(host.candidate).st_mode & 0o777 == 0o644
    assert not host.run()["failed"] and read(host.runc) == host.new
    host.run(state="absent")
    content = script(OFF, False)
    put(host.candidate, content, 0o644)
    done = host.run(sha256=hashlib.sha256(content).hexdigest())
    assert done["failed"] and "taken away again" in done["msg"] and read(host.runc) == host.old and not os.path.exists(host.kept)


def test_what_does_not_run_in_its_place_is_taken_back(host):
    real = runc_exchange.Exchange.must_run

    def must_run(self, path):
        if path == host.runc:
            raise runc_exchange.Stop("it does not run there.")
        return real(self, path)

    host.monkeypatch.setattr(runc_exchange.Exchange, "must_run", must_run)
    done = host.run()
    assert done["failed"] and "The old file is back" in done["msg"] and read(host.runc) == host.old


def test_another_runc_that_is_fine_stays(host):
    host.run()
    put(host.runc, script(OFF + " newer"))
    done = host.run()
    assert not done["changed"] and "it stays" in done["notes"][0]


def test_one_beside_dockerd_is_exchanged_where_it_is_named_and_stays_known(host):
    beside = os.path.join(host.root, "opt/kube/bin/runc")
    put(beside, script(ON + " beside"))
    assert read(beside) == script(ON + " beside") and host.run(targets=[beside])["targets"][0]["path"] == beside
    assert read(beside) == host.new and read(host.runc) == host.old, "what is named and nothing else"
    host.run()
    assert read(host.runc) == host.new
    # a run with other targets still tells about those of before, as the keeper watches what it tells
    assert sorted(one["path"] for one in host.run(targets=[host.runc])["targets"]) == sorted([beside, host.runc])
    host.run(state="absent")
    assert read(beside) == script(ON + " beside") and read(host.runc) == host.old


def test_what_does_not_tell_stays_unless_it_is_named(host):
    silent = script("of unknown make")
    put(host.runc, silent)
    done = host.run()
    assert not done["failed"] and read(host.runc) == silent and "cannot be told" in done["notes"][0]
    assert not host.run(targets=[host.runc])["failed"] and read(host.runc) == host.new


def test_a_wrapper_script_stays_even_where_it_is_named(host):
    put(host.runc, script(ON + " exec runc.real"))
    host.run(check=True)
    host.monkeypatch.setattr(_exchange, "elf", lambda head: None if b"runc.real" in head else {"machine": os.uname()[4], "static": True})
    for options in ({}, {"targets": [host.runc]}):
        done = host.run(**options)
        assert not done["failed"] and b"runc.real" in read(host.runc) and "no ELF program" in done["notes"][0]


def test_a_runtime_of_its_own_is_refused_before_anything_is_written(host):
    special = os.path.join(host.root, "usr/bin/nvidia-container-runtime")
    put(special, script(ON))
    linked = os.path.join(host.root, "opt/runc")
    os.makedirs(os.path.dirname(linked))
    os.symlink(special, linked)
    for path in (special, linked):
        done = host.run(targets=[host.runc, path])
        assert done["failed"] and "yum update nvidia-container-runtime" in done["msg"] and "Done until then: nothing" in done["msg"]
    assert read(special) == script(ON) and read(host.runc) == host.old and not os.path.exists(host.kept)


def test_docker_with_a_default_runtime_of_its_own_is_refused(host):
    text = b'{"default-runtime": "nvidia", "runtimes": {"nvidia": {"path": "nvidia-container-runtime"}}}'
    put(host.daemon, text, 0o644)
    done = host.run(method="docker")
    assert done["failed"] and "default runtime is nvidia" in done["msg"] and "method=file" in done["msg"]
    assert "Done until then: nothing" in done["msg"] and read(host.daemon) == text and not os.path.exists(host.kept)
    # before the new runc is fetched, too, and for a plan
    early = host.run(method="docker", candidate=None, check=True)
    assert early["failed"] and early["msg"] == done["msg"]
    assert not host.run(method="file", candidate=None, check=True)["failed"]


def test_docker_comes_and_goes_byte_for_byte(host):
    text = b'{"live-restore": true}'
    put(host.daemon, text, 0o644)
    done = host.run(method="docker")
    assert done["reload_required"] and read(host.runc) == host.old
    assert json.loads(read(host.daemon).decode())["runtimes"]["runc-nokmem"]["path"] == host.kept
    assert host.run(method="docker")["changed"] is False
    done = host.run(state="absent")
    document = json.loads(read(host.daemon).decode())
    assert document["default-runtime"] == "runc", "a Docker that is reloaded without one keeps what it has"
    # the reload failed, and the same again: a Docker that was not reloaded still goes by it
    again = host.run(state="absent")
    for one in (done, again, host.run(state="absent", in_use=True)):
        assert one["reload_required"] or one is not again
        assert os.path.exists(host.kept), "Docker uses it until it is reloaded"
    assert not again["changed"] and os.path.exists(host.kept)
    done = host.run(state="absent", reloaded=True)
    assert read(host.daemon) == text
    assert done["changed"] and not done["reload_required"] and not os.path.exists(host.kept) and not host.run(state="absent")["changed"]


def test_docker_without_a_daemon_json_and_with_later_changes(host):
    host.run(method="docker")
    document = json.loads(read(host.daemon).decode())
    document["debug"] = True
    put(host.daemon, json.dumps(document).encode(), 0o644)
    host.run(state="absent")
    host.run(state="absent", reloaded=True)
    assert json.loads(read(host.daemon).decode()) == {"debug": True, "default-runtime": "runc"}
    os.unlink(host.daemon)
    host.run(state="absent")
    host.run(method="docker")
    host.run(state="absent")
    host.run(state="absent", reloaded=True)
    assert not os.path.exists(host.daemon)


def test_what_others_wrote_into_daemon_json_since_is_not_lost(host):
    put(host.daemon, b'{"live-restore": true}', 0o644)
    host.run(method="docker")
    later = b'{"live-restore": true, "data-root": "/data/docker"}'
    put(host.daemon, later, 0o644)
    host.run(method="docker")
    host.run(state="absent")
    host.run(state="absent", reloaded=True)
    assert read(host.daemon) == later
    # the same where our runtime was still defined in it
    host.run(method="docker")
    host.run(state="absent", in_use=True)
    document = json.loads(read(host.daemon).decode())
    document["debug"] = True
    put(host.daemon, json.dumps(document).encode(), 0o644)
    host.run(method="docker")
    host.run(state="absent")
    host.run(state="absent", reloaded=True)
    assert json.loads(read(host.daemon).decode()) == {"live-restore": True, "data-root": "/data/docker", "debug": True, "default-runtime": "runc"}


def test_a_daemon_json_that_is_a_link_stays_one_and_comes_back_as_it_was(host):
    real, text = os.path.join(host.root, "srv/daemon.json"), u'{"labels": ["ort=M\xfcnchen"]}'.encode("latin-1")
    put(real, text, 0o640)
    os.symlink(real, host.daemon)
    assert not host.run(method="docker")["failed"]
    assert os.path.islink(host.daemon) and b"runc-nokmem" in read(real) and os.stat(real).st_mode & 0o777 == 0o640
    host.run(state="absent")
    host.run(state="absent", reloaded=True)
    assert os.path.islink(host.daemon) and read(real) == text


def test_a_rewritten_daemon_json_is_no_docker_that_read_it(host):
    put(host.daemon, b'{"live-restore": true}', 0o644)
    host.run(method="docker")
    put(host.daemon, b'{"live-restore": true}', 0o644)
    done = host.run(state="absent")
    assert done["reload_required"] and os.path.exists(host.kept)


def test_both_methods_one_after_the_other_are_both_taken_back(host):
    put(host.daemon, b'{"live-restore": true}', 0o644)
    host.run(method="docker")
    host.run(method="file")
    done = host.run(state="absent")
    assert done["reload_required"] and os.path.exists(host.kept) and read(host.runc) == host.old
    host.run(state="absent", reloaded=True)
    assert read(host.daemon) == b'{"live-restore": true}' and not os.path.exists(host.kept)


def test_flags_of_a_docker_that_does_not_run_count_too(host):
    host.monkeypatch.setattr(_host, "run", lambda argv, *unused: {"rc": 0, "error": None, "out": (
        "ExecStart={ argv[]=/usr/bin/dockerd-current --add-runtime docker-runc=/usr/libexec/docker/docker-runc-current --default-runtime=docker-runc }"
        if argv[0] == "systemctl" else "runc version 1")})  # fmt: skip
    done = host.run(method="docker")
    assert done["failed"] and "refuse to start" in done["msg"] and not os.path.exists(host.daemon)


def test_a_docker_of_the_old_style_keeps_its_runc(host):
    put(host.runc, host.old + b'[ "$2" = --help ] && echo "  --console value  path to a pty"\ntrue\n')
    before = read(host.runc)
    done = host.run()
    assert done["failed"] and "--console" in done["msg"] and "Done until then: nothing" in done["msg"]
    assert read(host.runc) == before and not os.path.exists(host.kept)
    # a build of that Docker's own runc knows the flag
    host.new += b'[ "$2" = --help ] && echo "  --console value  path to a pty"\ntrue\n'
    put(host.candidate, host.new)
    assert not host.run()["failed"] and read(host.runc) == host.new


def test_a_later_build_takes_the_place_of_the_earlier_and_the_first_comes_back(host):
    second = os.path.join(host.root, "usr/local/bin/runc")
    put(second, script(ON + " second"))
    host.run()
    host.new = script(OFF + " fixed")
    put(host.candidate, host.new)
    assert host.run()["changed"] and read(host.runc) == read(second) == read(host.kept) == host.new
    assert not host.run()["changed"]
    host.run(state="absent")
    assert read(host.runc) == host.old and read(second) == script(ON + " second")


def test_a_later_build_that_does_not_run_can_be_tried_again_and_taken_back(host):
    real = runc_exchange.Exchange.must_run

    def must_run(self, path):
        if path == host.runc and failing:
            raise runc_exchange.Stop("it does not run there.")
        return real(self, path)

    first, later = host.new, script(OFF + " fixed")
    for tried in (True, False):
        failing, host.new = [], first
        put(host.candidate, first)
        host.monkeypatch.setattr(runc_exchange.Exchange, "must_run", must_run)
        host.run()
        host.new = later
        put(host.candidate, later)
        failing.append(1)
        assert host.run()["failed"] and read(host.runc) == first
        del failing[:]
        if tried:
            assert host.run()["changed"] and read(host.runc) == later
        host.run(state="absent")
        assert read(host.runc) == host.old and not os.path.exists(host.kept)


def test_a_file_that_is_gone_is_said_and_not_made_again(host):
    host.run()
    os.unlink(host.runc)
    for options in ({}, {"check": True}):
        done = host.run(**options)
        assert not done["failed"] and "is not there" in done["notes"][0]
    # a record as the version before wrote it
    record = os.path.join(host.root, "backup/record.json")
    document = json.loads(read(record).decode())
    del document["targets"][0]["installed"]
    put(record, json.dumps(document, indent=1, sort_keys=True, separators=(",", ": ")).encode(), 0o600)
    done = host.run(state="absent")
    assert not done["failed"] and not os.path.exists(host.runc) and "it stays" in done["notes"][0]


def test_the_keeper_goes_by_the_build_that_was_kept_last(host):
    host.run()
    host.run(method="docker")
    host.new = script(OFF + " fixed")
    put(host.candidate, host.new)
    host.run(method="docker")
    put(host.runc, script(ON + " update"))
    assert subprocess.call(["sh", keeper(host)]) == 0 and read(host.runc) == host.new


def test_what_was_exchanged_before_the_failure_is_said(host):
    second = os.path.join(host.root, "usr/local/bin/runc")
    put(second, script(ON + " second"))
    real = runc_exchange.Exchange.must_run

    def must_run(self, path):
        if path == second:
            raise runc_exchange.Stop("it does not run there.")
        return real(self, path)

    host.monkeypatch.setattr(runc_exchange.Exchange, "must_run", must_run)
    done = host.run()
    assert done["failed"] and "%s stays exchanged" % host.runc in done["msg"] and read(second) == script(ON + " second")


@pytest.mark.parametrize("text", [b"[]", b"null", b'{"targets": null}', b'{"targets": [{"path": "/x"}]}', b"{,"])
def test_a_damaged_record_is_said_and_nothing_changes(host, text):
    host.run()
    put(os.path.join(host.root, "backup/record.json"), text)
    done = host.run(state="absent")
    assert done["failed"] and "Nothing was changed" in done["msg"] and read(host.runc) == host.new


def test_a_runtime_that_containers_hold_to_stays_defined(host):
    host.run(method="docker")
    done = host.run(state="absent", in_use=True)
    document = json.loads(read(host.daemon).decode())
    assert document["default-runtime"] == "runc" and "runc-nokmem" in document["runtimes"] and os.path.exists(host.kept)
    assert "stays defined for containers" in done["notes"][0] and not host.run(state="absent", in_use=True)["changed"]


def test_a_daemon_json_that_docker_would_not_take_is_left_alone(host):
    put(host.daemon, b"{,}", 0o644)
    done = host.run(method="docker")
    assert done["failed"] and "cannot be understood" in done["msg"] and read(host.daemon) == b"{,}"


def keeper(host):
    keep = os.path.join(host.root, "keep")
    text = read(KEEP).decode("ascii").replace("/usr/local/libexec/el7ops-kmem/runc", host.kept)
    put(keep, text.replace("/var/lib/el7ops-kmem/runc/record.json", os.path.join(host.root, "backup/record.json")).encode("ascii"))
    return keep


def test_what_a_package_update_brought_comes_back_after_the_keeper(host):
    host.run()
    update = script(ON + " of a newer package")
    put(host.runc, update)
    assert subprocess.call(["sh", keeper(host)]) == 0 and read(host.runc) == host.new
    host.monkeypatch.setattr(runc_exchange, "owner", lambda path: "containerd.io-1.2.13-3.3.el7")
    host.run(state="absent")
    assert read(host.runc) == update


def test_the_keeper_does_not_spread_a_damaged_file(host):
    host.run()
    put(host.kept, b"")
    put(host.runc, script(ON + " update"))
    assert subprocess.call(["sh", keeper(host)]) == 1 and read(host.runc) == script(ON + " update")


def test_the_keeper_exchanges_again_only_what_switches_accounting_on(host):
    host.run()
    keep = keeper(host)
    for content, after in ((host.new, host.new), (script(OFF + " newer"), script(OFF + " newer")), (script(ON + " update"), host.new),
                           (script("exec runc.real"), script("exec runc.real"))):
        put(host.runc, content, 0o751)
        assert subprocess.call(["sh", keep]) == 0
        assert read(host.runc) == after and os.stat(host.runc).st_mode & 0o777 == 0o751
    shutil.rmtree(os.path.join(host.root, "backup"))
    put(host.runc, host.old)
    assert subprocess.call(["sh", keep]) == 0 and read(host.runc) == host.old
