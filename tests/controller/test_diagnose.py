# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook diagnose over a fleet of captures, read by this machine: what an admin sees."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
CAPTURES = {"web1": "leaking", "web2": "nokmem", "web3": "healthy"}


@pytest.fixture(scope="module", name="seen")
def fixture_seen(tmp_path_factory):
    """The text that one run prints, with folded lines joined again."""
    folder = tmp_path_factory.mktemp("fleet")
    hosts = {
        name: {"ansible_connection": "local", "ansible_python_interpreter": sys.executable,
               "kmem_replay": str(REPO / f"tests/fixtures/captures/3.10.0-1160-{state}.json")}
        for name, state in CAPTURES.items()
    }  # fmt: skip
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    env = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    done = subprocess.run(["ansible-playbook", "-i", str(folder / "hosts.json"), "el7ops.kmem.diagnose"], env=env, cwd=folder,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_host_is_explained_with_the_next_command(seen):
    assert "web1: LEAKING:" in seen and "987 memory cgroups are gone" in seen and "web2: PROTECTED:" in seen and "web3: UNKNOWN:" in seen
    assert "Forecast: not possible: the samples span less than an hour" in seen
    assert "--limit web1 -e kmem_strategy=mitigate" in seen and "--limit web2" not in seen


def test_the_fleet_comes_last_and_the_most_urgent_first(seen):
    table = seen[seen.index("Show the fleet") :]
    assert table.index("web1  leaking") < table.index("web3  unknown") < table.index("web2  protected")
    assert "3 hosts: 1 leaking, 1 unknown, 1 protected" in table
