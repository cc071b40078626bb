# SPDX-License-Identifier: GPL-3.0-or-later
"""The flow of a run and of a rollback around the modules: which comes when, and what the admin reads. Stand-ins answer for the modules, and
for the roles that are not looked at; each host of a run has answers of its own. The machines are for tests/e2e."""

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
WHY = yaml.safe_load((REPO / "playbooks" / "vars" / "why.yml").read_text())
EL7, UPDATE, ML = "3.10.0-1127.el7.x86_64", "3.10.0-1160.el7.x86_64", "6.9.7-1.el7.elrepo.x86_64"

# What every stand-in does: notes that it was called, and answers with what the host's world has for it in this boot.
STAND_IN = """#!/usr/bin/python
# WANT_JSON
import base64, json, os, sys
name, place = "@NAME@", os.environ["WORLD"]
args = json.load(open(sys.argv[1]))
world = json.load(open(place + "/world.json"))
boot = world["boots"][min(world["reboots"], len(world["boots"]) - 1)]
key = name + ":" + args.get("state", args.get("action", ""))
with open(place + "/calls", "a") as calls:
    calls.write(" ".join([key] + [str(args[one]) for one in ("kernel", "stage") if args.get(one)]) + "\\n")
answers = boot.get(key, [])
answer = answers[0] if answers else None
if len(answers) > 1:
    answers.pop(0)
if answer is None:
    answer = {}
    run = world["run"]
    if name == "run_state":
        for stage in run["stages"]:
            if stage["name"] == args.get("stage"):
                stage.update(args["values"])
        if args.get("action") == "end":
            run.update(args["values"])
        answer = dict(run=run, boot_id=boot["boot_id"], kernel=boot["kernel"], lock=None, restored=[], problem="")
    elif name == "boot_entry":
        default = args.get("kernel") or boot.get("default", boot["kernel"])
        boot["default"] = default
        answer = dict(default=dict(version=default, title=default, kernel=default), next=None, changes=[], backups=[], default_reason="saved_entry",
                      running=dict(release=boot["kernel"], default=default == boot["kernel"]), grubenv=dict(path="/grubenv"), entries=[])
    elif name == "boot_trial":
        trial = dict(dict(kernel="", old_kernel="", release=boot["kernel"], armed=False, running=False, reason="", record=""), **boot.get("trial", {}))
        if args.get("state") == "armed":
            boot["trial"] = dict(trial, kernel=args["kernel"], old_kernel=boot["kernel"], armed=True)
        if args.get("state") in ("removed", "confirmed"):
            boot["trial"] = {}
        answer = dict(trial=trial, changes=[], backups=[], findings=boot.get("findings", []))
    elif name == "kmem_facts":
        answer = dict(ansible_facts=dict(kmem=dict(kernel=dict(release=boot["kernel"], line="el7"), cmdline=dict(nokmem=False), euid=0,
                                                   container="", verdict="leaking", slab=dict(leaked=0), evidence=[])))
    elif name == "stand_in_slurp":
        answer = dict(content=base64.b64encode(boot["boot_id"].encode()).decode())
    elif name == "stand_in_reboot":
        world["reboots"] += 1
        answer = dict(elapsed=60)
    elif name == "stand_in_command":
        answer = dict(stdout="running")
json.dump(world, open(place + "/world.json", "w"))
print(json.dumps(answer))
"""
MODULES = ("run_state", "boot_entry", "boot_trial", "kmem_facts", "stand_in_slurp", "stand_in_reboot", "stand_in_command")
FACT = "- name: stand-in\n  ansible.builtin.set_fact: %s\n"
SERVICES = FACT % "{service_verify_result: {repaired: [], evidence: [], ok: true}}"
UPDATED = """- name: stand-in
  ansible.builtin.fail: {msg: the update broke}
  when: update_breaks | default(false)
- name: stand-in
  ansible.builtin.set_fact: {yum_update_result: {changed: true, reboot_required: false, changes: [updated], evidence: []}}
"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """The collection with stand-ins of what would need a host."""
    top = tmp_path_factory.mktemp("flow")
    there = top / "ansible_collections" / "el7ops" / "kmem"
    for name in ("roles", "playbooks", "meta"):
        shutil.copytree(REPO / name, there / name)
    for name in ("filter", "module_utils", "plugin_utils"):
        shutil.copytree(REPO / "plugins" / name, there / "plugins" / name)
    (there / "plugins" / "modules").mkdir()
    for name in MODULES:
        (there / "plugins" / "modules" / f"{name}.py").write_text(STAND_IN.replace("@NAME@", name))
    reboot = there / "roles" / "common" / "tasks" / "reboot.yml"
    reboot.write_text(re.sub(r"ansible\.builtin\.(slurp|reboot|command):", r"el7ops.kmem.stand_in_\1:", reboot.read_text()))
    for path, text in {
        "common/tasks/report.yml": FACT % "{reported: true}", "common/tasks/guard.yml": "- el7ops.kmem.kmem_facts:\n",
        "common/tasks/window.yml": FACT % "{common_window_result: {fits: true}}",
        "grub_default/tasks/witnesses.yml": FACT % "{__grub_default_evidence: []}",
        "service_verify/tasks/verify.yml": SERVICES, "service_verify/tasks/main.yml": SERVICES, "elrepo_kernel/tasks/undo.yml": FACT % "{undone: true}",
        "yum_update/tasks/main.yml": UPDATED,
    }.items():  # fmt: skip
        (there / "roles" / path).write_text(text)
    return there


def finding(code, survivable=False, blocks=True):
    return {"code": code, "blocks": blocks, "survivable": survivable, "text": f"the text of {code}"}


def world(*boots, strategy="upgrade", **of_stages):
    """A host whose kernel is on its way; the stages that are not named are done."""
    names = {"upgrade": ("yum_update", "elrepo_kernel", "grub_default", "restore_kmem"), "reboot": ("reboot",)}[strategy]
    stages = [{"name": name, "title": name, "status": "done", "changes": [], "evidence": [], "reboots": [], "release": ML, "package": "kernel-ml",
               **of_stages.get(name, {})} for name in names]  # fmt: skip
    before = {"kernel": EL7, "default_kernel": EL7, "services": {}, "facts": {"cmdline": {"nokmem": False}}}
    return {"reboots": 0, "boots": [{"boot_id": f"boot-{number}", "kernel": EL7, **boot} for number, boot in enumerate(boots or [{}])],
            "run": {"strategy": strategy, "status": "running", "snapshot": None, "after": None, "before": before, "stages": stages}}  # fmt: skip


class Seen:
    def __init__(self, place, chunks):
        self.calls = [line.strip() for line in (place / "calls").read_text().splitlines()]
        self.run = json.loads((place / "world.json").read_text())["run"]
        self.text = " ".join(" ".join(chunks).split())
        self.failed = any(chunk.startswith("fatal") for chunk in chunks)

    def stage(self, name):
        return next(one for one in self.run["stages"] if one["name"] == name)

    def order(self, *calls):
        return [call for call in self.calls if call in calls]


def go(stage, tmp_path, hosts, tasks, **variables):
    """Run the tasks on hosts (name: (world, variables of its own)); what was seen of each."""
    for name, (there, _own) in hosts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "world.json").write_text(json.dumps(there))
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    where = {name: {**here, "world": str(tmp_path / name), **own} for name, (_there, own) in hosts.items()}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": where}}))
    book = stage / "playbooks" / f"{tmp_path.name}.yml"
    book.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "environment": {"WORLD": "{{ world }}"}, "vars": WHY, "tasks": tasks}]))
    path = os.pathsep.join([str(stage.parents[2]), os.environ.get("ANSIBLE_COLLECTIONS_PATH", "")])
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": path, "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_FORCE_COLOR": "0",
           "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}  # fmt: skip
    done = subprocess.run(["ansible-playbook", "-i", str(tmp_path / "hosts.json"), str(book), "-e", json.dumps(variables)], env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)  # fmt: skip
    print(done.stdout[-20000:])
    chunks = re.split(r"(?m)^(?=(?:ok|changed|fatal|skipping|included|failed|TASK|PLAY)\b)", done.stdout)
    return {name: Seen(tmp_path / name, [chunk for chunk in chunks if chunk.partition("\n")[0].find(f"[{name}]") >= 0]) for name in hosts}


def included(name):
    return {"ansible.builtin.include_tasks": f"tasks/{name}.yml"}


READ = [
    {"el7ops.kmem.kmem_facts": {}},
    {"el7ops.kmem.run_state": {}, "register": "__kmem_state"},
    {"ansible.builtin.set_fact": {"__kmem_strategy": "{{ __kmem_state.run.strategy }}", "__kmem_paused": "", "service_verify_before": {},
                                  "__kmem_plan": "{{ __kmem_state.run.strategy | el7ops.kmem.run_plan }}"}},
]  # fmt: skip
WORK = [*READ, included("work")]
ON_TRIAL = {"kernel": ML, "trial": {"kernel": ML, "old_kernel": EL7, "running": True}}
STARTED = {"grub_default": {"status": "started"}, "restore_kmem": {"status": "done"}}


def role(tasks="main"):
    return {"ansible.builtin.include_role": {"name": "el7ops.kmem.grub_default", "tasks_from": tasks}, "vars": {"grub_default_kernel": ML}}


def test_a_kernel_that_would_not_start_is_refused_in_every_mode(stage, tmp_path):
    deadly = [finding(code) for code in ("initramfs", "root_driver", "network_driver", "secure_boot", "password")]
    loose = [finding(code, True) for code in ("environment_block", "one_shot", "grubenv_link")]
    cases = {f"{kind}-{mode}": (world({"findings": found}), {"grub_default_mode": mode})
             for kind, found in (("deadly", deadly), ("both", deadly + loose), ("loose", loose),
                                 ("fine", [finding("default", True), finding("x", blocks=False)]))
             for mode in ("trial", "saved", "article")}  # fmt: skip
    seen = go(stage, tmp_path, cases, [*READ[:1], role("trial_check")])
    for name, one in seen.items():
        kind, mode = name.split("-")
        assert one.failed == (kind in ("deadly", "both") or (kind == "loose" and mode == "trial")), name
        if kind in ("deadly", "both"):
            assert "the text of password" in one.text and "grub_default_mode=saved" not in one.text, name
    text = seen["loose-trial"].text
    assert "the text of one_shot" in text and "grub_default_mode=saved" in text and "What is lost then" in text


def test_main_looks_at_the_kernel_in_every_mode_and_writes_nothing_where_it_refuses(stage, tmp_path):
    cases = {mode: (world({"findings": [finding("initramfs")]}), {"grub_default_mode": mode}) for mode in ("trial", "saved", "article")}
    for mode, one in go(stage, tmp_path, cases, [role()]).items():
        assert one.failed and "the text of initramfs" in one.text, mode
        assert not any("default" in call or "armed" in call for call in one.calls), mode


def test_the_trial_is_armed_anew_only_where_somebody_has_taken_the_default(stage, tmp_path):
    armed = {"kernel": ML, "old_kernel": EL7, "armed": True}
    seen = go(stage, tmp_path, {
        "first": (world(), {}), "still": (world({"trial": armed}), {}), "taken": (world({"trial": armed, "findings": [finding("default", True)]}), {}),
        "runs": (world(ON_TRIAL), {}),
    }, [*READ[:1], role("rearm"), {"ansible.builtin.debug": {"var": "grub_default_result.reboot_required"}}])  # fmt: skip
    pin, arm = f"boot_entry:default {EL7}", f"boot_trial:armed {ML}"
    assert seen["first"].order(pin, arm) == [pin, arm] and seen["taken"].order(pin, arm) == [pin, arm]
    assert seen["still"].order(pin, arm) == [arm]
    # cut off between arming and noting it, and booted since: it must not become the default unconfirmed
    assert not any("default" in call or "armed" in call for call in seen["runs"].calls) and "reboot_required\": false" in seen["runs"].text


def test_a_trial_from_arming_to_its_end(stage, tmp_path):
    full = {"failed": True, "msg": "run.json cannot be written: No space left on device. Look: df -h"}
    pin, arm = f"boot_entry:default {EL7}", f"boot_trial:armed {ML}"
    seen = go(stage, tmp_path, {
        "good": (world({}, ON_TRIAL, **STARTED), {}),
        "full": (world({"boot_trial:armed": [{"failed": True, "msg": "No space left on device"}], "run_state:end": [full]}, **STARTED), {}),
        # armed, and then the note of it cannot be written
        "noted": (world({"run_state:stage": [None, full, None]}, **STARTED), {}),
        "stuck": (world({"run_state:stage": [None, full, None], "boot_trial:removed": [full]}, **STARTED), {}),
        "taken": (world({"boot_trial:armed": [None, {"failed": True, "msg": "not possible: the default was taken"}]}, ON_TRIAL, **STARTED), {}),
        "back": (world({}, {"trial": {"kernel": ML, "old_kernel": EL7, "reason": "It panicked."}}, **STARTED), {}),
    }, WORK, kmem_allow_reboot=True)  # fmt: skip
    good = seen["good"]
    assert not good.failed and good.run["status"] == "done"
    once = good.order(arm, "stand_in_reboot:", "boot_trial:seen", "stand_in_command:", f"boot_trial:confirmed {ML}")
    assert once == [arm, arm, "stand_in_reboot:", "boot_trial:seen", "stand_in_command:", "boot_trial:seen", f"boot_trial:confirmed {ML}"]
    assert "Should the run end with UNREACHABLE" in good.text and "600 s after the boot" in good.text and "2400 s" in good.text

    assert "No space left on device" in seen["full"].text and "THE END OF THE RUN COULD NOT BE WRITTEN DOWN" in seen["full"].text
    assert "STATE of full" in seen["full"].text and "NEXT: Repair" in seen["full"].text and "stand_in_reboot:" not in seen["full"].calls

    noted = seen["noted"]
    assert noted.failed and noted.run["status"] == "failed" and "stand_in_reboot:" not in noted.calls and "df -h" in noted.run["message"]
    assert noted.order(arm, "boot_trial:removed", pin)[-3:] == [arm, "boot_trial:removed", pin]
    assert "was not booted and is given up" in noted.text and "STATE of noted" in noted.text and "ROLLED BACK" not in noted.text
    assert "GIVING UP THE TRIAL FAILED" in seen["stuck"].text and "unset next_entry" in seen["stuck"].text

    taken = seen["taken"]
    assert taken.failed and "stand_in_reboot:" not in taken.calls and taken.order("boot_trial:removed", pin)[-2:] == ["boot_trial:removed", pin]
    # the same command begins the stage anew
    assert taken.stage("grub_default")["rebooting_from"] == "" and taken.run["status"] == "failed"

    assert "ROLLED BACK" in seen["back"].text and "It panicked." in seen["back"].text and seen["back"].run["status"] == "rolled_back"


def test_what_an_update_installs_is_not_the_default_before_its_trial(stage, tmp_path):
    pending = {"yum_update": {"status": "pending"}, "elrepo_kernel": {"status": "done"}, "grub_default": {"status": "done"}}
    breaks = {"update_breaks": True}
    seen = go(stage, tmp_path, {
        "good": (world(**pending), {}), "breaks": (world(**pending), breaks),
        "worse": (world({"boot_entry:default": [{"failed": True, "msg": "no entry"}]}, **pending), breaks),
    }, WORK, kmem_allow_reboot=True)  # fmt: skip
    pin = f"boot_entry:default {EL7}"
    assert seen["good"].calls.count(pin) == 1 and seen["good"].run["status"] == "done"
    assert seen["breaks"].calls.count(pin) == 1 and "the update broke" in seen["breaks"].text and "STATE of breaks" in seen["breaks"].text
    assert "COULD NOT BE KEPT THE DEFAULT: no entry" in seen["worse"].text and "the update broke" in seen["worse"].text


def test_a_reboot_into_another_kernel_is_said_before_it(stage, tmp_path):
    pending = {"strategy": "reboot", "reboot": {"status": "pending"}}
    seen = go(stage, tmp_path, {
        "same": (world({}, {}, **pending), {"kmem_allow_reboot": True}),
        "other": (world({"default": UPDATE}, {"kernel": UPDATE}, **pending), {"kmem_allow_reboot": True}),
        "left": (world({"default": UPDATE}, **pending), {"kmem_allow_reboot": False}),
    }, WORK)  # fmt: skip
    assert "ATTENTION" not in seen["same"].text and not seen["same"].failed
    assert f"starts kernel {UPDATE}, and {EL7} runs now" in seen["other"].text and "stand_in_reboot:" in seen["other"].calls
    assert f"starts kernel {UPDATE}" in seen["left"].run["message"] and "PREPARED" in seen["left"].run["message"]
    assert not any("boot_entry:default" in call for one in seen.values() for call in one.calls)


def test_where_no_module_can_run_it_is_said_where_to_look(stage, tmp_path):
    full = {"failed": True, "msg": "MODULE FAILURE", "module_stderr": "Traceback:\nIOError: [Errno 28] No space left on device\n"}
    seen = go(stage, tmp_path, {"full": (world({"run_state:": [full]}), {})}, [included("read_state"), included("go_back")])
    assert seen["full"].failed and seen["full"].calls == ["run_state:"]
    assert "REFUSED, nothing was changed on full: MODULE FAILURE IOError: [Errno 28] No space left on device. If it names" in seen["full"].text
    assert "df -h" in seen["full"].text and "type the same command again" in seen["full"].text


def test_a_rollback_boots_the_kernel_that_ran(stage, tmp_path):
    def odd(*boots, **after):
        there = world(*boots)
        there["run"]["before"]["default_kernel"] = UPDATE
        there["run"].update(after)
        return there

    new, yes, no = {"kernel": ML, "default": ML}, {"kmem_allow_reboot": True}, {"kmem_allow_reboot": False}
    seen = go(stage, tmp_path, {
        "usual": (world(dict(new, default=EL7), {}), yes),
        "odd": (odd(dict(new, default=UPDATE), {}), yes),
        "again": (odd({"default": UPDATE}, after={"default_kernel": EL7}), yes),
        "unbooted": (odd({"default": UPDATE}), yes),
        "left": (world(dict(ON_TRIAL, default=EL7)), no),
    }, [*READ, included("go_back")])  # fmt: skip
    pin, reboot = f"boot_entry:default {EL7}", "stand_in_reboot:"
    assert seen["usual"].order(pin, reboot) == [reboot] and not seen["usual"].failed
    assert seen["odd"].order("run_state:restore", pin, reboot) == ["run_state:restore", pin, reboot] and not seen["odd"].failed
    assert f"The default entry is {EL7}. Before the run it was {UPDATE}" in seen["odd"].text and f"state=default kernel={UPDATE}" in seen["odd"].text
    assert seen["odd"].run["after"]["default_kernel"] == EL7
    assert seen["again"].order(pin, reboot) == [pin]
    # nothing is to be booted: the files are those of before
    assert seen["unbooted"].order(pin, reboot) == [] and f"the next boot starts kernel {UPDATE}" in seen["unbooted"].text
    assert seen["left"].failed and "leaves to you: the unit" in seen["left"].text and "is stopped" in seen["left"].text
