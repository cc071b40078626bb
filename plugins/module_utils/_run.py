# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document of a run and its lock, as pure functions over dicts.

A run is one night on one host. Its document (schema 1, roles/common/files/report.schema.json) is what a later run goes on
from, what a rollback undoes from, and what the report shows. Times are UTC, ISO 8601 with a Z.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

SCHEMA = 1
STATUSES = ("running", "paused", "failed", "done", "rolled_back")
STAGE_STATUSES = ("pending", "started", "done", "failed", "skipped")
UNFINISHED = ("running", "paused", "failed")
APPENDED = ("changes", "evidence", "reboots")  # lists of a stage that grow; everything else is replaced

try:
    TEXT = basestring  # Python 2
except NameError:
    TEXT = str


def problems(document):
    """Why a document read from a host cannot be trusted, as sentences; [] where it can."""
    if not isinstance(document, dict):
        return ["it is not a JSON object"]
    found = []
    if document.get("schema") != SCHEMA:
        found.append("its schema is %r, this version knows %d" % (document.get("schema"), SCHEMA))
    for key in ("run_id", "host", "strategy", "status", "started_at"):
        if not isinstance(document.get(key), TEXT) or not document[key]:
            found.append("%s is missing" % key)
    if document.get("status") not in STATUSES:
        found.append("the status %r is not known" % (document.get("status"),))
    if not isinstance(document.get("before"), dict):
        found.append("before is missing, what the host was like")
    files, stages = document.get("files"), document.get("stages")
    if not isinstance(files, list) or not all(isinstance(one, dict) and isinstance(one.get("path"), TEXT) for one in files):
        found.append("files is missing, the copies to go back to")
    if not isinstance(stages, list) or not all(
            isinstance(one, dict) and isinstance(one.get("name"), TEXT) and one.get("status") in STAGE_STATUSES for one in stages):
        found.append("stages is missing or not understood")
    return found


def begin(run, files, boot_id, now):
    """The document of a new run. C(run): run_id, host, strategy, controller, window, before, stages (name, title)."""
    stages = [dict(name=one["name"], title=one["title"], status="pending", started_at=None, ended_at=None, boot_id=boot_id,
                   changes=[], evidence=[], reboots=[]) for one in run["stages"]]
    return dict(
        schema=SCHEMA, run_id=run["run_id"], host=run["host"], strategy=run["strategy"], status="running", message="", next="",
        started_at=now, ended_at=None, controller=run["controller"], window=run.get("window") or None, before=run["before"], after=None,
        snapshot=None, files=files, stages=stages)


def change(document, values, now):
    """The document with C(values) in it: what a run says of itself at its end, when it pauses, or when it goes on."""
    new = dict(document, **values)
    for key in ("after", "snapshot"):
        new[key] = new.get(key) or None  # Jinja hands in nothing as an empty text
    if values.get("status"):
        new["ended_at"] = None if values["status"] == "running" else now
    return new


def change_stage(document, name, values, boot_id, now):
    """The document with one stage changed; the lists of a stage grow, and what stands in them already is not repeated."""
    stages, met = [], False
    for stage in document["stages"]:
        if stage["name"] == name and not met:
            met, stage = True, dict(stage, boot_id=boot_id)
            for key, value in values.items():
                stage[key] = stage.get(key, []) + [one for one in value if one not in stage.get(key, [])] if key in APPENDED else value
            if values.get("status") == "started":
                stage["started_at"], stage["ended_at"] = stage["started_at"] or now, None
            elif values.get("status"):
                stage["ended_at"] = now
        stages.append(stage)
    if not met:
        raise ValueError("the run has no stage %s; it has %s" % (name, ", ".join(one["name"] for one in stages)))
    return dict(document, stages=stages)


def summary(document):
    """What the local fact ansible_local.el7ops_kmem shows: no facts of the host, so any user may read it."""
    return dict(
        [(key, document[key]) for key in ("schema", "run_id", "strategy", "status", "started_at", "ended_at", "message")],
        stages=[dict(name=one["name"], status=one["status"]) for one in document["stages"]])


def lock_refusal(lock, owner, take_over, age):
    """Why C(owner) may not work on the host now, or None. C(lock) is what the host holds, C(age) its seconds."""
    if not lock or lock.get("owner") == owner or take_over:
        return None
    held = lock.get("owner") or {}
    return ("another run holds the lock of this host: process %s of %s on %s, since %s (%d min). Wait for its end; if it is known to "
            "be dead, type the same command with -e kmem_take_over=true" % (
                held.get("pid"), held.get("user"), held.get("controller"), lock.get("since"), age // 60))
