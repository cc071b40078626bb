# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks as AWX runs them, against this machine and replayed captures; on a host of the lab: tests/e2e/test_awx.py."""

import copy
import json
import os
import pathlib
import sys

import pytest
import yaml

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO), str(REPO / "tests"), str(REPO / "plugins" / "filter")]

import awx_runner  # noqa: E402
import awx_standin  # noqa: E402
import plan_lines  # noqa: E402
import run_artifacts  # noqa: E402

from lab import others, play  # noqa: E402

CAPTURES = REPO / "tests" / "fixtures" / "captures"
RUNS = REPO / "tests" / "fixtures" / "runs"
LOCAL = {"all": {"hosts": {"web1": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}}}


def answers(playbook, **given):
    """The extra vars that a launch of this playbook's template hands to the job, with its survey's defaults."""
    templates = yaml.safe_load((REPO / "extensions" / "awx" / "job_templates.yml").read_text())["awx_job_templates"]
    survey = next(one["survey"] for one in templates if one["playbook"] == playbook)
    spec = yaml.safe_load((REPO / "extensions" / "awx" / "surveys" / f"{survey}.yml").read_text())
    return awx_standin.Awx(set()).launch({"survey_enabled": True, "_survey": {"spec": spec}}, given)


def question(survey, variable):
    spec = yaml.safe_load((REPO / "extensions" / "awx" / "surveys" / f"{survey}.yml").read_text())
    return next(item["question_name"] for item in spec if item["variable"] == variable)


def test_diagnose_of_a_sick_host_leaves_the_verdict(tmp_path):
    variables = {**answers("diagnose"), "kmem_replay": str(CAPTURES / "3.10.0-1160-leaking.json")}
    assert variables["kmem_probe"] == "false"  # multiple choice comes as text
    del variables["kmem_probe"]  # a replay cannot try anything
    job = awx_runner.run(tmp_path, "diagnose", LOCAL, variables)
    assert job.code == 0 and job.status == "successful", job.stdout
    left = job.artifacts["el7ops_kmem"]["web1"]
    assert (left["status"], left["verdict"], left["recommendation"]) == ("diagnosed", "leaking", "mitigate")
    assert left["kernel"].startswith("3.10.0-1160") and left["message"].startswith("web1: LEAKING")
    assert "Diagnose | Say what was found" in job.tasks()


@pytest.mark.parametrize("playbook, survey, variable", [
    ("remediate", "remediate", "kmem_strategy"), ("remediate", "remediate", "kmem_allow_reboot"), ("rollback", "rollback", "kmem_allow_reboot"),
    ("restore_kmem", "restore_kmem", "kmem_allow_reboot"),
])  # fmt: skip
def test_an_unanswered_question_fails_before_any_change_and_is_named(tmp_path, playbook, survey, variable):
    given = {"kmem_strategy": "mitigate"} if survey == "remediate" else {}
    given["kmem_allow_reboot"] = "true"
    variables = answers(playbook, **given)
    # AWX itself would refuse the launch; a node of a workflow, another controller or an empty answer would not
    del variables[variable]
    job = awx_runner.run(tmp_path, playbook, LOCAL, variables)
    assert job.code != 0 and job.status == "failed", job.stdout
    assert "REFUSED, nothing was changed on web1" in job.line() and f'"{question(survey, variable)}"' in job.line(), job.stdout
    # the first task of all: nothing ran on the host
    assert [one for one in job.tasks() if "Ask for what" not in one] == []
    with pytest.raises(awx_standin.Refused):
        answers(playbook, **{name: value for name, value in given.items() if name != variable})


def test_a_snapshot_that_nobody_spoke_of_is_refused_and_the_questions_are_named(tmp_path):
    """The role as a job of its own, without a terminal."""
    book = [{"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.include_role": {"name": "el7ops.kmem.snapshot_reminder"}}]}]
    variables = answers("remediate", kmem_strategy="upgrade", kmem_allow_reboot="true")
    job = awx_runner.run(tmp_path, "/snapshot.yml", LOCAL, variables, files={"snapshot.yml": yaml.safe_dump(book)})
    assert job.code != 0 and "REFUSED, nothing was changed" in job.line(), job.stdout
    for variable in ("snapshot_reminder_id", "snapshot_reminder_acknowledged"):
        assert f'"{question("remediate", variable)}"' in job.line(), job.stdout


def test_no_secret_is_in_any_event(tmp_path):
    """The worst that AWX can ask for: -vvv, with a token for a snapshot hook, a password for become and AWX's own token."""
    secrets = {"hook": "hook-secret-8d1f", "become": "become-secret-77aa", "token": awx_standin.TOKEN}
    book = [{"hosts": "all", "gather_facts": False, "tasks": [
        {"ansible.builtin.include_role": {"name": "el7ops.kmem.snapshot_reminder"}},
        {"ansible.builtin.debug": {"msg": "{{ snapshot_reminder_result }}"}},
    ]}]  # fmt: skip
    hook = tmp_path / "hook"
    hook.write_text('#!/bin/sh\necho "snap-of-$EL7OPS_KMEM_HOST"\n')
    hook.chmod(0o755)
    variables = {
        "snapshot_reminder_method": "hook", "snapshot_reminder_hook_command": [str(hook), "--token", "{{ hook_token }}"],
        "snapshot_reminder_run_id": "r1",
    }  # fmt: skip
    inventory = copy.deepcopy(LOCAL)
    inventory["all"]["hosts"]["web1"].update(hook_token=secrets["hook"], ansible_become_password=secrets["become"])
    (tmp_path / "one").mkdir()
    job = awx_runner.run(tmp_path / "one", "/snapshot.yml", inventory, variables, "-vvv", files={"snapshot.yml": yaml.safe_dump(book)})
    assert job.code == 0 and "snap-of-web1" in job.stdout, job.stdout
    with awx_standin.Server(awx_standin.Awx({f"playbooks/{path.stem}.yml" for path in (REPO / "playbooks").glob("*.yml")})) as server:
        (tmp_path / "two").mkdir()
        env = {"CONTROLLER_HOST": server.url, "CONTROLLER_OAUTH_TOKEN": secrets["token"],
               "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join([str(play.collections()), str(others.ensure())])}  # fmt: skip
        other = awx_runner.run(tmp_path / "two", "awx_configure", LOCAL, {}, "-vvv", env=env)
    assert other.code == 0, other.stdout
    for one in (job, other):
        assert len(one.events) > 10 and [name for name, secret in secrets.items() if secret in json.dumps(one.events) + one.stdout] == []


# -- what is left of a run -------------------------------------------------------


def test_what_a_job_leaves_of_a_run():
    left = run_artifacts.run_artifacts(json.loads((RUNS / "done-article.json").read_text()), "/r/page.html")
    assert left["status"] == "done" and left["strategy"] == "article" and left["report"] == "/r/page.html"
    assert left["reboots"] == 4 and left["downtime_s"] > 0 and left["verdict"] and left["verdict_before"] and left["kernel"] != left["kernel_before"]
    assert set(left["stages"].values()) == {"done"}


@pytest.mark.parametrize("path", sorted(RUNS.glob("*.json")), ids=lambda path: path.stem)
def test_a_document_of_any_kind_leaves_something_small(path):
    left = run_artifacts.run_artifacts(json.loads(path.read_text()))
    assert len(json.dumps(left)) < 20000 and "facts" not in left


@pytest.mark.parametrize("damaged", [None, [], {}, {"stages": None, "before": "x"}, {"stages": [3, {"reboots": [1], "name": None}]}])
def test_a_damaged_document_does_not_fail(damaged):
    assert run_artifacts.run_artifacts(damaged)["reboots"] == 0


def test_the_report_leaves_it_too(tmp_path):
    run = RUNS / "failed-update.json"
    job = awx_runner.run(tmp_path, "report", LOCAL, {"kmem_run_file": str(run), "common_report_dir": str(tmp_path / "reports")})
    left = job.artifacts["el7ops_kmem"]["web1"]
    assert job.code == 0 and left["status"] == "failed" and left["report"].endswith(".html"), job.stdout
    assert pathlib.Path(left["report"]).exists() and left["next"]


def test_lines_of_a_plan():
    lines = plan_lines.plan_lines({"Update": ["a would be installed"], "Reboot": []})
    assert lines == ["Update:", "  a would be installed", "Reboot: nothing to write or install"]
