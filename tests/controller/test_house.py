# SPDX-License-Identifier: GPL-3.0-or-later
"""The house rules that a machine can check."""

import pathlib
import re
import sys

import pytest
import yaml

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "plugins" / "filter"))

import explain  # noqa: E402
import outcome  # noqa: E402

ROLES = sorted(path.name for path in (REPO / "roles").iterdir())
YAML = sorted([*REPO.glob("roles/*/tasks/*.yml"), *REPO.glob("playbooks/*.yml")])


@pytest.mark.parametrize("role", ROLES)
def test_every_public_variable_is_in_the_argument_specs_and_in_the_readme(role):
    specs = yaml.safe_load((REPO / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    declared = {name: option for entry in specs.values() for name, option in entry["options"].items()}
    defaults = yaml.safe_load((REPO / "roles" / role / "defaults" / "main.yml").read_text()) or {}
    assert {name: option.get("default") for name, option in declared.items() if "default" in option} == defaults
    assert all(name.startswith(f"{role}_") for name in declared)
    readme = (REPO / "roles" / role / "README.md").read_text()
    assert [name for name in declared if f"`{name}`" not in readme] == []


@pytest.mark.parametrize("path", YAML, ids=lambda path: str(path.relative_to(REPO)))
def test_no_swallowed_failure_and_no_shell(path):
    text = path.read_text()
    assert not re.search(r"ignore_errors|failed_when: *false|ansible\.builtin\.(shell|raw)", text)
    subject = (path.parents[1].name if path.stem == "main" else path.stem) + " | "
    # a play has no subject of its own, its tasks have
    names = re.findall(r"^ +- name: (.+)$" if path.parent.name == "playbooks" else r"^ *- name: (.+)$", text, re.M)
    assert names and all(name.lower().startswith(subject) for name in names), names


@pytest.mark.parametrize("path", sorted([*REPO.glob("plugins/module*/*.py")]), ids=lambda path: path.name)
def test_target_side_code_is_plain_ascii(path):
    """Python 2.7 stops at any other character where a file does not name its encoding."""
    path.read_bytes().decode("ascii")


def test_plugins_and_roles_do_not_know_lab_and_tests():
    for path in [*REPO.glob("plugins/**/*.py"), *YAML]:
        assert not re.search(r"(?:from|import) (?:lab|tests)\b|/lab/", path.read_text()), path


FACTS = {
    "verdict": "failing", "evidence": ["one", "two"], "missing": ["three"], "slab": {"leaked": 19}, "accounting": {"state": "inactive"},
    "recommendation": {"strategy": "mitigate", "reasons": ["why"], "avoid": ["not so"]},
}  # fmt: skip


def test_explain_says_verdict_evidence_and_the_next_command():
    lines = explain.explain(FACTS, "web1")
    assert lines[0].startswith("web1: FAILING: ") and "  1. one" in lines and "  - three" in lines
    assert "--limit web1 -e kmem_strategy=mitigate" in lines[-1]
    assert not any("remediate" in line for line in explain.explain(dict(FACTS, recommendation=dict(FACTS["recommendation"], strategy="none")), "web1"))


def test_outcome_never_says_more_than_was_seen():
    after = dict(FACTS, verdict="protected", slab={"leaked": 0})
    assert outcome.outcome(after, FACTS, "web1", [{"downtime_s": 16}], False)[0] == "web1: verdict failing -> protected"
    pending = " ".join(outcome.outcome(FACTS, FACTS, "web1", [], True))
    assert "NOT CURED" in pending and "protected" not in pending
    unproved = dict(after, accounting={"state": "not_provable"})
    assert any("not provable" in line for line in outcome.outcome(unproved, FACTS, "web1", [], False))
