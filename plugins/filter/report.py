# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document of a run as a page to hand over in the morning, and as lines for the terminal."""

from __future__ import annotations

import datetime
import os
import re
import zoneinfo

import jinja2
from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: report
short_description: The document of a run as one self-contained HTML page
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
description:
  - Renders the document of a run (schema 1, see C(report.schema.json) of the role common) with a Jinja2 template.
  - Every text in the document is escaped; control characters and those that turn the direction of text are replaced.
  - What is missing in the document is left out or called unknown, so a run that failed early has a page too.
positional: template, now
options:
  _input:
    description: The document of the run.
    type: dict
    required: true
  template:
    description: Path of the template on the controller.
    type: path
    required: true
  now:
    description: The moment that reminders are judged by, ISO 8601 with offset. Default is the present.
    type: str
"""

EXAMPLES = r"""
- name: Keep the page
  ansible.builtin.copy:
    content: "{{ document | el7ops.kmem.report(role_path ~ '/templates/report.html.j2') }}"
    dest: /tmp/report.html
    mode: "0600"
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""

UTC = datetime.timezone.utc
SECOND = datetime.timedelta(seconds=1)
# C0 and C1 controls but tab and newline, and what turns the direction of text: a host's text must not steer a terminal or a page
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

STATUS = {
    "done": ("Done", "good"), "failed": ("Failed", "bad"), "paused": ("Stopped between stages", "warn"),
    "running": ("Not finished", "warn"), "rolled_back": ("Rolled back", "warn"),
}  # fmt: skip
STAGE = {"pending": ("to do", "idle"), "started": ("not finished", "warn"), "done": ("done", "good"), "failed": ("failed", "bad"),
         "skipped": ("skipped", "idle")}  # fmt: skip
STRATEGY = {
    "article": "the whole procedure, a reboot after each step",
    "upgrade": "update and new kernel with one reboot",
    "mitigate": "kmem accounting off, one reboot",
    "runc": "another runc, no reboot of the host",
    "reboot": "a reboot only, which frees what has leaked",
}
VERDICT = {
    "not_applicable": ("not affected", "good"), "protected": ("protected", "good"), "exposed": ("exposed", "warn"),
    "active": ("active", "warn"), "leaking": ("leaking", "bad"), "failing": ("failing", "bad"), "unknown": ("unknown", "warn"),
}  # fmt: skip
ACCOUNTING = {
    "active": "on in running groups", "inactive": "off, read in a running group with a memory limit",
    "not_provable": "not provable, no group with a memory limit was running", "unknown": "unknown",
}  # fmt: skip
# a wait longer than this is cut out of the time axis, so that a run of two nights stays readable
IDLE = datetime.timedelta(minutes=30)
BREAK_PERCENT = 6.0
FOLD = 8


def clean(value):
    """The same document without characters that steer a terminal or the direction of text."""
    if isinstance(value, str):
        return STEERING.sub("\ufffd", str(value))
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    return value


def get(mapping, *keys, kind=(str, int, float, bool), default=None):
    """What the path of KEYS leads to where it is of KIND, else DEFAULT."""
    for key in keys:
        mapping = mapping.get(key) if isinstance(mapping, dict) else None
    return mapping if isinstance(mapping, kind) else default


def lines(mapping, *keys):
    """The texts of a list, or of a single text."""
    found = get(mapping, *keys, kind=(list, str), default=[])
    return [str(item) for item in ([found] if isinstance(found, str) else found) if item not in (None, "")]


def moment(text):
    """A time of the document as an aware datetime, or None."""
    try:
        found = datetime.datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text))
    except (TypeError, ValueError):
        return None
    # a year that no clock of a host shows would only break the arithmetic
    return (found if found.tzinfo else found.replace(tzinfo=UTC)) if 1970 < found.year < 2200 else None


def seconds(value):
    """A number of seconds, 0 for what is none."""
    return min(max(0, value), 10**7) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0


def span(value):
    """A span as a person says it: 16 s, 4 min 05 s, 1 h 20 min."""
    total = int(round(value.total_seconds() if isinstance(value, datetime.timedelta) else value))
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min" + (f" {total % 60:02d} s" if total % 60 else "")
    if total < 2 * 86400:
        return f"{total // 3600} h {total % 3600 // 60:02d} min"
    return f"{total // 86400} days"


def count(number, word):
    """1 reboot, 2 reboots."""
    return f"{number} {word}" + ("" if number == 1 else "s")


class Clock:
    """Times of the document in the time zone of the window, or in UTC."""

    def __init__(self, name):
        self.zone, self.name = UTC, "UTC"
        try:
            if name:
                self.zone, self.name = zoneinfo.ZoneInfo(name), name
        except (KeyError, ValueError, OSError, TypeError):
            pass  # the page then says UTC, which is true

    def local(self, when):
        return when.astimezone(self.zone)

    def time(self, when):
        return f"{self.local(when):%H:%M}" if when else ""

    def date(self, when):
        return f"{self.local(when):%a} {self.local(when).day} {self.local(when):%b %Y}" if when else ""

    def full(self, when):
        return f"{self.date(when)}, {self.time(when)}" if when else ""

    def between(self, start, end):
        """Both moments, the date of the second only where it is another."""
        if not start or not end:
            return self.full(start or end)
        other = self.local(start).date() != self.local(end).date()
        return f"{self.full(start)} to {self.full(end) if other else self.time(end)}"


class Axis:
    """Where a moment lies on the time axis, in percent, with long waits cut out."""

    def __init__(self, spans, clock):
        self.parts, self.ticks, self.breaks = [], [], []
        for begin, end in sorted(spans):
            end = max(begin, end)
            if self.parts and begin - self.parts[-1][1] <= IDLE:
                self.parts[-1][1] = max(end, self.parts[-1][1])
            else:
                self.parts.append([begin, end])
        if not self.parts:
            return
        self.share = max(1.0, 100.0 - BREAK_PERCENT * (len(self.parts) - 1))
        self.total = max(sum(((end - begin) for begin, end in self.parts), datetime.timedelta()), SECOND)
        self.mark(clock)

    def percent(self, when):
        """The place of WHEN, from 0 to 100."""
        done = datetime.timedelta()
        for number, (begin, end) in enumerate(self.parts):
            if when <= end or number == len(self.parts) - 1:
                inside = min(max(when, begin), end) - begin
                return min(100.0, (done + inside) / self.total * self.share + number * BREAK_PERCENT)
            done += end - begin
        return 0.0

    def place(self, begin, end):
        """{left, width} in percent, wide enough to be seen."""
        left = self.percent(begin)
        width = max(self.percent(max(begin, end)) - left, 0.4)
        return {"left": f"{min(left, 100 - width):.2f}", "width": f"{width:.2f}"}

    def label(self, place, text):
        """One tick, unless its text would lie on that of the last one."""
        percent = self.percent(place)
        edge = "end" if percent > 88 else "start" if percent < 8 else "middle"
        if not self.ticks or percent - self.ticks[-1]["at"] > (14 if len(text) == 5 else 24) + (7 if edge == "end" else 0):
            self.ticks.append({"at": percent, "left": f"{percent:.2f}", "label": text, "edge": edge})

    def mark(self, clock):
        """Ticks at round times, at most about four, and the breaks with what was left out."""
        room = self.total / 4
        step = next((minutes for minutes in (1, 2, 5, 10, 15, 30, 60, 120) if datetime.timedelta(minutes=minutes) >= room), None)
        step = datetime.timedelta(minutes=step) if step else room
        for number, (begin, end) in enumerate(self.parts):
            midnight = clock.local(begin).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
            first = midnight - ((midnight - begin) // step) * step
            places = [first + step * nth for nth in range((end - first) // step + 1)] or [begin]
            # after a wait that was cut out, the day may be another
            other = number and clock.local(begin).date() != clock.local(self.parts[number - 1][1]).date()
            for place in places:
                self.label(place, f"{clock.local(place):%a %H:%M}" if other and place == places[0] else clock.time(place))
        for (_begin, end), (begin, _end) in zip(self.parts, self.parts[1:]):
            self.breaks.append({"left": f"{self.percent(end):.2f}", "width": f"{BREAK_PERCENT:.2f}", "label": span(begin - end)})


def stage_of(stage, ended):
    """One stage of the document as the page shows it; ENDED is when one that never ended was last known to run."""
    status = get(stage, "status", kind=str, default="pending")
    word, tone = STAGE.get(status, (status, "idle"))
    begin, end = moment(get(stage, "started_at")), moment(get(stage, "ended_at"))
    reboots = [
        {"at": moment(get(reboot, "at")), "seconds": seconds(get(reboot, "downtime_s"))}
        for reboot in get(stage, "reboots", kind=list, default=[])
        if isinstance(reboot, dict)
    ]
    until = end or max([begin, ended or begin]) if begin else None
    return {
        "title": get(stage, "title", kind=str) or get(stage, "name", kind=str) or "unnamed", "status": status, "word": word, "tone": tone,
        "begin": begin, "until": until, "took": span(until - begin) if begin and end else "", "reboots": reboots,
        "down": sum(reboot["seconds"] for reboot in reboots), "changes": lines(stage, "changes"), "evidence": lines(stage, "evidence"),
        "name": get(stage, "name", kind=str, default=""),
    }  # fmt: skip


HARMLESS = "no concern on this kernel"


def newer(side):
    """Whether the kernel is one on which leftovers are normal and accounting does no harm."""
    return get(side, "facts", "kernel", "line") == "newer"


def leaked(side):
    """Leaked groups in words."""
    number = get(side, "facts", "slab", "leaked", kind=int)
    if newer(side):
        return HARMLESS
    if number is None:
        return "unknown"
    return f"at least {number:,}" if get(side, "facts", "slab", "capped") and number else f"{number:,}"


def accounting(side):
    """The state of kmem accounting in words."""
    if newer(side):
        return HARMLESS
    state = get(side, "facts", "accounting", "state", kind=str, default="unknown")
    return ACCOUNTING.get(state, state)


def yes_no(value):
    return {True: "yes", False: "no"}.get(value, "unknown")


def comparison(before, after):
    """Rows (name, before, after, changed) of the table; after is None where it was never read."""
    rows = []

    def row(name, read):
        first, second = (read(side) if side else None for side in (before, after))
        if first or second:
            rows.append({"name": name, "before": first, "after": second, "changed": bool(first and second and first != second)})

    row("Verdict", lambda side: verdict(side)["word"])
    row("Running kernel", lambda side: get(side, "kernel", kind=str) or get(side, "facts", "kernel", "release", kind=str) or "unknown")
    row("Default kernel", lambda side: get(side, "default_kernel", kind=str, default="unknown").replace("/boot/vmlinuz-", ""))
    row("nokmem on the running command line", lambda side: yes_no(get(side, "facts", "cmdline", "nokmem", kind=bool)))
    row("kmem accounting", accounting)
    row("Leaked memory cgroups", leaked)
    return rows


def verdict(side):
    """{word, tone} of one side, or None where that side was not read."""
    if not side:
        return None
    value = get(side, "facts", "verdict", kind=str, default="unknown")
    word, tone = VERDICT.get(value, (value, "warn"))
    return {"word": word, "tone": tone}


def state_of(item):
    """What is known of one service, as a short text."""
    if not isinstance(item, dict):
        return str(item)
    words = [str(get(item, key, kind=(str, int))) for key in ("state", "status", "version") if get(item, key, kind=(str, int))]
    for key in ("present", "running", "enabled", "answers"):
        value = get(item, key, kind=bool)
        words += [] if value is None or (key == "present" and value) else [key if value else f"not {key}"]
    return ", ".join(words) or "seen"


def services_of(side):
    """{(kind, name): state} of what the role service_verify recorded: units, containers, and services asked as themselves."""
    found = {}
    services = get(side, "services", kind=dict, default={})
    for name in lines(services, "failed"):
        found[("unit", name)] = "failed"
    for name, item in get(services, "units", kind=dict, default={}).items():
        found[("unit", str(name))] = state_of(item)
    for item in get(services, "containers", "running", kind=list, default=[]):
        found[("container", get(item, "name", kind=str, default="unnamed"))] = state_of(item)
    for name, item in services.items():
        if isinstance(item, dict) and name not in ("units", "containers") and get(item, "present", kind=bool) is not False:
            found[("service", str(name))] = state_of(item)
    return found


def service_rows(before, after):
    """Rows (name, before, after, changed) of services, those that changed first."""
    first, second = services_of(before), services_of(after)
    read, rows = bool(get(after, "services", kind=dict)), []
    for key in sorted({*first, *second}):
        old, new = first.get(key), second.get(key)
        rows.append({"kind": key[0], "name": key[1], "before": old or "not there",
                     "after": (new or "not there") if read else None, "changed": read and old != new})  # fmt: skip
    return sorted(rows, key=lambda row: not row["changed"])


def snapshot_of(document, clock, now):
    """What is known of the snapshot, and the sentence that reminds of it."""
    snapshot = get(document, "snapshot", kind=dict)
    if not snapshot:
        return None
    name = get(snapshot, "id", default="") or "of the system disk"
    keep, remove = get(snapshot, "keep_days"), moment(get(snapshot, "remove_after"))
    method = get(snapshot, "method", kind=str, default="unknown")
    maker = {"ask": "the operator, who acknowledged it", "hook": "the hook of this site", "lvm": "this run, with LVM"}.get(method, method)
    facts = [
        ("Snapshot", get(snapshot, "id", default="")), ("Made by", maker), ("Taken", clock.full(moment(get(snapshot, "taken_at")))),
        ("Remove after", clock.full(remove)), ("Note", get(snapshot, "note", default="")),
    ]  # fmt: skip
    over = get(document, "status") in ("done", "rolled_back")
    tone = "idle"
    if not remove:
        text = f"Snapshot {name}: when to remove it was not recorded. Do not keep it for long."
    elif now >= remove and over:
        text, tone = f"Remove the snapshot {name} now: its {keep} days were over on {clock.full(remove)}.", "warn"
    elif now >= remove:
        text, tone = (f"The snapshot {name} was to be removed after {clock.full(remove)}. This run is not finished:"
                      " finish it or roll it back first, then remove the snapshot."), "warn"  # fmt: skip
    elif remove - now <= datetime.timedelta(days=1):
        text, tone = f"Remove the snapshot {name} after {clock.full(remove)}: its {keep} days are nearly over.", "warn"
    else:
        text = f"Keep the snapshot {name} until {clock.full(remove)}, then remove it."
    return {"facts": [fact for fact in facts if fact[1]], "reminder": text, "tone": tone}


def model(document, now=None):
    """All that a page or a terminal shows, worked out: only texts, numbers and lists."""
    if not isinstance(document, dict) or document.get("schema") != 1:
        raise AnsibleFilterError("this is not the document of a run (schema 1), no report can be made of it")
    document = clean(document)
    now = moment(now) or datetime.datetime.now(UTC)
    window = get(document, "window", kind=dict, default={})
    clock = Clock(get(window, "timezone", kind=str))
    status = get(document, "status", kind=str, default="unknown")
    word, tone = STATUS.get(status, (status, "warn"))
    before, after = get(document, "before", kind=dict), get(document, "after", kind=dict)
    begin, end = moment(get(document, "started_at")), moment(get(document, "ended_at"))
    raw = [stage for stage in get(document, "stages", kind=list, default=[]) if isinstance(stage, dict)]
    stages = [stage_of(stage, end) for stage in raw]
    axis = Axis([(stage["begin"], stage["until"]) for stage in stages if stage["begin"]], clock)
    reboots = []
    for stage in stages:
        stage["start"] = clock.time(stage["begin"])
        stage["bar"] = axis.place(stage["begin"], stage["until"]) if stage["begin"] else None
        times = [(reboot["at"], reboot["at"] + SECOND * reboot["seconds"]) for reboot in stage["reboots"] if reboot["at"]]
        stage["downs"] = [axis.place(*both) for both in times]
        stage["fold"] = len(stage["changes"]) > FOLD
        for reboot in stage["reboots"]:
            reboots.append({"at": clock.full(reboot["at"]) or "unknown", "stage": stage["title"], "down": span(reboot["seconds"])})
    work = [stage["until"] - stage["begin"] for stage in stages if stage["begin"]]
    down = sum(stage["down"] for stage in stages)
    done = sum(stage["status"] == "done" for stage in stages)
    snapshot = snapshot_of(document, clock, now)
    strategy = get(document, "strategy", kind=str, default="unknown")
    return {
        "host": get(document, "host", kind=str, default="unknown host"), "run_id": get(document, "run_id", kind=str, default="unknown"),
        "word": word, "tone": tone, "status": status, "message": get(document, "message", kind=str, default=""),
        "next": paragraphs(get(document, "next", kind=str, default="")),
        "strategy": strategy, "strategy_words": STRATEGY.get(strategy, ""),
        "verdict_before": verdict(before), "verdict_after": verdict(after),
        "when": clock.between(begin, end), "zone": clock.name, "window": get(window, "window", kind=str, default=""),
        "took": span(end - begin) if begin and end and end >= begin else "", "work": span(sum(work, datetime.timedelta())) if work else "",
        "reboots": reboots, "down": span(down) if reboots else "", "stages": stages, "stages_done": done,
        "ticks": axis.ticks, "breaks": axis.breaks, "rows": comparison(before, after), "after_read": after is not None,
        "services": service_rows(before, after),
        "repaired": lines(after, "services", "repaired"), "problems": lines(after, "services", "problems"),
        "evidence_before": lines(before, "facts", "evidence"), "evidence_after": lines(after, "facts", "evidence"),
        "missing": lines(after if after is not None else before, "facts", "missing"), "snapshot": snapshot,
        "files": [{"path": get(item, "path", kind=str, default=""), "backup": get(item, "backup", kind=str)}
                  for item in get(document, "files", kind=list, default=[]) if isinstance(item, dict)],
        "controller": get(document, "controller", kind=str, default=""), "rendered": clock.full(now), "fold": FOLD,
    }  # fmt: skip


def paragraphs(text):
    """[{command, text}]: lines of TEXT, those that are typed apart from those that are read."""
    found = []
    for line in text.split("\n"):
        if line.strip():
            found.append({"command": bool(re.match(r"\s|ansible(-playbook)? ", line)), "text": line.strip()})
    return found


def report(document, template, now=None):
    """The page of a run; TEMPLATE is the path of report.html.j2."""
    folder, name = os.path.split(os.path.abspath(str(template)))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    try:
        return environment.get_template(name).render(model(document, now))
    except jinja2.TemplateError as error:
        raise AnsibleFilterError(f"the report cannot be made with {template}: {type(error).__name__}: {error}") from error


def report_summary(document, now=None):
    """The same facts as lines for a terminal or the log of a job; it says so where there are none, and never fails."""
    try:
        run = model(document, now)
    except AnsibleFilterError as error:
        return [f"There is nothing to show in short: {error}."]
    old, new = (run[key]["word"] if run[key] else None for key in ("verdict_before", "verdict_after"))
    verdicts = f"{old or 'not read'} -> {new}" if new else f"was {old}, not read since" if old else "not read"
    said = [f"{run['host']}: {run['word'].upper()}. Verdict: {verdicts}."]
    said += [line for line in run["message"].split("\n") if line.strip()]
    numbers = [f"strategy {run['strategy']}"]
    numbers += [f"{run['stages_done']} of {count(len(run['stages']), 'stage')} done", count(len(run["reboots"]), "reboot")]
    numbers += [f"{run['down']} until the host answered again"] if run["reboots"] else []
    numbers += [f"{run['took']} in all"] if run["took"] else []
    said.append(", ".join(numbers) + ".")
    for stage in run["stages"]:
        reboot = f", {count(len(stage['reboots']), 'reboot')} ({span(stage['down'])})" if stage["reboots"] else ""
        when = f" {stage['start']}" if stage["start"] else ""
        said.append(f"  {stage['word']:<12} {stage['title']}:{when}{', ' + stage['took'] if stage['took'] else ''}{reboot}".rstrip(":"))
    for row in run["rows"][1:]:
        if row["before"] or row["after"]:
            change = f"{row['before'] or 'not read'} -> {row['after']}" if row["changed"] else row["after"] or f"{row['before']} (before)"
            said.append(f"  {row['name']}: {change}")
    said += [f"  Service put right: {text}" for text in run["repaired"]] + [f"  SERVICE PROBLEM: {text}" for text in run["problems"]]
    said += [run["snapshot"]["reminder"]] if run["snapshot"] else []
    said += [f"Next: {part['text']}" if not number else f"      {part['text']}" for number, part in enumerate(run["next"])]
    # one line stays one line: a text of the host must not pass for another line of the report
    return [re.sub(r"[\n\t]+", " ", line) for line in said]


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"report": report, "report_summary": report_summary}
