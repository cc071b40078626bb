# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a maintenance window is open, and whether the next stage still fits into it."""

from __future__ import annotations

import datetime
import re
import zoneinfo

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: window
short_description: Whether a maintenance window is open and still long enough
version_added: 0.1.0
author: el7ops.kmem contributors (@el7ops)
description:
  - Tells whether a window such as C(23:00-05:00) is open now, and whether a stage of some minutes ends before it closes.
  - Bounds are times on the wall clock of the time zone. On the nights of a clock change C(23:00-05:00) really is 5 or
    7 hours long.
  - A bound that the clock skips is the moment of the jump. A bound that comes twice is taken so that the window is the
    shorter one; where both come twice, their first times count. A window that lies wholly in what is skipped does not
    take place that day.
positional: timezone, minutes, now, stage
options:
  _input:
    description:
      - The window as C(HH:MM-HH:MM), the end not included. Empty means that every time is allowed.
      - The same start and end is an error, because it could mean never as well as always.
    type: str
    required: true
  timezone:
    description: Name of the IANA time zone of both bounds.
    type: str
    default: UTC
  minutes:
    description: Minutes that the next stage may need.
    type: int
    default: 0
  now:
    description: The moment to judge, as an aware datetime, ISO 8601 with offset, or seconds since 1970. Default is the present.
    type: raw
  stage:
    description: Title of the next stage, for the sentence.
    type: str
    default: ''
"""

EXAMPLES = r"""
- name: Stop between two stages where the next one does not fit
  ansible.builtin.fail:
    msg: "{{ ('23:00-05:00' | el7ops.kmem.window('Europe/Berlin', 20)).text }}"
  when: not ('23:00-05:00' | el7ops.kmem.window('Europe/Berlin', 20)).fits
"""

RETURN = r"""
_value:
  description:
    - C(open), whether the window is open. C(fits), whether it is and the minutes end before it closes.
    - C(minutes_left), whole minutes until it closes, 0 where it is closed, null without a window.
    - C(opened_at), C(closes_at) of the open window and C(next_opening), ISO 8601 with offset, or null.
    - C(text), one sentence for the admin.
  type: dict
"""

FORM = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
MINUTE = datetime.timedelta(minutes=1)
DAY = datetime.timedelta(days=1)
UTC = datetime.timezone.utc


def zone_of(name):
    """The time zone, or an error that names the variable and tells a wrong name from a missing database."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError, AttributeError) as error:
        if name in ("UTC", "Etc/UTC"):
            return UTC
        if not zoneinfo.available_timezones():
            raise AnsibleFilterError(
                f"kmem_window_timezone '{name}' cannot be looked up: this controller has no time zone database. Install"
                " the package tzdata, or the Python package of that name, or give the window in UTC."
            ) from error
        raise AnsibleFilterError(
            f"kmem_window_timezone '{name}' is not known. It must be the name of an IANA time zone,"
            " such as Europe/Berlin, America/New_York or UTC."
        ) from error


def moment_of(now):
    """NOW as an aware datetime in UTC."""
    if now is None or now == "":
        return datetime.datetime.now(UTC)
    try:
        if isinstance(now, str) and re.fullmatch(r"\d+(\.\d+)?", now):
            now = float(now)
        if isinstance(now, (int, float)) and not isinstance(now, bool):
            return datetime.datetime.fromtimestamp(now, UTC)
        if isinstance(now, str):
            now = datetime.datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", now))
        if now.utcoffset() is not None:
            return now.astimezone(UTC)
    except (AttributeError, ValueError, OverflowError, OSError) as error:
        raise AnsibleFilterError(f"the filter window was given a moment that cannot be read: {now!r} ({error})") from error
    raise AnsibleFilterError(f"the filter window was given a moment without a time zone: {now!r}")


def jump(wall, before, after):
    """The moment in UTC at which the clock skips WALL; its offset is BEFORE until then and AFTER from then on."""
    low, high = (wall.replace(tzinfo=UTC) - after.utcoffset(), wall.replace(tzinfo=UTC) - before.utcoffset())
    while high - low > datetime.timedelta(seconds=1):
        middle = low + (high - low) // 2
        if middle.astimezone(before.tzinfo).utcoffset() == before.utcoffset():
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def moments(wall, zone):
    """(first, last) moment in UTC at which the clock of ZONE shows WALL: one for most, two in a fold, the jump in a gap."""
    before, after = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if before.utcoffset() < after.utcoffset():
        moment = jump(wall, before, after)
        return moment, moment
    return before.astimezone(UTC), after.astimezone(UTC)


def on(day, bounds, zone):
    """(opening, closing) in UTC of the window that begins on DAY, or None where the clock skips it."""
    start, end = (datetime.datetime.combine(day, bound) for bound in bounds)
    opens, closes = moments(start, zone), moments(end + DAY if end < start else end, zone)
    for window in ((opens[1], closes[0]), (opens[0], closes[0])):
        if window[0] < window[1]:
            return window
    return None


def duration(delta):
    """A span as a person says it: 12 min, 3 h 05 min, 2 days 4 h."""
    minutes = int(delta / MINUTE)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 2 * 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} days {minutes % 1440 // 60} h"


def bounds_of(window):
    """Both bounds as times of day."""
    match = FORM.fullmatch(window)
    if not match:
        raise AnsibleFilterError(
            f"kmem_window '{window}' is not understood. Its form is HH:MM-HH:MM with hours from 00 to 23,"
            " such as 23:00-05:00 or 01:30-04:00; empty means that every time is allowed."
        )
    hours = [int(group) for group in match.groups()]
    bounds = datetime.time(*hours[:2]), datetime.time(*hours[2:])
    if bounds[0] == bounds[1]:
        raise AnsibleFilterError(
            f"kmem_window '{window}' begins and ends at the same time, which could mean always as well as never."
            " For always, leave kmem_window empty."
        )
    return bounds


def window(value, timezone="UTC", minutes=0, now=None, stage=""):
    """What the window VALUE is like at the moment NOW, and whether MINUTES still fit."""
    value = "" if value is None else str(value).strip()
    moment = moment_of(now)
    try:
        need = int(minutes)
    except (TypeError, ValueError) as error:
        raise AnsibleFilterError(f"the filter window was given {minutes!r} as the minutes of the next stage") from error
    if need < 0:
        raise AnsibleFilterError(f"the filter window was given {need} as the minutes of the next stage")
    next_stage = f"the next stage ({stage})" if stage else "the next stage"
    result = {"open": True, "fits": True, "minutes_left": None, "opened_at": None, "closes_at": None, "next_opening": None}
    if not value:
        return dict(result, text="No window is set: every time is allowed.")
    bounds, zone = bounds_of(value), zone_of(timezone)
    today = moment.astimezone(zone).date()
    windows = [on(today + DAY * number, bounds, zone) for number in range(-2, 5)]
    windows = [found for found in windows if found]
    current = next((found for found in windows if found[0] <= moment < found[1]), None)
    coming = next(found for found in windows if found[0] > moment)
    name = f"The window {value} {timezone}"
    result["next_opening"] = coming[0].astimezone(zone).isoformat()
    coming_at = f"{coming[0].astimezone(zone):%Y-%m-%d %H:%M %Z}"
    if current:
        closes = current[1].astimezone(zone)
        left = current[1] - moment
        result.update(
            minutes_left=int(left / MINUTE), fits=MINUTE * need <= left,
            opened_at=current[0].astimezone(zone).isoformat(), closes_at=closes.isoformat(),
        )  # fmt: skip
        text = f"{name} closes in {duration(left)} ({closes:%H:%M %Z}); {next_stage} may need {need} min."
        if not result["fits"]:
            text += f" It opens again on {coming_at}."
    else:
        result.update(open=False, fits=False, minutes_left=0)
        text = f"{name} is closed and opens on {coming_at}, in {duration(coming[0] - moment)}; {next_stage} may need {need} min."
    if not result["fits"] and MINUTE * need > coming[1] - coming[0]:
        text += f" That is longer than the whole window ({duration(coming[1] - coming[0])}): widen kmem_window."
    return dict(result, text=text)


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"window": window}
