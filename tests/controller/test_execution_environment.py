# SPDX-License-Identifier: GPL-3.0-or-later
"""The execution environment: its build context is made as docs/awx.md says. The image itself is not built here, that needs a registry."""

import pathlib
import subprocess
import sys

import pytest
import yaml

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))

from lab import play, venv  # noqa: E402


def run(cwd, *argv, collections=None):
    env = venv.environment(collections or play.collections())
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    folder = tmp_path_factory.mktemp("context")
    # the commands of docs/awx.md
    guide = (REPO / "docs" / "awx.md").read_text().splitlines()
    commands = [line.split() for line in guide if line.strip().startswith(("ansible-galaxy collection build", "mv "))]
    assert len(commands) == 2
    run(REPO, *commands[0])
    (built,) = (REPO / "build" / "ee").glob("el7ops-kmem-*.tar.gz")
    assert commands[1][1:] == ["build/ee/el7ops-kmem-*.tar.gz", "build/ee/el7ops-kmem.tar.gz"]
    built.rename(REPO / "build" / "ee" / "el7ops-kmem.tar.gz")
    run(REPO, "ansible-builder", "create", "--file", "execution-environment.yml", "--context", str(folder), "--output-filename", "Containerfile")
    return folder


def test_the_context_builds_on_core_2_16_with_this_collection(context):
    recipe = (context / "Containerfile").read_text()
    assert 'EE_BASE_IMAGE="quay.io/centos/centos:stream9"' in recipe
    assert 'ANSIBLE_INSTALL_REFS="ansible-core>=2.16.19,<2.17 ansible-runner==2.4.3"' in recipe
    assert 'PYCMD="/usr/bin/python3.11"' in recipe and "ansible-galaxy collection install" in recipe
    assert yaml.safe_load((context / "_build" / "requirements.yml").read_text()) == {
        "collections": [{"name": "collections/el7ops-kmem.tar.gz", "type": "file"}]
    }


def test_the_collection_in_it_installs_from_the_context_alone_and_asks_for_what_it_needs(context, tmp_path):
    """What the recipe does in the image: the working directory is _build there, too."""
    install = ["ansible-galaxy", "collection", "install", "--offline", "-r", "requirements.yml", "--collections-path", str(tmp_path)]
    run(context / "_build", *install, collections=tmp_path)
    installed = tmp_path / "ansible_collections" / "el7ops" / "kmem"
    for name in ("playbooks/awx_configure.yml", "extensions/awx/job_templates.yml", "plugins/modules/kmem_facts.py", "meta/execution-environment.yml"):
        assert (installed / name).exists(), name
    said = run(tmp_path, "ansible-builder", "introspect", str(tmp_path))
    wanted = [line for line in (REPO / "meta" / "ee-bindep.txt").read_text().splitlines() if not line.startswith("#")]
    assert [one for one in wanted if one not in said] == [], said


def test_the_recipe_is_what_the_collection_allows():
    allowed = yaml.safe_load((REPO / "meta" / "runtime.yml").read_text())["requires_ansible"]
    recipe = yaml.safe_load((REPO / "execution-environment.yml").read_text())
    assert allowed == ">=2.16.0,<2.17.0"
    assert recipe["dependencies"]["ansible_core"]["package_pip"].endswith(",<2.17")
