# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ran before a change against what runs now: records, differences, and what to type.

All functions are pure. What could not be read is a problem, never an all clear.
"""

from __future__ import annotations

import re
import shlex

DOCUMENTATION = r"""
name: service_changes
short_description: Holds the units of a host to what was recorded before a change
version_added: 0.2.0
author: el7ops.kmem contributors (@el7ops)
description:
  - Compares the recorded units with what C(systemctl show) says now.
  - The same file has the filters C(service_record) (record of C(systemctl show '*.service')), C(service_container_record) and
    C(service_containers) (record and comparison of M(el7ops.kmem.container_churn_info)), C(service_mariadb), C(service_mariadb_record)
    and C(service_gitlab).
positional: shown, ignore
options:
  _input:
    description: C(service_verify_before), of which C(units) and C(failed) are used.
    type: dict
    required: true
  shown:
    description: Output of C(systemctl show) for the units of the record.
    type: str
    required: true
  ignore:
    description: Units that are not held to the record.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Compare
  ansible.builtin.set_fact:
    plan: "{{ service_verify_before | el7ops.kmem.service_changes(shown.stdout) }}"
"""

RETURN = r"""
_value:
  description: >-
    C(repairs) (dicts with unit, enable, start, repaired, problem), C(problems) that cannot be repaired by enabling and starting,
    C(waiting) (units that are still on their way), C(notes), and C(units) with the state of each.
  type: dict
"""

MARIADB_UNITS = ("mariadb.service", "mysqld.service", "mysql.service")
GITLAB_UNIT = "gitlab-runsvdir.service"
# systemd's own, the boot's, what belongs to a login or a console, and this collection's, which its roles put in and take away
OWN = re.compile(r"^(systemd-|user@|user-runtime-dir@|session-|dracut-|initrd-|rhel-|plymouth|emergency|rescue|debug-shell|getty@|serial-getty@|"
                 r"console-|container-getty@|autovt@|run-|kmod-static-nodes|quotaon|el7ops-kmem-)")  # fmt: skip
# started by a socket, a timer or D-Bus when somebody asks: neither running nor stopped means anything
ON_DEMAND = ("static", "indirect", "masked", "masked-runtime", "transient")
# on a host that is reached over the network, this is the admin's to do
NEVER_START = ("network.service",)
OFTEN = 3  # automatic restarts of a container, from which on it is no news that it restarts


def show_blocks(text):
    """The blocks of C(systemctl show) as a dict by every name that a unit has."""
    found = {}
    for block in re.split(r"\n\s*\n", text or ""):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if unit.get("Id") and unit.get("ActiveState"):
            for name in {unit["Id"], *unit.get("Names", "").split()}:
                found.setdefault(name, unit)
    return found


def is_enabled(unit):
    return unit.get("UnitFileState") == "enabled"


def words(state, enabled):
    return state + (" and enabled" if enabled else "")


def service_record(text):
    """What of C(systemctl show '*.service') the host is held to later: units that run, have done their work, or are enabled."""
    units, failed = {}, []
    for name, unit in show_blocks(text).items():
        if name != unit["Id"] or not name.endswith(".service") or OWN.match(name) or unit.get("LoadState") != "loaded":
            continue
        if unit.get("FragmentPath", "").startswith(("/run/systemd/system/", "/run/systemd/transient/")):
            continue
        active, sub, enabled = unit["ActiveState"], unit.get("SubState", ""), is_enabled(unit)
        state = "stopped"
        if active == "failed":
            state = "failed"
            failed.append(name)
        elif active in ("active", "reloading", "activating") and unit.get("Type") != "oneshot" and sub != "exited":
            # auto-restart and start-pre are not running; they are kept as what they are
            state = "running" if active != "activating" else "starting"
        elif active == "active" and sub == "exited":
            state = "done"
        on_demand = unit.get("UnitFileState") in ON_DEMAND
        if enabled or (state == "running" and not on_demand) or (state == "done" and name in NEVER_START):
            units[name] = {"state": state, "enabled": enabled}
    return {"units": dict(sorted(units.items())), "failed": sorted(failed)}


def hint(name, *verbs):
    quoted = shlex.quote(name)
    return f"Type: journalctl -u {quoted} -n 50" + "".join(f"; systemctl {verb} {quoted}" for verb in verbs)


def service_changes(before, shown, ignore=()):
    """Differences between the recorded units and what C(systemctl show) says now."""
    now = show_blocks(shown)
    plan = {"repairs": [], "problems": [], "waiting": [], "notes": [], "units": {}}
    for name, was in before["units"].items():
        unit = now.get(name)
        line = f"{name} was {words(was['state'], was['enabled'])} before"
        if unit is None:
            plan["units"][name] = "unknown"
            problem = f"{line}; its state now could not be read. {hint(name, 'status')}"
            plan["notes" if name in ignore else "problems"].append(problem)
            continue
        active, sub, load = unit["ActiveState"], unit.get("SubState", ""), unit.get("LoadState")
        plan["units"][name] = f"{active} ({sub}), {unit.get('UnitFileState') or load}"
        result = unit.get("Result", "")
        state = active + (f" ({result})" if active == "failed" and result not in ("", "success") else "")
        wants_start = was["state"] == "running" and active not in ("active", "reloading")
        # a oneshot unit may rightly skip its work at a boot (Condition...=), but it must not fail
        broke = was["state"] in ("done", "starting") and active == "failed"
        wants_enable = was["enabled"] and not is_enabled(unit)
        if not (wants_start or broke or wants_enable):
            continue
        if name in ignore:
            plan["notes"].append(f"{line}, is now {words(state, is_enabled(unit))}; it is in service_verify_ignore")
            continue
        if load in ("not-found", "masked") or unit.get("UnitFileState") in ("masked", "masked-runtime"):
            gone = load == "not-found"
            advice = f"Its package may be gone or renamed. Type: rpm -qa --last | head; {hint(name)[6:]}" if gone else hint(name, "unmask", "start")
            plan["problems"].append(f"{line}, is now {'gone' if gone else 'masked'}. {advice}")
            continue
        if wants_start and (active in ("activating", "deactivating") or unit.get("Job") not in (None, "", "0")):
            plan["waiting"].append(name)
        elif (wants_start or broke) and name in NEVER_START:
            plan["problems"].append(f"{line}, is now {state}. It is not started from here, the connection may depend on it. {hint(name, 'start')}")
            continue
        if wants_enable and unit.get("UnitFileState") not in ("disabled", "enabled-runtime"):
            plan["notes"].append(f"{line}; its unit file is now '{unit.get('UnitFileState')}', which cannot be enabled")
            wants_enable = False
            if not (wants_start or broke):
                continue
        verbs = (["enable"] if wants_enable else []) + (["start"] if wants_start or broke else [])
        done = " and ".join({"enable": "enabled", "start": "started"}[verb] for verb in verbs)
        plan["repairs"].append({
            "unit": name, "enable": wants_enable, "start": wants_start or broke,
            "repaired": f"{line}, was found {state}{' and disabled' if wants_enable else ''}: {done}",
            "problem": f"{line}, is now {state}{' and disabled' if wants_enable else ''}. {hint(name, *verbs)}",
        })  # fmt: skip
    for name in sorted(key for key, unit in now.items() if key == unit["Id"] and unit["ActiveState"] == "failed"):
        if name in before.get("failed", []):
            plan["notes"].append(f"{name} had failed before the change, and is failed now. {hint(name)}")
    return plan


def container_key(one):
    """What stays the same of a container: kubelet counts its attempts at the end of the name."""
    name = one["name"]
    return one["runtime"], re.sub(r"_\d+$", "", name) if name.startswith("k8s_") else name


def service_container_record(churn):
    """What of container_churn_info the host is held to later: the containers that ran."""
    keys = ("name", "runtime", "image", "status", "restart_policy", "auto_remove", "looping")
    running = [
        {key: one[key] for key in keys} for one in churn["containers"] if one["status"] in ("running", "restarting")
    ]
    # whatever state it was seen in: one in its back-off, or that was given up, restarted over and over all the same
    restarted = [
        {"name": one["name"], "runtime": one["runtime"]} for one in churn["containers"]
        if one["looping"] or (one["restart_count_after"] or one["restart_count_before"] or 0) >= OFTEN
    ]  # fmt: skip
    return {"present": churn["present"], "answers": churn["answers"], "boot_id": churn["boot_id"], "running": running, "restarted": restarted}


def service_containers(before, churn, seconds=60):
    """Differences between the recorded containers and what container_churn_info says now."""
    plan = {"answers": True, "waiting": [], "repairs": [], "problems": [], "loops": [], "notes": [], "as_before": 0}
    if not churn["answers"]:
        plan["answers"] = False
        trouble = "; ".join(churn["missing"]) or "no container runtime is installed any more"
        line = f"The container runtime does not answer ({trouble})"
        if before["answers"]:
            plan["problems"].append(f"{line}. Type: systemctl status docker; journalctl -u docker -n 50; docker ps -a")
        else:
            plan["notes"].append(f"{line}, nor did it before the change")
        return plan
    now = {container_key(one): one for one in sorted(churn["containers"], key=lambda one: one["status"] == "running")}
    # the back-off between restarts grows to a minute, so two quick looks at the record may have missed a loop; its count had not
    looped = {container_key(one) for one in before.get("restarted") or []}
    for was in before["running"]:
        key = container_key(was)
        one, kubelet, name = now.get(key), was["name"].startswith("k8s_"), shlex.quote(was["name"])
        if one is None:
            line = f"Container {was['name']} ran before and does not exist any more"
            if kubelet:
                plan["notes"].append(f"{line}; kubelet decides where its pods run. Type: kubectl get pods -A -o wide")
            elif was["auto_remove"] or was["restart_policy"] == "no":
                plan["notes"].append(f"{line}; it was of the kind that ends by itself (restart policy no{', --rm' if was['auto_remove'] else ''})")
            else:
                plan["problems"].append(f"{line} (image {was['image']}, restart policy {was['restart_policy']}). Type: docker ps -a; docker images")
        elif one["status"] in ("running", "restarting"):
            plan["as_before"] += 1
        elif was["looping"]:
            plan["notes"].append(f"Container {was['name']} restarted over and over before the change and is {one['status']} now")
        elif kubelet:
            plan["notes"].append(f"Container {was['name']} ran before and is {one['status']}; kubelet replaces it. Type: kubectl get pods -A -o wide")
        elif was["restart_policy"] == "no" and one["exit_code"] == 0 and before["boot_id"] and churn["boot_id"] == before["boot_id"]:
            plan["notes"].append(f"Container {was['name']} ran before and has ended by itself with exit code 0 (restart policy no)")
        else:
            if was["restart_policy"] != "no":
                plan["waiting"].append(was["name"])  # the runtime starts it by itself
            plan["repairs"].append({
                "name": was["name"], "runtime": was["runtime"], "repaired": f"Container {was['name']} ran before, was found {one['status']}: started",
                "problem": f"Container {was['name']} ran before and is {one['status']} (exit code {one['exit_code']}). "
                           f"Type: {was['runtime']} logs --tail 50 {name}; {was['runtime']} start {name}",
            })  # fmt: skip
    for one in churn["containers"]:
        name = shlex.quote(one["name"])
        if one["looping"]:
            counts = f"restart count {one['restart_count_after']}, {one['restarts_in_interval']} of it in {seconds} s"
            line = f"Container {one['name']} restarts over and over ({counts})"
            if container_key(one) in looped:
                plan["notes"].append(f"{line}, as it did before the change. Type: {one['runtime']} logs --tail 50 {name}")
            elif not before["answers"]:
                plan["notes"].append(f"{line}; whether it did before is not known, the runtime did not answer then. "
                                     f"Type: {one['runtime']} logs --tail 50 {name}")
            else:
                plan["loops"].append(f"{line} and did not before. Type: {one['runtime']} logs --tail 50 {name}; {one['runtime']} inspect {name}")
        elif one["looping"] is None and seconds and churn["interval"] and one["status"] in ("running", "restarting"):
            if one["restart_count_before"] is None and one["restart_count_after"] is not None:
                continue  # it came between the two looks
            plan["loops"].append(f"Whether container {one['name']} restarts over and over could not be read. Type: {one['runtime']} inspect {name}")
    if seconds and not churn["interval"]:
        plan["loops"].append("Whether containers restart over and over could not be seen: there was no second look. Type: docker ps -a, twice")
    plan["notes"] += [f"Not all could be read: {line}" for line in churn["missing"]]
    return plan


def database_version(text):
    """The version in what C(SELECT VERSION()) gave, or an empty text."""
    found = re.match(r"\s*(\d+\.\d+\.\d+\S*)\s*$", text or "")
    return found.group(1) if found else ""


def denied(query):
    return query.get("rc") == 1 and re.search(r"ERROR (1045|1698)\b|Access denied", query.get("stderr") or "") is not None


def service_mariadb_record(units, query):
    """Which unit is the database's and whether it ran and answered; C(query) is the result of the client, or {} where it was not asked."""
    names = [name for name in MARIADB_UNITS if name in units]
    running = [name for name in names if units[name]["state"] == "running"]
    return {
        "present": bool(names),
        "unit": (running or names or [None])[0],
        "running": bool(running),
        "answers": (query.get("rc") == 0 or denied(query)) if running and query else None,
        "version": database_version(query.get("stdout")) if query.get("rc") == 0 else "",
    }


def release(version):
    """10.5 of 10.5.21-MariaDB: the part whose change asks for mysql_upgrade."""
    return ".".join(version.split(".")[:2])


def service_mariadb(before, ping, query):
    """Whether the database answers, by the result of a query and, where that failed, of C(mysqladmin ping)."""
    plan = {"problems": [], "evidence": [], "version": ""}
    look = f"Type: journalctl -u {before['unit']} -n 50; mysqladmin ping; tail -n 50 /var/log/mariadb/mariadb.log"
    if ping.get("rc") != 0 and query.get("rc") != 0:
        reason = (ping.get("stderr") or ping.get("msg") or "no reason given").strip().splitlines()[-1]
        line = f"{before['unit']} does not answer 'mysqladmin ping' ({reason})"
        if before["answers"] is False:
            plan["evidence"].append(f"{line}, nor did the database answer before the change")
        else:
            plan["problems"].append(f"{line}. {look}")
        return plan
    if query.get("rc") == 0 and database_version(query.get("stdout")):
        plan["version"] = database_version(query["stdout"])
        plan["evidence"].append(f"{before['unit']} answers a query: version {plan['version']}")
    elif denied(query):
        plan["evidence"].append(f"{before['unit']} is alive (mysqladmin ping); the query is not allowed to root without a password, so it was not made")
    else:
        reason = (query.get("stderr") or query.get("msg") or f"rc {query.get('rc')}").strip().splitlines()[-1]
        plan["problems"].append(f"{before['unit']} is alive, but a query fails: {reason}. {look}")
    if before["version"] and plan["version"] and release(before["version"]) != release(plan["version"]):
        # MariaDB 10.5.2 renamed the command
        plan["evidence"].append(
            f"The database went from {before['version']} to {plan['version']}: its system tables want mysql_upgrade (mariadb-upgrade from 10.5.2 on). "
            "Make a dump first."
        )
    return plan


def gitlab_services(text):
    """{name: (state, pid, uptime in s, whether it should be up)} of C(gitlab-ctl status)."""
    found = {}
    for line in (text or "").splitlines():
        match = re.match(r"^(\w+): ([\w.-]+):(?: \(pid (\d+)\))? ?(?:(\d+)s)?([^;]*)", line.strip())
        if match:
            state, name, pid, uptime, rest = match.groups()
            wanted = "normally up" in rest if state == "down" else "want down" not in rest
            found[name] = (state, pid, int(uptime or 0), wanted)
    return found


def service_gitlab(before, page, first, second):
    """Whether GitLab is ready, by the answer to its readiness page and by two results of C(gitlab-ctl status)."""
    plan = {"problems": [], "evidence": []}
    status, url = page.get("status"), page.get("url", "the readiness page")
    more = "Type: gitlab-ctl status; gitlab-ctl tail"
    if status == 200:
        plan["evidence"].append(f"GitLab answers 200 on {url}")
    elif status == before["status"]:
        plan["evidence"].append(f"GitLab's readiness is NOT PROVED: {url} answers {status}, as it did before the change")
    else:
        reason = {
            404: "404 is what GitLab gives to those who are not on its monitoring allow-list (monitoring_whitelist in gitlab.rb); ask from the host itself, "
                 "or set service_verify_gitlab_url",
            502: "502 means that it is still booting, or cannot",
            503: "503 means that the database, Redis or Gitaly does not answer it",
            -1: "nothing answers there",
        }.get(status, "it should answer 200; set service_verify_gitlab_url where the page lies elsewhere")  # fmt: skip
        plan["problems"].append(f"GitLab is not ready: {url} answers {status}; {reason}. {more}")
    if first.get("skipped"):
        plan["evidence"].append("GitLab's services were not looked at one by one")
        return plan
    services, later = gitlab_services(first.get("stdout")), gitlab_services(second.get("stdout"))
    if not services or not later:
        reason = (second.get("stderr") or second.get("msg") or first.get("msg") or f"rc {second.get('rc')}").strip()
        plan["problems"].append(f"'gitlab-ctl status' could not be read: {reason[-200:]}. {more}")
        return plan
    # "run:" only says that the process exists; a loop shows by an uptime that falls (gitlab issue 512764, omnibus-gitlab issue 6859)
    for name in sorted({*services, *later}):
        was, now = services.get(name), later.get(name)
        if now is None or (now[0] != "run" and now[3]):
            plan["problems"].append(f"GitLab's {name} is {now[0] if now else 'gone'}. Type: gitlab-ctl tail {name}; gitlab-ctl start {name}")
        elif now[0] == "run" and was and was[0] == "run" and (now[1] != was[1] or now[2] < was[2]):
            plan["problems"].append(f"GitLab's {name} restarts over and over (uptime {was[2]} s, then {now[2]} s). Type: gitlab-ctl tail {name}")
    if not plan["problems"]:
        plan["evidence"].append(f"{sum(1 for one in later.values() if one[0] == 'run')} GitLab services run, and none was restarted between two looks")
    return plan


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {
            "service_record": service_record,
            "service_changes": service_changes,
            "service_container_record": service_container_record,
            "service_containers": service_containers,
            "service_mariadb_record": service_mariadb_record,
            "service_mariadb": service_mariadb,
            "service_gitlab": service_gitlab,
        }
