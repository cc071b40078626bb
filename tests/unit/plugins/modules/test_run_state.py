# SPDX-License-Identifier: GPL-3.0-or-later
"""The document, the lock and the copies of a run, on real files in a scratch directory."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json
import os
import stat

import pytest

from ansible_collections.el7ops.kmem.plugins.modules import run_state
from ansible_collections.el7ops.kmem.tests.unit.plugins.modules.harness import run_module

OWNER = {"controller": "here", "user": "me", "pid": 7, "began": "100@x"}
RUN = {"run_id": "r1", "host": "web1", "strategy": "upgrade", "controller": "me@here", "before": {},
       "stages": [{"name": "yum_update", "title": "Update"}]}


class Place(object):
    """A scratch host, and the module on it."""

    def __init__(self, monkeypatch, root):
        self.monkeypatch, self.root = monkeypatch, root
        self.directory = str(root.join("state"))
        self.grub, self.new = root.join("grub"), root.join("new.repo")
        self.grub.write("as it was\n")
        monkeypatch.setattr(run_state, "FACT", str(root.join("facts.d", "el7ops_kmem.fact")))

    def do(self, action, check=False, owner=None, **options):
        return run_module(run_state, self.monkeypatch, self.root, check=check, action=action, directory=self.directory,
                          owner=owner or OWNER, **options)

    def begin(self, **options):
        return self.do("begin", run=RUN, files=[str(self.grub), str(self.root.join("*.repo")), str(self.new)], **options)

    def document(self):
        with open(os.path.join(self.directory, "run.json")) as stream:
            return json.load(stream)


@pytest.fixture
def place(monkeypatch, tmpdir):
    return Place(monkeypatch, tmpdir)


def test_read_of_a_host_without_a_run_changes_nothing(place):
    result = place.do("read")
    assert (result["run"], result["problem"], result["lock"], result["changed"]) == (None, "", None, False)
    assert result["boot_id"] and result["kernel"] == os.uname()[2]
    assert not os.path.exists(place.directory)


def test_begin_writes_a_document_that_only_root_reads_and_copies(place):
    result = place.begin()
    assert not result["failed"] and result["changed"]
    assert stat.S_IMODE(os.stat(os.path.join(place.directory, "run.json")).st_mode) == 0o600
    files = dict((one["path"], one["backup"]) for one in place.document()["files"])
    assert files[str(place.new)] is None
    with open(files[str(place.grub)]) as stream:
        assert stream.read() == "as it was\n"
    fact = json.loads(place.root.join("facts.d", "el7ops_kmem.fact").read())
    assert fact["run_id"] == "r1" and "before" not in fact


def test_check_mode_writes_nothing_and_returns_the_document(place):
    result = place.begin(check=True)
    assert result["run"]["run_id"] == "r1" and not os.path.exists(place.directory)


def test_another_run_is_refused_and_changes_nothing(place):
    place.begin()
    before = place.document()
    other = dict(OWNER, pid=8)
    for action in ("begin", "resume"):
        result = place.do(action, owner=other, run=dict(RUN, run_id="r2"))
        assert result["failed"] and "REFUSED" in result["msg"] and "kmem_take_over" in result["msg"]
    assert place.document() == before
    assert not place.do("resume", owner=other, take_over=True)["failed"]
    result = place.do("stage", stage="yum_update", values={"status": "done"})
    assert result["failed"] and "taken by another run" in result["msg"]


def test_end_gives_the_lock_back_and_the_next_run_keeps_the_old_document(place):
    place.begin()
    place.do("stage", stage="yum_update", values={"status": "done", "changes": ["a"]})
    assert not place.do("end", values={"status": "done", "message": "all"})["failed"]
    assert not os.path.exists(os.path.join(place.directory, "lock"))
    place.do("begin", owner=dict(OWNER, pid=9), run=dict(RUN, run_id="r2"))
    assert place.document()["run_id"] == "r2"
    with open(os.path.join(place.directory, "runs", "r1", "run.json")) as stream:
        assert json.load(stream)["status"] == "done"


def test_restore_gives_every_file_back_to_the_byte_and_removes_new_ones(place):
    place.begin()
    place.grub.write("changed")
    place.grub.chmod(0o640)
    place.new.write("new")
    shown = place.do("restore", check=True)
    assert sorted(shown["restored"]) == sorted([str(place.grub), str(place.new)]) and place.new.exists()
    result = place.do("restore")
    assert place.grub.read() == "as it was\n" and not place.new.exists()
    assert stat.S_IMODE(place.grub.stat().mode) == 0o640
    assert [one["after"] for one in result["diff"]] == ["as it was\n", ""]
    assert place.do("restore")["restored"] == []


@pytest.mark.parametrize("why", ["", "Operation not permitted"])
def test_restored_boot_files_are_written_out_of_the_journal_or_it_is_said(place, why):
    settled, said = [], []
    place.monkeypatch.setattr(run_state, "BOOT", str(place.root.join("boot")))
    place.monkeypatch.setattr(run_state._disk, "settle", lambda directory: settled.append((directory, config.read())) or why)
    place.monkeypatch.setattr(run_state.AnsibleModule, "warn", lambda self, text: said.append(text))
    config = place.root.ensure("boot", "grub2", "grub.cfg")
    config.write("old\n")
    place.do("begin", run=RUN, files=[str(config), str(place.root.join("boot", "grub2", "custom.cfg")), str(place.grub)])
    config.write("new\n")
    place.do("restore", check=True)
    assert settled == [] and config.read() == "new\n"
    assert place.do("restore")["restored"] == [str(config)]
    # once for each file system, and after the files are in their place
    assert settled == [(str(place.root.join("boot", "grub2")), "old\n")]
    assert len(said) == bool(why) and all("systemctl reboot" in text and why in text for text in said)
    # a run that was cut off in between finds nothing to put back, and still has to write it out
    assert place.do("restore")["restored"] == [] and len(settled) == 2


def test_restore_without_all_copies_touches_nothing(place):
    place.begin()
    place.grub.write("changed")
    os.unlink([one["backup"] for one in place.document()["files"] if one["backup"]][0])
    result = place.do("restore")
    assert result["failed"] and "nothing was put back" in result["msg"] and place.grub.read() == "changed"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"{\"schema\": 2}"])
def test_a_damaged_document_is_named_and_never_written_over(place, content):
    os.makedirs(place.directory)
    path = os.path.join(place.directory, "run.json")
    with open(path, "wb") as stream:
        stream.write(content)
    assert place.do("read")["problem"]
    for action in ("resume", "restore"):
        result = place.do(action)
        assert result["failed"] and "cannot be used" in result["msg"] and "mv " in result["msg"]
    with open(path, "rb") as stream:
        assert stream.read() == content


def test_a_state_that_cannot_be_written_says_so(place):
    place.root.join("state").write("a file where the directory should be")
    result = place.begin()
    assert result["failed"] and "cannot be kept" in result["msg"]
