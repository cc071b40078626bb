# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with AWX surveys: what AWX refuses, what it accepts and breaks on later, and what does not fit the playbooks."""

from __future__ import annotations

DOCUMENTATION = r"""
name: awx_faults
short_description: What is wrong with the surveys of AWX job templates
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
description:
  - AWX 24.6.1 takes an integer default above the maximum and an empty variable name, and answers 500 to C(choices) without a value.
    None of these is found before somebody presses Launch.
  - Compared with the playbook of the template, a question may ask for a variable that nothing reads, with a type or choices that it does not
    take; and a variable that the playbook requires may be asked for by no question.
positional: specs, roles
options:
  _input:
    description:
      - Job templates, each with name, playbook, spec (list of questions) and extra_vars. What launches one by itself, such as a schedule, has
        C(answers), too; AWX refuses a wrong one when all else has been made.
    type: list
    elements: dict
    required: true
  specs:
    description: For each playbook, options (as in argument_specs), roles, and sets (variables that it sets itself).
    type: dict
    required: true
  roles:
    description: Folder of the roles, for their C(meta/argument_specs.yml).
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Refuse a survey that would break later
  ansible.builtin.assert:
    that: templates | el7ops.kmem.awx_faults(playbook_specs, 'roles') | length == 0
"""

RETURN = r"""
_value:
  description: Sentences; none where all is well.
  type: list
  elements: str
"""

import pathlib
import re

import yaml

from ansible.errors import AnsibleFilterError

# type of a question: Python types of its default (AWX's ALLOWED_TYPES), types of the option that it may answer
TYPES = {
    "text": ((str,), {"str", "path", "raw"}), "textarea": ((str,), {"str", "raw"}), "password": ((str,), {"str"}),
    "integer": ((int,), {"int", "float", "raw"}), "float": ((int, float), {"float", "raw"}),
    "multiplechoice": ((str,), {"str", "bool", "path", "raw"}), "multiselect": ((list, str), {"list", "raw"}),
}  # fmt: skip
CHOOSING = ("multiplechoice", "multiselect")
WORDS = {"true", "false", "yes", "no"}


def of_question(question):
    """Faults of one question by itself; it need not have any of the keys that it should have."""
    found = []
    for key in ("question_name", "variable"):
        if not isinstance(question.get(key), str) or not question[key].strip():
            found.append(f"{key} is empty")
    if question.get("variable") and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(question["variable"])):
        found.append("its variable is no name that Ansible takes")
    if not isinstance(question.get("required"), bool):
        found.append("required is neither true nor false")
    kind = question.get("type")
    if kind not in TYPES:
        return [*found, f"AWX does not know the type {kind!r}; it knows {', '.join(TYPES)}"]
    default, bounds = question.get("default"), [question.get("min"), question.get("max")]
    given = default not in (None, "")
    if any(bound is not None and (not isinstance(bound, int) or isinstance(bound, bool)) for bound in bounds):
        return [*found, "min and max must be whole numbers"]
    low, high = bounds
    if low is not None and high is not None and low > high:
        found.append(f"min {low} is above max {high}")
    if given and (not isinstance(default, TYPES[kind][0]) or isinstance(default, bool)):
        return [*found, f"its default {default!r} is not of the type {kind}"]
    if kind in CHOOSING:
        found += of_choices(question.get("choices"), default if given else None)
    elif given:
        size = default if kind in ("integer", "float") else len(default)
        if (low is not None and size < low) or (high is not None and size > high):
            found.append(f"its default {default!r} is not within min {low} and max {high}")
    elif low and not question.get("required"):
        found.append(f"it may be left out, but min is {low} and there is no default")
    return found


def of_choices(choices, default):
    if choices is None:
        return ["choices has no value; AWX answers 500 to that"]
    if isinstance(choices, str):
        choices = choices.splitlines()
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, str) and choice for choice in choices):
        return ["choices must be a list of words (in quotes where YAML would make something else of them)"]
    wanted = default.splitlines() if isinstance(default, str) else default or []
    return [f"its default {one!r} is none of its choices" for one in wanted if one not in choices]


def against(question, option):
    """Faults of a question compared with the option that it answers."""
    kind, wants, choices = question["type"], option.get("type", "str"), question.get("choices")
    if wants not in TYPES[kind][1]:
        return [f"it is of type {kind}, and the variable is {wants}"]
    if kind not in CHOOSING:
        return ["the variable has choices, and the question has none"] if option.get("choices") else []
    allowed = WORDS if wants == "bool" else {str(choice) for choice in option.get("choices") or []}
    chosen = choices.splitlines() if isinstance(choices, str) else choices
    return [f"the variable does not take {one!r}, but {', '.join(sorted(allowed))}" for one in chosen if allowed and one not in allowed]


def of_answers(answers, questions):
    """Faults of what a schedule answers: each as if it were the question's default."""
    found = [f"its answer to {name}: no question asks for it" for name in answers if name not in {q.get("variable") for q in questions}]
    for question in questions:
        name = question.get("variable")
        if name in answers:
            faults = of_question({**question, "default": answers[name]})
            found += [f"its answer to {name}: {fault.replace('its default ', '')}" for fault in faults]
        elif question.get("required") and question.get("default") in (None, ""):
            found.append(f"it does not answer {name}")
    return found


def of_template(template, spec, roles):
    """Faults of one job template. SPEC: options and sets of its playbook; ROLES: {role: options}, of the roles that it reads."""
    options = {name: option for role in spec["roles"] for name, option in roles[role].items()} | spec["options"]
    found, seen = [], set()
    for number, question in enumerate(template.get("spec") or [], 1):
        name = question.get("variable") or f"number {number}"
        faults = of_question(question)
        if name in seen:
            faults.append("it is asked for twice")
        seen.add(name)
        if name in options and not faults:
            faults = against(question, options[name])
        elif name not in options and question.get("variable"):
            faults.append(f"the playbook {template['playbook']} does not read it")
        found += [f"question {name}: {fault}" for fault in faults]
    answered = {q.get("variable") for q in template.get("spec") or [] if q.get("required") or q.get("default") not in (None, "")}
    answered |= set(template.get("extra_vars") or {}) | set(spec.get("sets") or [])
    for name, option in spec["options"].items():
        if option.get("required") and name not in answered:
            told = "no required question asks for it" if name not in seen else "the question may be left unanswered"
            found.append(f"variable {name}: the playbook {template['playbook']} requires it, and {told}")
    if "answers" in template and not found:
        found = of_answers(template["answers"], template["spec"])
    return [f"{template['name']}: {fault}" for fault in found]


def options_of(role, roles):
    path = pathlib.Path(roles) / role / "meta" / "argument_specs.yml"
    try:
        specs = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise AnsibleFilterError(f"the argument specs of the role {role} cannot be read from {path}: {error}") from error
    return {name: option for entry in specs.values() for name, option in (entry.get("options") or {}).items()}


def awx_faults(templates, specs, roles):
    found = []
    for template in templates:
        spec = specs.get(template["playbook"])
        if spec is None:
            found.append(f"{template['name']}: there is no playbook {template['playbook']}")
            continue
        found += of_template(template, spec, {role: options_of(role, roles) for role in spec["roles"]})
    return found


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"awx_faults": awx_faults}
