# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a playbook of this checkout as AWX does: ansible-runner with a private data dir, transmit | worker | process.

ansible-runner gives the playbook a terminal of its own, at which nobody sits.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

REPO = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

from lab import play, venv  # noqa: E402


class Job:
    """What a job has left: return code, events, artifacts."""

    def __init__(self, folder: pathlib.Path) -> None:
        found = folder / "artifacts"
        self.code = int((found / "rc").read_text())
        self.status = (found / "status").read_text()
        self.stdout = (found / "stdout").read_text()
        self.events = sorted((json.loads(path.read_text()) for path in (found / "job_events").glob("*.json")), key=lambda one: one["counter"])
        stats = [one for one in self.events if one["event"] == "playbook_on_stats"]
        self.stats = stats[0]["event_data"] if stats else {}
        self.artifacts = self.stats.get("artifact_data", {})

    def tasks(self) -> list[str]:
        return [one["event_data"]["task"] for one in self.events if one["event"] == "playbook_on_task_start"]

    def line(self) -> str:
        return " ".join(self.stdout.split())


def run(folder: pathlib.Path, playbook: str, inventory: object, variables: dict, *options: str, files: dict[str, str] | None = None,
        env: dict[str, str] | None = None, ssh_key: str = "") -> Job:  # fmt: skip
    """Run PLAYBOOK below FOLDER. VARIABLES are a survey's answers as a launch hands them on; OPTIONS are for ansible-playbook."""
    source, worker, sink = folder / "control", folder / "execution", folder / "back"
    project = source / "project"
    for name in ("playbooks", "extensions", "roles"):
        shutil.copytree(REPO / name, project / name)
    for name, text in (files or {}).items():
        (project / name).write_text(text)
    for path, content in (
        ("inventory/hosts.json", inventory), ("env/extravars", variables),
        ("env/settings", {"idle_timeout": 300, "job_timeout": 900, "pexpect_timeout": 10}),
        ("env/envvars", {**venv.environment(play.collections()), **(env or {})}),
    ):  # fmt: skip
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(json.dumps(content))
    if ssh_key:  # ansible-runner starts an agent for it
        (source / "env" / "ssh_key").write_text(ssh_key)
    worker.mkdir()
    runner = str(venv.ensure() / "ansible-runner")
    full = {**os.environ, **venv.environment(play.collections())}
    sent, answered = folder / "sent", folder / "answered"
    argv = [runner, "transmit", str(source), "-p", f"playbooks/{playbook}.yml" if "/" not in playbook else playbook.lstrip("/")]
    if options:
        argv += ["--cmdline=" + " ".join(options)]
    with open(sent, "wb") as out:
        subprocess.run(argv, env=full, stdin=subprocess.DEVNULL, stdout=out, check=True)
    shutil.rmtree(source)  # the worker has nothing but what was sent
    with open(sent, "rb") as feed, open(answered, "wb") as out:
        subprocess.run([runner, "worker", "--private-data-dir", str(worker)], env=full, stdin=feed, stdout=out, check=False)
    with open(answered, "rb") as feed:
        subprocess.run([runner, "process", str(sink)], env=full, stdin=feed, stdout=subprocess.DEVNULL, check=False)
    return Job(sink)
