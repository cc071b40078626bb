# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the ids will be used up, from samples of the count of leaked memory cgroups: pure functions.

The count only grows until the next boot, so the samples of one boot are a staircase. The rate is that between its
first and its last sample; how far it can be off is told by the number of steps (n events give the square root of n)
and by how much the parts of the time differ from each other, whichever is more.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

from ansible_collections.el7ops.kmem.plugins.module_utils import _clock

ID_SPACE = 65535
DAY = 86400.0
SHORTEST = 3600  # seconds that the samples must span
SINCE_BOOT = 6 * 3600  # one sample is compared with the boot, when nothing had leaked, after this long
PARTS = 4
WINDOWS = (7, 1)  # days; those until now are looked at by themselves, too
NUMBER = (int, float)


def sample(doc, facts):
    """{at, boot, leaked, live, capped} of one look at a host: what is kept for a forecast."""
    taken = _clock.seconds_of(doc.get("taken_at")) if isinstance(doc.get("taken_at"), _clock.TEXT) else None
    uptime = doc.get("uptime_s")
    boot = None
    if taken is not None and isinstance(uptime, NUMBER) and not isinstance(uptime, bool) and 0 <= uptime < 1e10:
        boot = taken - int(uptime)
    return {"at": taken, "boot": boot, "leaked": facts["slab"]["leaked"], "live": facts["cgroup"]["num_cgroups"] or facts["cgroup"]["live"],
            "capped": facts["slab"]["capped"]}  # fmt: skip


def usable(entry):
    """Whether a sample says what it must, to be counted with."""
    if not isinstance(entry, dict):
        return False
    numbers = [entry.get(key) for key in ("at", "boot", "leaked")]
    return all(isinstance(number, NUMBER) and not isinstance(number, bool) and 0 <= number < 1e11 for number in numbers)


def of_this_boot(samples):
    """The usable samples of the last one's boot, in order of time; a clock that was set moves the boot by seconds."""
    # what was counted in part only would be a fall, and then a jump; the last says so itself
    good = [entry for entry in samples[:-1] if usable(entry) and not entry.get("capped")] + [entry for entry in samples[-1:] if usable(entry)]
    if not good or not usable(samples[-1]):
        return []
    boot = samples[-1]["boot"]
    kept = {}
    for entry in good:
        if abs(entry["boot"] - boot) <= 120 and entry["at"] <= samples[-1]["at"]:
            kept[entry["at"]] = entry
    return [kept[at] for at in sorted(kept)]


def forecast(samples):
    """{leaked_per_day, days_left, days_left_between, basis, samples, reason} from samples, the last being now.

    days_left is None with a reason where it cannot be said; days_left_between is [soonest, latest], latest None where
    the leak may as well have ended.
    """
    kept = of_this_boot(samples) if samples else []
    result = {"leaked_per_day": None, "days_left": None, "days_left_between": None, "basis": None, "samples": len(kept), "reason": None}
    if not kept:
        last = samples[-1] if samples and isinstance(samples[-1], dict) else {}
        result["reason"] = "leaked groups could not be counted" if last.get("leaked") is None else "the time of the sample or of the boot is not known"
        return result
    last = kept[-1]
    basis = "%d samples" % len(kept)
    if last["at"] - kept[0]["at"] < SHORTEST:
        span = last["at"] - last["boot"]
        if span < SINCE_BOOT:
            result["reason"] = "the samples span less than an hour, and the boot is less than 6 hours ago: ask again later"
            return result
        kept = [dict(last, at=last["boot"], leaked=0), last]
        basis = "the boot, when nothing had leaked, and now"
    first = kept[0]
    days = (last["at"] - first["at"]) / DAY
    grown = last["leaked"] - first["leaked"]
    result["basis"] = "%s, %s apart" % (basis, span_text(days))
    if last.get("capped") and grown <= 0:
        result["reason"] = "leaked groups were counted in part only, as not all live ones were read in time"
        return result
    if grown < 0:
        result["reason"] = "the count of leaked groups fell from %d to %d, which a leak cannot do" % (first["leaked"], last["leaked"])
        return result
    rate = grown / days
    result["leaked_per_day"] = round(rate, 2)
    if grown == 0:
        result["reason"] = "nothing leaked in %s" % span_text(days)
        return result
    live = last.get("live") if isinstance(last.get("live"), NUMBER) else 0
    free = max(0, ID_SPACE - last["leaked"] - live)
    error = max(2 * grown ** 0.5 / days, spread(kept, rate))
    latest = round(free / (rate - error), 1) if rate > error else None
    # a job that is new leaks at its own rate, whatever the weeks before were like
    highest, recent = rate + error, []
    for window in WINDOWS:
        begin = [entry for entry in kept[1:-1] if window * DAY <= last["at"] - entry["at"] <= 1.5 * window * DAY][-1:]
        for entry in begin:
            span, more = (last["at"] - entry["at"]) / DAY, last["leaked"] - entry["leaked"]
            highest = max(highest, (more + 2 * max(more, 0) ** 0.5) / span)
            recent.append("%.0f a day in the last %s" % (more / span, span_text(span)))
    result["days_left"] = round(free / rate, 1)
    result["days_left_between"] = [round(free / highest, 1), latest]
    if recent:
        result["basis"] += ", " + ", ".join(recent)
    if last.get("capped"):
        result["reason"] = "leaked groups were counted in part only: there can be more of them, and fewer days"
    return result


def spread(kept, rate):
    """How far the rates of equal parts of the time are from the rate of all; 0 where there are too few samples."""
    if len(kept) < 2 * PARTS:
        return 0.0
    begin, length = kept[0]["at"], (kept[-1]["at"] - kept[0]["at"]) / PARTS
    edges = [value_at(kept, begin + number * length) for number in range(PARTS + 1)]
    rates = [(edges[number + 1] - edges[number]) / (length / DAY) for number in range(PARTS)]
    # twice the standard error of their mean
    return 2 * (sum((one - rate) ** 2 for one in rates) / (PARTS * (PARTS - 1))) ** 0.5


def value_at(kept, moment):
    """The count at a moment, on a straight line between two samples."""
    before = kept[0]
    for entry in kept:
        if entry["at"] >= moment:
            if entry["at"] == before["at"]:
                return entry["leaked"]
            share = (moment - before["at"]) / float(entry["at"] - before["at"])
            return before["leaked"] + share * (entry["leaked"] - before["leaked"])
        before = entry
    return before["leaked"]


def span_text(days):
    """A span of time in words that do not claim more than is known."""
    return "%.1f days" % days if days >= 2 else "%.1f hours" % (days * 24)


def keep(samples, entry, limit=400):
    """The ring with one more sample: usable ones only, thinned out from the old end where it is full."""
    kept = [one for one in samples if usable(one)] if isinstance(samples, list) else []
    if usable(entry):
        kept.append(entry)
    while len(kept) > limit:
        # every second one of the older half goes: old samples get rare, the first of all stays
        half = len(kept) // 2
        kept = kept[:half:2] + kept[half:]
    return kept
