# SPDX-License-Identifier: GPL-3.0-or-later
"""The house rules that a machine can check."""

import os
import pathlib
import re
import sys

import pytest
import yaml
from ansible.errors import AnsibleFilterError

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "plugins" / "filter"))

import explain  # noqa: E402
import fleet_table  # noqa: E402
import lock  # noqa: E402
import run_plan  # noqa: E402

ROLES = sorted(path.name for path in (REPO / "roles").iterdir())
YAML = sorted([*REPO.glob("roles/*/tasks/*.yml"), *REPO.glob("playbooks/*.yml"), *REPO.glob("playbooks/[!v]*/*.yml")])  # no vars/


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
    assert names or "import_playbook" in text
    assert all(name.lower().startswith(subject) for name in names), names


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
    "kernel": {"line": "el7", "release": "3.10.0-1127.el7.x86_64"},
}  # fmt: skip


def test_explain_says_verdict_evidence_and_the_next_command():
    lines = explain.explain(FACTS, "web1")
    assert lines[0].startswith("web1: FAILING: ") and "  1. one" in lines and "  - three" in lines
    assert "--limit web1 -e kmem_strategy=mitigate" in lines[-1]
    assert not any("remediate" in line for line in explain.explain(dict(FACTS, recommendation=dict(FACTS["recommendation"], strategy="none")), "web1"))


@pytest.mark.parametrize("forecast, words", [
    (None, "not possible: nothing was counted"), ({"days_left": None, "reason": "why"}, "not possible: why"),
    ({"days_left": 60.2, "days_left_between": [55.0, 66.5], "leaked_per_day": 1000, "basis": "3 samples", "reason": None},
     "in about 60.2 days (between 55 days and 66.5 days), at 1000 a day; from 3 samples"),
    ({"days_left": 6, "days_left_between": [1, None], "leaked_per_day": 3, "basis": "x", "reason": "part"}, "and never (the leak may as well have ended)"),
])  # fmt: skip
def test_explain_says_when_or_why_not(forecast, words):
    lines = explain.explain(dict(FACTS, verdict="leaking", forecast=forecast), "web1")
    assert any(line.startswith("Forecast: ") and words in line for line in lines), lines


def test_the_fleet_is_sorted_by_urgency_and_a_silent_host_is_no_healthy_one():
    def facts(verdict, leaked=None, days=None):
        forecast = {"days_left": days, "days_left_between": [days, None]} if days else {"days_left": None}
        return {"ansible_facts": {"kmem": dict(FACTS, verdict=verdict, slab={"leaked": leaked, "capped": False}, forecast=forecast, cmdline={"nokmem": False},
                                               kernel=dict(FACTS["kernel"], nokmem_support="honoured"))}}  # fmt: skip

    hosts = {"a": facts("protected", 0), "b": facts("leaking", 10, 50.0), "c": facts("leaking", 5, 2.5), "d": {}, "e": facts("unknown"),
             "f": facts("failing", 60000)}  # fmt: skip
    lines = fleet_table.fleet_table(hosts, list(hosts))
    assert [line.split()[0] for line in lines[1:-1]] == ["f", "c", "b", "e", "d", "a"]
    assert lines[-1] == "6 hosts: 1 failing, 2 leaking, 1 unknown, 1 no answer, 1 protected"


@pytest.mark.parametrize("strategy", run_plan.STRATEGIES)
def test_every_stage_of_a_strategy_has_its_task_files(strategy):
    stages = REPO / "playbooks" / "stages"
    for stage in run_plan.run_plan(strategy):
        assert (stages / f"{stage['name']}.yml").exists(), stage
        assert not stage["reboot"] or (stages / f"{stage['name']}_prove.yml").exists(), stage


def test_the_plan_takes_the_snapshot_first_and_other_minutes():
    assert [run_plan.run_plan(name)[0]["name"] for name in ("article", "upgrade")] == ["snapshot", "snapshot"]
    assert [sum(stage["reboot"] for stage in run_plan.run_plan(name)) for name in ("article", "upgrade", "mitigate")] == [4, 1, 1]
    assert run_plan.run_plan("mitigate", {"nokmem": "7"})[0]["minutes"] == 7
    pinned = {(name, trial): [stage["name"] for stage in run_plan.run_plan(name, trial=trial) if stage["pin"]]
              for name in run_plan.STRATEGIES for trial in (True, False)}  # fmt: skip
    assert {key: names for key, names in pinned.items() if names} == {("upgrade", True): ["yum_update", "elrepo_kernel"]}
    for wrong in (("x",), ("mitigate", {"x": 1})):
        with pytest.raises(AnsibleFilterError):
            run_plan.run_plan(*wrong)


def test_a_lock_is_dead_only_where_this_machine_can_tell():
    here = lock.lock(None)["owner"]
    assert here["pid"] == os.getpid() and here["began"]
    assert not lock.lock({"owner": here})["dead"]
    assert lock.lock({"owner": dict(here, began="1@x")})["dead"] and lock.lock({"owner": dict(here, pid=2**22 + 1)})["dead"]
    for other in ({"owner": dict(here, controller="elsewhere", pid=2**22 + 1)}, {"owner": {}}, {}, {"owner": dict(here, began="")}):
        assert not lock.lock(other)["dead"]


def test_the_faults_are_met_at_tasks_that_there_are():
    tasks = [path.read_text() for folder in ("roles", "playbooks") for path in (REPO / folder).rglob("*.yml")]
    names = re.findall(r"^ *- name: (.+)$", "\n".join(tasks), re.M)
    wanted = {name for file in ("faults.py", "random_killer.py", "test_whole_night.py", "trial_boot.py")
              for name in re.findall(r'"([a-z_]+ \| [^"]+)"', (REPO / "tests" / "e2e" / file).read_text())}  # fmt: skip
    assert len(wanted) > 8 and [one for one in wanted if not any(one in name for name in names)] == []
