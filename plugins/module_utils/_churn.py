# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which containers restart over and over, and how many come and go: pure functions over what docker and podman print.

The restart back-off starts at 100 ms and doubles (Docker's documentation of restart policies; there is no setting for
its cap, moby issue 41856), and a container in such a loop reads ExitCode 0 and "Up 2 seconds" whenever it runs. So one
look tells nothing: two looks are compared by RestartCount and StartedAt.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json
import re

# One JSON list a line. Values are encoded one by one, so that no name, image or label can break the line; State as a
# whole would carry the health log, Config the environment with its secrets.
FIELDS = ("id", "name", "restart_count", "status", "exit_code", "started_at", "restart_policy", "auto_remove", "memory_limit", "image")
INSPECT_FORMAT = "[%s]" % ",".join(
    "{{json %s}}" % path
    for path in (
        ".Id", ".Name", ".RestartCount", ".State.Status", ".State.ExitCode", ".State.StartedAt",
        ".HostConfig.RestartPolicy.Name", ".HostConfig.AutoRemove", ".HostConfig.Memory", ".Config.Image",
    )  # fmt: skip
)
EVENT_FORMAT = "[{{json .Action}},{{json .Actor.ID}},{{json .Actor.Attributes.image}}]"

NUMBERS = ("restart_count", "exit_code", "memory_limit")
# podman 1.6 of EL7 has no JSON for events: 2020-03-01 02:03:04.5 +0100 CET container died 0f1e... (image=busybox, name=x)
EVENT_TEXT = re.compile(r"\bcontainer (create|died?|die) ([0-9a-f]{12,64})\b(?:.*?\bimage=([^,)]*))?")


def ids(text):
    """The container ids that `ps -a -q --no-trunc` printed; None where it printed something else."""
    lines = text.split()
    return lines if all(re.match(r"^[0-9a-f]{12,64}$", line) for line in lines) else None


def container(values):
    """One container of its values in the order of FIELDS; what is not of the expected kind is None (not read)."""
    found = dict(zip(FIELDS, values))
    for key in FIELDS:
        value = found[key]
        if key in NUMBERS:
            found[key] = value if isinstance(value, int) and not isinstance(value, bool) else None
        elif key == "auto_remove":
            found[key] = value if isinstance(value, bool) else None
        else:
            found[key] = value if isinstance(value, type("")) or isinstance(value, type(u"")) else None
    if not found["id"] or not found["name"]:
        return None
    found["name"] = found["name"].lstrip("/")
    found["restart_policy"] = found["restart_policy"] or "no"  # podman leaves it empty
    return found


def parse_inspect(text):
    """Containers by id of `inspect --format INSPECT_FORMAT`; a line that is no such list is left out."""
    found = {}
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        one = container(values) if isinstance(values, list) and len(values) == len(FIELDS) else None
        if one:
            found[one["id"]] = one
    return found


def dig(document, *path):
    """The value at a path of keys in nested dicts, or None."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def parse_inspect_json(text):
    """The same of `inspect` without a format (podman, whose templates stop at a field that a version lacks)."""
    try:
        documents = json.loads(text)
    except ValueError:
        return {}
    found = {}
    for one in documents if isinstance(documents, list) else []:
        state = dig(one, "State")
        host = dig(one, "HostConfig")
        made = container([
            dig(one, "Id"), dig(one, "Name"), dig(one, "RestartCount"), dig(state, "Status"), dig(state, "ExitCode"), dig(state, "StartedAt"),
            dig(host, "RestartPolicy", "Name"), dig(host, "AutoRemove"), dig(host, "Memory"), dig(one, "ImageName") or dig(one, "Config", "Image"),
        ])  # fmt: skip
        if made:
            found[made["id"]] = made
    return found


def parse_events(text):
    """(created, died, images of the created as {image: number}, lines that could not be understood)."""
    created, died, odd, images = 0, 0, 0, {}
    for line in text.splitlines():
        if not line.strip():
            continue
        event = None
        try:
            event = json.loads(line)
        except ValueError:
            match = EVENT_TEXT.search(line)
            event = list(match.groups()) if match else None
        if not isinstance(event, list) or len(event) != 3 or event[0] not in ("create", "die", "died"):
            odd += 1
        elif event[0] == "create":
            created += 1
            image = event[2] if event[2] and not isinstance(event[2], (int, list, dict)) else "unknown"
            images[image] = images.get(image, 0) + 1
        else:
            died += 1
    return created, died, images, odd


def suspicious(one):
    """Whether a single look already shows that a container was restarted, or does not show that it was not."""
    return one["restart_count"] is None or one["restart_count"] > 0 or one["status"] in ("restarting", None)


def loops(before, after):
    """True, False, or None for unknown: whether a container restarts over and over, by two looks (None: no look)."""
    last = after or before
    if last["status"] == "restarting" and (last["restart_count"] or 0) >= 2:
        return True  # in its back-off, and not for the first time
    if before is None or after is None:
        return None
    if before["status"] not in ("running", "restarting"):
        return False if before["status"] else None  # a start is no restart
    if before["restart_count"] is not None and after["restart_count"] is not None and after["restart_count"] > before["restart_count"]:
        return True
    if before["started_at"] is not None and after["started_at"] is not None:
        return before["started_at"] != after["started_at"]
    return None


def merge(runtime, before, after):
    """The containers of one runtime, sorted by name, from two looks; C(after) is None where there was no second one."""
    found = []
    for key in before if after is None else after:
        first, second = before.get(key), after.get(key) if after is not None else None
        last = dict(second or first)
        counts = [look["restart_count"] if look else None for look in (first, second)]
        last.pop("restart_count")
        last.update(
            runtime=runtime,
            restart_count_before=counts[0],
            restart_count_after=counts[1],
            restarts_in_interval=counts[1] - counts[0] if None not in counts else None,
            looping=loops(first, second),
        )
        found.append(last)
    return sorted(found, key=lambda one: (one["name"], one["id"]))


def per_minute(number, seconds):
    """A rate, or None where the number or the time is not known."""
    return round(number * 60.0 / seconds, 1) if number is not None and seconds else None


def report(looks, seconds):
    """The result of the module. C(looks): one dict for each runtime, with present, answers, error, before, after, events.

    before and after are containers by id or None (not read), events what parse_events() gave or None.
    """
    present = [look for look in looks if look["present"]]
    containers, missing, runtimes = [], [], {}
    for look in looks:
        runtimes[look["runtime"]] = dict((key, look[key]) for key in ("present", "answers", "error"))
        if look["present"] and look["before"] is not None:
            containers += merge(look["runtime"], look["before"], look["after"])
        if look["error"]:
            missing.append("%s: %s" % (look["runtime"], look["error"]))
    # one runtime that could not be read makes every sum unknown: never "no churn" by silence
    counted = bool(seconds) and all(look["events"] is not None and not look["events"][3] for look in present)
    created = sum(look["events"][0] for look in present) if counted else None
    died = sum(look["events"][1] for look in present) if counted else None
    images = {}
    for look in present if counted else []:
        for image, number in look["events"][2].items():
            images[image] = images.get(image, 0) + number
    rates = [per_minute(created, seconds), per_minute(died, seconds)]
    return {
        "present": bool(present),
        "answers": all(look["answers"] for look in present) if present else None,
        "complete": not missing,
        "missing": missing,
        "runtimes": runtimes,
        "containers": containers,
        "looping": sorted(set(one["name"] for one in containers if one["looping"])),
        "interval": round(seconds, 1),
        "created": created,
        "died": died,
        "created_images": images if counted else None,
        "created_per_minute": rates[0],
        "died_per_minute": rates[1],
        "churn_per_minute": max(rates) if counted else None,
    }
