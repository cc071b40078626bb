# SPDX-License-Identifier: GPL-3.0-or-later
"""What ran before against what runs now, and the role with stand-ins of the commands that it asks."""

import http.server
import json
import pathlib
import subprocess
import sys
import threading

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "plugins" / "filter"))

import service_changes as services  # noqa: E402


def shown(*units):
    """C(systemctl show) for units given as (name, ActiveState, SubState, UnitFileState, {more})."""
    blocks = []
    for name, active, sub, file, *more in units:
        block = {"Id": name, "Names": name, "LoadState": "loaded", "ActiveState": active, "SubState": sub, "UnitFileState": file, "Type": "simple",
                 "Result": "success", "FragmentPath": f"/usr/lib/systemd/system/{name}", **(more[0] if more else {})}  # fmt: skip
        blocks.append("\n".join(f"{key}={value}" for key, value in block.items() if value is not None))
    return "\n\n".join(blocks) + "\n"


# systemd prints Type, Result, Id, Names in its own order; the order does not matter here
HOST = shown(
    ("mariadb.service", "active", "running", "enabled", {"Names": "mysql.service mariadb.service"}),
    ("docker.service", "active", "running", "enabled", {"Type": "notify"}),
    ("containerd.service", "active", "running", "disabled"),
    ("sshd.service", "active", "running", "enabled"),
    ("network.service", "active", "exited", "bad", {"FragmentPath": "/run/systemd/generator.late/network.service", "Type": "forking"}),
    ("iptables.service", "active", "exited", "enabled", {"Type": "oneshot"}),
    ("kdump.service", "active", "exited", "enabled", {"Type": "oneshot"}),
    ("atd.service", "inactive", "dead", "enabled"),
    ("el7ops-kmem-runc.service", "inactive", "dead", "enabled"),
    ("broken.service", "failed", "failed", "disabled", {"Result": "exit-code"}),
    ("polkit.service", "active", "running", "static"),
    ("systemd-journald.service", "active", "running", "static"),
    ("systemd-readahead-done.service", "active", "running", "enabled"),
    ("user@0.service", "active", "running", "static"),
    ("getty@tty1.service", "active", "running", "enabled"),
    ("run-1234.service", "active", "running", "transient"),
    ("trial.service", "active", "running", "", {"FragmentPath": "/run/systemd/system/trial.service"}),
    ("yum-makecache.service", "activating", "start", "static", {"Type": "oneshot"}),
    ("gone.service", "inactive", "dead", "", {"LoadState": "not-found"}),
)


def test_the_record_holds_services_and_nothing_of_systemds_own():
    record = services.service_record(HOST)
    assert record["failed"] == ["broken.service"]
    assert {name: (unit["state"], unit["enabled"]) for name, unit in record["units"].items()} == {
        "mariadb.service": ("running", True), "docker.service": ("running", True), "containerd.service": ("running", False),
        "sshd.service": ("running", True), "network.service": ("done", False), "iptables.service": ("done", True),
        "kdump.service": ("done", True), "atd.service": ("stopped", True),
    }  # fmt: skip


def test_a_host_as_before_has_no_difference():
    plan = services.service_changes(services.service_record(HOST), HOST, ["kdump.service"])
    assert (plan["repairs"], plan["problems"], plan["waiting"]) == ([], [], [])
    assert len(plan["notes"]) == 1 and "broken.service had failed before" in plan["notes"][0]


# unit before, unit now, what is to be: repaired (enable, start), a problem, waited for, noted
CASES = {
    "stopped and disabled by an update": (("running", True), ("inactive", "dead", "disabled"), {"repairs": [(True, True)]}),
    "stopped": (("running", True), ("inactive", "dead", "enabled"), {"repairs": [(False, True)]}),
    "disabled": (("running", True), ("active", "running", "disabled"), {"repairs": [(True, False)]}),
    "failed": (("running", False), ("failed", "failed", "disabled", {"Result": "exit-code"}), {"repairs": [(False, True)]}),
    "reloading is running": (("running", True), ("reloading", "reload", "enabled"), {}),
    "on its way": (("running", True), ("activating", "start", "enabled"), {"repairs": [(False, True)], "waiting": 1}),
    "a job is queued": (("running", True), ("inactive", "dead", "enabled", {"Job": "123"}), {"repairs": [(False, True)], "waiting": 1}),
    "better than before": (("stopped", True), ("active", "running", "enabled"), {}),
    "enabled, and stopped by hand before": (("stopped", True), ("inactive", "dead", "enabled"), {}),
    "only enabled before, disabled now": (("stopped", True), ("inactive", "dead", "disabled"), {"repairs": [(True, False)]}),
    "masked": (("running", True), ("inactive", "dead", "masked", {"LoadState": "masked"}), {"problems": "is now masked"}),
    "its package is gone": (("running", True), ("inactive", "dead", "", {"LoadState": "not-found"}), {"problems": "is now gone"}),
    "not enableable any more": (("running", True), ("active", "running", "static"), {"notes": "cannot be enabled"}),
    "a oneshot that skips its work": (("done", True), ("inactive", "dead", "enabled"), {}),
    "a oneshot that fails": (("done", True), ("failed", "failed", "enabled", {"Result": "exit-code"}), {"repairs": [(False, True)]}),
    "failed before already": (("failed", True), ("failed", "failed", "enabled"), {}),
    "nothing could be read": (("running", True), None, {"problems": "could not be read"}),
}


@pytest.mark.parametrize("case", CASES)
def test_changes_of_a_unit(case):
    (state, enabled), now, expected = CASES[case]
    before = {"units": {"x@1.service": {"state": state, "enabled": enabled}}, "failed": []}
    plan = services.service_changes(before, shown(("x@1.service", *now)) if now else "")
    assert [(one["enable"], one["start"]) for one in plan["repairs"]] == expected.get("repairs", [])
    assert len(plan["waiting"]) == expected.get("waiting", 0)
    for key in ("problems", "notes"):
        assert len(plan[key]) == (key in expected) and all(expected[key] in line for line in plan[key])
    for line in plan["problems"] + [one["problem"] for one in plan["repairs"]]:
        assert "x@1.service was" in line and "Type: " in line
    ignored = services.service_changes(before, shown(("x@1.service", *now)) if now else "", ["x@1.service"])
    assert not ignored["repairs"] and not ignored["problems"]


def test_what_is_said_of_a_database_that_an_update_left_stopped():
    before = services.service_record(HOST)
    (one,) = services.service_changes(before, HOST.replace("ActiveState=active\nSubState=running\nUnitFileState=enabled", "ActiveState=inactive\n"
                                                           "SubState=dead\nUnitFileState=disabled", 1))["repairs"]  # fmt: skip
    assert one["repaired"] == "mariadb.service was running and enabled before, was found inactive and disabled: enabled and started"
    assert one["problem"].endswith("Type: journalctl -u mariadb.service -n 50; systemctl enable mariadb.service; systemctl start mariadb.service")


def test_a_renamed_unit_is_found_by_its_other_name_and_the_network_is_never_started():
    before = {"units": {"mysql.service": {"state": "running", "enabled": True}}, "failed": []}
    plan = services.service_changes(before, shown(("mariadb.service", "active", "running", "enabled", {"Names": "mariadb.service mysql.service"})))
    assert not plan["repairs"] and not plan["problems"]
    before = {"units": {"network.service": {"state": "done", "enabled": False}}, "failed": []}
    plan = services.service_changes(before, shown(("network.service", "failed", "failed", "bad")))
    assert not plan["repairs"] and "not started from here" in plan["problems"][0]


@pytest.mark.parametrize("text", ["", None, "\n\n", "Id=x.service", "garbage", "=\n=", "ActiveState=active"])
def test_odd_output_of_systemctl_is_no_record(text):
    assert services.service_record(text) == {"units": {}, "failed": []}


def one(name="web", status="running", looping=False, policy="always", code=0, count=0, **more):
    return {"name": name, "runtime": "docker", "image": "busybox:lab", "status": status, "restart_policy": policy, "auto_remove": False, "exit_code": code,
            "looping": looping, "restart_count_before": count, "restart_count_after": count, "restarts_in_interval": 0, **more}  # fmt: skip


def churn(*containers, answers=True, boot_id="b", interval=60.0, missing=()):
    return {"present": True, "answers": answers, "boot_id": boot_id, "interval": interval, "missing": list(missing), "containers": list(containers)}


CONTAINER_CASES = {
    "as before": ([one()], churn(one()), {"as_before": 1}),
    "it did not run before": ([one(status="exited")], churn(one(status="exited")), {"as_before": 0}),
    "stopped": ([one()], churn(one(status="exited", code=137)), {"repairs": 1, "waiting": 1}),
    "stopped, and nothing starts it": ([one(policy="no")], churn(one(status="exited", policy="no", code=1)), {"repairs": 1}),
    "a job that has ended": ([one(policy="no")], churn(one(status="exited", policy="no")), {"notes": "ended by itself"}),
    "a job that the reboot ended": ([one(policy="no")], churn(one(status="exited", policy="no"), boot_id="c"), {"repairs": 1}),
    "gone": ([one()], churn(), {"problems": "does not exist any more"}),
    "a job with --rm that is gone": ([one(auto_remove=True)], churn(), {"notes": "--rm"}),
    "a loop is new": ([one()], churn(one(looping=True, status="restarting", count=9)), {"loops": "did not before", "as_before": 1}),
    "a loop of a container that is new": ([], churn(one(looping=True)), {"loops": "did not before"}),
    "a loop is old": ([one(looping=True, status="restarting")], churn(one(looping=True)), {"notes": "as it did before", "as_before": 1}),
    "a loop that the record's looks missed": ([one(count=11)], churn(one(looping=True)), {"notes": "as it did before", "as_before": 1}),
    "a loop that had been given up": ([one(status="exited", count=11)], churn(one(looping=True)), {"notes": "as it did before"}),
    "a loop of one that restarted twice": ([one(count=2)], churn(one(looping=True)), {"loops": "did not before", "as_before": 1}),
    "a loop was old, it gave up": ([one(looping=True)], churn(one(status="exited", code=3)), {"notes": "restarted over and over before"}),
    "a loop is not known": ([one()], churn(one(looping=None)), {"loops": "could not be read", "as_before": 1}),
    "it came between the looks": ([], churn(one(looping=None, restart_count_before=None)), {}),
    "no second look": ([one()], churn(one(), interval=0), {"loops": "no second look", "as_before": 1}),
    "no answer": ([one()], churn(answers=False, missing=["docker: no answer within 20 s"]), {"problems": "no answer within 20 s"}),
    "the runtime is gone": ([one()], churn(answers=None), {"problems": "no container runtime"}),
    "a pod's next attempt": ([one("k8s_app_web_ns_uid_0")], churn(one("k8s_app_web_ns_uid_1"), one("k8s_app_web_ns_uid_0", "exited")), {"as_before": 1}),
    "a pod is elsewhere": ([one("k8s_app_web_ns_uid_0")], churn(), {"notes": "kubelet"}),
    "not all was read": ([one()], churn(one(), missing=["docker: events: exit code 1"]), {"notes": "Not all could be read", "as_before": 1}),
}


@pytest.mark.parametrize("case", CONTAINER_CASES)
def test_changes_of_containers(case):
    was, now, expected = CONTAINER_CASES[case]
    before = services.service_container_record(churn(*was))
    plan = services.service_containers(before, now, 60)
    assert plan["as_before"] == expected.get("as_before", 0)
    assert (len(plan["repairs"]), len(plan["waiting"])) == (expected.get("repairs", 0), expected.get("waiting", 0))
    for key in ("problems", "loops", "notes"):
        assert len(plan[key]) == (key in expected) and all(expected[key] in line for line in plan[key]), plan
    for line in plan["problems"] + plan["loops"] + [repair["problem"] for repair in plan["repairs"]]:
        assert "Type: " in line


def test_a_runtime_that_did_not_answer_before_is_not_held_to_it():
    before = services.service_container_record(churn(answers=False))
    assert services.service_containers(before, churn(answers=False), 0)["problems"] == []
    plan = services.service_containers(before, churn(one(looping=True)), 60)
    assert plan["loops"] == [] and "whether it did before is not known" in plan["notes"][0]


DENIED = {"rc": 1, "stdout": "", "stderr": "ERROR 1045 (28000): Access denied for user 'root'@'localhost' (using password: NO)"}
DOWN = {"rc": 1, "stdout": "", "stderr": "ERROR 2002 (HY000): Can't connect to local MySQL server through socket '/var/lib/mysql/mysql.sock' (2)"}
NO_COMMAND = {"rc": 2, "msg": "[Errno 2] No such file or directory"}
UNITS = {"mariadb.service": {"state": "running", "enabled": True}}


def answer(version):
    return {"rc": 0, "stdout": version + "\n", "stderr": ""}


@pytest.mark.parametrize("units, query, expected", [
    (UNITS, answer("5.5.68-MariaDB"), (True, "mariadb.service", True, True, "5.5.68-MariaDB")),
    (UNITS, DENIED, (True, "mariadb.service", True, True, "")), (UNITS, DOWN, (True, "mariadb.service", True, False, "")),
    (UNITS, NO_COMMAND, (True, "mariadb.service", True, False, "")), (UNITS, {}, (True, "mariadb.service", True, None, "")),
    ({}, {}, (False, None, False, None, "")), ({"mysqld.service": {"state": "stopped", "enabled": True}}, {}, (True, "mysqld.service", False, None, "")),
])  # fmt: skip
def test_record_of_the_database(units, query, expected):
    assert tuple(services.service_mariadb_record(units, query).values()) == expected


@pytest.mark.parametrize("ping, query, problems, evidence", [
    ({"rc": 0}, answer("5.5.68-MariaDB"), "", "answers a query: version 5.5.68-MariaDB"),
    ({"rc": 0}, answer("10.5.21-MariaDB"), "", "mysql_upgrade"),
    ({"rc": 0}, DENIED, "", "not allowed to root"),
    ({"rc": 0}, DOWN, "a query fails: ERROR 2002", ""), ({"rc": 0}, answer("garbage"), "a query fails", ""), ({"rc": 0}, NO_COMMAND, "a query fails", ""),
    (dict(DOWN), {"skipped": True}, "does not answer 'mysqladmin ping'", ""), (NO_COMMAND, {}, "No such file", ""), ({}, {}, "does not answer", ""),
])  # fmt: skip
def test_the_database(ping, query, problems, evidence):
    before = services.service_mariadb_record(UNITS, answer("5.5.68-MariaDB"))
    plan = services.service_mariadb(before, ping, query)
    assert bool(plan["problems"]) == bool(problems) and problems in " ".join(plan["problems"]) and evidence in " ".join(plan["evidence"])


STATUS = """run: gitaly: (pid 1108) 5000s; run: log: (pid 1100) 5001s
run: puma: (pid 1200) {}s; run: log: (pid 1101) 5001s
run: sidekiq: (pid {}) 400s; run: log: (pid 1102) 5001s
down: sentinel: 5s; run: log: (pid 1103) 5001s
"""


def gitlab(status=200, first=STATUS.format(34, 7), second=STATUS.format(54, 7), before=200):
    page = {"status": status, "url": "http://localhost/-/readiness"}
    return services.service_gitlab({"status": before}, page, {"rc": 0, "stdout": first}, {"rc": 0, "stdout": second, "stderr": ""})


def test_a_gitlab_that_is_ready():
    plan = gitlab()
    assert not plan["problems"] and "answers 200" in plan["evidence"][0]


@pytest.mark.parametrize("options, words", [
    ({"status": 404}, "monitoring allow-list"), ({"status": 502}, "still booting"), ({"status": 503}, "database"), ({"status": -1}, "nothing answers"),
    ({"status": 301}, "service_verify_gitlab_url"), ({"second": STATUS.format(3, 7)}, "puma restarts over and over (uptime 34 s, then 3 s)"),
    ({"second": STATUS.format(54, 8)}, "sidekiq restarts"),
    ({"second": STATUS.format(54, 7).replace("run: puma: (pid 1200) 54s", "down: puma: 1s, normally up")}, "puma is down"),
    ({"second": "fail: puma: runsv not running\n"}, "puma is fail"), ({"second": ""}, "could not be read"), ({"first": "what?"}, "could not be read"),
])  # fmt: skip
def test_a_gitlab_that_is_not(options, words):
    assert words in " ".join(gitlab(**options)["problems"])


def test_a_readiness_that_was_not_there_before_is_no_proof_and_no_problem():
    plan = gitlab(status=404, before=404)
    assert not plan["problems"] and "NOT PROVED" in plan["evidence"][0]


# Stand-ins of systemctl, mysql, mysqladmin, docker and gitlab-ctl; their host is a JSON file.
SYSTEMCTL = '''#!{python}
import fnmatch, json, sys
path = {state!r}
units = json.load(open(path))["units"]
words = [word.strip("'") for word in sys.argv[1:] if not word.startswith("-")]
verb, names = words[0], words[1:]
if verb == "show":
    for name in [n for n in sorted(units) if fnmatch.fnmatch(n, names[0])] if "*" in names[0] else names:
        unit = units.get(name, ["inactive", "dead", ""])
        print("\\n".join("%s=%s" % pair for pair in {{
            "Type": "simple", "Result": "success", "Id": name, "Names": name, "LoadState": "loaded" if name in units else "not-found",
            "ActiveState": unit[0], "SubState": unit[1], "UnitFileState": unit[2], "FragmentPath": "/usr/lib/systemd/system/" + name}}.items()) + "\\n")
    sys.exit(0)
if verb == "is-enabled":
    print(units[names[0]][2])
    sys.exit(units[names[0]][2] != "enabled")
document = json.load(open(path))
document.setdefault("asked", []).append(" ".join(words))
for name in names:
    if verb == "enable":
        document["units"][name][2] = "enabled"
    elif verb == "start":
        document["units"][name][:2] = ["failed", "failed"] if name in document.get("cannot_start", []) else ["active", "running"]
json.dump(document, open(path, "w"))
'''
MYSQL = """#!{python}
import json, sys
up = json.load(open({state!r}))["units"]["mariadb.service"][0] == "active"
print("5.5.68-MariaDB" if up and "mysql" == sys.argv[0][-5:] else "mysqld is alive" if up else "")
up or sys.stderr.write("ERROR 2002 (HY000): Can't connect to local MySQL server\\n")
sys.exit(not up)
"""
# containers of the state: name -> [status, restart count, restart policy, exit code]; "restarts" move the count at each inspect
DOCKER = """#!{python}
import hashlib, json, sys, time
path, (verb, *words) = {state!r}, sys.argv[1:]
document = json.load(open(path))
boxes = document.get("containers", {{}})
if not boxes or document.get("docker_down"):
    sys.exit(1)
key = dict((hashlib.sha256(name.encode()).hexdigest(), name) for name in boxes)
if verb == "ps":
    print("\\n".join(key))
elif verb == "inspect":
    for one in [word for word in words if word in key]:
        status, count, policy, code = box = boxes[key[one]]
        print(json.dumps([one, "/" + key[one], count, status, code, "T%d" % count, policy, False, 0, "busybox:lab"]))
        box[1] += key[one] in document.get("restarts", [])
elif verb == "events":
    time.sleep(max(0, float(words[words.index("--until") + 1]) - time.time()))
elif verb == "start":
    document.setdefault("asked", []).append("docker start " + words[0])
    boxes[words[0]][0] = "exited" if words[0] in document.get("cannot_start", []) else "running"
    json.dump(document, open(path, "w"))
    sys.exit(words[0] in document.get("cannot_start", []))
if verb == "inspect":
    json.dump(document, open(path, "w"))
"""
GITLAB_CTL = """#!{python}
import json, sys, time
document = json.load(open({state!r}))
print("run: puma: (pid %d) %ds; run: log: (pid 3) 5001s" % (time.time() if document.get("puma_loops") else 7, time.time() % 100000))
print("down: sentinel: 5s; run: log: (pid 4) 5001s")
sys.exit(1)
"""
UP, OFF = ["active", "running", "enabled"], ["inactive", "dead", "disabled"]
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: el7ops.kmem.service_verify}
    - ansible.builtin.copy: {src: '{{ later }}', dest: '{{ state }}', mode: '0600'}
      register: change
      when: not ansible_check_mode
      notify: verify services
    - ansible.builtin.meta: flush_handlers
    - ansible.builtin.copy: {content: "{{ service_verify_result | default({}) }}", dest: '{{ result }}', mode: '0600'}
      check_mode: false
"""


@pytest.fixture(name="host")
def fixture_host(tmp_path):
    """A function that runs the role on localhost as a host that is C(before), then C(later); returns rc, output, result and the state left."""

    def play(before, later, *options, **variables):
        state, binaries = tmp_path / "state.json", tmp_path / "bin"
        binaries.mkdir(exist_ok=True)
        for name, text in {"systemctl": SYSTEMCTL, "mysql": MYSQL, "mysqladmin": MYSQL, "docker": DOCKER, "gitlab-ctl": GITLAB_CTL}.items():
            (binaries / name).write_text(text.format(python=sys.executable, state=str(state)))
            (binaries / name).chmod(0o755)
        state.write_text(json.dumps(before))
        state.chmod(0o600)
        (tmp_path / "later.json").write_text(json.dumps(later))
        (tmp_path / "play.yml").write_text(PLAY.replace("gather_facts: false", f"gather_facts: false\n  environment: {{PATH: '{binaries}:/usr/bin:/bin'}}"))
        if "containers" not in before:
            (binaries / "docker").unlink()
        values = dict(state=str(state), later=str(tmp_path / "later.json"), result=str(tmp_path / "result.json"),
                      ansible_python_interpreter=sys.executable, service_verify_timeout=3, service_verify_churn_interval=1,
                      service_verify_record_interval=1, service_verify_gitlab_interval=1, **{"service_verify_docker_timeout": 3, **variables})  # fmt: skip
        argv = ["ansible-playbook", "-i", "localhost,", "-c", "local", str(tmp_path / "play.yml"), "-e", json.dumps(values), *options]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=tmp_path)
        result = tmp_path / "result.json"
        # the lab's results are printed as YAML, which doubles quotes
        output = " ".join(done.stdout.split()).replace("''", "'")
        return done.returncode, output, json.loads(result.read_text()) if result.exists() else {}, json.loads(state.read_text())

    return play


def test_the_role_brings_back_what_the_change_stopped_and_says_so(host):
    before = {"units": {"mariadb.service": UP, "sshd.service": UP}}
    rc, output, result, state = host(before, {"units": {"mariadb.service": OFF, "sshd.service": UP}})
    assert rc == 0, output
    assert state["asked"] == ["enable mariadb.service", "start mariadb.service"] and state["units"]["mariadb.service"] == UP
    assert (result["ok"], result["changed"], result["problems"]) == (True, True, [])
    assert result["repaired"] == ["mariadb.service was running and enabled before, was found inactive and disabled: enabled and started"]
    assert any("answers a query: version 5.5.68-MariaDB" in line for line in result["evidence"])


def test_the_role_reports_only_where_it_may_not_repair_or_cannot(host):
    before, later = {"units": {"mariadb.service": UP}}, {"units": {"mariadb.service": OFF}}
    rc, output, result, state = host(before, later, service_verify_repair=False)
    assert rc and "NOT AS BEFORE on localhost, 2 left" in output and "systemctl start mariadb.service" in output and "asked" not in state
    rc, output, result, state = host(before, later, service_verify_repair=False, service_verify_fail=False)
    assert rc == 0 and result["ok"] is False and len(result["problems"]) == 2
    rc, output, result, state = host(before, dict(later, cannot_start=["mariadb.service"]))
    assert rc and state["asked"] and "is now failed" in output and "does not answer 'mysqladmin ping'" in output


def test_check_mode_looks_and_changes_nothing_and_no_change_needs_no_verification(host):
    before = {"units": {"mariadb.service": UP, "atd.service": OFF}}
    rc, output, result, state = host(before, before, "--check")
    assert rc == 0 and result == {} and state == before, output
    rc, output, result, state = host(before, before)
    assert rc == 0 and result == {}, output
    rc, output, result, state = host({"units": {"x.service": OFF}}, before)
    assert rc and "REFUSED, nothing was changed on localhost" in output and state == {"units": {"x.service": OFF}}


def test_containers_that_ran_are_started_and_a_new_loop_is_named(host):
    units = {"docker.service": UP}
    before = {"units": units, "containers": {"web": ["running", 0, "always", 0], "job": ["running", 0, "no", 0], "old": ["running", 4, "always", 0]},
              "restarts": ["old"]}  # fmt: skip
    later = {"units": units, "containers": dict(before["containers"], web=["exited", 0, "no", 137]), "restarts": ["old"]}
    rc, output, result, state = host(before, later)
    assert rc == 0 and state["asked"] == ["docker start web"], output
    assert result["repaired"] == ["Container web ran before, was found exited: started"]
    assert any("old restarts over and over" in line and "as it did before" in line for line in result["evidence"])
    rc, output, result, state = host(before, dict(later, cannot_start=["web"]))
    assert rc and "Container web ran before and is exited (exit code 137). Type: docker logs --tail 50 web; docker start web" in output
    rc, output, result, state = host(before, dict(before, restarts=["old", "job"]))
    assert rc and "1 left" in output and "Container job restarts over and over" in output and "did not before" in output
    rc, output, result, state = host(before, dict(before, docker_down=True), service_verify_docker_timeout=0)
    assert rc and "does not answer" in output and "NOT AS BEFORE" in output


class Gitlab(http.server.BaseHTTPRequestHandler):
    """A stand-in of GitLab's readiness page."""

    answers = []

    def do_GET(self):  # pylint: disable=invalid-name
        self.send_response(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        self.end_headers()

    def log_message(self, *unused):  # pylint: disable=arguments-differ
        pass


@pytest.fixture(name="page")
def fixture_page():
    """The address of the stand-in."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gitlab) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/-/readiness"
        server.shutdown()


def test_gitlab_may_take_its_time_and_must_not_loop(host, page):
    before = {"units": {"gitlab-runsvdir.service": UP}}
    # the record, then two answers while it boots
    Gitlab.answers = [200, 502, 200]
    rc, output, result, dummy = host(before, dict(before, x=1), service_verify_gitlab_url=page, service_verify_gitlab_timeout=60)
    assert rc == 0 and f"GitLab answers 200 on {page}" in result["evidence"], output
    Gitlab.answers = [200, 502]
    rc, output, result, dummy = host(before, dict(before, puma_loops=1), service_verify_gitlab_url=page, service_verify_gitlab_timeout=0)
    assert rc and "answers 502" in output and "puma restarts over and over" in output
    Gitlab.answers = [200, 404]
    rc, output, result, dummy = host(before, dict(before, x=1), service_verify_gitlab_url=page)
    assert rc and "monitoring allow-list" in output
    rc, output, result, dummy = host(before, dict(before, x=1), service_verify_gitlab_url="http://127.0.0.1:1/-/readiness")
    assert rc == 0 and "NOT PROVED" in " ".join(result["evidence"]), output


PARTS = {
    "meta": "dependencies: [{role: el7ops.kmem.service_verify}]",
    "tasks": "- ansible.builtin.command: {argv: ['true']}\n  notify: verify services",
}
TWO_ROLES = """
- hosts: localhost
  gather_facts: false
  tasks:
    - block:
        - ansible.builtin.include_role: {name: one}
        - ansible.builtin.meta: flush_handlers
        - ansible.builtin.include_role: {name: two}
        - ansible.builtin.meta: flush_handlers
      rescue:
        - ansible.builtin.debug: {msg: "RESCUED {{ service_verify_result.problems }}"}
"""


def test_each_role_that_changes_something_is_verified_and_a_block_may_catch_it(host, tmp_path, monkeypatch):
    for name in ("one", "two"):
        for part, text in PARTS.items():
            (tmp_path / "roles" / name / part).mkdir(parents=True)
            (tmp_path / "roles" / name / part / "main.yml").write_text(text)
    monkeypatch.setattr(sys.modules[__name__], "PLAY", TWO_ROLES)
    rc, output, *unused = host({"units": {"a.service": UP}}, {})
    assert rc == 0 and output.count("record | Set the record") == 1 and output.count("verify | Set the result") == 2, output
    assert "RESCUED" not in output
