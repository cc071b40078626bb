# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the collection's playbooks against a machine of the lab, as an admin would."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping

from lab import venv
from lab.progress import LabError
from lab.vm import Vm

REPO = pathlib.Path(__file__).resolve().parent.parent


def collections() -> pathlib.Path:
    """Return a folder in which Ansible finds this checkout as el7ops.kmem."""
    if REPO.parts[-3:] == ("ansible_collections", "el7ops", "kmem"):
        return REPO.parents[2]
    namespace = REPO / "build" / "checkout" / "ansible_collections" / "el7ops"
    namespace.mkdir(parents=True, exist_ok=True)
    link = namespace / "kmem"
    if not link.is_symlink():
        link.symlink_to(REPO)
    return namespace.parents[1]


def inventory(vm: Vm, **more: str) -> pathlib.Path:
    """Write an inventory with one machine, and return its path."""
    path = vm.directory / f"inventory-{abs(hash(tuple(sorted(more.items()))))}.json"
    path.write_text(json.dumps({"all": {"hosts": {vm.name: {**vm.inventory_vars(), **more}}}}))
    return path


def playbook(
    name: str,
    where: pathlib.Path | str,
    *options: str,
    env: Mapping[str, str] | None = None,
    show: bool = False,
    timeout: float = 900,
    **variables: object,
) -> subprocess.CompletedProcess[str]:
    """Run a playbook of the collection; VARIABLES become extra vars. The return code is the caller's to judge."""
    argv = ["ansible-playbook", "-i", str(where), f"el7ops.kmem.{name}", "-e", json.dumps(variables), *options]
    return _run(argv, env, show, timeout)


def role(
    name: str, where: pathlib.Path | str, *options: str, tasks: str = "main", **variables: object
) -> subprocess.CompletedProcess[str]:
    """Run one role of the collection, as an admin would; the return code is the caller's to judge."""
    arguments = f"name=el7ops.kmem.{name} tasks_from={tasks}"
    argv = ["ansible", "-i", str(where), "all", "-m", "ansible.builtin.include_role", "-a", arguments]
    return _run([*argv, "-e", json.dumps(variables), *options], None, False, 600)


def gather_facts(where: pathlib.Path | str) -> None:
    """Gather the host's facts with a playbook that does nothing else; for comparisons of time."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as book:
        book.write("- hosts: all\n  gather_facts: true\n")
        book.flush()
        done = _run(["ansible-playbook", "-i", str(where), book.name], None, False, 300)
    if done.returncode:
        raise LabError(f"gathering facts failed: {done.stdout}")


def module(name: str, where: pathlib.Path | str, arguments: Mapping[str, object] | None = None) -> dict:
    """Run one module and return its result; the module must succeed."""
    (host,) = json.loads(pathlib.Path(where).read_text())["all"]["hosts"]
    with tempfile.TemporaryDirectory() as tree:
        argv = ["ansible", "-i", str(where), host, "-m", name, "-a", json.dumps(arguments) if arguments else "", "-t", tree]
        done = _run(argv, None, False, 300)
        if done.returncode:
            raise LabError(f"{' '.join(argv)}: {done.stdout}")
        return json.loads((pathlib.Path(tree) / host).read_text())


def _run(argv: list[str], env: Mapping[str, str] | None, show: bool, timeout: float) -> subprocess.CompletedProcess[str]:
    full = {**venv.environment(collections()), **(env or {})}
    process = subprocess.Popen(
        argv, env=full, cwd=REPO, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    lines = []
    assert process.stdout
    # the return code is -9 then, and the output ends where it hung
    limit = threading.Timer(timeout, os.killpg, (process.pid, signal.SIGKILL))
    limit.start()
    try:
        for line in process.stdout:
            lines.append(line)
            if show:
                print("    " + line, end="", flush=True)
        return subprocess.CompletedProcess(argv, process.wait(), "".join(lines), "")
    finally:
        limit.cancel()
