# SPDX-License-Identifier: GPL-3.0-or-later
"""What is generated is as its sources say, and what the documents name is there."""

import pathlib
import re
import subprocess
import sys

import pytest
import yaml

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO), str(REPO / "tests")]

import role_tables  # noqa: E402

from lab import play, venv  # noqa: E402

ROLES = sorted(path.name for path in (REPO / "roles").iterdir())
DOCUMENTS = sorted([*REPO.glob("*.md"), *REPO.glob("docs/*.md"), *REPO.glob("*/README.md"), *REPO.glob("roles/*/README.md")])


@pytest.mark.parametrize("role", ROLES)
def test_the_table_of_variables_is_what_the_argument_specs_say(role):
    text, wanted, entries = role_tables.filled(REPO / "roles" / role)
    assert text == wanted, "type: make docs"
    specs = yaml.safe_load((REPO / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    told = {name for entry in entries for name in specs[entry]["options"]}
    assert told == {name for spec in specs.values() for name in spec["options"]}


def test_a_row_of_the_table():
    option = {"type": "str", "choices": ["a", "b|c"], "default": "", "description": ["Either C(a).", "Or not."]}
    assert role_tables.table({"options": {"x_y": option}}).splitlines()[2] == '| `x_y` | `""` | Either `a`. Or not. One of `a`, `b|c`. |'


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert "://" in target or (path.parent / target).exists(), target


def test_the_changelog_is_made_of_its_fragments():
    where = play.collections() / "ansible_collections" / "el7ops" / "kmem"
    env = venv.environment(play.collections())
    for words in (["lint"], ["generate", "--output", str(REPO / "build-changelog.rst")]):
        done = subprocess.run(["antsibull-changelog", *words], cwd=where, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    made = REPO / "build-changelog.rst"
    try:
        assert made.read_text().split("v0.1.0", 1)[1] == (REPO / "CHANGELOG.rst").read_text().split("v0.1.0", 1)[1], "type: make docs"
    finally:
        made.unlink()
