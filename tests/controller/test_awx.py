# SPDX-License-Identifier: GPL-3.0-or-later
"""AWX: the linter of surveys, what is in extensions/awx, and awx_configure against a stand-in of AWX's API."""

import copy
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO), str(REPO / "tests"), str(REPO / "plugins" / "filter")]

import awx_faults  # noqa: E402
import awx_standin  # noqa: E402
import run_plan  # noqa: E402

from lab import others, venv  # noqa: E402

AWX = REPO / "extensions" / "awx"
NAMES = yaml.safe_load((AWX / "names.yml").read_text())
SPECS = yaml.safe_load((AWX / "variables.yml").read_text())["playbook_specs"]
PLAYBOOKS = {f"playbooks/{name}.yml" for name in SPECS}
# what playbooks hand to one another, no public variables
INTERNAL = {"kmem_stage", "kmem_values", "kmem_document"}


def templates():
    found = yaml.safe_load((AWX / "job_templates.yml").read_text())["awx_job_templates"]
    for one in found:
        one["spec"] = yaml.safe_load((AWX / "surveys" / f"{one['survey']}.yml").read_text()) if "survey" in one else []
    return found


def template(playbook):
    return next(one for one in templates() if one["playbook"] == playbook)


def faults(*ones):
    return awx_faults.awx_faults(list(ones), SPECS, REPO / "roles")


# -- the linter ----------------------------------------------------------------


def broken(**values):
    """The Remediate template with a change in its integer question, or in the one that VARIABLE names."""
    one = template("remediate")
    variable = values.pop("of", "snapshot_reminder_keep_days")
    (question,) = [item for item in one["spec"] if item["variable"] == variable]
    question.update(values)
    return one


def without(variable):
    one = template("remediate")
    one["spec"] = [item for item in one["spec"] if item["variable"] != variable]
    return one


def scheduled(**answers):
    return {**template("remediate"), "answers": {**NAMES["awx_schedule_answers"], **answers}}


BROKEN = {
    "an integer default above the maximum": (broken(default=31), "not within min 1 and max 30"),
    "an integer default below the minimum": (broken(default=0), "not within min 1"),
    "a minimum above the maximum": (broken(min=40), "min 40 is above max 30"),
    "an integer default as text": (broken(default="3"), "'3' is not of the type integer"),
    "a bound as text": (broken(max="30"), "whole numbers"),
    "an empty variable": (broken(variable=""), "variable is empty"),
    "a variable with a dash": (broken(variable="snapshot-id"), "no name that Ansible takes"),
    "an empty question": (broken(question_name=" "), "question_name is empty"),
    "required as text": (broken(required="yes"), "neither true nor false"),
    "choices without a value": (broken(of="kmem_strategy", choices=None), "AWX answers 500"),
    "no choices": (broken(of="kmem_strategy", choices=[]), "must be a list of words"),
    "choices that YAML made something else of": (broken(of="kmem_allow_reboot", choices=[True, False]), "in quotes"),
    "a default that is no choice": (broken(of="elrepo_kernel_flavor", default="xl"), "'xl' is none of its choices"),
    "an unknown type": (broken(type="boolean"), "does not know the type 'boolean'"),
    "a variable that no playbook reads": (broken(variable="kmem_stategy"), "the playbook remediate does not read it"),
    "a variable that is asked for twice": (broken(variable="snapshot_reminder_id", type="text", default=""), "asked for twice"),
    "a required variable that nobody asks for": (without("kmem_strategy"), "requires it, and no required question asks for it"),
    "a required variable that may be left out": (broken(of="kmem_strategy", required=False), "the question may be left unanswered"),
    "an integer for a text": (broken(variable="yum_update_repos"), "of type integer, and the variable is str"),
    "a text for an integer": (broken(of="kmem_serial", type="text", default="1"), "of type text, and the variable is int"),
    "a choice that the role does not take": (broken(of="elrepo_kernel_flavor", choices=["ml", "lt", "xl"]), "does not take 'xl'"),
    "a choice that is no yes or no": (broken(of="kmem_allow_reboot", choices=["true", "perhaps"]), "does not take 'perhaps'"),
    "a free text where there are choices": (broken(of="elrepo_kernel_flavor", type="text"), "the question has none"),
    "a scheduled answer that is no choice": (scheduled(kmem_strategy="cure"), "its answer to kmem_strategy: 'cure' is none of its choices"),
    "a scheduled answer that is no text": (scheduled(kmem_allow_reboot=True), "True is not of the type multiplechoice"),
    "a scheduled answer that nobody asked for": (scheduled(kmem_stategy="mitigate"), "its answer to kmem_stategy: no question asks for it"),
    "a question that a schedule leaves open": ({**template("remediate"), "answers": {}}, "it does not answer kmem_strategy"),
    "a text that is too short for its own minimum": (broken(of="kmem_window", min=5), "min is 5 and there is no default"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_the_linter_finds(case):
    one, words = BROKEN[case]
    found = faults(one)
    assert any(words in fault and fault.startswith("kmem | ") for fault in found), found


def test_the_linter_finds_nothing_in_ours_and_says_what_is_no_playbook():
    assert faults(*templates(), scheduled()) == []
    assert "there is no playbook x" in faults({"name": "a", "playbook": "x"})[0]
    # extra_vars of the template answer, too
    assert faults(dict(without("kmem_strategy"), extra_vars={"kmem_strategy": "mitigate"})) == []


def test_what_awx_accepts_of_the_broken_ones_is_why_there_is_a_linter():
    taken = {}
    for case, (one, _words) in BROKEN.items():
        try:
            awx_standin.check_spec({"spec": one["spec"]})
            taken[case] = True
        except awx_standin.Refused as refused:
            taken[case] = refused.status
    assert taken["an integer default above the maximum"] is True and taken["an empty variable"] is True
    assert taken["choices without a value"] == 500
    assert taken["an unknown type"] == taken["a default that is no choice"] == taken["a variable that is asked for twice"] == 400


# -- playbooks and their variables ----------------------------------------------


def test_the_playbooks_read_what_is_declared_and_nothing_else():
    text = {path: path.read_text() for path in (REPO / "playbooks").glob("**/*.yml")}
    read = {name for one in text.values() for name in re.findall(r"(?<![\w.])kmem_[a-z0-9_]+(?!\w)", one)}
    declared = {name for spec in SPECS.values() for name in spec["options"]}
    assert read - INTERNAL - {"kmem_facts"} == declared
    for name, spec in SPECS.items():
        assert (REPO / "playbooks" / f"{name}.yml").exists()
        assert all((REPO / "roles" / role).is_dir() for role in spec["roles"])


def test_strategies_are_those_of_the_plan():
    choices = SPECS["remediate"]["options"]["kmem_strategy"]["choices"]
    assert set(choices) == {"auto", *run_plan.STRATEGIES}
    asked = next(item for item in template("remediate")["spec"] if item["variable"] == "kmem_strategy")
    assert set(asked["choices"]) == set(choices) - {"restore_kmem"}


def test_templates_workflow_and_docs_name_the_same_things():
    names = {one["name"] for one in templates()}
    workflow = yaml.safe_load((AWX / "workflow.yml").read_text())["awx_workflow"]
    nodes = {node["identifier"]: node for node in workflow["nodes"]}
    assert {node["job_template"] for node in nodes.values() if "job_template" in node} <= names
    # the order of a night: diagnose, approval, remediate, verify; and back where it fails
    assert nodes["diagnose"]["success"] == ["approve"] and nodes["approve"]["success"] == ["remediate"]
    assert nodes["remediate"]["success"] == ["verify"] and nodes["remediate"]["failure"] == ["roll_back"]
    assert nodes["roll_back"]["answers"] == {"kmem_only_failed": "true"}
    text = (REPO / "docs" / "awx.md").read_text()
    assert [name for name in [*names, workflow["name"]] if "`" + name.replace("|", "\\|") + "`" not in text] == []


# -- awx_configure against the stand-in ------------------------------------------


def guide():
    """names.yml and the command that docs/awx.md shows."""
    lines = (REPO / "docs" / "awx.md").read_text().splitlines()
    (command,) = [line.split() for line in lines if line.strip().startswith("ansible-playbook el7ops.kmem.awx_configure")]
    return "\n".join(line.strip() for line in lines if line.strip().startswith("awx_")), command


def configure(server, argv, cwd=REPO):
    env = venv.environment(os.pathsep.join([str(REPO.parents[2]), str(others.ensure())]))
    env.update(CONTROLLER_HOST=server.url, CONTROLLER_OAUTH_TOKEN=awx_standin.TOKEN)
    done = subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    """A stand-in that was configured twice, as docs/awx.md says."""
    awx, folder = awx_standin.Awx(PLAYBOOKS), tmp_path_factory.mktemp("names")
    names, command = guide()
    (folder / "names.yml").write_text(names)
    with awx_standin.Server(awx) as server:
        runs = [configure(server, command, folder), configure(server, command, folder)]
        yield awx, runs, server, (command, folder)


def test_configured_twice_it_changes_first_and_then_nothing(configured):
    awx, ((code, first), (again, second)), _server, _how = configured
    assert code == 0 and not re.search(r"changed=0\b", first), first
    assert again == 0 and re.search(r"changed=0 ", second), second
    assert len(awx.objects["job_templates"]) == len(templates())
    assert awx_standin.TOKEN not in first + second
    names = yaml.safe_load(guide()[0])
    assert awx.named("projects", "kmem")["scm_url"] == names["awx_scm_url"] and len(names) == 6
    assert awx.named("execution_environments", "kmem")["image"] == names["awx_execution_environment_image"]


def test_what_is_in_awx_is_what_was_meant(configured):
    awx = configured[0]
    for one in awx.objects["job_templates"].values():
        assert one["allow_simultaneous"] is False and one["ask_limit_on_launch"] and one["ask_credential_on_launch"]
        assert len(awx.links[one["url"], "credentials"]) == 1
        assert one["survey_enabled"] == bool(one.get("_survey"))
    assert awx.named("job_templates", "kmem | Plan")["job_type"] == "check"
    nodes = {one["identifier"]: one for one in awx.objects["workflow_job_template_nodes"].values()}
    links = {(awx.objects["workflow_job_template_nodes"][int(url.split("/")[-2])]["identifier"], name): linked
             for (url, name), linked in awx.links.items() if "_nodes" in name and linked}  # fmt: skip
    assert links == {
        ("diagnose", "success_nodes"): [nodes["approve"]["id"]], ("approve", "success_nodes"): [nodes["remediate"]["id"]],
        ("remediate", "success_nodes"): [nodes["verify"]["id"]], ("remediate", "failure_nodes"): [nodes["roll_back"]["id"]],
    }  # fmt: skip
    assert awx.objects["workflow_approval_templates"][nodes["approve"]["unified_job_template"]]["timeout"] == 14400
    (schedule,) = awx.objects["schedules"].values()
    assert schedule["enabled"] is False and schedule["rrule"].startswith("DTSTART;TZID=Europe/Berlin:")


def test_a_changed_survey_is_the_only_thing_that_changes(configured):
    awx, _runs, server, how = configured
    survey = awx.named("job_templates", "kmem | Remediate")["_survey"]
    survey["spec"][0]["question_name"] = "somebody changed it by hand"
    code, output = configure(server, *how)
    assert code == 0 and "changed=1 " in output, output
    assert awx.named("job_templates", "kmem | Remediate")["_survey"]["spec"][0]["question_name"] == "Strategy"


@pytest.mark.parametrize("case", ["choices without a value", "an integer default above the maximum", "a required variable that nobody asks for"])
def test_a_broken_survey_is_refused_before_any_call(configured, tmp_path, case):
    awx, _runs, server, _how = configured
    checkout = tmp_path / "checkout"
    for name in ("playbooks", "extensions", "roles"):
        shutil.copytree(REPO / name, checkout / name)
    (checkout / "extensions" / "awx" / "surveys" / "remediate.yml").write_text(yaml.safe_dump(BROKEN[case][0]["spec"]))
    before = len(awx.calls)
    code, output = configure(server, ["ansible-playbook", str(checkout / "playbooks" / "awx_configure.yml")], checkout)
    assert code != 0 and "REFUSED, no call was made to AWX" in " ".join(output.split()), output
    assert BROKEN[case][1] in " ".join(output.split()), output
    assert len(awx.calls) == before


def launch(awx, name, **answers):
    return awx.launch(awx.named("job_templates", name), copy.deepcopy(answers))


def test_a_launch_hands_on_text_and_integers_and_refuses_what_awx_refuses(configured):
    awx = configured[0]
    given = launch(awx, "kmem | Remediate", kmem_strategy="mitigate", kmem_allow_reboot="true", undeclared="x")
    assert given == {
        "kmem_strategy": "mitigate", "kmem_allow_reboot": "true", "kmem_window": "", "kmem_window_timezone": "UTC",
        "snapshot_reminder_acknowledged": "false", "snapshot_reminder_id": "", "snapshot_reminder_keep_days": 3,
        "elrepo_kernel_flavor": "ml", "kmem_serial": 1, "runc_nokmem_url": "", "runc_nokmem_sha256": "",
    }  # fmt: skip
    for wrong in ({"kmem_strategy": "mitigate"}, {"kmem_strategy": "x", "kmem_allow_reboot": "true"},
                  {"kmem_strategy": "mitigate", "kmem_allow_reboot": "true", "kmem_serial": 51}):  # fmt: skip
        with pytest.raises(awx_standin.Refused) as refused:
            launch(awx, "kmem | Remediate", **wrong)
        assert refused.value.status == 400 and json.dumps(refused.value.body)
