# SPDX-License-Identifier: GPL-3.0-or-later
"""A STAND-IN of AWX's REST API, in memory: what the modules of awx.awx ask it for, and how AWX 24.6.1 was seen to judge surveys.

It refuses unknown survey types, a default that is not a choice, and a variable that is asked for twice; like AWX it accepts an integer
default above the maximum and an empty variable name, and answers 500 to choices without a value. A launch answers 400 to a wrong choice,
to a number above the maximum, and where a required answer is missing; what it hands to the job is what AWX hands to it. It runs nothing.
"""

from __future__ import annotations

import http.server
import json
import re
import threading
import urllib.parse

TOKEN = "stand-in-token-0123456789"
TYPES = {"text": str, "textarea": str, "password": str, "multiplechoice": str, "multiselect": str, "integer": int, "float": float}
SINGULAR = {
    "organizations": "organization", "inventories": "inventory", "credentials": "credential", "projects": "project",
    "execution_environments": "execution_environment", "job_templates": "job_template", "schedules": "schedule",
    "workflow_job_templates": "workflow_job_template", "workflow_job_template_nodes": "workflow_job_template_node",
    "workflow_approval_templates": "workflow_approval_template", "project_updates": "project_update",
}  # fmt: skip
LINKS = {"job_templates": ("credentials",), "workflow_job_template_nodes": ("success_nodes", "failure_nodes", "always_nodes", "credentials")}
UNIFIED = ("projects", "job_templates", "workflow_job_templates", "workflow_approval_templates")


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status, body):
        super().__init__(body)
        self.status, self.body = status, body


def check_spec(spec):
    """What AWX does with a survey that is posted."""
    if not spec.get("spec"):
        raise Refused(400, {"error": "'spec' doesn't contain any items."})
    seen = set()
    for number, item in enumerate(spec["spec"]):
        for key in ("type", "question_name", "variable", "required"):
            if key not in item:
                raise Refused(400, {"error": f"'{key}' missing from survey question {number}"})
        if item["type"] not in TYPES:
            raise Refused(400, {"error": f"'{item['type']}' in survey question {number} is not one of '{', '.join(TYPES)}' allowed question types."})
        if item["variable"] in seen:
            raise Refused(400, {"error": f"'variable' '{item['variable']}' duplicated in survey question {number}."})
        seen.add(item["variable"])
        default = item.get("default", "")
        if default != "" and not isinstance(default, TYPES[item["type"]]):
            raise Refused(400, {"error": f"Value {default} for '{item['variable']}' expected to be a {TYPES[item['type']].__name__}."})
        if item["type"] in ("multiplechoice", "multiselect"):
            if "choices" not in item:
                raise Refused(400, {"error": f"Survey question {number} must specify choices."})
            if item["choices"] is None:
                raise Refused(500, {"detail": "A server error has occurred."})
            for one in str(default).splitlines():
                if one not in item["choices"]:
                    raise Refused(400, {"error": "Default choice must be answered from the choices listed."})


def answer_faults(item, answers):
    """What AWX says of one answer; () where it is content."""
    name, kind = item["variable"], item["type"]
    if name not in answers:
        return [f"'{name}' value missing"] if item["required"] else []
    value, low, high = answers[name], item.get("min"), item.get("max")
    if kind in ("text", "textarea", "password"):
        if not isinstance(value, str):
            return [f"Value {value} for '{name}' expected to be a string."]
        if low not in (None, "") and len(value) < low:
            return [f"'{name}' value {value} is too small (length is {len(value)} must be at least {low})."]
        return [f"'{name}' value {value} is too large (must be no more than {high})."] if high not in (None, "") and len(value) > high else []
    if kind in ("integer", "float"):
        if not isinstance(value, (int, float)) or isinstance(value, bool) or (kind == "integer" and not isinstance(value, int)):
            return [f"Value {value} for '{name}' expected to be a number."]
        if low not in (None, "") and value < low:
            return [f"'{name}' value {value} is too small (must be at least {low})."]
        return [f"'{name}' value {value} is too large (must be no more than {high})."] if high not in (None, "") and value > high else []
    wanted = value if isinstance(value, list) else [value]
    return [f"Value {one} for '{name}' expected to be one of {item['choices']}." for one in wanted if one not in item["choices"]]


class Awx:
    """The objects; every call is kept in C(calls)."""

    def __init__(self, playbooks):
        self.playbooks = playbooks  # what the project holds
        self.calls, self.objects, self.links = [], {kind: {} for kind in SINGULAR}, {}
        self.number = 0
        for kind, name in (("organizations", "Default"), ("inventories", "Servers"), ("credentials", "Servers")):
            self.add(kind, {"name": name})

    def add(self, kind, fields):
        self.number += 1
        url = f"/api/v2/{kind}/{self.number}/"
        related = {"survey_spec": f"{url}survey_spec/"} if kind in ("job_templates", "workflow_job_templates") else {}
        one = {"id": self.number, "type": SINGULAR[kind], "url": url, "related": related, "summary_fields": {}, **fields}
        self.objects[kind][self.number] = one
        return one

    def named(self, kind, name):
        return next(one for one in self.objects[kind].values() if one.get("name", one.get("identifier")) == name)

    def survey(self, number):
        for kind in ("job_templates", "workflow_job_templates"):
            if number in self.objects[kind]:
                return self.objects[kind][number].get("_survey") or {}
        return {}

    def check(self, kind, fields):
        """What AWX refuses when an object is made or changed."""
        if kind == "job_templates" and fields.get("playbook") not in self.playbooks:
            raise Refused(400, {"playbook": ["Playbook not found for project."]})
        if kind not in ("workflow_job_template_nodes", "schedules"):
            return
        spec, given = self.survey(fields.get("unified_job_template")).get("spec", []), fields.get("extra_data") or {}
        unknown = sorted(set(given) - {item["variable"] for item in spec})
        faults = [f"Variables {', '.join(unknown)} are not allowed on launch."] if unknown else []
        for item in spec:
            # a node may leave the rest to the workflow; a schedule has nobody to ask
            if item["variable"] in given or kind == "schedules":
                faults += answer_faults(item, given)
        if faults:
            raise Refused(400, {"extra_data": faults})
        if kind == "schedules" and not re.fullmatch(r"DTSTART;TZID=\S+:\d{8}T\d{6} RRULE:(?=.*INTERVAL=)\S+", fields.get("rrule", "")):
            raise Refused(400, {"rrule": ["not understood"]})

    def launch(self, template, given):
        """The extra vars of a job: those of the template, the survey's defaults, the answers, in this order."""
        spec = (template.get("_survey") or {}).get("spec", []) if template.get("survey_enabled") else []
        faults = [fault for item in spec for fault in answer_faults(item, given)]
        if faults:
            raise Refused(400, {"variables_needed_to_start": faults})
        found = json.loads(template.get("extra_vars") or "{}")
        for item in spec:
            if item.get("default") is not None and not answer_faults(item, {item["variable"]: item["default"]}):
                found[item["variable"]] = item["default"]
        return {**found, **{name: value for name, value in given.items() if name in {item["variable"] for item in spec}}}

    def answer(self, method, path, query, body):
        """(status, document) for one call."""
        self.calls.append((method, path))
        parts = path.strip("/").split("/")[2:]
        kind, number = parts[0], int(parts[1]) if len(parts) > 1 else None
        if kind == "unified_job_templates":
            pool = {key: one for name in UNIFIED for key, one in self.objects[name].items()}
        else:
            pool = self.objects[kind]
        if number is None and method == "GET":
            found = [one for one in pool.values() if all(str(one.get(key)) == value for key, value in query.items())]
            return 200, {"count": len(found), "next": None, "previous": None, "results": found}
        if number is None:
            self.check(kind, body)
            made = self.add(kind, body)
            if kind == "projects":  # a new project is fetched at once
                update = self.add("project_updates", {"status": "successful", "project": made["id"]})
                made.update(scm_revision="0" * 40, summary_fields={"current_update": {"id": update["id"]}})
            return 201, made
        one = pool[number]
        if len(parts) > 2:
            return self.sub(method, kind, one, parts[2], body)
        if method == "PATCH":
            self.check(kind, {**one, **body})
            one.update(body)
        return 200, one

    def sub(self, method, kind, one, name, body):
        if name == "survey_spec":
            if method == "POST":
                check_spec(body)
                one["_survey"] = body
            return 200, one.get("_survey") or {}
        if name == "launch":
            return 201, {"type": "job", "extra_vars": json.dumps(self.launch(one, body.get("extra_vars", {})))}
        if name == "create_approval_template":
            made = self.add("workflow_approval_templates", body)
            one["unified_job_template"] = made["id"]
            one["related"]["unified_job_template"] = made["url"]
            return 201, made
        if name not in LINKS.get(kind, ()):
            raise Refused(404, {"detail": "Not found."})
        linked = self.links.setdefault((one["url"], name), [])
        if method == "GET":
            return 200, {"count": len(linked), "next": None, "previous": None, "results": [{"id": number} for number in linked]}
        (linked.remove if body.get("disassociate") else linked.append)(body["id"])
        return 204, None


class Server:
    """Serves an Awx on the loopback address, for a with statement."""

    def __init__(self, awx):
        class Handler(http.server.BaseHTTPRequestHandler):
            """One call."""

            def serve(self):
                url = urllib.parse.urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}") if length else {}
                try:
                    if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                        raise Refused(401, {"detail": "Authentication credentials were not provided."})
                    status, document = awx.answer(self.command, url.path, dict(urllib.parse.parse_qsl(url.query)), body)
                except Refused as refused:
                    status, document = refused.status, refused.body
                except KeyError:
                    status, document = 404, {"detail": "Not found."}
                data = b"" if document is None else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("X-API-Product-Name", "AWX")
                self.send_header("X-API-Product-Version", "24.6.1")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = serve

            def log_message(self, *_arguments):
                """The calls are in Awx.calls."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error):
        self.server.shutdown()
        self.server.server_close()
